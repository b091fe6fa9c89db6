/** Which images are chosen, each with a type from 1 to 6; every change can be undone. */

export const TYPES = [1, 2, 3, 4, 5, 6] as const;
export const TYPE_NAMES = ["", "red", "green", "blue", "cyan", "magenta", "yellow"] as const;
const UNDOABLE = 100;

type Change = { rows: Int32Array; before: Uint8Array; after: Uint8Array };

export class Selection {
  types: Uint8Array;
  private done: Change[] = [];
  private undone: Change[] = [];

  constructor(
    n: number,
    private readonly onChange: () => void,
  ) {
    this.types = new Uint8Array(n);
  }

  type(row: number): number {
    return this.types[row] ?? 0;
  }

  /** Give rows a type; 0 takes them out. */
  set(rows: Iterable<number>, type: number): void {
    this.change(rows, () => type);
  }

  /** Choose those that are not, and the other way round. */
  invert(rows: Iterable<number>, type: number): void {
    this.change(rows, (before) => (before > 0 ? 0 : type));
  }

  /** A click: of the painted type, or not chosen if it was that. */
  toggle(row: number, type: number): void {
    this.change([row], (before) => (before === type ? 0 : type));
  }

  /** Take what was kept elsewhere; nothing of it is undone here. */
  take(types: ArrayLike<number>): void {
    this.types = Uint8Array.from(types);
    this.done = [];
    this.undone = [];
  }

  undo(): boolean {
    const change = this.done.pop();
    if (!change) return false;
    this.apply(change.rows, change.before);
    this.undone.push(change);
    return true;
  }

  redo(): boolean {
    const change = this.undone.pop();
    if (!change) return false;
    this.apply(change.rows, change.after);
    this.done.push(change);
    return true;
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  /** Rows of a type; of any type for 0. */
  rows(type = 0): number[] {
    const found: number[] = [];
    this.types.forEach((one, row) => {
      if (type === 0 ? one > 0 : one === type) found.push(row);
    });
    return found;
  }

  /** Images and particles of each type; at 0 of all types together. */
  counts(particles: ArrayLike<number> | null): { images: number[]; particles: number[] } {
    const images = new Array<number>(7).fill(0);
    const parts = new Array<number>(7).fill(0);
    this.types.forEach((type, row) => {
      if (type === 0) return;
      const n = particles ? particles[row] || 0 : 1;
      images[type] = (images[type] ?? 0) + 1;
      images[0] = (images[0] ?? 0) + 1;
      parts[type] = (parts[type] ?? 0) + n;
      parts[0] = (parts[0] ?? 0) + n;
    });
    return { images, particles: parts };
  }

  private change(rows: Iterable<number>, to: (before: number) => number): void {
    const touched = [...rows].filter((row) => to(this.type(row)) !== this.type(row));
    if (touched.length === 0) return;
    const places = Int32Array.from(touched);
    const before = Uint8Array.from(places, (row) => this.type(row));
    const after = Uint8Array.from(before, (type) => to(type));
    this.done = [...this.done.slice(1 - UNDOABLE), { rows: places, before, after }];
    this.undone = [];
    this.apply(places, after);
  }

  private apply(rows: Int32Array, types: Uint8Array): void {
    rows.forEach((row, place) => (this.types[row] = types[place] ?? 0));
    this.onChange();
  }
}

/** Types as a short text: `0*100,1*5`. */
export function packed(types: ArrayLike<number>): string {
  const runs: string[] = [];
  for (let begin = 0; begin < types.length;) {
    let end = begin + 1;
    while (end < types.length && types[end] === types[begin]) end += 1;
    runs.push(`${types[begin]}*${end - begin}`);
    begin = end;
  }
  return runs.join(",");
}

/** Types of a text of `packed`; null where it is not one of `n` rows. */
export function unpacked(text: unknown, n: number): Uint8Array | null {
  if (typeof text !== "string") return null;
  const types = new Uint8Array(n);
  let at = 0;
  for (const run of text.split(",").filter(Boolean)) {
    const found = /^([0-6])\*(\d+)$/.exec(run);
    if (!found) return null;
    const end = at + Number(found[2]);
    if (end > n) return null;
    types.fill(Number(found[1]), at, end);
    at = end;
  }
  return at === n ? types : null;
}
