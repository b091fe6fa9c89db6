/** Which output of a job is worth looking at first, and with which viewer. */
import type { NodeRow } from "../api/types";

export type ViewerKind = "gallery" | "micrograph" | "volume";

const VOLUMES = ["DensityMap", "Mask3D"];
const COORDINATES = ["MicrographCoordsGroup"];
const TABLES = [
  "MicrographGroupMetadata",
  "ParticleGroupMetadata",
  "MicrographMovieGroupMetadata",
  "Image2DGroupMetadata",
  "ProcessData",
  "OptimiserData",
];

/** The output that tells most: a map, else class averages, else the newest list of images. */
export function mainOutput(word: string, outputs: readonly NodeRow[]): NodeRow | null {
  const there = outputs.filter((node) => node.exists);
  const of = (kinds: readonly string[]) =>
    there.filter((node) => kinds.includes(node.type.split(".")[0] ?? ""));
  const maps = of(VOLUMES);
  if (maps.length > 0) {
    const whole = maps.find((node) => !/half[12]|unfil/.test(node.path));
    return whole ?? maps[0] ?? null;
  }
  if (word === "class2d") {
    const optimiser = there.find((node) => node.path.endsWith("_optimiser.star"));
    if (optimiser) return optimiser;
  }
  const picks = of(COORDINATES)[0];
  if (picks && (word === "autopick" || word === "manualpick")) return picks;
  const lists = of(TABLES).filter((node) => node.path.endsWith(".star"));
  const classes = lists.find((node) => node.path.includes("class_averages"));
  return classes ?? lists[0] ?? null;
}

/** The viewer for what the server says a file is; null where it is not a picture. */
export function viewerOf(kind: string, n = 0): ViewerKind | null {
  switch (kind) {
    case "volume":
      return "volume";
    case "classes":
    case "particles":
    case "micrographs":
      return "gallery";
    case "images":
      return n === 1 ? "micrograph" : "gallery";
    case "coordinates":
      return "micrograph";
    default:
      return null;
  }
}
