/** Colours of plots: those of the style sheet, and the ramps of ordered data. */
import { rem } from "../lib/rem";

export type Inks = {
  ink: string;
  soft: string;
  grid: string;
  axis: string;
  mark: string;
  surface: string;
  curves: string[];
  font: string;
};

/** Read the colours that hold now. */
export function inks(element: Element): Inks {
  const style = getComputedStyle(element);
  const get = (name: string) => style.getPropertyValue(name).trim();
  return {
    ink: get("--ink"),
    soft: get("--ink-3"),
    grid: get("--plot-grid"),
    axis: get("--plot-axis"),
    mark: get("--plot-mark"),
    surface: get("--surface"),
    curves: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => get(`--c-${n}`)),
    font: `${Math.round(rem() * 1.1)}px ${get("--font") || "sans-serif"}`,
  };
}

/** Dashes that tell curves apart without colour. */
export const DASHES: readonly number[][] = [
  [],
  [6, 3],
  [2, 2.5],
  [8, 3, 2, 3],
  [4, 2],
  [10, 3],
  [1, 3],
  [6, 2, 1, 2],
];

type Rgb = readonly [number, number, number];

const RAMP: readonly Rgb[] = [
  [247, 250, 251],
  [190, 222, 226],
  [96, 178, 190],
  [32, 120, 146],
  [18, 66, 104],
  [10, 30, 62],
];
const DIFFERENCE: readonly Rgb[] = [
  [23, 82, 140],
  [120, 170, 210],
  [248, 248, 246],
  [240, 165, 105],
  [178, 77, 10],
];
const GREY: readonly Rgb[] = [
  [0, 0, 0],
  [255, 255, 255],
];

export function ramp(colour: "grey" | "ramp" | "difference"): (share: number) => Rgb {
  const stops = { grey: GREY, ramp: RAMP, difference: DIFFERENCE }[colour];
  return (share) => {
    const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const low = stops[Math.floor(at)] ?? [0, 0, 0];
    const high = stops[Math.min(stops.length - 1, Math.floor(at) + 1)] ?? low;
    const part = at - Math.floor(at);
    const mix = (place: 0 | 1 | 2) => Math.round(low[place] + (high[place] - low[place]) * part);
    return [mix(0), mix(1), mix(2)];
  };
}
