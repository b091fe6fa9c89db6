/** Everything the picker knows; its parts on screen read it and are told when it changes. */
import { sentence } from "../../api/client";
import type { ViewerOptions } from "../viewer";
import * as api from "./api";
import { typeColours } from "./colours";
import { Denoised } from "./denoised";
import type { PickDocument } from "./document";
import { Edits } from "./edits";
import { Seen } from "./seen";
import { Sets } from "./sets";
import { grey, settingsOf, type Settings } from "./settings";
import { Unsent } from "./storage";
import { Sync } from "./sync";
import { Tiles } from "./tiles";
import { View } from "./view";

export type Tool = "pick" | "erase" | "move" | "ruler";
export type Ruler = { x0: number; y0: number; x1: number; y1: number };

export class Picker {
  readonly view = new View();
  readonly tiles: Tiles;
  list: api.List | null = null;
  sync: Sync | null = null;
  settings: Settings;
  row = -1;
  doc: PickDocument | null = null;
  meta: api.Meta | null = null;
  facts: Record<string, unknown> = {};
  trouble = "";
  tool: Tool = "move";
  type = 1;
  threshold: number | null = null;
  areMarksHidden = false;
  readonly seen = new Seen(this);
  readonly edits = new Edits(this);
  readonly sets = new Sets(this);
  readonly denoised = new Denoised(this);
  ruler: Ruler | null = null;
  profile: { x: number[]; y: number[]; unit: string } | null = null;
  pointer: { x: number; y: number; value: number | null } | null = null;
  /** Picks that a stroke of the brush has met; they go when it ends. */
  erasing = new Set<number>();
  moving: { id: number; x: number; y: number } | null = null;
  isFourier = false;
  isClosed = false;
  /** The arrows moved the pointer: it is drawn as a cross. */
  hasCross = false;
  types: string[] = [];
  private readonly hearers = new Set<() => void>();
  private readonly drawers = new Set<() => void>();
  private readonly pointers = new Set<() => void>();
  private isTelling = false;
  private isDrawing = false;
  private hasChosen = false;
  private stop: () => void = () => undefined;
  private timer = 0;

  constructor(
    readonly options: ViewerOptions,
    readonly element: HTMLElement,
  ) {
    this.tiles = new Tiles(() => this.draw());
    this.settings = settingsOf({}, "", { display: {} } as api.List);
    this.types = typeColours(element);
  }

  get job(): number | null {
    return this.list && this.list.n > 0 ? this.list.n : null;
  }

  get isEditable(): boolean {
    return (
      this.list?.editable === true &&
      !this.options.isReadOnly &&
      !this.options.isCompact &&
      this.doc !== null &&
      this.doc.theirs === null
    );
  }

  get micrograph(): api.Micrograph | null {
    return this.list?.micrographs[this.row] ?? null;
  }

  get pixelSize_A(): number {
    return this.settings.pixel_size_A || this.list?.pixel_size_A || this.meta?.pixel_size_A || 0;
  }

  /** Radius of a mark in pixels of the micrograph. */
  get radius_px(): number {
    const pixel = this.pixelSize_A || 1;
    return Math.max(1, this.settings.diameter_A / 2 / pixel);
  }

  hear(hearer: () => void): void {
    this.hearers.add(hearer);
  }

  onDraw(drawer: () => void): void {
    this.drawers.add(drawer);
  }

  /** Something changed: the picture is drawn again, and all parts are told. */
  tell(): void {
    this.draw();
    this.say();
  }

  /** The parts are told, after the next frame: the picture goes first. */
  private say(): void {
    if (this.isTelling) return;
    this.isTelling = true;
    const speak = (): void => {
      if (!this.isTelling) return;
      this.isTelling = false;
      if (!this.isClosed) for (const hearer of this.hearers) hearer();
    };
    requestAnimationFrame(() => setTimeout(speak));
    setTimeout(speak, 200);
  }

