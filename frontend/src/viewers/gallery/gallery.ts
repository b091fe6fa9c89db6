/** The gallery itself: what is shown, in which order, what is chosen; its parts ask and tell it. */
import { ask } from "../../api/client";
import type { DisplayInfo } from "../../api/types";
import type { ViewerOptions, ViewerState } from "../viewer";
import { Columns, within } from "./columns";
import { Keeper, ofFile, ofJob, type JobSelection } from "./keeper";
import { addScores } from "./scores";
import { Screen } from "./screen";
import { Selection } from "./selection";
import { defaults, RANDOMLY, SCORES, settingsFrom, type Settings } from "./settings";
import { words } from "./words";

const CLASS = "rlnClassNumber";

/** What of the gallery may look different now. */
export type Change = "order" | "selection" | "current" | "settings" | "columns" | "job";

export class Gallery {
  readonly screen: Screen;
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
  paint = 1;
  /** Row that keys act on and the inspector shows; -1 for none. */
  current = -1;
  anchor = -1;
  private seed = 1;
  private hearers: ((change: Change) => void)[] = [];
  private stops: (() => void)[] = [];
  isGone = false;
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
    this.screen = new Screen(this);
    this.on((change) => {
      if (change === "current" || change === "selection") this.screen.say();
    });
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
    const place = this.screen.placeOnTop();
    Object.assign(this.settings, changed);
    this.options.onSettings({ [this.info.kind]: { ...this.settings } });
    this.tell("settings");
    if ("sort" in changed || "isReversed" in changed) void this.reload();
    else if ("most" in changed) this.filter();
    else if ("labels" in changed)
      void this.columns.need(this.settings.labels).then(() => this.screen.lay(place));
    else this.screen.lay(place);
    if (["isShared", "sigma", "column"].some((key) => key in changed))
      void this.screen.findLimits();
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
        this.screen.findLimits(),
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
      void this.columns.need(this.settings.labels).then(() => this.screen.lay());
    }
    this.screen.drawSoon();
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
    this.screen.lay();
    this.tell("order");
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
    this.screen.bring(there);
    this.screen.drawSoon();
    this.tell("current");
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
    const [first, end] = this.screen.layout.span(
      this.screen.top,
      this.screen.top + this.screen.layout.view,
    );
    const visible = [...this.shown.subarray(first, end)];
    return {
      kind: "gallery",
      path: this.info.path,
      n: this.info.n,
      nShown: this.shown.length,
      isReady: this.isReady,
      rows: visible,
      first,
      isLoaded: this.isReady && this.screen.sheets.has(visible),
      nLoaded: this.screen.sheets.nLoaded,
      nStopped: this.screen.sheets.nStopped,
      size: this.settings.size,
      across: this.screen.layout.across,
      current: this.current,
      paint: this.paint,
      selected: counts.images,
      particles: counts.particles,
      types: this.info.n <= 10_000 ? [...this.selection.types] : null,
      isKept: this.keeper?.isSettled ?? false,
      hasConflict: this.theirs !== null,
      longestFrame_ms: this.screen.longestFrame_ms,
      nFrames: this.screen.nFrames,
      boxes: visible.slice(0, 400).map((_, place) => {
        const box = this.screen.layout.box(first + place);
        return { ...box, y: box.y - this.screen.top };
      }),
    };
  }

  destroy(): void {
    this.isGone = true;
    this.keeper?.close();
    for (const stop of this.stops) stop();
    this.screen.destroy();
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
        this.screen.drawSoon();
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
    this.screen.drawSoon();
    this.tell("selection");
  }
}
