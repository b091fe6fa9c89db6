/** The window on the images: how they are laid out, what is drawn and asked for as it scrolls. */
import { rem } from "../../lib/rem";
import { make } from "../dom";
import type { Gallery } from "./gallery";
import { draw, Layout, paletteOf, type Palette } from "./grid";
import { sharedLimits } from "./shared";
import { Sheets, sideFor } from "./sheets";

export class Screen {
  readonly scroll = make("div", { class: "g-scroll" });
  readonly canvas = make("canvas", { class: "g-canvas" });
  private readonly space = make("div", { class: "g-space" });
  private readonly active = make("div", { class: "sr-only" });
  readonly sheets = new Sheets(() => this.drawSoon());
  layout = new Layout(0, 1, 1, 112, 1, 0);
  longestFrame_ms = 0;
  nFrames = 0;
  private palette: Palette;
  private limits: { black: number; white: number } | null = null;
  private frame = 0;
  private wantedAt = 0;
  private wantTimer: ReturnType<typeof setTimeout> | null = null;
  private stops: (() => void)[] = [];

  constructor(private readonly gallery: Gallery) {
    this.palette = paletteOf(gallery.element);
    this.setUp();
  }

  destroy(): void {
    for (const stop of this.stops) stop();
    if (this.frame) cancelAnimationFrame(this.frame);
    if (this.wantTimer) clearTimeout(this.wantTimer);
    this.sheets.destroy();
  }

  /** Lay the images out anew, with the image at `place` on top where one is named. */
  lay(place = -1): void {
    const { width_px, height_px } = this.gallery.info;
    const aspect = width_px && height_px ? height_px / width_px : 1;
    const width = Math.max(40, this.scroll.clientWidth);
    const { size, labels } = this.gallery.settings;
    const narrow = this.gallery.options.isCompact ? Math.min(size, 128) : size;
    const n = this.gallery.shown.length;
    let layout = new Layout(
      n,
      width,
      this.scroll.clientHeight,
      narrow,
      aspect,
      labels.length,
      rem(),
    );
    if (this.gallery.options.isCompact) {
      const most = 440;
      this.scroll.style.height = `${Math.min(most, Math.max(120, layout.height))}px`;
      layout = new Layout(n, width, this.scroll.clientHeight, narrow, aspect, labels.length, rem());
    }
    this.layout = layout;
    this.space.style.height = `${Math.max(0, layout.tall - layout.view)}px`;
    this.canvas.style.width = `${layout.width}px`;
    this.canvas.style.height = `${layout.view}px`;
    if (place >= 0) this.scroll.scrollTop = layout.scrollFor(layout.box(place).y - 8);
    this.drawSoon();
  }

  get top(): number {
    return this.layout.top(this.scroll.scrollTop);
  }

  /** Scroll until an image is seen. */
  bring(place: number): void {
    const box = this.layout.box(place);
    const top = this.top;
    const bottom = box.y + this.layout.stepY;
    if (box.y - 8 < top) this.scroll.scrollTop = this.layout.scrollFor(box.y - 8);
    else if (bottom > top + this.layout.view) {
      this.scroll.scrollTop = this.layout.scrollFor(bottom - this.layout.view);
    }
  }

  drawSoon(): void {
    if (this.frame === 0 && !this.gallery.isGone)
      this.frame = requestAnimationFrame(() => this.draw());
  }

  placeOnTop(): number {
    return this.layout.span(this.top + this.layout.stepY / 2, this.top + this.layout.stepY / 2)[0];
  }

  async findLimits(): Promise<void> {
    this.limits = this.gallery.settings.isShared
      ? await sharedLimits(
          this.gallery.info,
          this.gallery.settings,
          this.gallery.order.length > 0 ? this.gallery.order : null,
        )
      : null;
    this.drawSoon();
  }

