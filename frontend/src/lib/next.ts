/** The usual way to a map, and what usually comes after a job. */

export const USUAL_WAY: readonly string[] = [
  "import",
  "motioncorr",
  "ctffind",
  "autopick",
  "extract",
  "class2d",
  "select",
  "initialmodel",
  "refine3d",
  "postprocess",
];

const NEXT: Readonly<Record<string, readonly string[]>> = {
  motioncorr: ["ctffind"],
  ctffind: ["autopick", "manualpick", "select"],
  manualpick: ["extract", "autopick"],
  autopick: ["extract", "manualpick"],
  extract: ["class2d", "initialmodel", "refine3d"],
  class2d: ["select"],
  select: ["initialmodel", "class2d", "refine3d", "extract"],
  initialmodel: ["class3d", "refine3d"],
  class3d: ["select", "refine3d"],
  refine3d: ["maskcreate", "postprocess", "ctfrefine"],
  multibody: ["postprocess"],
  maskcreate: ["postprocess", "refine3d"],
  postprocess: ["localres", "ctfrefine", "polish"],
  ctfrefine: ["refine3d", "polish"],
  polish: ["refine3d"],
  joinstar: ["class2d", "refine3d"],
  subtract: ["class3d", "refine3d"],
};

/** After an Import, what follows depends on what was imported. */
const AFTER_IMPORT: Readonly<Record<string, readonly string[]>> = {
  MicrographMovieGroupMetadata: ["motioncorr"],
  MicrographGroupMetadata: ["ctffind", "manualpick"],
  MicrographCoordsGroup: ["extract"],
  ParticleGroupMetadata: ["class2d", "initialmodel", "refine3d"],
  DensityMap: ["maskcreate", "postprocess"],
};

/** Words of the job types that usually follow a job whose outputs have these node types. */
export function nextOf(word: string, nodeTypes: readonly string[] = []): readonly string[] {
  if (word !== "import") return NEXT[word] ?? [];
  const known = nodeTypes.map((type) => AFTER_IMPORT[type.split(".")[0] ?? ""]);
  return known.find((words) => words !== undefined) ?? [];
}
