/** The picture in tiles, fetched as they come into sight; coarser ones stand in meanwhile. */
import { address } from "../../api/client";
import type { Meta } from "./api";
import type { View } from "./view";

export type Look = {
  sigma: number;
  percentile: number;
  lowpass_A: number;
  highpass_A: number;
  pixel_size_A: number;
  denoised?: true;
};

type Tile = { image: HTMLImageElement; isThere: boolean; hasFailed: boolean };

const MOST = 240;

export class Tiles {
  private readonly tiles = new Map<string, Tile>();
  private look = "";
  private shown = "";
  private readonly queries = new Map<string, Record<string, string | number | boolean>>();
  private meta: Meta | null = null;

  constructor(private readonly drawn: () => void) {}

  /** Choose what is shown; tiles of the look before stay until the new ones are there. */
  show(meta: Meta, look: Look): void {
    const next = `${meta.path} ${meta.version} ${JSON.stringify(look)}`;
    if (next === this.look) return;
    if (this.meta?.path === meta.path && this.isComplete) this.shown = this.look;
    else if (this.meta?.path !== meta.path) this.shown = "";
    this.meta = meta;
    this.look = next;
    this.queries.clear();
    this.queries.set(next, { path: meta.path, version: meta.version, ...look });
    const isFiltered = look.lowpass_A > 0 || look.highpass_A > 0;
    if (this.shown === "" && isFiltered) {
      // Filters take a while for a new picture: until they are done it is there without them.
      const bare = { ...look, lowpass_A: 0, highpass_A: 0 };
      this.shown = `${meta.path} ${meta.version} ${JSON.stringify(bare)}`;
      this.queries.set(this.shown, { path: meta.path, version: meta.version, ...bare });
    }
  }

  private nWaiting = 0;

  /** Whether every tile in sight is drawn in the look that was chosen last. */
  get isComplete(): boolean {
    return this.meta !== null && this.nWaiting === 0;
  }

  draw(context: CanvasRenderingContext2D, view: View, ratio: number): void {
    const meta = this.meta;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!meta) return;
    const wanted = Math.floor(Math.log2(Math.max(1, 1 / (view.scale * ratio))));
    const level = Math.min(meta.levels - 1, Math.max(0, wanted));
    context.imageSmoothingEnabled = view.scale * ratio < 3;
    context.imageSmoothingQuality = "medium";
    this.nWaiting = 0;
    // Coarsest first: finer ones that are there lie above.
    if (this.shown) {
      const isBare = this.queries.has(this.shown);
      this.layer(context, view, ratio, isBare ? meta.levels - 1 : level, this.shown, isBare);
      this.nWaiting = 0;
    }
    this.layer(context, view, ratio, meta.levels - 1, this.look, true);
    if (level < meta.levels - 1) {
      for (let n = meta.levels - 2; n > level; n -= 1) {
        this.layer(context, view, ratio, n, this.look, false);
      }
      this.layer(context, view, ratio, level, this.look, true);
    }
    if (this.nWaiting === 0) this.shown = "";
  }

  forget(): void {
    this.tiles.clear();
    this.meta = null;
    this.look = "";
  }

  private layer(
    context: CanvasRenderingContext2D,
    view: View,
    ratio: number,
    level: number,
    look: string,
    isWanted: boolean,
  ): void {
    const meta = this.meta;
    if (!meta) return;
    const side = meta.tile_px * 2 ** level;
    const low = view.toImage(0, 0);
    const high = view.toImage(view.width, view.height);
    const [x0, y0] = [Math.max(0, Math.floor(low.x / side)), Math.max(0, Math.floor(low.y / side))];
    const x1 = Math.min(Math.ceil(meta.width_px / side), Math.floor(high.x / side) + 1);
    const y1 = Math.min(Math.ceil(meta.height_px / side), Math.floor(high.y / side) + 1);
    for (let y = y0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1) {
        const tile = this.tile(look, level, x, y, isWanted);
        if (tile?.isThere) {
          // Pixel centres lie on whole numbers: the first pixel begins half a pixel before 0.
          const a = view.toScreen(x * side - 0.5, y * side - 0.5);
          const wide = tile.image.naturalWidth * 2 ** level * view.scale;
          const deep = tile.image.naturalHeight * 2 ** level * view.scale;
          const [left, top] = [Math.round(a.x * ratio), Math.round(a.y * ratio)];
          const right = Math.round((a.x + wide) * ratio);
          const bottom = Math.round((a.y + deep) * ratio);
          context.drawImage(tile.image, left, top, right - left, bottom - top);
        } else if (isWanted && tile && !tile.hasFailed) this.nWaiting += 1;
      }
    }
  }

  private tile(look: string, level: number, x: number, y: number, isWanted: boolean): Tile | null {
    const key = `${look}|${level}|${x}|${y}`;
    const known = this.tiles.get(key);
    if (known) {
      this.tiles.delete(key);
      this.tiles.set(key, known);
      return known;
    }
    if (!isWanted) return null;
    const image = new Image();
    const tile: Tile = { image, isThere: false, hasFailed: false };
    image.decoding = "async";
    image.onload = () => {
      tile.isThere = true;
      this.drawn();
    };
    image.onerror = () => {
      tile.hasFailed = true;
      // Asked for again when it is next in sight, after a while.
      setTimeout(() => this.tiles.delete(key), 3000);
      this.drawn();
    };
    image.src = address("images/tile", { ...this.queries.get(look), level, x, y });
    this.tiles.set(key, tile);
    while (this.tiles.size > MOST) this.tiles.delete(this.tiles.keys().next().value ?? "");
    return tile;
  }
}
