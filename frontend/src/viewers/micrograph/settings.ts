/** How micrographs are shown: as the project keeps it, else as the job's form says. */
import type { List } from "./api";

export type Contrast = "sigma-2" | "sigma-3" | "sigma-4" | "sigma-6" | "pct-0.1" | "pct-1" | "all";

export type Settings = {
  diameter_A: number;
  brush_A: number;
  lowpass_A: number;
  highpass_A: number;
  pixel_size_A: number;
  contrast: Contrast;
  isInverted: boolean;
  /** auto, plain, type, or the label of a column. */
  colour: string;
  areHiddenDotted: boolean;
  /** Marks are as large as their picks say, where they do. */
  hasOwnSizes: boolean;
  isDenoised: boolean;
  hasPanel: boolean;
};

export const CONTRASTS: readonly (readonly [Contrast, string])[] = [
  ["sigma-2", "2 sigma"],
  ["sigma-3", "3 sigma"],
  ["sigma-4", "4 sigma"],
  ["sigma-6", "6 sigma"],
  ["pct-0.1", "0.1 % clipped"],
  ["pct-1", "1 % clipped"],
  ["all", "Whole range"],
];

const USUAL: Settings = {
  diameter_A: 100,
  brush_A: 150,
  lowpass_A: 20,
  highpass_A: 0,
  pixel_size_A: 0,
  contrast: "sigma-3",
  isInverted: false,
  colour: "auto",
  areHiddenDotted: true,
  hasOwnSizes: true,
  isDenoised: false,
  hasPanel: true,
};

/** Return the settings of a job, or of looking without one. */
export function settingsOf(kept: Record<string, unknown>, key: string, list: List): Settings {
  const before = kept[key];
  const display = list.display as Record<string, unknown>;
  const number = (name: string, usual: number): number =>
    typeof display[name] === "number" ? Math.max(0, display[name]) : usual;
  const found: Settings = {
    ...USUAL,
    diameter_A: list.diameter_A ?? USUAL.diameter_A,
    lowpass_A: number("low_pass_A", USUAL.lowpass_A),
    highpass_A: number("high_pass_A", USUAL.highpass_A),
    pixel_size_A: list.pixel_size_A ?? 0,
    isDenoised: display["denoise"] === true,
    colour:
      display["use_colors"] === true && typeof display["color_label"] === "string"
        ? display["color_label"]
        : USUAL.colour,
  };
  found.brush_A = found.diameter_A;
  const sigma = number("contrast_sigma", 3);
  found.contrast =
    sigma === 0 ? "all" : sigma <= 2 ? "sigma-2" : sigma <= 3 ? "sigma-3" : "sigma-4";
  if (typeof before !== "object" || before === null) return found;
  for (const name of Object.keys(USUAL) as (keyof Settings)[]) {
    const value = (before as Record<string, unknown>)[name];
    if (typeof value === typeof USUAL[name]) Object.assign(found, { [name]: value });
  }
  return found;
}

export function grey(contrast: Contrast): { sigma: number; percentile: number } {
  const [kind, value = "0"] = contrast.split("-");
  return {
    sigma: kind === "sigma" ? Number(value) : 0,
    percentile: kind === "pct" ? Number(value) : 0,
  };
}
