/** Colours of picks: all lie on grey pictures, with a dark edge, and none means a thing alone. */
import type { Pick } from "./rows";

/** Blue, pale, red-orange: told apart by every kind of colour vision. */
const ENDS = [
  [74, 163, 255],
  [240, 236, 214],
  [255, 106, 46],
] as const;
/** As in RELION: what has no value is green. */
export const PLAIN = "#44c77d";
export const SETS = ["#ffc34d", "#c9a0ff", "#6fe0f0", "#ff8fb5"] as const;
export const STEPS = 24;

export type Colouring =
  { by: "plain" } | { by: "type" } | { by: "column"; label: string; low: number; high: number };

export const FOM = "rlnAutopickFigureOfMerit";

export const DIAMETER = "rlnParticleDiameter";

/** Return the diameter of a pick in ångström where it has one of its own; else 0. */
export function diameterOf(pick: Pick): number {
  const value = pick.more[DIAMETER];
  return typeof value === "number" && value > 0 ? value : 0;
}

/** Return the colour of a place on the scale, from 0 (blue) to 1 (red). */
export function onScale(at: number): string {
  const place = Math.min(1, Math.max(0, at)) * 2;
  const [from, to] = place < 1 ? [ENDS[0], ENDS[1]] : [ENDS[1], ENDS[2]];
  const part = place < 1 ? place : place - 1;
  const mixed = from.map((value, n) => Math.round(value + ((to[n] ?? 0) - value) * part));
  return `rgb(${mixed.join(" ")})`;
}

export function valueOf(pick: Pick, label: string): number | null {
  if (label === FOM) return pick.fom;
  const value = pick.more[label];
  return typeof value === "number" ? value : null;
}

export function typeColours(element: HTMLElement): string[] {
  const style = getComputedStyle(element);
  return [1, 2, 3, 4, 5, 6].map((n) => style.getPropertyValue(`--sel-${n}`).trim() || PLAIN);
}

/** Return the colour of a pick. */
export function colourOf(pick: Pick, how: Colouring, types: readonly string[]): string {
  if (how.by === "type") return types[(pick.type ?? 2) - 1] ?? PLAIN;
  if (how.by === "column") {
    const value = valueOf(pick, how.label);
    if (value === null) return PLAIN;
    const at = how.high > how.low ? (value - how.low) / (how.high - how.low) : 0.5;
    return onScale(Math.round(at * STEPS) / STEPS);
  }
  return PLAIN;
}

const ranges = new WeakMap<readonly Pick[], Map<string, [number, number]>>();

/** Return the labels of numbers of automatic picks, and their ranges. */
export function columnsOf(picks: readonly Pick[]): Map<string, [number, number]> {
  let found = ranges.get(picks);
  if (!found) {
    found = measured(picks.filter((pick) => !isManual(pick)));
    ranges.set(picks, found);
  }
  return found;
}

/** Whether a person made a pick: it has a type and no figure of merit. */
export function isManual(pick: Pick): boolean {
  return pick.type !== null && (pick.fom === null || pick.fom === 0);
}

function measured(picks: readonly Pick[]): Map<string, [number, number]> {
  const found = new Map<string, [number, number]>();
  const take = (label: string, value: number): void => {
    const range = found.get(label);
    if (!range) found.set(label, [value, value]);
    else {
      range[0] = Math.min(range[0], value);
      range[1] = Math.max(range[1], value);
    }
  };
  for (const pick of picks) {
    if (pick.fom !== null) take(FOM, pick.fom);
    for (const [label, value] of Object.entries(pick.more)) {
      if (typeof value === "number") take(label, value);
    }
  }
  return found;
}
