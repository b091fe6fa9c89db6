/** Where other things of a selection are seen. */
import type { Gallery } from "./gallery";

/** Open the particles of some classes; the address says which. */
export function showParticles(gallery: Gallery, rows: readonly number[]): void {
  const path = gallery.info.classes_of;
  if (!path) return;
  const classes = rows.map((row) => row + 1).join(",");
  gallery.options.go(`#/display?path=${encodeURIComponent(path)}&classes=${classes}`);
}

/** The classes that the address of this page names. */
export function classesAsked(): Set<number> | null {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const text = query.get("classes");
  return text && /^[\d,]+$/.test(text) ? new Set(text.split(",").map(Number)) : null;
}
