/** Where axes begin and end, and what their ticks say. */
import { number } from "../lib/format";
import { isResolution, type Axis, type Curves, type Numbers } from "./data";

export type Range = [number, number];

/** Return the range of an axis: what it says, else what its data need. */
export function rangeOf(
  axis: Axis,
  values: Iterable<Numbers>,
  isValue: boolean,
  fromZero: boolean,
): Range {
  let low = Infinity;
  let high = -Infinity;
  for (const list of values) {
    for (const value of list) {
      if (value === null || (axis.log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) [low, high] = axis.log ? [1, 10] : [0, 1];
  if (fromZero && !axis.log && low > 0) low = 0;
  if (low === high) [low, high] = axis.log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const room = isValue && !axis.log ? (high - low) * 0.06 : 0;
  const down = fromZero && low === 0 ? 0 : room;
  return [axis.low ?? low - down, axis.high ?? high + room];
}

/** Return both ranges of some curves. */
export function rangesOf(curves: Curves): { x: Range; y: Range } {
  const isCounted = curves.kind === "histogram" || curves.kind === "bar";
  const xs = curves.series.map((series) => series.x);
  const ys = [
    ...curves.series.map((series) => series.y),
    curves.thresholds.filter((mark) => mark.axis === "y").map((mark) => mark.value),
  ];
  const isPoints =
    curves.kind === "scatter" || curves.series.some((series) => series.style === "points");
  const x = rangeOf(curves.x, xs, isPoints, false);
  if (curves.kind === "bar")
    return { x: [x[0] - 0.6, Math.max(x[1], 0) + 0.6], y: rangeOf(curves.y, ys, true, true) };
  return { x, y: rangeOf(curves.y, ys, true, isCounted) };
}

const RESOLUTIONS = [
  100, 50, 40, 30, 25, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3.2, 3, 2.8, 2.6, 2.5, 2.4, 2.2, 2,
  1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1, 0.9, 0.8,
];

/** Ticks of an axis in 1/Å at round resolutions, `most` at the most and never crowded. */
export function resolutionTicks([low, high]: Range, most: number): number[] {
  const gap = (high - low) / Math.max(1, most);
  const ticks: number[] = [];
  // From the fine end: there the answer is.
  for (const resolution of [...RESOLUTIONS].reverse()) {
    const at = 1 / resolution;
    if (at < low || at > high) continue;
    const last = ticks.at(-1);
    if (last === undefined || last - at >= gap) ticks.push(at);
  }
  return ticks.reverse();
}

/** Round ticks of a plain axis, three to six of them; whole numbers where only those can be. */
export function plainTicks([low, high]: Range, most: number, isWhole = false): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.max(Math.floor(Math.log10(rough)), isWhole ? 0 : -Infinity);
  const steps = [1, 2, 2.5, 5, 10].map((one) => one * power);
  const step =
    steps.find((one) => span / one <= most && !(isWhole && one % 1 !== 0)) ?? Math.ceil(span);
  const ticks: number[] = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) {
    ticks.push(Math.abs(at) < step * 1e-9 ? 0 : Number(at.toPrecision(12)));
  }
  // One tick alone does not tell the scale.
  return ticks.length < 2 && most < 8 ? plainTicks([low, high], most + 1, isWhole) : ticks;
}

/** Whether an axis counts: all its values are whole numbers. */
export function isCounting(values: readonly Numbers[]): boolean {
  return values.every((list) => list.every((one) => one === null || Number.isInteger(one)));
}

/** Powers of ten, with 2 and 5 where there is room. */
export function logTicks([low, high]: Range): number[] {
  const ticks: number[] = [];
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  const steps = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5];
  for (let power = from; power <= to; power += 1) {
    for (const step of steps) {
      const at = step * 10 ** power;
      if (at >= low && at <= high) ticks.push(at);
    }
  }
  return ticks;
}

/** What a tick says. */
export function tickText(axis: Axis, value: number): string {
  if (isResolution(axis)) return value <= 0 ? "" : String(Number((1 / value).toPrecision(2)));
  const size = Math.abs(value);
  if (size >= 1e6) return `${number(value / 1e6)} M`;
  if (size >= 1e4) return `${number(value / 1e3)} k`;
  return number(value, 3);
}

/** Where the first curve falls below a level, between its points; null where it never does. */
export function crossing(x: Numbers, y: Numbers, level: number): number | null {
  for (let place = 1; place < y.length; place += 1) {
    const [a, b, from, to] = [y[place - 1], y[place], x[place - 1], x[place]];
    if (
      typeof a !== "number" ||
      typeof b !== "number" ||
      typeof from !== "number" ||
      typeof to !== "number"
    )
      continue;
    if (a >= level && b < level) return from + ((a - level) / (a - b)) * (to - from);
  }
  return null;
}
