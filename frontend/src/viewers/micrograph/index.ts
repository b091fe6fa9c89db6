/** One large image and the picks on it. */
import { address } from "../../api/client";
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const { info } = options;
  const image = make("img", { class: "whole" });
  image.alt = info.path;
  image.src = address("images/one", { path: info.path, row: 0, size: 1024, version: info.version });
  element.replaceChildren(image);
  return {
    update: () => undefined,
    destroy: () => element.replaceChildren(),
    get state() {
      return { kind: "micrograph", isLoaded: image.complete };
    },
  };
}
