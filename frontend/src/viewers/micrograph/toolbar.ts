/** The bar above the picture: tools, steps back, how it is shown, how large. */
import { icon, make } from "../dom";
import type { IconName } from "../../widgets/icons";
import type { Picker, Tool } from "./picker";
import { CONTRASTS, type Contrast, type Settings } from "./settings";

const TOOLS: readonly (readonly [Tool, string, string, IconName])[] = [
  ["pick", "Pick", "Pick (P): click adds, drag moves a pick", "pick"],
  ["erase", "Erase", "Erase (E): a brush; its width is beside it", "erase"],
  ["move", "Look", "Look (M): drag pans, a pick that is dragged moves", "move"],
  ["ruler", "Measure", "Measure (R): distance and line profile", "ruler"],
];

export function button(
  text: string,
  title: string,
  act: () => void,
  name?: IconName,
  more = "",
): HTMLButtonElement {
  const made = make("button", { class: `btn quiet sm ${more}`.trim(), title });
  made.type = "button";
  if (name) made.append(icon(name));
  if (text) made.append(make("span", { text }));
  else made.setAttribute("aria-label", title);
  if (name && !text) made.classList.add("icon");
  made.addEventListener("click", act);
  return made;
}

/** A number with its name and unit; typed values are taken on Enter or when left. */
export function number(
  label: string,
  unit: string,
  title: string,
  take: (value: number) => void,
): { root: HTMLElement; input: HTMLInputElement; show: (value: number) => void } {
  const input = make("input", { class: "in sm", title, label: `${label} in ${unit}` });
  input.type = "text";
  input.inputMode = "decimal";
  const root = make(
    "label",
    { class: "mg-number" },
    make("span", { text: label }),
    input,
    make("span", { text: unit }),
  );
  let shown = "";
  const show = (value: number): void => {
    shown = String(Math.round(value * 1000) / 1000);
    if (document.activeElement !== input) input.value = shown;
  };
  const taken = (): void => {
    const value = Number(input.value.replace(",", "."));
    if (input.value.trim() !== "" && Number.isFinite(value) && value >= 0) {
      if (String(value) !== shown) take(value);
    } else input.value = shown;
  };
  input.addEventListener("change", taken);
  input.addEventListener("keydown", (event) => {
    // Leaving the field takes the value, and keys of the picker work again at once.
    if (event.key === "Enter") input.blur();
    if (event.key === "Escape") input.value = shown;
  });
  return { root, input, show };
}

