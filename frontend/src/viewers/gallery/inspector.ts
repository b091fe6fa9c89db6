/** The image that keys act on: its picture, its values, what can be seen of it. */
import { address } from "../../api/client";
import { make } from "../dom";
import type { Gallery } from "./gallery";
import { showParticles } from "./links";
import { showOne } from "./original";
import { button } from "./parts";
import { words } from "./words";
import { titleOf } from "./settings";

export function inspector(gallery: Gallery): HTMLElement {
  const box = make("section", { label: "Image" });
  function show(): void {
    const row = gallery.current;
    if (row < 0) {
      box.replaceChildren(
        make("h2", { text: "Nothing pointed at" }),
        make("p", {
          class: "muted small",
          text: "Click an image to select it; Shift-click for a range; drag around several. Right-click for all that can be done.",
        }),
      );
      return;
    }
    const isClass = gallery.info.kind === "classes";
    const picture = make("img", { class: "g-one" });
    picture.alt = `Image ${row + 1}`;
    picture.src = onePicture(gallery, row, 192);
    const values = make("dl", { class: "kv" });
    const labels = new Set(
      [...gallery.settings.labels, gallery.settings.sort].filter((one) =>
        gallery.info.columns.some((column) => column.label === one),
      ),
    );
    for (const label of labels) {
      values.append(
        make("dt", { text: titleOf(label), title: label }),
        make("dd", { text: words(gallery.columns.value(label, row), label) }),
      );
    }
    const links = make("div", { class: "g-row wrap" });
    if (isClass && gallery.info.classes_of) {
      links.append(button("Show its particles", () => showParticles(gallery, [row])));
    }
    links.append(
      button("Original", () => showOne(gallery, row)),
      button("All values", () => showOne(gallery, row, "values")),
    );
    const title = `${isClass ? "Class" : "Image"} ${(row + 1).toLocaleString("en-US")}`;
    box.replaceChildren(
      make("h2", { text: title }),
      make("div", { class: "g-inspect" }, picture, values),
      links,
    );
  }
  gallery.on((change) => {
    if (["current", "columns", "settings"].includes(change)) show();
  });
  show();
  return box;
}

/** The address of the picture of one image, looking as in the grid. */
export function onePicture(gallery: Gallery, row: number, size: number): string {
  const { info, settings } = gallery;
  return address("images/one", {
    path: info.path,
    row,
    size,
    version: info.version,
    column: settings.column || null,
    sigma: settings.sigma,
    black: settings.black,
    white: settings.white,
    lowpass_A: settings.lowpass_A,
    highpass_A: settings.highpass_A,
    pixel_size_A: settings.pixel_size_A,
    colour: settings.colour,
    oriented: settings.isOriented,
  });
}
