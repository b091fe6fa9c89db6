/** Columns and orders of a table, loaded when they are first wanted. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";
import type { DisplayInfo } from "../../api/types";

type Part = components["schemas"]["TablePart"];

export class Columns {
  private readonly numbers = new Map<string, Float64Array>();
  private readonly texts = new Map<string, string[]>();
  private readonly added = new Set<string>();
  private readonly waiting = new Map<string, Promise<void>>();

  constructor(private readonly info: DisplayInfo) {}

  /** Load columns. */
  async need(labels: readonly string[]): Promise<void> {
    await Promise.all(labels.filter((label) => label !== "").map((label) => this.one(label)));
  }

  number(label: string): Float64Array | null {
    return this.numbers.get(label) ?? null;
  }

  private put(label: string, values: readonly (number | null)[]): void {
    const numbers = new Float64Array(values.length);
    for (let row = 0; row < numbers.length; row += 1) numbers[row] = values[row] ?? NaN;
    this.numbers.set(label, numbers);
  }

  /** Put a column of another file beside those of this one. */
  add(label: string, values: readonly (number | null)[]): void {
    this.put(label, values);
    this.added.add(label);
  }

  /** A value as it is shown, "" while it is not there. */
  value(label: string, row: number): number | string | null {
    const number = this.numbers.get(label)?.[row];
    if (number !== undefined) return Number.isNaN(number) ? null : number;
    return this.texts.get(label)?.[row] ?? null;
  }

  /** Places of all rows in the order of a column. */
  async order(sort: string, isReversed: boolean, seed: number): Promise<Int32Array> {
    if (sort === "") {
      const rows = new Int32Array(this.info.n);
      for (let row = 0; row < rows.length; row += 1) rows[row] = row;
      return isReversed ? rows.reverse() : rows;
    }
    const known = this.numbers.get(sort);
    if (known && this.added.has(sort)) return sorted(known, isReversed);
    const query = { path: this.info.path, sort, reverse: isReversed, seed, count: 0 };
    const part = await ask<Part>("GET", "images/table", { query });
    return new Int32Array(part.rows);
  }

  private one(label: string): Promise<void> {
    if (this.numbers.has(label) || this.texts.has(label)) return Promise.resolve();
    let asked = this.waiting.get(label);
    if (!asked) {
      asked = this.load(label).finally(() => this.waiting.delete(label));
      this.waiting.set(label, asked);
    }
    return asked;
  }

  private async load(label: string): Promise<void> {
    const column = this.info.columns.find((one) => one.label === label);
    if (!column) return;
    const query = { path: this.info.path, columns: label, count: 0 };
    const part = await ask<Part>("GET", "images/table", { query });
    const values = part.columns[label] ?? [];
    if (column.kind === "number") this.put(label, values as (number | null)[]);
    else this.texts.set(label, values.map(String));
  }
}

/** Rows in the order of a column that the file itself does not have. */
function sorted(values: Float64Array, isReversed: boolean): Int32Array {
  const rows = Int32Array.from(values, (_, row) => row);
  const sign = isReversed ? -1 : 1;
  const at = (row: number) => values[row] ?? NaN;
  return rows.sort((a, b) => {
    const [x, y] = [at(a), at(b)];
    if (Number.isNaN(x) || Number.isNaN(y))
      return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return sign * (x - y) || a - b;
  });
}

/** Ranges of columns that an image must lie in to be shown; both ends belong to it. */
export type Ranges = ReadonlyMap<string, readonly [number, number]>;

/** The rows of an order that lie in all ranges, at most `most` of them (0 for all). */
export function within(
  order: Int32Array,
  ranges: Ranges,
  columns: Pick<Columns, "number">,
  most = 0,
): Int32Array {
  const rules: [Float64Array, number, number][] = [];
  for (const [label, [low, high]] of ranges) {
    const values = columns.number(label);
    if (values) rules.push([values, low, high]);
  }
  const limit = most > 0 ? most : order.length;
  if (rules.length === 0) return order.length <= limit ? order : order.slice(0, limit);
  const found = new Int32Array(Math.min(order.length, limit));
  let n = 0;
  for (const row of order) {
    if (n === limit) break;
    if (rules.every(([values, low, high]) => isInside(values[row], low, high))) found[n++] = row;
  }
  return found.slice(0, n);
}

function isInside(value: number | undefined, low: number, high: number): boolean {
  return value !== undefined && value >= low && value <= high;
}
