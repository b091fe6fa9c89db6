/** The panel on the right: sets of picks, threshold, colours, CTF, profile. */
import { make } from "../dom";
import { columnsOf, FOM, onScale } from "./colours";
import { ctf } from "./ctf";
import { Curve } from "./curve";
import { digits } from "./hud";
import type { Picker } from "./picker";
import { section } from "./section";
import { sets } from "./sets_panel";
import { Threshold } from "./threshold";
import { button, select } from "./toolbar";

export function inspector(picker: Picker): HTMLElement {
  const root = make("aside", { class: "mg-panel", label: "Picks and CTF" });
  const parts = [
    sets(picker),
    new Threshold(picker).root,
    colours(picker),
    profile(picker),
    ctf(picker),
    help(picker),
  ];
  root.append(...parts);
  picker.hear(() => {
    root.hidden = !picker.settings.hasPanel;
  });
  return root;
}

/** What colours mean, and the type of the next picks. */
function colours(picker: Picker): HTMLElement {
  const choice = select("By", [["auto", "Automatic"]], (value) => picker.set({ colour: value }));
  const legend = make("div", { class: "mg-legend" });
  const types = make("div", { class: "mg-types" });
  types.setAttribute("role", "radiogroup");
  types.setAttribute("aria-label", "Selection type of new picks");
  for (let type = 1; type <= 6; type += 1) {
    const made = button(String(type), `Selection type of new picks: ${type} (key ${type})`, () =>
      picker.edits.setType(type),
    );
    made.setAttribute("role", "radio");
    made.style.setProperty("--mark", `var(--sel-${type})`);
    types.append(made);
  }
  const typeRow = make(
    "div",
    { class: "mg-row" },
    make("span", { class: "muted", text: "New picks" }),
    types,
  );
  const root = section("Colour", choice.root, legend, typeRow);
  let before = "";
  picker.hear(() => {
    const picks = picker.doc?.picks ?? [];
    root.hidden = picks.length === 0 && !picker.list?.editable;
    typeRow.hidden = !picker.list?.editable || picker.options.isReadOnly;
    const labels = [...columnsOf(picks).keys()];
    if (labels.join() !== before) {
      before = labels.join();
      choice.input.replaceChildren(
        new Option(labels.includes(FOM) ? "Automatic: figure of merit" : "Automatic", "auto"),
        new Option("One colour", "plain"),
        new Option("Selection type", "type"),
        ...labels.map(
          (label) =>
            new Option(label === FOM ? "Figure of merit" : label.replace(/^rln/, ""), label),
        ),
      );
    }
    choice.input.value = picker.settings.colour;
    if (choice.input.selectedIndex < 0) choice.input.value = "auto";
    const how = picker.seen.colouring;
    legend.hidden = how.by === "plain";
    if (how.by === "column") {
      const ramp = make("i", { class: "mg-ramp" });
      ramp.style.background = `linear-gradient(90deg, ${onScale(0)}, ${onScale(0.5)}, ${onScale(1)})`;
      legend.replaceChildren(
        make("span", { text: digits(how.low) }),
        ramp,
        make("span", { text: digits(how.high) }),
      );
    } else
      legend.replaceChildren(
        make("span", { class: "muted", text: "As in RELION: types 1–6, with their digit" }),
      );
    [...types.children].forEach((made, n) =>
      made.setAttribute("aria-checked", String(picker.type === n + 1)),
    );
  });
  return root;
}

/** Values along the line that was measured. */
function profile(picker: Picker): HTMLElement {
  const curve = new Curve();
  const root = section("Line profile", curve.root);
  picker.hear(() => {
    root.hidden = picker.ruler === null;
    if (picker.profile) curve.show(picker.profile);
  });
  return root;
}

function help(picker: Picker): HTMLElement {
  const rows = make("div", { class: "mg-keys" });
  const root = make("section", {}, rows);
  const entry = (key: string, text: string): HTMLElement =>
    make("span", {}, make("kbd", { text: key }), ` ${text}`);
  picker.hear(() => {
    const canEdit = picker.list?.editable === true && !picker.options.isReadOnly;
    rows.replaceChildren(
      ...(canEdit
        ? [entry("click", "add"), entry("Shift click", "remove"), entry("drag", "move, or pan")]
        : [entry("drag", "pan")]),
      entry("wheel", "zoom"),
      entry("right click", "all acts"),
      entry("?", "all keys"),
    );
  });
  return root;
}
