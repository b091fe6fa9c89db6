/** What is shown of a map and what belongs to it; loading, thresholds, colours. */
import type { Rgb } from "./colours";
import { LAYERS, type RampName } from "./colours";
import {
  type Meta,
  type Scene,
  type Volume,
  getAt,
  getMeta,
  getScene,
  getVolume,
  rangeOnSurface,
} from "./data";
import { hideDust } from "./dust";

export type Mode = "volume" | "slices" | "both";

/** A map with what is known of it; its voxels once they are here. */
export type Entry = { path: string; meta: Meta; volume: Volume | null; clean: Volume | null };

export type Kept = {
  mode: Mode;
  ramp: RampName;
  lowpassA: number;
  box: number;
  dust: number;
  showsMask: boolean;
  showsAxes: boolean;
  colours: boolean;
  isPerspective: boolean;
};

export const USUAL: Kept = {
  mode: "both",
  ramp: "blue",
  lowpassA: 0,
  box: 0,
  dust: 0,
  showsMask: false,
  showsAxes: false,
  colours: true,
  isPerspective: false,
};

export class Model {
  scene: Scene | null = null;
  /** One map, or those of all classes of an iteration. */
  entries: Entry[] = [];
  halves: Entry[] = [];
  mask: Entry | null = null;
  added: Entry | null = null;
  second: (Entry & { low: number; high: number; isAuto: boolean }) | null = null;
  /** Density of the surface, and whether somebody chose it. */
  threshold = 0;
  isChosen = false;
  /** Whether a newer iteration is taken as soon as it is there. */
  isNewest = true;
  /** Whether the half-maps stand in for the map. */
  wantsHalves = false;
  message = "";
  loading = 0;
  kept: Kept;
  private abort = new AbortController();

  constructor(
    kept: Kept,
    private readonly largestBox: () => number,
    private readonly hasVoxels: boolean,
    private readonly changed: () => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.kept = kept;
  }

  get first(): Entry | null {
    return this.entries[0] ?? null;
  }

  get sigma(): number {
    const meta = this.first?.meta;
    return meta && meta.deviation > 0 ? (this.threshold - meta.mean) / meta.deviation : 0;
  }

