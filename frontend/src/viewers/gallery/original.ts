/** One image by itself: at its own scale, its transform, its layer lines, its values. */
import { address, ask } from "../../api/client";
import type { components } from "../../api/schema";
import { make } from "../dom";
import type { Gallery } from "./gallery";
import { onePicture } from "./inspector";
import { button, dialog } from "./parts";
import { profilePlot } from "./profile";
import { words } from "./words";

type Meta = components["schemas"]["ImageMeta"];
type Profile = components["schemas"]["Profile"];
type Value = components["schemas"]["Value"];
export type View = "image" | "amplitude" | "phase" | "lines" | "values";

const VIEWS: readonly [View, string][] = [
  ["image", "Image"],
  ["amplitude", "Fourier amplitudes"],
  ["phase", "Fourier phases"],
  ["lines", "Layer lines"],
  ["values", "Values"],
];

/** Open one image; arrows go to its neighbours. */
export function showOne(gallery: Gallery, row: number, view: View = "image"): void {
  const { body, acts, close } = dialog(`Image ${row + 1} of ${gallery.info.path}`, "wide");
  const tabs = make("div", { class: "g-row wrap", label: "What is shown of the image" });
  const holder = make("div", { class: "g-original" });
  const told = make("p", { class: "muted small mono", text: " " });
  const scale = make("div", { class: "g-row" });
  body.append(tabs, holder, told);
  const longest = Math.max(gallery.info.width_px ?? 0, gallery.info.height_px ?? 0);
  let factor =
    longest === 0 ? 1 : longest <= 128 ? 4 : longest <= 256 ? 2 : longest > 1200 ? 0.25 : 1;

  function show(): void {
    const title = body.parentElement?.querySelector("h2");
    if (title) title.textContent = `Image ${row + 1} of ${gallery.info.path}`;
    const hadFocus = tabs.contains(document.activeElement);
    tabs.replaceChildren(
      ...VIEWS.map(([one, text]) => {
        const tab = button(
          text,
          () => {
            view = one;
            show();
          },
          { kind: "sm" },
        );
        tab.setAttribute("aria-pressed", String(one === view));
        return tab;
      }),
    );
    if (hadFocus) tabs.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    told.textContent = " ";
    scale.hidden = view !== "image";
    const query = { path: gallery.info.path, row, column: gallery.settings.column || null };
    if (view === "image") picture(onePicture(gallery, row, 0), true);
    else if (view === "amplitude" || view === "phase") {
      picture(
        address("images/fft", { ...query, what: view, size: 512, version: gallery.info.version }),
        false,
      );
    } else if (view === "lines") {
      void ask<Profile>("GET", "images/profile", { query: { ...query, what: "layer_lines" } }).then(
        (profile) => holder.replaceChildren(profilePlot(profile)),
        gallery.options.onFail,
      );
    } else {
      void ask<Meta>("GET", "images/meta", { query }).then(
        (meta) => holder.replaceChildren(valueTable(meta)),
        gallery.options.onFail,
      );
    }
  }

  function picture(source: string, isReal: boolean): void {
    const image = make("img");
    image.alt = `Image ${row + 1}, ${view}`;
    image.src = source;
    image.addEventListener("load", () => size(image));
    if (isReal) image.addEventListener("click", (event) => void read(image, event));
    holder.replaceChildren(image);
  }

  function size(image: HTMLImageElement): void {
    image.style.width = view === "image" ? `${image.naturalWidth * factor}px` : "";
    scale.replaceChildren(
      make("span", { class: "muted", text: "Scale" }),
      ...[0.25, 0.5, 1, 2, 4].map((one) => {
        const made = button(
          `${one}`,
          () => {
            factor = one;
            size(image);
          },
          { kind: "sm" },
        );
        made.setAttribute("aria-pressed", String(one === factor));
        return made;
      }),
    );
  }

  async function read(image: HTMLImageElement, event: MouseEvent): Promise<void> {
    const part = image.naturalWidth / image.clientWidth;
    const [x, y] = [Math.floor(event.offsetX * part), Math.floor(event.offsetY * part)];
    const query = { path: gallery.info.path, row, x, y, column: gallery.settings.column || null };
    try {
      const found = await ask<Value>("GET", "images/value", { query });
      const centre = [x - (image.naturalWidth >> 1), y - (image.naturalHeight >> 1)];
      told.textContent = `x ${x}, y ${y} (from the centre ${centre.join(", ")}): ${found.value.toPrecision(5)}`;
    } catch (error) {
      gallery.options.onFail(error);
    }
  }

  function step(by: number): void {
    const place = gallery.placeOf(row) + by;
    if (place < 0 || place >= gallery.shown.length) return;
    gallery.go(place);
    row = gallery.current;
    show();
  }

  body.parentElement?.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight")
      step(event.key === "ArrowLeft" ? -1 : 1);
  });
  const save = make("a", { class: "btn", text: "Save image as PNG" });
  save.download = `image_${row + 1}.png`;
  save.addEventListener(
    "click",
    () => (save.href = holder.querySelector("img")?.src ?? onePicture(gallery, row, 0)),
  );
  save.href = onePicture(gallery, row, 0);
  scale.classList.add("left");
  const done = button("Close", close, { kind: "" });
  acts.append(
    scale,
    button("", () => step(-1), { icon: "left", kind: "icon", label: "Image before" }),
    button("", () => step(1), { icon: "right", kind: "icon", label: "Image after" }),
    save,
    done,
  );
  show();
  done.focus();
}

