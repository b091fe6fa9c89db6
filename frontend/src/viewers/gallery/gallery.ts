/** The gallery itself: what is shown, in which order, what is chosen; its parts ask and tell it. */
import { ask } from "../../api/client";
import type { DisplayInfo } from "../../api/types";
import { make } from "../dom";
import type { ViewerOptions, ViewerState } from "../viewer";
import { Columns, within } from "./columns";
import { draw, Layout, paletteOf, type Palette } from "./grid";
import { Keeper, ofFile, ofJob, type JobSelection } from "./keeper";
import { addScores } from "./scores";
import { Selection } from "./selection";
import { defaults, RANDOMLY, SCORES, settingsFrom, unitOf, type Settings } from "./settings";
import { sharedLimits } from "./shared";
import { Sheets, sideFor } from "./sheets";

const CLASS = "rlnClassNumber";

/** What of the gallery may look different now. */
export type Change = "order" | "selection" | "current" | "settings" | "columns" | "job";

export class Gallery {
  readonly scroll = make("div", { class: "g-scroll" });
  readonly canvas = make("canvas", { class: "g-canvas" });
  private readonly space = make("div", { class: "g-space" });
  private readonly active = make("div", { class: "sr-only" });
  readonly sheets = new Sheets(() => this.drawSoon());
  settings: Settings;
  info: DisplayInfo;
  columns: Columns;
  selection: Selection;
  keeper: Keeper | null = null;
  /** What the server says of the Select job. */
  job: JobSelection | null = null;
  theirs: Uint8Array | null = null;
  order: Int32Array = new Int32Array();
  shown: Int32Array = new Int32Array();
  /** Classes whose particles are shown; null for all. */
  only: Set<number> | null = null;
  ranges = new Map<string, readonly [number, number]>();
  layout = new Layout(0, 1, 1, 112, 1, 0);
  paint = 1;
  /** Row that keys act on and the inspector shows; -1 for none. */
  current = -1;
  anchor = -1;
  longestFrame_ms = 0;
  nFrames = 0;
  private seed = 1;
  private palette: Palette;
  private limits: { black: number; white: number } | null = null;
  private frame = 0;
  private wantedAt = 0;
  private wantTimer: ReturnType<typeof setTimeout> | null = null;
  private hearers: ((change: Change) => void)[] = [];
  private stops: (() => void)[] = [];
  private isGone = false;
  private turn = 0;
  isReady = false;

  constructor(
    readonly element: HTMLElement,
    public options: ViewerOptions,
  ) {
    this.info = options.info;
    this.settings = settingsFrom(options.info, options.settings[options.info.kind]);
    this.columns = new Columns(options.info);
    this.selection = new Selection(options.info.n, () => this.chosen());
    this.palette = paletteOf(element);
    this.setUp();
  }

  on(hear: (change: Change) => void): void {
    this.hearers.push(hear);
  }

  tell(change: Change): void {
    for (const hear of this.hearers) hear(change);
  }

  async begin(): Promise<void> {
    await this.keepSelection();
    await this.reload();
    this.isReady = true;
    this.stops.push(this.options.listen((event) => this.keeper?.hear(event)));
  }

  /** Show another file of the same kind, such as that of the next iteration. */
  async follow(info: DisplayInfo): Promise<void> {
    const isOther = info.path !== this.info.path || info.n !== this.info.n;
    this.info = info;
    this.columns = new Columns(info);
    this.settings = settingsFrom(info, this.settings);
    if (isOther) {
      this.selection = new Selection(info.n, () => this.chosen());
      await this.keepSelection();
    }
    await this.reload();
  }

  /** Change settings, keep them, and show what follows from them. */
  set(changed: Partial<Settings>): void {
    const place = this.placeOnTop();
    Object.assign(this.settings, changed);
    this.options.onSettings({ [this.info.kind]: { ...this.settings } });
    this.tell("settings");
    if ("sort" in changed || "isReversed" in changed) void this.reload();
    else if ("most" in changed) this.filter();
    else if ("labels" in changed)
      void this.columns.need(this.settings.labels).then(() => this.lay(place));
    else this.lay(place);
    if (["isShared", "sigma", "column"].some((key) => key in changed)) void this.findLimits();
  }

  shuffle(): void {
    this.seed += 1;
    this.set({ sort: RANDOMLY });
  }

  setRange(label: string, range: readonly [number, number] | null): void {
    if (range) this.ranges.set(label, range);
    else this.ranges.delete(label);
    void this.columns.need([label]).then(() => this.filter());
  }

  /** Load the order and the columns that are shown. */
  async reload(): Promise<void> {
    const turn = (this.turn += 1);
    const { sort, isReversed } = this.settings;
    const before = defaults(this.info).labels;
    const scores = addScores(this.info, this.columns);
    try {
      if (SCORES.includes(sort)) await scores;
      const isThere = sort === RANDOMLY || this.info.columns.some((one) => one.label === sort);
      const [order] = await Promise.all([
        this.columns.order(isThere ? sort : "", isReversed, this.seed),
        this.columns.need(this.needed()),
        this.findLimits(),
      ]);
      if (turn !== this.turn || this.isGone) return;
      this.order = order;
      this.filter();
      this.tell("columns");
      if (await scores) this.showScores(before);
    } catch (error) {
      if (!this.isGone) this.options.onFail(error);
    }
  }