  /** Load the map of a file, and what belongs to it. The surface keeps its height in sigma. */
  async open(path: string): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const sigma = this.isChosen ? this.sigma : null;
    await this.work(async () => {
      const scene = await getScene(path);
      const isMany = scene.classes.length > 1;
      const paths = isMany ? scene.classes.map((one) => one.path) : [scene.shown];
      const entries = await Promise.all(paths.map(read));
      await Promise.all(entries.map((entry) => this.fill(entry, signal)));
      if (signal.aborted) return;
      const isOther = this.scene?.shown !== scene.shown && !sameRun(this.scene, scene);
      this.scene = scene;
      this.entries = entries;
      this.halves = [];
      this.mask = null;
      const meta = entries[0]?.meta;
      if (meta)
        this.threshold = sigma === null ? meta.threshold : meta.mean + sigma * meta.deviation;
      if (isOther) this.second = null;
      this.changed();
      await this.beside(path);
    });
  }

  /** Load the mask, half-maps and colours that are wanted. */
  async beside(path: string): Promise<void> {
    const { scene, kept } = this;
    if (!scene) return;
    const isPair = scene.mask === path;
    if ((kept.showsMask || isPair) && scene.mask) await this.showMask(true, !isPair);
    if (this.wantsHalves && scene.halves.length === 2) await this.showHalves(true);
    const local = scene.colour_by[0];
    if (kept.colours && local && !this.second) await this.colourBy(local);
  }

  async showMask(isOn: boolean, keeps = true): Promise<void> {
    if (keeps) this.kept.showsMask = isOn;
    const path = this.scene?.mask;
    this.mask = isOn && path ? await this.load(path) : null;
    this.refuse(this.mask, "The mask");
    this.changed();
  }

  async showHalves(isOn: boolean): Promise<void> {
    this.wantsHalves = isOn;
    const paths = isOn ? (this.scene?.halves ?? []) : [];
    const found = await Promise.all(paths.map((path) => this.load(path)));
    this.halves = found.filter((entry) => entry !== null);
    this.changed();
  }

  async add(path: string): Promise<void> {
    this.added = path ? await this.load(path) : null;
    this.changed();
  }

  /** Colour the surface by the values of another map of the same box. */
  async colourBy(path: string): Promise<void> {
    this.second = null;
    this.message = "";
    const entry = path ? await this.load(path) : null;
    const mine = this.first;
    if (entry && mine && this.refuse(entry, "The map of colours")) {
      const [low, high] = this.rangeOf(mine, entry);
      this.second = { ...entry, low, high, isAuto: true };
    }
    this.changed();
  }

  /** Take other limits of the colours; without any, those of the surface. */
  colourRange(limits: [number, number] | null): void {
    const [second, mine] = [this.second, this.first];
    if (!second || !mine) return;
    const [low, high] = limits ?? this.rangeOf(mine, second);
    this.second = { ...second, low, high, isAuto: limits === null };
    this.changed();
  }

  setThreshold(value: number): void {
    this.threshold = value;
    this.isChosen = true;
    this.tidy();
    this.changed();
  }

  /** Back to the threshold that the map itself suggests. */
  autoThreshold(): void {
    this.isChosen = false;
    this.threshold = this.first?.meta.threshold ?? 0;
    this.tidy();
    this.changed();
  }

  /** Load the voxels anew, in another size or filtered otherwise. */
  async reload(): Promise<void> {
    const { signal } = this.abort;
    const all = [...this.entries, ...this.halves, ...(this.added ? [this.added] : [])];
    await this.work(() => Promise.all(all.map((entry) => this.fill(entry, signal))));
    this.changed();
  }

  async goTo(iteration: number | null): Promise<void> {
    const { scene } = this;
    if (!scene) return;
    const path =
      iteration === null
        ? scene.final
        : (await getAt(scene.shown, iteration).catch(this.lost)).path;
    if (path) await this.open(path);
  }

  /** Hide what is small and lies alone, at the threshold there is. */
  tidy(): void {
    for (const entry of this.entries)
      entry.clean =
        entry.volume && this.kept.dust > 0
          ? hideDust(entry.volume, this.threshold, this.kept.dust)
          : null;
  }

  close(): void {
    this.abort.abort();
  }

  /** Return whether a map fits onto the first one; else say why not. */
  private refuse(entry: Entry | null, what: string): boolean {
    const mine = this.first;
    if (!entry || !mine) return false;
    const [z, y, x] = entry.meta.shape;
    const [mz, my, mx] = mine.meta.shape;
    if (z === mz && y === my && x === mx) return true;
    this.message = `${what} ${entry.path} has ${x} × ${y} × ${z} voxels, this map ${mx} × ${my} × ${mz}: give one of the same box.`;
    if (entry === this.mask) this.mask = null;
    return false;
  }

  private rangeOf(mine: Entry, other: Entry): [number, number] {
    if (mine.volume && other.volume)
      return rangeOnSurface(mine.volume, this.threshold, other.volume);
    return [other.meta.minimum, other.meta.maximum];
  }

  private async load(path: string): Promise<Entry | null> {
    let entry: Entry | null = null;
    await this.work(async () => {
      const found = await read(path);
      await this.fill(found, this.abort.signal);
      entry = found;
    });
    return entry;
  }

  private async fill(entry: Entry, signal: AbortSignal): Promise<void> {
    if (!this.hasVoxels) return;
    const box = this.kept.box || this.largestBox();
    const low = entry.meta.is_mask || entry.path.includes("locres") ? 0 : this.kept.lowpassA;
    entry.volume = await getVolume(entry, box, low, signal);
    entry.clean = null;
    if (this.kept.dust > 0 && this.entries.includes(entry)) this.tidy();
  }

  private async work(does: () => Promise<unknown>): Promise<void> {
    this.loading++;
    this.changed();
    try {
      await does();
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) this.fail(error);
    } finally {
      this.loading--;
      this.changed();
    }
  }

  private readonly lost = (error: unknown): { path: null } => {
    this.fail(error);
    return { path: null };
  };
}

export const colourOf = (role: keyof typeof LAYERS): Rgb => LAYERS[role];

async function read(path: string): Promise<Entry> {
  return { path, meta: await getMeta(path), volume: null, clean: null };
}

function sameRun(a: Scene | null, b: Scene): boolean {
  const folder = (scene: Scene): string => scene.shown.split("/").slice(0, -1).join("/");
  return a !== null && folder(a) === folder(b);
}
