/** How images are shown: what the project keeps for each kind of list. */
import type { DisplayInfo } from "../../api/types";

export type Colour = "grey" | "fire" | "ice" | "fire-n-ice" | "rainbow" | "difference";
export const COLOURS: readonly Colour[] = [
  "grey",
  "fire",
  "ice",
  "fire-n-ice",
  "rainbow",
  "difference",
];

export type Settings = {
  /** Width of an image on the screen in CSS pixels. */
  size: number;
  /** Column with the names of the images; "" for the first. */
  column: string;
  /** Column that sorts, "" for the order of the file, or RANDOMLY. */
  sort: string;
  isReversed: boolean;
  labels: string[];
  sigma: number;
  black: number;
  white: number;
  /** One contrast for all images. */
  isShared: boolean;
  lowpass_A: number;
  highpass_A: number;
  /** In place of the one in the file; 0 for that. */
  pixel_size_A: number;
  colour: Colour;
  isOriented: boolean;
  /** At most so many images are shown; 0 for all. */
  most: number;
  plotX: string;
  plotY: string;
  /** Columns with a histogram. */
  histograms: string[];
  hasSide: boolean;
};

export const SMALLEST = 32;
export const LARGEST = 512;
export const RANDOMLY = "RANDOMLY";
export const SCORES = ["rlnPredictedClassScore", "rlnClassScore"];
const FILTERS = [
  "rlnEstimatedResolution",
  "rlnCtfMaxResolution",
  "rlnMaxValueProbDistribution",
  "rlnAutopickFigureOfMerit",
  "rlnDefocusU",
];
const WORDS: Readonly<Record<string, string>> = {
  particles: "Particles",
  // What the particles weigh in the class, not how many are counted there.
  rlnClassDistribution: "Share, weighted",
  rlnEstimatedResolution: "Resolution",
  rlnPredictedClassScore: "Score",
  rlnClassScore: "Class score",
  rlnAccuracyRotations: "Accuracy, rotation",
  rlnAccuracyTranslationsAngst: "Accuracy, shift",
  rlnOverallFourierCompleteness: "Completeness",
  rlnDefocusU: "Defocus U",
  rlnDefocusV: "Defocus V",
  rlnCtfMaxResolution: "CTF resolution",
  rlnCtfFigureOfMerit: "CTF merit",
  rlnMaxValueProbDistribution: "Largest weight",
  rlnNrOfSignificantSamples: "Significant samples",
  rlnLogLikeliContribution: "Log likelihood",
  rlnAutopickFigureOfMerit: "Picking merit",
  rlnClassNumber: "Class",
};
const UNITS: Readonly<Record<string, string>> = {
  rlnEstimatedResolution: "Å",
  rlnCtfMaxResolution: "Å",
  rlnAccuracyRotations: "°",
  rlnAccuracyTranslationsAngst: "Å",
  rlnDefocusU: "Å",
  rlnDefocusV: "Å",
};

/** What people call a column. */
export function titleOf(label: string): string {
  return WORDS[label] ?? label.replace(/^rln/, "").replace(/([a-z])([A-Z])/g, "$1 $2");
}

export function unitOf(label: string): string {
  return UNITS[label] ?? "";
}

export function defaults(info: DisplayInfo): Settings {
  const has = (label: string) => info.columns.some((one) => one.label === label);
  const isClasses = info.kind === "classes";
  const score = SCORES.find(has);
  const wanted = isClasses
    ? ["particles", "rlnEstimatedResolution", score ?? "rlnAccuracyRotations"]
    : info.kind === "micrographs"
      ? ["rlnCtfMaxResolution", "rlnDefocusU"]
      : [];
  const numbers = info.columns.filter((one) => one.kind === "number").map((one) => one.label);
  const first = (...labels: (string | undefined)[]) =>
    labels.find((label) => label !== undefined && has(label)) ?? numbers[0] ?? "";
  return {
    size: info.kind === "micrographs" || info.kind === "movies" ? 192 : 112,
    column: "",
    sort: info.default_sort ?? "",
    isReversed: info.default_reverse,
    labels: wanted.filter(has),
    sigma: isClasses ? 0 : 3,
    black: 0,
    white: 0,
    isShared: false,
    lowpass_A: 0,
    highpass_A: 0,
    pixel_size_A: 0,
    colour: "grey",
    isOriented: false,
    most: 0,
    plotX: first(isClasses ? "particles" : "rlnDefocusU"),
    plotY: first("rlnEstimatedResolution", "rlnCtfMaxResolution", "rlnMaxValueProbDistribution"),
    histograms: [first(score, ...FILTERS)].filter(Boolean),
    hasSide: true,
  };
}

/** What was kept, as far as this list has such columns. */
export function settingsFrom(info: DisplayInfo, kept: unknown): Settings {
  const made = defaults(info);
  if (typeof kept !== "object" || kept === null) return made;
  const found = kept as Record<string, unknown>;
  // Scores may come later, from the job that ranked these classes.
  const scores = info.kind === "classes" ? SCORES : [];
  const known = new Set([...info.columns.map((one) => one.label), ...scores]);
  for (const key of Object.keys(made) as (keyof Settings)[]) {
    const value = found[key];
    if (typeof value !== typeof made[key] || Array.isArray(value) !== Array.isArray(made[key]))
      continue;
    Object.assign(made, { [key]: value });
  }
  const fits = (label: string) => label === "" || label === RANDOMLY || known.has(label);
  const other = defaults(info);
  for (const key of ["sort", "column", "plotX", "plotY"] as const) {
    if (!fits(made[key])) made[key] = other[key];
  }
  made.labels = made.labels.filter((label) => known.has(label));
  made.histograms = made.histograms.filter((label) => known.has(label));
  made.size = Math.min(LARGEST, Math.max(SMALLEST, made.size));
  return made;
}