  onPoint(hearer: () => void): void {
    this.pointers.add(hearer);
  }

  /** The pointer is elsewhere: only the read-out, and what follows it, is drawn again. */
  point(): void {
    for (const hearer of this.pointers) hearer();
    if (this.tool === "erase" || this.list?.filaments) this.draw();
  }

  draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      if (!this.isClosed) for (const drawer of this.drawers) drawer();
    });
  }

  async start(): Promise<void> {
    const { info } = this.options;
    const job = this.options.job ?? info.picks_job;
    try {
      this.list = await this.listed(job);
    } catch (error) {
      this.trouble = sentence(error);
      this.tell();
      return;
    }
    const n = this.job;
    this.settings = settingsOf(this.options.settings, n === null ? "look" : `job${n}`, this.list);
    const canWrite = this.list.editable && !this.options.isReadOnly;
    const unsent = n !== null && canWrite ? new Unsent((await api.project()).root, n) : null;
    this.sync = new Sync(
      {
        get: (row) => this.found(row),
        put:
          canWrite && n !== null
            ? (row, version, edits) => api.change(n, row, { version, edits })
            : null,
      },
      unsent,
      (row, isShown) => this.changed(row, isShown),
      (error) => this.options.onFail(error),
    );
    if (canWrite && !this.options.isCompact) this.tool = "pick";
    this.stop = this.options.listen((event) => this.told(event));
    this.timer = window.setInterval(() => void this.relist(), 10_000);
    await this.open(this.first());
    void this.sync.resume();
  }

  close(): void {
    this.isClosed = true;
    clearInterval(this.timer);
    this.stop();
    this.sync?.close();
  }

  /** Show a micrograph. */
  async open(row: number, isChoice = false): Promise<void> {
    const list = this.list;
    if (!list || row < 0 || row >= list.micrographs.length || !this.sync) return;
    if (isChoice) this.hasChosen = true;
    this.row = row;
    this.meta = null;
    this.doc = this.sync.documents.get(row) ?? null;
    this.ruler = this.profile = null;
    this.trouble = "";
    this.facts = {};
    this.tell();
    const name = list.micrographs[row]?.name ?? "";
    const isHere = (): boolean => this.row === row && !this.isClosed;
    const picture = api.meta(name).then(
      (meta) => {
        if (!isHere()) return;
        this.meta = meta;
        this.view.show(meta.width_px, meta.height_px);
        this.look();
      },
      (error: unknown) => {
        if (isHere()) this.trouble = `${name}: ${sentence(error)}`;
      },
    );
    const marks = this.sync.load(row).then(
      (doc) => {
        if (isHere()) this.doc = doc;
      },
      (error: unknown) => {
        if (isHere()) this.trouble = sentence(error);
      },
    );
    await Promise.all([picture, marks]);
    if (!isHere()) return;
    this.tell();
    void this.factsOf(row);
    for (const other of this.sets.others) void this.sets.load(other);
    for (const near of [row + 1, row + 2, row - 1]) {
      if (near >= 0 && near < list.micrographs.length && !this.options.isCompact) {
        void this.sync.load(near).catch(() => undefined);
      }
    }
  }

  /** Set how the picture looks, and keep it. */
  set(changed: Partial<Settings>): void {
    Object.assign(this.settings, changed);
    const key = this.job === null ? "look" : `job${this.job}`;
    this.options.onSettings({ [key]: { ...this.settings } });
    this.look();
    this.tell();
  }

  /** What is done to the picture: what Topaz made of it, or filters that know the pixel size. */
  get filters(): { lowpass_A: number; highpass_A: number; pixel_size_A: number; denoised?: true } {
    const { settings, pixelSize_A: pixel } = this;
    const size = { lowpass_A: 0, highpass_A: 0, pixel_size_A: pixel };
    if (this.denoised.isShown) return { ...size, denoised: true };
    if (!pixel) return size;
    return { ...size, lowpass_A: settings.lowpass_A, highpass_A: settings.highpass_A };
  }

  look(): void {
    if (!this.meta) return;
    this.denoised.want();
    this.tiles.show(this.meta, { ...grey(this.settings.contrast), ...this.filters });
    this.draw();
  }

  async measure(ruler: Ruler): Promise<void> {
    this.ruler = ruler;
    this.profile = null;
    this.tell();
    if (!this.meta || Math.hypot(ruler.x1 - ruler.x0, ruler.y1 - ruler.y0) < 2) return;
    try {
      const found = await api.line({
        path: this.meta.path,
        ...ruler,
        ...this.filters,
      });
      if (this.ruler === ruler) this.profile = { x: found.x, y: found.y, unit: found.x_unit };
    } catch (error) {
      this.options.onFail(error);
    }
    this.tell();
  }

  /** Load the list again: counts and ticks that others changed. */
  async relist(): Promise<void> {
    if (!this.list || this.isClosed || document.hidden) return;
    try {
      const found = await this.listed(this.job);
      const before = this.list;
      this.list = found;
      if (before.editable !== found.editable && this.sync) {
        this.options.onSay(found.editable ? "Picks can be changed now." : (found.why_not ?? ""));
      }
      for (const one of found.micrographs) {
        const doc = this.sync?.documents.get(one.row);
        if (doc && doc.version !== one.version) this.sync?.told(one.row, one.version);
      }
      if (this.options.isCompact && !this.hasChosen) {
        const row = this.first();
        if (row !== this.row) await this.open(row);
      }
      this.tell();
    } catch {
      // The line at the bottom of the window tells of a broken connection.
    }
  }

  private async listed(job: number | null): Promise<api.List> {
    const { info } = this.options;
    if (job !== null) {
      try {
        return await api.list(job);
      } catch (error) {
        if (this.options.job !== null) throw error;
      }
    }
    return api.listOf(info.path);
  }

  private found(row: number): Promise<api.Picks> {
    const name = this.list?.micrographs[row]?.name ?? "";
    return this.job === null ? api.picksOf(this.options.info.path, name) : api.picks(this.job, row);
  }

  private first(): number {
    const all = this.list?.micrographs ?? [];
    const asked = Number(this.options.settings["row"] ?? -1);
    if (asked >= 0 && asked < all.length) return asked;
    if (this.options.isCompact) {
      for (let n = all.length - 1; n >= 0; n -= 1) if ((all[n]?.count ?? 0) > 0) return n;
    }
    return 0;
  }

  private async factsOf(row: number): Promise<void> {
    const path = this.list?.path ?? "";
    if (!path.endsWith(".star") || this.options.isCompact) return;
    try {
      const found = await api.meta(path, row, "rlnMicrographName");
      if (this.row !== row) return;
      this.facts = found.values ?? {};
      this.tell();
    } catch {
      // The list says nothing more of it.
    }
  }

  private told(event: { kind: string; n?: number; [more: string]: unknown }): void {
    if (event.kind === "reload") {
      this.sync?.reload();
      void this.relist();
      return;
    }
    const job = this.job ?? this.options.info.job;
    if (event.n !== job || job === null) return;
    if (event.kind === "picks" && typeof event["row"] === "number") {
      const one = this.list?.micrographs[event["row"]];
      if (one && typeof event["count"] === "number") one.count = event["count"];
      if (one && typeof event["selected"] === "boolean") one.selected = event["selected"];
      this.sync?.told(event["row"], String(event["version"]));
      this.tell();
    } else if (["picks", "job", "results", "progress"].includes(event.kind)) void this.relist();
  }

  private changed(row: number, isShown = false): void {
    const doc = this.sync?.documents.get(row);
    const one = this.list?.micrographs[row];
    if (doc && one) {
      one.count = doc.picks.length;
      one.version = doc.version;
    }
    this.options.onUnsent(this.sync?.nUnsent ?? 0);
    if (isShown) this.say();
    else this.tell();
  }
}
