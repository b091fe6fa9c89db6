/** Many images at once: class averages, particles, micrographs. */
import { address } from "../../api/client";
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";

const SHOWN = 60;

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const { info } = options;
  const grid = make("div", { class: "thumbnails", label: `${info.n} images of ${info.path}` });
  const rest = make("p", { class: "muted small pad" });
  const n = Math.min(info.n, SHOWN);
  for (let row = 0; row < n; row += 1) grid.append(thumbnail(info.path, info.version, row));
  rest.textContent = info.n > n ? `${n} of ${info.n.toLocaleString("en-US")} images.` : "";
  element.replaceChildren(grid, rest);
  return {
    update: () => undefined,
    destroy: () => element.replaceChildren(),
    get state() {
      return { kind: "gallery", nShown: n, n: info.n };
    },
  };
}

function thumbnail(path: string, version: string, row: number): HTMLElement {
  const image = make("img");
  image.loading = "lazy";
  image.alt = `Image ${row + 1}`;
  image.src = address("images/one", { path, row, size: 128, version });
  return image;
}