export function toolbar(picker: Picker, savePicture: () => void): HTMLElement {
  const set = (changed: Partial<Settings>): void => picker.set(changed);
  const tools = TOOLS.map(([tool, text, title, name]) => {
    const made = button(text, title, () => choose(picker, tool), name, "mg-tool");
    made.dataset["tool"] = tool;
    return made;
  });
  const undo = button("", "Undo (Ctrl Z)", () => picker.edits.undo(), "undo");
  const redo = button("", "Redo (Ctrl Y)", () => picker.edits.redo(), "redo");
  const diameter = number("Diameter", "Å", "Diameter of the marks", (value) =>
    set({ diameter_A: value }),
  );
  const brush = number("Brush", "Å", "Width of the brush", (value) => set({ brush_A: value }));
  const lowpass = number("Low-pass", "Å", "0 is off", (value) => set({ lowpass_A: value }));
  const highpass = number("High-pass", "Å", "0 is off", (value) => set({ highpass_A: value }));
  const pixel = number("Pixel size", "Å", "Where the file does not tell it", (value) =>
    set({ pixel_size_A: value }),
  );
  const contrast = select("Contrast", CONTRASTS, (value) => set({ contrast: value as Contrast }));
  const invert = check("Invert grey values", (isOn) => set({ isInverted: isOn }));
  const dotted = check("Dotted rings for hidden picks", (isOn) => set({ areHiddenDotted: isOn }));
  const sizes = check("Own diameter of each pick", (isOn) => set({ hasOwnSizes: isOn }));
  const denoise = check("Denoise with Topaz", (isOn) => set({ isDenoised: isOn }));
  const more = make("details", { class: "mg-more" });
  const summary = make("summary", {
    class: "btn quiet sm icon",
    title: "More picture settings",
    label: "More picture settings",
  });
  summary.append(icon("more"));
  const png = button("Save image as PNG", "Save what is seen", savePicture, undefined, "wide");
  const menu = make("div", { class: "mg-popover" });
  menu.append(highpass.root, pixel.root);
  menu.append(denoise.root, invert.root, dotted.root, sizes.root, png);
  more.append(summary, menu);
  const zoom = make("span", { class: "mg-zoom muted" });
  const fit = button("Fit", "Whole micrograph (0)", () => {
    picker.view.fit();
    picker.tell();
  });
  const one = button("1:1", "One pixel of the file is one on screen (=)", () => {
    picker.view.setScale(1);
    picker.tell();
  });
  const panel = button(
    "",
    "Show or hide the panel on the right",
    () => set({ hasPanel: !picker.settings.hasPanel }),
    "panel",
  );
  const separator = (): HTMLElement => make("span", { class: "sep" });
  const steps = [separator(), undo, redo];
  const root = make("div", { class: "toolbar mg-toolbar" });
  root.append(
    ...tools,
    ...steps,
    separator(),
    diameter.root,
    brush.root,
    lowpass.root,
    contrast.root,
    more,
    make("span", { class: "grow" }),
    fit,
    one,
    zoom,
    panel,
  );
  const scaleText = (): void => {
    zoom.textContent = `${Math.round(picker.view.scale * 100)} %`;
  };
  picker.onDraw(scaleText);
  picker.hear(() => {
    const { settings, doc } = picker;
    const canEdit = picker.list?.editable === true && !picker.options.isReadOnly;
    for (const made of tools) {
      const tool = made.dataset["tool"] as Tool;
      made.hidden = !canEdit && (tool === "pick" || tool === "erase");
      made.setAttribute("aria-pressed", String(picker.tool === tool));
    }
    for (const step of steps) step.hidden = !canEdit;
    undo.disabled = !picker.isEditable || !doc?.nUndo;
    redo.disabled = !picker.isEditable || !doc?.nRedo;
    brush.root.hidden = picker.tool !== "erase";
    diameter.root.hidden = picker.tool === "erase";
    diameter.show(settings.diameter_A);
    brush.show(settings.brush_A);
    lowpass.show(settings.lowpass_A);
    highpass.show(settings.highpass_A);
    pixel.show(picker.pixelSize_A);
    const hasPixel = picker.pixelSize_A > 0;
    for (const filter of [lowpass, highpass]) {
      filter.input.disabled = !hasPixel || picker.denoised.isShown;
      filter.input.title = picker.denoised.isShown
        ? "Off: the micrograph is shown as Topaz denoised it"
        : hasPixel
          ? "0 is off"
          : "Needs the pixel size: give it under …";
    }
    sizes.root.hidden = !picker.seen.haveSizes;
    sizes.input.checked = settings.hasOwnSizes;
    denoise.root.hidden = picker.options.isReadOnly;
    denoise.input.checked = settings.isDenoised;
    contrast.input.value = settings.contrast;
    invert.input.checked = settings.isInverted;
    dotted.input.checked = settings.areHiddenDotted;
    panel.setAttribute("aria-pressed", String(settings.hasPanel));
    scaleText();
  });
  closeOutside(more);
  return root;
}

export function choose(picker: Picker, tool: Tool): void {
  picker.tool = tool;
  picker.tell();
}

export function select(
  label: string,
  choices: readonly (readonly [string, string])[],
  take: (value: string) => void,
): { root: HTMLElement; input: HTMLSelectElement } {
  const input = make("select", { class: "in sm", label });
  for (const [value, text] of choices) input.append(new Option(text, value));
  input.addEventListener("change", () => take(input.value));
  return {
    root: make("label", { class: "mg-number" }, make("span", { text: label }), input),
    input,
  };
}

export function check(
  label: string,
  take: (isOn: boolean) => void,
): { root: HTMLElement; input: HTMLInputElement } {
  const input = make("input");
  input.type = "checkbox";
  input.addEventListener("change", () => take(input.checked));
  return { root: make("label", { class: "tick" }, input, make("span", { text: label })), input };
}

function closeOutside(details: HTMLDetailsElement): void {
  document.addEventListener("pointerdown", (event) => {
    if (details.open && !details.contains(event.target as Node)) details.open = false;
  });
}
