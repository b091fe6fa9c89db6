/** Which surfaces lie over each other: a map or its halves, the mask, a map that was added. */
import type { LAYERS } from "./colours";
import type { Entry, Model } from "./model";

export type Laid = {
  of: Entry;
  threshold: number;
  colour: keyof typeof LAYERS;
  opacity: number;
};

/** Return the surfaces of a map and of what belongs to it, the solid one first. */
export function layersOf(model: Model, entry: Entry): Laid[] {
  const layers: Laid[] = [];
  const [one, two] = model.halves;
  if (one && two) {
    const part = model.threshold / (entry.meta.threshold || 1);
    layers.push(
      { of: one, threshold: one.meta.threshold * part, colour: "half1", opacity: 1 },
      { of: two, threshold: two.meta.threshold * part, colour: "half2", opacity: 0.5 },
    );
  } else layers.push({ of: entry, threshold: model.threshold, colour: "map", opacity: 1 });
  const { mask, added } = model;
  if (mask && mask.path !== entry.path)
    layers.push({ of: mask, threshold: 0.5, colour: "mask", opacity: 0.35 });
  if (added)
    layers.push({ of: added, threshold: added.meta.threshold, colour: "other", opacity: 0.5 });
  return layers;
}