function valueTable(meta: Meta): HTMLElement {
  const rows: [string, string][] = [
    ["Size", `${meta.width_px} × ${meta.height_px} px`],
    ["Pixel size", meta.pixel_size_A === null ? "–" : `${meta.pixel_size_A} Å`],
    ["Mean, deviation", `${meta.mean.toPrecision(4)}, ${meta.deviation.toPrecision(4)}`],
    ["Least, greatest", `${meta.minimum.toPrecision(4)}, ${meta.maximum.toPrecision(4)}`],
    ...Object.entries(meta.values ?? {}).map(([label, value]): [string, string] => [
      label,
      typeof value === "number" ? String(Number(value.toPrecision(7))) : words(String(value)),
    ]),
  ];
  const table = make("table", { class: "g-values" });
  for (const [label, value] of rows) {
    table.append(make("tr", {}, make("th", { text: label }), make("td", { text: value })));
  }
  return make("div", { class: "tablebox" }, table);
}

/** Mean or standard deviation of what is chosen, or of what is shown where nothing is. */
export async function showAverage(gallery: Gallery, what: "mean" | "deviation"): Promise<void> {
  const rows = gallery.selection.rows(0);
  if (rows.length === 0) {
    gallery.options.onSay("Select some images first: their average is shown.");
    return;
  }
  const body = {
    path: gallery.info.path,
    column: gallery.settings.column || null,
    rows,
    what,
    size: 384,
  };
  const answer = await fetch(address("images/average"), {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) {
    const told = (await answer.json().catch(() => null)) as { error?: string } | null;
    gallery.options.onFail(new Error(told?.error ?? `The server answered ${answer.status}.`));
    return;
  }
  const url = URL.createObjectURL(await answer.blob());
  const word = what === "mean" ? "Average" : "Standard deviation";
  const {
    body: inside,
    acts,
    close,
  } = dialog(`${word} of ${rows.length.toLocaleString("en-US")} images`);
  const image = make("img", { class: "g-average" });
  image.alt = `${word} of the selection`;
  image.src = url;
  inside.append(image);
  const save = make("a", { class: "btn", text: "Save image as PNG" });
  save.href = url;
  save.download = `${what}.png`;
  const done = button(
    "Close",
    () => {
      URL.revokeObjectURL(url);
      close();
    },
    { kind: "" },
  );
  acts.append(save, done);
  done.focus();
}
