/** What stands above the grid: order, size, contrast, labels, paint. */
import { make } from "../dom";
import { openMenu, setPaint } from "./entries";
import type { Gallery } from "./gallery";
import { button, dialog, menu, numberField, select, tick, type Item } from "./parts";
import { selectInJob } from "./saving";
import { TYPE_NAMES, TYPES } from "./selection";
import {
  COLOURS,
  LARGEST,
  RANDOMLY,
  SMALLEST,
  titleOf,
  type Colour,
  type Settings,
} from "./settings";

const SIGMAS: readonly [string, string][] = [
  ["0", "Full range"],
  ["1", "1 sigma"],
  ["2", "2 sigma"],
  ["3", "3 sigma"],
  ["5", "5 sigma"],
  ["fixed", "Black, white"],
];

export function toolbar(gallery: Gallery): HTMLElement {
  const bar = make("div", { class: "toolbar g-toolbar", label: "Picture settings" });
  bar.setAttribute("role", "toolbar");
  function build(): void {
    const focused = document.activeElement?.getAttribute("aria-label");
    bar.replaceChildren(...(gallery.options.isCompact ? compact(gallery) : whole(gallery)));
    if (focused && !bar.contains(document.activeElement)) {
      const again = [...bar.querySelectorAll<HTMLElement>("[aria-label]")];
      if (bar.dataset["had"] === focused)
        again.find((one) => one.getAttribute("aria-label") === focused)?.focus();
    }
  }
  bar.addEventListener("focusin", (event) => {
    bar.dataset["had"] = (event.target as HTMLElement).getAttribute("aria-label") ?? "";
  });
  gallery.on((change) => {
    if (change === "selection") undoState(bar, gallery);
    else if (change !== "current" && change !== "order" && !isSliding(bar)) build();
  });
  build();
  return bar;
}

function isSliding(bar: HTMLElement): boolean {
  return bar.querySelector(".g-size:active") !== null;
}

function undoState(bar: HTMLElement, gallery: Gallery): void {
  const undo = bar.querySelector<HTMLButtonElement>("[data-undo]");
  if (undo) undo.disabled = !gallery.selection.canUndo;
}

function compact(gallery: Gallery): HTMLElement[] {
  const { info, options } = gallery;
  const made: HTMLElement[] = [
    make("span", { class: "muted", text: "Sort by" }),
    sorting(gallery),
    reverse(gallery),
  ];
  if (info.iteration !== null) made.unshift(make("b", { text: `Iteration ${info.iteration}` }));
  const below = gallery.settings.labels.map(titleOf).join(" · ");
  const text = below ? `Below: ${below}` : "";
  const title = below ? `Under each image: ${below}` : "";
  made.push(make("span", { class: "grow cut muted small", text, title }));
  if (info.kind === "classes" && !options.isReadOnly) {
    made.push(button("Select classes", () => void selectInJob(gallery), { kind: "sm" }));
  }
  return made;
}

function whole(gallery: Gallery): HTMLElement[] {
  const { settings } = gallery;
  const size = make("input", { class: "g-size", label: "Size" });
  size.type = "range";
  size.min = String(SMALLEST);
  size.max = String(LARGEST);
  size.value = String(settings.size);
  size.addEventListener("input", () => gallery.set({ size: Number(size.value) }));
  const paint = make("span", { class: "g-paint", label: "Selection type" });
  paint.setAttribute("role", "radiogroup");
  for (const type of TYPES) {
    const one = make("button", { class: `g-type g-t${type}`, text: String(type) });
    one.type = "button";
    one.title = `Paint ${type} (${TYPE_NAMES[type]})`;
    one.setAttribute("role", "radio");
    one.setAttribute("aria-label", `Type ${type}, ${TYPE_NAMES[type]}`);
    one.setAttribute("aria-checked", String(type === gallery.paint));
    one.addEventListener("click", () => setPaint(gallery, type));
    paint.append(one);
  }
  const undo = button("", () => gallery.selection.undo(), {
    icon: "undo",
    kind: "quiet sm icon",
    label: "Undo",
  });
  undo.dataset["undo"] = "";
  undo.disabled = !gallery.selection.canUndo;
  const side = button("", () => gallery.set({ hasSide: !settings.hasSide }), {
    icon: "list",
    kind: "quiet sm icon",
    label: "Plots and filters",
  });
  side.setAttribute("aria-pressed", String(settings.hasSide));
  const groups = [
    [make("span", { class: "muted", text: "Sort by" }), sorting(gallery), reverse(gallery)],
    [make("span", { class: "muted", text: "Size" }), size],
    [make("span", { class: "muted", text: "Contrast" }), contrast(gallery)],
    [labelling(gallery)],
    [
      button("", () => more(gallery), {
        icon: "more",
        kind: "quiet sm icon",
        label: "More picture settings",
      }),
    ],
    [make("span", { class: "sep" }), paint],
    [
      button("Invert", () => gallery.selection.invert(gallery.shown, gallery.paint)),
      button("Clear", () => gallery.selection.set(gallery.selection.rows(0), 0)),
      undo,
      actions(gallery),
    ],
    [side],
  ];
  if (gallery.only) groups.splice(0, 0, [onlyChip(gallery)]);
  return groups.map((group) => make("div", { class: "g-group" }, ...group));
}

function onlyChip(gallery: Gallery): HTMLElement {
  const text = `Classes ${[...(gallery.only ?? [])].join(", ")}`;
  return button(text.length > 24 ? `${text.slice(0, 22)}...` : text, () => gallery.showOnly(null), {
    icon: "x",
    kind: "sm",
    title: "Show the particles of all classes",
  });
}

