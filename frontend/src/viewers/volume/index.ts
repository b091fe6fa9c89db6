/** A map: three slices made by the server, and a shaded surface. */
import { ask, address } from "../../api/client";
import type { components } from "../../api/schema";
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";

type Meta = components["schemas"]["VolumeMeta"];

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const { path } = options.info;
  const box = make("div", { class: "slices" });
  let meta: Meta | null = null;
  element.replaceChildren(box);
  void ask<Meta>("GET", "volumes/meta", { query: { path } }).then((found) => {
    meta = found;
    show(box, path, found);
  }, options.onFail);
  return {
    update: () => undefined,
    destroy: () => element.replaceChildren(),
    get state() {
      return { kind: "volume", isLoaded: meta !== null, threshold: meta?.threshold ?? null };
    },
  };
}

function show(box: HTMLElement, path: string, meta: Meta): void {
  const { version, threshold } = meta;
  const [z, y, x] = meta.shape;
  const surface = make("img", { class: "surface" });
  surface.alt = `Surface at ${threshold.toPrecision(3)}`;
  surface.src = address("volumes/surface.png", { path, threshold, version });
  const slices = (
    [
      ["z", z],
      ["y", y],
      ["x", x],
    ] as const
  ).map(([axis, length]) => {
    const index = Math.floor((length ?? 0) / 2);
    const image = make("img");
    image.alt = `Slice ${axis} ${index}`;
    image.src = address("volumes/slice", { path, axis, index, version });
    return make(
      "figure",
      {},
      image,
      make("figcaption", { text: `${axis.toUpperCase()} ${index}` }),
    );
  });
  box.replaceChildren(surface, make("div", { class: "three" }, ...slices));
}