  /** Scores came: they are labels where nobody chose others. */
  private showScores(before: readonly string[]): void {
    if (this.settings.labels.join() === before.join()) {
      this.settings.labels = defaults(this.info).labels;
      void this.columns.need(this.settings.labels).then(() => this.lay());
    }
    this.drawSoon();
    this.tell("columns");
  }

  /** The columns that are looked at. */
  private needed(): string[] {
    const { labels, sort } = this.settings;
    const also = ["particles", sort, this.only ? CLASS : ""];
    const known = also.filter((label) => this.info.columns.some((one) => one.label === label));
    return [...labels, ...known, ...this.ranges.keys()];
  }

  /** Show the particles of some classes only; null for all. */
  showOnly(classes: Set<number> | null): void {
    this.only = classes;
    this.filter();
    this.tell("settings");
  }

  filter(): void {
    const numbers = this.only && this.columns.number(CLASS);
    const order = numbers
      ? this.order.filter((row) => this.only?.has(numbers[row] ?? -1))
      : this.order;
    this.shown = within(order, this.ranges, this.columns, this.settings.most);
    this.lay();
    this.tell("order");
  }

  /** Lay the images out anew, with the image at `place` on top where one is named. */
  lay(place = -1): void {
    const { width_px, height_px } = this.info;
    const aspect = width_px && height_px ? height_px / width_px : 1;
    const width = Math.max(40, this.scroll.clientWidth);
    const { size, labels } = this.settings;
    const narrow = this.options.isCompact ? Math.min(size, 128) : size;
    const n = this.shown.length;
    let layout = new Layout(n, width, this.scroll.clientHeight, narrow, aspect, labels.length);
    if (this.options.isCompact) {
      const most = 440;
      this.scroll.style.height = `${Math.min(most, Math.max(120, layout.height))}px`;
      layout = new Layout(n, width, this.scroll.clientHeight, narrow, aspect, labels.length);
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

  placeOf(row: number): number {
    return this.shown.indexOf(row);
  }

  rowAt(place: number): number {
    return this.shown[place] ?? -1;
  }

  /** Rows between two places, both included. */
  rowsBetween(a: number, b: number): Int32Array {
    return this.shown.subarray(Math.min(a, b), Math.max(a, b) + 1);
  }

  go(place: number): void {
    if (this.shown.length === 0) return;
    const there = Math.max(0, Math.min(this.shown.length - 1, place));
    this.current = this.rowAt(there);
    this.bring(there);
    this.drawSoon();
    this.tell("current");
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
    if (this.frame === 0 && !this.isGone) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** Values under an image, as they are written. */
  labelsOf(row: number): string[] {
    return this.settings.labels.map((label) => words(this.columns.value(label, row), label));
  }

  get particles(): Float64Array | null {
    return this.info.kind === "classes" ? this.columns.number("particles") : null;
  }

  numberOf(row: number): string {
    return String(row + 1);
  }

  get state(): ViewerState {
    const counts = this.selection.counts(this.particles);
    const [first, end] = this.layout.span(this.top, this.top + this.layout.view);
    const visible = [...this.shown.subarray(first, end)];
    return {
      kind: "gallery",
      path: this.info.path,
      n: this.info.n,
      nShown: this.shown.length,
      isReady: this.isReady,
      rows: visible,
      first,
      isLoaded: this.isReady && this.sheets.has(visible),
      nLoaded: this.sheets.nLoaded,
      nStopped: this.sheets.nStopped,
      size: this.settings.size,
      across: this.layout.across,
      current: this.current,
      paint: this.paint,
      selected: counts.images,
      particles: counts.particles,
      types: this.info.n <= 10_000 ? [...this.selection.types] : null,
      isKept: this.keeper?.isSettled ?? false,
      hasConflict: this.theirs !== null,
      longestFrame_ms: this.longestFrame_ms,
      nFrames: this.nFrames,
      boxes: visible.slice(0, 400).map((_, place) => {
        const box = this.layout.box(first + place);
        return { ...box, y: box.y - this.top };
      }),
    };
  }

  destroy(): void {
    this.isGone = true;
    this.keeper?.close();
    for (const stop of this.stops) stop();
    if (this.frame) cancelAnimationFrame(this.frame);
    if (this.wantTimer) clearTimeout(this.wantTimer);
    this.sheets.destroy();
  }

  private setUp(): void {
    this.scroll.tabIndex = 0;
    this.scroll.setAttribute("role", "listbox");
    this.scroll.setAttribute("aria-multiselectable", "true");
    this.scroll.setAttribute("aria-label", `Images of ${this.info.path}`);
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
      if (w === width && (h === height || this.options.isCompact)) return;
      const place = width > 0 && w !== width ? this.placeOnTop() : -1;
      [width, height] = [w, h];
      this.lay(place);
    });
    sized.observe(this.scroll);
    const themed = new MutationObserver(() => {
      this.palette = paletteOf(this.element);
      this.drawSoon();
    });
    themed.observe(document.documentElement, { attributes: true });
    this.stops.push(
      () => sized.disconnect(),
      () => themed.disconnect(),
    );
    this.on((change) => {
      if (change === "current" || change === "selection") this.say();
    });
  }

  /** Find what is chosen already: in a Select job, or in a draft of this list. */
  private async keepSelection(): Promise<void> {
    this.keeper?.close();
    this.keeper = null;
    const { job, isCompact, isReadOnly } = this.options;
    if (isCompact) return;
    const place =
      job === null ? ofFile(this.info.path, this.info.n, location.host) : ofJob(job, location.host);
    if (job !== null) {
      await this.readJob(job);
      if (this.job && this.job.n_rows !== this.info.n) return;
    }
    if (isReadOnly && job === null) return;
    this.keeper = new Keeper(place, this.info.n, {
      take: (types) => {
        this.selection.take(types);
        this.drawSoon();
        this.tell("selection");
      },
      conflict: (theirs) => {
        this.theirs = theirs;
        this.tell("job");
      },
      unsent: (n) => this.options.onUnsent(n),
      fail: (error) => this.options.onFail(error),
    });
    await this.keeper.load();
  }

  async readJob(job: number): Promise<void> {
    try {
      this.job = await ask<JobSelection>("GET", `selections/${job}`);
      this.tell("job");
    } catch (error) {
      this.options.onFail(error);
    }
  }

  private chosen(): void {
    if (!this.options.isReadOnly) this.keeper?.set(this.selection.types);
    this.drawSoon();
    this.tell("selection");
  }

  private placeOnTop(): number {
    return this.layout.span(this.top + this.layout.stepY / 2, this.top + this.layout.stepY / 2)[0];
  }

  private async findLimits(): Promise<void> {
    this.limits = this.settings.isShared
      ? await sharedLimits(this.info, this.settings, this.order.length > 0 ? this.order : null)
      : null;
    this.drawSoon();
  }

  private draw(): void {
    this.frame = 0;
    const began = performance.now();
    this.useRecipe();
    const isFocused = document.activeElement === this.scroll;
    draw(this.canvas, this.layout, this.top, this.palette, isFocused, (place) => {
      const row = this.rowAt(place);
      return {
        row,
        tile: this.sheets.get(row),
        type: this.selection.type(row),
        number: this.numberOf(row),
        labels: this.labelsOf(row),
        isCurrent: row === this.current && !this.options.isCompact,
      };
    });
    this.wantSoon();
    this.nFrames += 1;
    this.longestFrame_ms = Math.max(this.longestFrame_ms, performance.now() - began);
  }

  private useRecipe(): void {
    const { settings, info, limits } = this;
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
      if (moved > view && this.isReady) return this.wantSoon(); // it flies by
      const [first, end] = this.layout.span(top, top + view);
      const [before, after] = this.layout.span(top - view / 2, top + 2 * view);
      const part = (a: number, b: number) => [...this.shown.subarray(a, b)];
      this.sheets.want([...part(first, end), ...part(end, after), ...part(before, first)]);
    }, 60);
  }

  /** Tell those who do not see it what the current image is. */
  private say(): void {
    const row = this.current;
    if (row < 0) return;
    const type = this.selection.type(row);
    const values = this.settings.labels.map(
      (label, place) => `${label} ${this.labelsOf(row)[place]}`,
    );
    this.active.textContent = `Image ${row + 1}. ${values.join(", ")}`;
    this.active.setAttribute("aria-selected", String(type > 0));
    this.active.setAttribute("aria-posinset", String(this.placeOf(row) + 1));
    this.active.setAttribute("aria-setsize", String(this.shown.length));
    if (type > 0) this.active.textContent += `. Selected as ${type}`;
  }
}

/** A value with its unit, short enough to stand under a picture. */
export function words(value: number | string | null, label = ""): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  if (label === "rlnClassDistribution") return `${(100 * value).toFixed(1)} %`;
  const unit = unitOf(label);
  if (value === -999 || value === 999) return "–";
  const size = Math.abs(value);
  const text =
    unit !== "" && size < 100
      ? value.toFixed(size < 10 && unit === "°" ? 2 : 1)
      : Number.isInteger(value)
        ? value.toLocaleString("en-US")
        : size >= 1000
          ? Math.round(value).toLocaleString("en-US")
          : size >= 10
            ? value.toFixed(1)
            : size >= 0.01
              ? value.toFixed(2)
              : value.toPrecision(2);
  return unit ? `${text} ${unit}` : text;
}