function sorting(gallery: Gallery): HTMLElement {
  const choices = [
    { value: "", text: "File order" },
    ...gallery.info.columns.map((one) => ({ value: one.label, text: titleOf(one.label) })),
    { value: RANDOMLY, text: "Randomly" },
  ];
  return select("Sort by", choices, gallery.settings.sort, (value) => {
    if (value === RANDOMLY) gallery.shuffle();
    else gallery.set({ sort: value });
  });
}

function reverse(gallery: Gallery): HTMLElement {
  const { isReversed } = gallery.settings;
  const made = button(isReversed ? "↓" : "↑", () => gallery.set({ isReversed: !isReversed }), {
    kind: "quiet sm icon",
    label: "Reverse sort",
    title: isReversed ? "Largest first; press to reverse" : "Smallest first; press to reverse",
  });
  made.setAttribute("aria-pressed", String(isReversed));
  return made;
}

function contrast(gallery: Gallery): HTMLElement {
  const { sigma, black, white } = gallery.settings;
  const value = black !== white ? "fixed" : String(sigma);
  const choices = SIGMAS.map(([one, text]) => ({ value: one, text }));
  if (!choices.some((one) => one.value === value)) choices.push({ value, text: `${value} sigma` });
  return select("Contrast", choices, value, (chosen) => {
    if (chosen === "fixed") more(gallery);
    else gallery.set({ sigma: Number(chosen), black: 0, white: 0 });
  });
}

function labelling(gallery: Gallery): HTMLElement {
  const n = gallery.settings.labels.length;
  const made = button(
    n > 0 ? `Labels (${n})` : "Labels",
    () => {
      const at = made.getBoundingClientRect();
      const items: Item[] = gallery.info.columns.map((one) => ({
        label: titleOf(one.label),
        checked: gallery.settings.labels.includes(one.label),
        act: () => toggle(gallery, one.label),
      }));
      const all = items.length > 0 ? items : [{ title: "This list has no columns" }];
      menu(at.left, at.bottom + 4, "Labels under the images", all);
    },
    { kind: "sm", title: "Columns under the images" },
  );
  made.setAttribute("aria-haspopup", "menu");
  return made;
}

function toggle(gallery: Gallery, label: string): void {
  const { labels } = gallery.settings;
  gallery.set({
    labels: labels.includes(label) ? labels.filter((one) => one !== label) : [...labels, label],
  });
}

function actions(gallery: Gallery): HTMLElement {
  const made = button(
    "More",
    () => {
      const at = made.getBoundingClientRect();
      openMenu(gallery, at.left, at.bottom + 4);
    },
    { title: "All that can be done with the images" },
  );
  made.setAttribute("aria-haspopup", "menu");
  return made;
}

/** RELION's display dialogue, less what stands in the toolbar. */
function more(gallery: Gallery): void {
  const { settings, info } = gallery;
  const { body, acts, close } = dialog("Picture settings");
  const form = make("div", { class: "formrow" });
  const put = (changed: Partial<Settings>) => gallery.set(changed);
  const row = (text: string, field: HTMLElement) => form.append(make("span", { text }), field);
  const images = info.columns.filter((one) => one.kind === "image");
  if (images.length > 1) {
    const choices = images.map((one) => ({ value: one.label, text: titleOf(one.label) }));
    row(
      "Images of",
      select("Images of", choices, settings.column || (info.image_column ?? ""), (value) =>
        put({ column: value }),
      ),
    );
  }
  const colours = COLOURS.map((one) => ({ value: one, text: one === "grey" ? "greyscale" : one }));
  row(
    "Colour",
    select("Colour", colours, settings.colour, (value) => put({ colour: value as Colour })),
  );
  row(
    "Sigma contrast (0: full range)",
    numberField("Sigma contrast", settings.sigma, (n) => put({ sigma: Math.max(0, n) }), {
      min: 0,
    }),
  );
  row(
    "Black",
    numberField("Black", settings.black, (n) => put({ black: n }), { empty: "automatic" }),
  );
  row(
    "White",
    numberField("White", settings.white, (n) => put({ white: n }), { empty: "automatic" }),
  );
  row(
    "Low-pass (Å)",
    numberField("Low-pass", settings.lowpass_A, (n) => put({ lowpass_A: Math.max(0, n) }), {
      min: 0,
      empty: "none",
    }),
  );
  row(
    "High-pass (Å)",
    numberField("High-pass", settings.highpass_A, (n) => put({ highpass_A: Math.max(0, n) }), {
      min: 0,
      empty: "none",
    }),
  );
  const known =
    info.pixel_size_A === null ? "not known" : String(Number(info.pixel_size_A.toPrecision(5)));
  row(
    "Pixel size (Å)",
    numberField("Pixel size", settings.pixel_size_A, (n) => put({ pixel_size_A: Math.max(0, n) }), {
      min: 0,
      empty: known,
    }),
  );
  row(
    "Most images (empty: all)",
    numberField("Most images", settings.most, (n) => put({ most: Math.max(0, Math.round(n)) }), {
      min: 0,
      step: 1,
      empty: "all",
    }),
  );
  body.append(
    form,
    tick("One contrast for all images", settings.isShared, (on) => put({ isShared: on })),
    tick("Apply orientations (turn by psi, shift)", settings.isOriented, (on) =>
      put({ isOriented: on }),
    ),
  );
  const done = button("Close", close, { kind: "primary" });
  acts.append(done);
  done.focus();
}
