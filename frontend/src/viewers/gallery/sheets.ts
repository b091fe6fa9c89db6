/** Thumbnails: asked for in sheets, dropped when they are not wanted any more, kept while they fit. */
import { address } from "../../api/client";

export type Tile = { sheet: ImageBitmap; x: number; y: number; size: number };
export type Query = Record<string, string | number | boolean>;

const PER_SHEET = 40;
const ACROSS = 8;
const AT_ONCE = 4;
/** Most pixels that are kept; older sheets go first. */
const MOST_PIXELS = 60_000_000;
const TRY_AGAIN_MS = 4000;

type Asked = { rows: number[]; stop: AbortController };
type Kept = { rows: number[]; sheet: ImageBitmap };

/** What the server is asked for each sheet besides the rows; everything else makes new pictures. */
export type Recipe = { path: string; version: string; size: number; look: Query };

export class Sheets {
  nLoaded = 0;
  nStopped = 0;
  private recipe: Recipe | null = null;
  private key = "";
  private tiles = new Map<number, Tile>();
  private old = new Map<number, Tile>();
  private kept: Kept[] = [];
  private oldKept: Kept[] = [];
  private pixels = 0;
  private asked: Asked[] = [];
  private wanted: number[] = [];
  private failed = new Map<number, number>();

  constructor(private readonly onCome: () => void) {}

  /** Say how thumbnails are made; those of before are shown until the new ones come. */
  use(recipe: Recipe): void {
    const key = JSON.stringify(recipe);
    if (key === this.key) return;
    const isSameFile = recipe.path === this.recipe?.path;
    this.forgetOld();
    if (isSameFile) {
      this.old = this.tiles;
      this.oldKept = this.kept;
    } else this.close(this.kept);
    this.tiles = new Map();
    this.kept = [];
    this.pixels = 0;
    this.failed.clear();
    this.recipe = recipe;
    this.key = key;
    for (const one of this.asked) one.stop.abort();
    this.asked = [];
  }

  get(row: number): Tile | null {
    return this.tiles.get(row) ?? this.old.get(row) ?? null;
  }

  /** Whether all of these are there as they are wanted. */
  has(rows: Iterable<number>): boolean {
    for (const row of rows) if (!this.tiles.has(row)) return false;
    return true;
  }

  /** Say which rows are wanted now, the most urgent first; what else was asked for is given up. */
  want(rows: readonly number[]): void {
    this.wanted = [...rows];
    const set = new Set(rows);
    for (const one of this.asked) {
      if (!one.rows.some((row) => set.has(row))) {
        one.stop.abort();
        this.nStopped += 1;
      }
    }
    this.asked = this.asked.filter((one) => !one.stop.signal.aborted);
    this.next();
  }

  destroy(): void {
    this.wanted = [];
    for (const one of this.asked) one.stop.abort();
    this.forgetOld();
    this.close(this.kept);
  }

  private next(): void {
    while (this.recipe && this.asked.length < AT_ONCE) {
      const asked = new Set(this.asked.flatMap((one) => one.rows));
      const now = performance.now();
      const rows = this.wanted
        .filter((row) => !this.tiles.has(row) && !asked.has(row) && !this.rests(row, now))
        .slice(0, PER_SHEET);
      if (rows.length === 0) return;
      void this.load(this.recipe, this.key, rows);
    }
  }

  private rests(row: number, now: number): boolean {
    return now < (this.failed.get(row) ?? 0);
  }

  private async load(recipe: Recipe, key: string, rows: number[]): Promise<void> {
    const asked = { rows, stop: new AbortController() };
    this.asked.push(asked);
    try {
      const sheet = await fetchSheet(recipe, rows, asked.stop.signal);
      if (key === this.key && !asked.stop.signal.aborted) this.put(rows, sheet, recipe.size);
      else sheet.close();
    } catch {
      if (!asked.stop.signal.aborted) {
        const again = performance.now() + TRY_AGAIN_MS;
        for (const row of rows) this.failed.set(row, again);
        setTimeout(() => this.next(), TRY_AGAIN_MS + 50);
      }
    } finally {
      this.asked = this.asked.filter((one) => one !== asked);
      this.next();
    }
  }

  private put(rows: number[], sheet: ImageBitmap, size: number): void {
    rows.forEach((row, place) => {
      const [x, y] = [(place % ACROSS) * size, Math.floor(place / ACROSS) * size];
      this.tiles.set(row, { sheet, x, y, size });
    });
    this.kept.push({ rows, sheet });
    this.pixels += sheet.width * sheet.height;
    this.nLoaded += rows.length;
    const wanted = new Set(this.wanted);
    for (let n = this.kept.length; n > 1 && this.pixels > MOST_PIXELS; n -= 1) {
      const first = this.kept.shift();
      if (!first) break;
      if (first.rows.some((row) => wanted.has(row))) this.kept.push(first);
      else this.drop(first);
    }
    if (this.old.size > 0 && this.has(this.wanted)) this.forgetOld();
    this.onCome();
  }

  private drop(gone: Kept): void {
    for (const row of gone.rows) {
      if (this.tiles.get(row)?.sheet === gone.sheet) this.tiles.delete(row);
    }
    this.pixels -= gone.sheet.width * gone.sheet.height;
    gone.sheet.close();
  }

  private forgetOld(): void {
    this.close(this.oldKept);
    this.old = new Map();
    this.oldKept = [];
  }

  private close(kept: readonly Kept[]): void {
    for (const one of kept) one.sheet.close();
  }
}

async function fetchSheet(recipe: Recipe, rows: number[], signal: AbortSignal) {
  const { path, version, size, look } = recipe;
  const query = { path, rows: rows.join(","), size, across: ACROSS, version, ...look };
  const answer = await fetch(address("images/sprite", query), {
    signal,
    credentials: "same-origin",
  });
  if (!answer.ok) throw new Error(`a sheet was answered with ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

/** The side of a thumbnail that suits a width on the screen: one of few, so that caches help. */
export function sideFor(width: number, ratio: number, longest: number | null): number {
  const wanted = width * Math.min(2, ratio);
  const side = [48, 64, 96, 128, 192, 256, 384, 512].find((one) => one >= wanted * 0.95) ?? 512;
  return longest ? Math.max(8, Math.min(side, longest)) : side;
}