  private draw(): void {
    this.frame = 0;
    const began = performance.now();
    this.useRecipe();
    const isFocused = document.activeElement === this.scroll;
    draw(this.canvas, this.layout, this.top, this.palette, isFocused, (place) => {
      const row = this.gallery.rowAt(place);
      return {
        row,
        tile: this.sheets.get(row),
        type: this.gallery.selection.type(row),
        number: this.gallery.numberOf(row),
        labels: this.gallery.labelsOf(row),
        isCurrent: row === this.gallery.current && !this.gallery.options.isCompact,
      };
    });
    this.wantSoon();
    this.nFrames += 1;
    this.longestFrame_ms = Math.max(this.longestFrame_ms, performance.now() - began);
  }

  private useRecipe(): void {
    const { limits } = this;
    const { settings, info } = this.gallery;
    const longest = Math.max(info.width_px ?? 0, info.height_px ?? 0) || null;
    this.sheets.use({
      path: info.path,
      version: info.version,
      size: sideFor(this.layout.size, devicePixelRatio || 1, longest),
      look: {
        ...(settings.column ? { column: settings.column } : {}),
        ...(limits
          ? limits
          : { sigma: settings.sigma, black: settings.black, white: settings.white }),
        lowpass_A: settings.lowpass_A,
        highpass_A: settings.highpass_A,
        pixel_size_A: settings.pixel_size_A,
        colour: settings.colour,
        oriented: settings.isOriented,
      },
    });
  }

  /** Ask for what is seen at once where it rests, in a moment where it flies by. */
  private wantSoon(): void {
    if (this.wantTimer) return;
    this.wantTimer = setTimeout(() => {
      this.wantTimer = null;
      const [top, view] = [this.top, this.layout.view];
      const moved = Math.abs(top - this.wantedAt);
      this.wantedAt = top;
      if (moved > view && this.gallery.isReady) return this.wantSoon(); // it flies by
      const [first, end] = this.layout.span(top, top + view);
      const [before, after] = this.layout.span(top - view / 2, top + 2 * view);
      const part = (a: number, b: number) => [...this.gallery.shown.subarray(a, b)];
      this.sheets.want([...part(first, end), ...part(end, after), ...part(before, first)]);
    }, 60);
  }

  /** Tell those who do not see it what the current image is. */
  say(): void {
    const row = this.gallery.current;
    if (row < 0) return;
    const type = this.gallery.selection.type(row);
    const values = this.gallery.settings.labels.map(
      (label, place) => `${label} ${this.gallery.labelsOf(row)[place]}`,
    );
    this.active.textContent = `Image ${row + 1}. ${values.join(", ")}`;
    this.active.setAttribute("aria-selected", String(type > 0));
    this.active.setAttribute("aria-posinset", String(this.gallery.placeOf(row) + 1));
    this.active.setAttribute("aria-setsize", String(this.gallery.shown.length));
    if (type > 0) this.active.textContent += `. Selected as ${type}`;
  }
  private setUp(): void {
    this.scroll.tabIndex = 0;
    this.scroll.setAttribute("role", "listbox");
    this.scroll.setAttribute("aria-multiselectable", "true");
    this.scroll.setAttribute("aria-label", `Images of ${this.gallery.info.path}`);
    this.canvas.setAttribute("aria-hidden", "true");
    this.active.id = `g-${Math.random().toString(36).slice(2, 8)}`;
    this.active.setAttribute("role", "option");
    this.scroll.setAttribute("aria-activedescendant", this.active.id);
    this.scroll.append(this.canvas, this.space, this.active);
    this.scroll.addEventListener("scroll", () => this.drawSoon(), { passive: true });
    for (const kind of ["focus", "blur"]) this.scroll.addEventListener(kind, () => this.drawSoon());
    let width = 0;
    let height = 0;
    const sized = new ResizeObserver(() => {
      const [w, h] = [this.scroll.clientWidth, this.scroll.clientHeight];
      if (w === width && (h === height || this.gallery.options.isCompact)) return;
      const place = width > 0 && w !== width ? this.placeOnTop() : -1;
      [width, height] = [w, h];
      this.lay(place);
    });
    sized.observe(this.scroll);
    const themed = new MutationObserver(() => {
      this.palette = paletteOf(this.gallery.element);
      this.drawSoon();
    });
    themed.observe(document.documentElement, { attributes: true });
    this.stops.push(
      () => sized.disconnect(),
      () => themed.disconnect(),
    );
  }
}
