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
  import: ["motioncorr", "ctffind", "extract"],
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

/** Words of the job types that usually follow. */
export function nextOf(word: string): readonly string[] {
  return NEXT[word] ?? [];
}
