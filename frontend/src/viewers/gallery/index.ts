/** Many images at once: class averages, particles, micrographs. */
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";
import { conflictBar, foot } from "./foot";
import { Gallery } from "./gallery";
import "./gallery.css";
import { hands } from "./hands";
import { histograms } from "./histograms";
import { inspector } from "./inspector";
import { classesAsked } from "./links";
import { scatter } from "./scatter";
import { toolbar } from "./toolbar";

export const isLive = true;

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const gallery = new Gallery(element, options);
  const body = make("div", { class: "g-body" }, gallery.screen.scroll);
  const parts: HTMLElement[] = [toolbar(gallery), body];
  if (!options.isCompact) {
    const side = make("aside", { class: "g-side", label: "Image, plot and filters" });
    side.append(inspector(gallery), scatter(gallery), histograms(gallery));
    body.append(side);
    const fold = () => element.classList.toggle("g-folded", !gallery.settings.hasSide);
    gallery.on((change) => {
      if (change === "settings") fold();
    });
    fold();
    parts.splice(1, 0, conflictBar(gallery));
    parts.push(foot(gallery));
    const asked = classesAsked();
    if (asked) gallery.only = asked;
  }
  element.replaceChildren(...parts);
  hands(gallery);
  void gallery.begin();
  return {
    update: (changed) => {
      Object.assign(gallery.options, changed);
      if (changed.info) void gallery.follow(changed.info);
    },
    destroy: () => {
      gallery.destroy();
      element.replaceChildren();
    },
    get state() {
      return gallery.state;
    },
  };
}
