/** Axes of the small plots: round ticks, and where values lie. */

export type Scale = { low: number; high: number; isLog: boolean };

const spans = new WeakMap<object, readonly [number, number]>();

/** The axis that holds all values; 999 and -999 say that there is none. */
export function scaleOf(values: ArrayLike<number> & object, wantsLog = false): Scale | null {
  let [low, high] = spans.get(values) ?? span(values);
  spans.set(values, [low, high]);
  if (low > high) return null;
  const isLog = wantsLog && low > 0 && high / low > 30;
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const room = isLog ? 1.08 : (high - low) * 0.04;
  return isLog
    ? { low: low / room, high: high * room, isLog }
    : { low: low - room, high: high + room, isLog };
}

function span(values: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let n = 0; n < values.length; n += 1) {
    const value = values[n] ?? NaN;
    if (!Number.isFinite(value) || Math.abs(value) === 999) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** How many values lie in each of `n` equal parts of an axis. */
export function counted(values: ArrayLike<number> & object, scale: Scale, n: number): number[] {
  const counts = new Array<number>(n).fill(0);
  for (let place = 0; place < values.length; place += 1) {
    const bin = binOf(scale, values[place] ?? NaN, n);
    if (bin >= 0) counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

/** The part of an axis that a value lies in; -1 for what is no value. */
export function binOf(scale: Scale, value: number, n: number): number {
  const at = part(scale, value) * n;
  return at >= 0 && at <= n ? Math.min(n - 1, Math.floor(at)) : -1;
}

/** Where a value lies between the ends, from 0 to 1. */
export function part(scale: Scale, value: number): number {
  if (!scale.isLog) return (value - scale.low) / (scale.high - scale.low);
  return Math.log(value / scale.low) / Math.log(scale.high / scale.low);
}

export function valueAt(scale: Scale, at: number): number {
  if (!scale.isLog) return scale.low + at * (scale.high - scale.low);
  return scale.low * (scale.high / scale.low) ** at;
}

export function ticks(scale: Scale, n: number): number[] {
  if (scale.isLog) {
    const found: number[] = [];
    for (let power = -12; power < 13; power += 1) {
      for (const step of [1, 2, 5]) found.push(step * 10 ** power);
    }
    const inside = found.filter((one) => one >= scale.low && one <= scale.high);
    return inside.length > 2 * n ? inside.filter((one) => /^1/.test(one.toExponential())) : inside;
  }
  const rough = (scale.high - scale.low) / Math.max(1, n);
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * base).find((one) => one >= rough) ?? rough;
  const found: number[] = [];
  for (let value = Math.ceil(scale.low / step) * step; value <= scale.high; value += step) {
    found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  }
  return found;
}

export function tickWords(value: number): string {
  const size = Math.abs(value);
  if (size >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  if (size > 0 && size < 0.001) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}

/** Whether a point lies in a polygon. */
export function isIn(
  polygon: readonly (readonly [number, number])[],
  x: number,
  y: number,
): boolean {
  let inside = false;
  for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
    const [p, q] = [polygon[a], polygon[b]];
    if (!p || !q) continue;
    if (p[1] > y !== q[1] > y && x < ((q[0] - p[0]) * (y - p[1])) / (q[1] - p[1]) + p[0]) {
      inside = !inside;
    }
  }
  return inside;
}
