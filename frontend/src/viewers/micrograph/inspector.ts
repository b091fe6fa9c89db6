/** The panel on the right: sets of picks, threshold, colours, CTF, profile. */
import { address } from "../../api/client";
import { make } from "../dom";
import { agreement } from "./agreement";
import * as api from "./api";
import { columnsOf, FOM, onScale, PLAIN } from "./colours";
import { Curve } from "./curve";
import { digits } from "./hud";
import { format } from "./list";
import type { Picker } from "./picker";
import { Threshold } from "./threshold";
import { button, check, select } from "./toolbar";

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

function section(title: string, ...children: Node[]): HTMLElement {
  return make("section", {}, make("h2", { text: title }), ...children);
}

/** Which picks are shown, and others to compare with. */
function sets(picker: Picker): HTMLElement {
  const rows = make("ul", { class: "mg-sets" });
  const choice = make("select", { class: "in sm", label: "Compare another set of picks" });
  const below = make("div", { class: "mg-actions" });
  const root = section("Picks", rows, choice, below);
  const ownJob = (): number | null => picker.job;
  let nodes: { path: string; title: string }[] = [];
  void api.coordinateNodes().then((found) => {
    nodes = found
      .filter(
        (node) => node.exists && node.path !== picker.options.info.path && node.job !== ownJob(),
      )
      .map((node) => ({ path: node.path, title: titleOf(node.path) }));
    fill();
    picker.tell();
  }, picker.options.onFail);
  const fill = (): void => {
    choice.replaceChildren(new Option("Compare another set…", ""));
    for (const node of nodes) {
      if (!picker.others.some((one) => one.path === node.path)) {
        choice.append(new Option(node.title, node.path));
      }
    }
    choice.hidden = choice.options.length < 2;
  };
  choice.addEventListener("change", () => {
    const node = nodes.find((one) => one.path === choice.value);
    if (node) void picker.addOther(node.path, node.title).then(fill);
  });
  const own = check("", (isOn) => {
    picker.areMarksHidden = !isOn;
    picker.tell();
  });
  picker.hear(() => {
    const { doc } = picker;
    const n = doc?.picks.length ?? 0;
    const manual = picker.nManual;
    own.input.checked = !picker.areMarksHidden;
    own.input.setAttribute("aria-label", "Show the picks (H)");
    const how = picker.colouring;
    const ground = how.by === "column" ? "scale" : "plain";
    const lines: HTMLElement[] = [];
    const title = picker.job === null ? "Picks of this list" : "Picks of this job";
    lines.push(line(own.input, swatch(ground), title, format(n - (manual < n ? manual : 0))));
    if (manual > 0 && manual < n) {
      lines.push(line(null, swatch("plain"), "Added by hand", format(manual)));
    }
    for (const other of picker.others) {
      const shown = check("", (isOn) => {
        other.isShown = isOn;
        picker.tell();
      });
      shown.input.checked = other.isShown;
      shown.input.setAttribute("aria-label", `Show ${other.title}`);
      const dot = swatch("plain");
      dot.style.background = other.colour;
      const made = line(shown.input, dot, other.title, format(other.picks.length));
      const same = agreement(doc?.picks ?? [], other.picks, picker.radius_px);
      made.title = `${format(same)} of ${format(n)} lie within a radius of one of these`;
      lines.push(made);
      lines.push(
        make("li", { class: "mg-sub muted", text: `${format(same)} of ${format(n)} agree` }),
      );
    }
    rows.replaceChildren(...lines);
    below.replaceChildren(...actions(picker));
  });
  return root;
}

function actions(picker: Picker): HTMLElement[] {
  const made: HTMLElement[] = [];
  const { list } = picker;
  if (list?.editable && !picker.options.isReadOnly) {
    for (const other of picker.others.slice(-1)) {
      made.push(
        button(
          "Take them here",
          `Replace the picks of this micrograph by ${other.title}`,
          () => void picker.take(other.path, picker.row),
        ),
        button(
          "For all without picks",
          `Take ${other.title} where nothing is picked yet`,
          () => void picker.take(other.path),
        ),
      );
    }
    if (picker.doc?.theirs) return made;
    made.push(
      button("Clear", "Take away all picks of this micrograph; undo brings them back", () =>
        picker.clear(),
      ),
    );
  } else if (list && list.total > 0 && !picker.options.isReadOnly && !picker.options.isCompact) {
    made.push(
      button(
        "Correct by hand",
        "Start a ManualPick job with these picks",
        () => void byHand(picker),
        "plus",
      ),
    );
  }
  return made;
}

/** Start a ManualPick job on the same micrographs, and take these picks along. */
async function byHand(picker: Picker): Promise<void> {
  const { list, options } = picker;
  if (!list) return;
  try {
    const micrographs = await micrographsOf(picker);
    const made = await api.makeJob({ micrographs, diameter_A: picker.settings.diameter_A });
    options.onSay(`Manual picking, job ${made.n}, begins with these picks.`);
    for (let n = 0; n < 100; n += 1) {
      const opened = await api.list(made.n).catch(() => null);
      if (opened?.editable) break;
      await new Promise((done) => setTimeout(done, 200));
    }
    const own = (await api.coordinateNodes()).find((node) => node.job === list.n && node.exists);
    if (own) await api.load(made.n, { path: own.path });
    options.go(`#/job/${made.n}`);
  } catch (error) {
    options.onFail(error);
  }
}

async function micrographsOf(picker: Picker): Promise<string> {
  const { list } = picker;
  if (list && list.n > 0 && list.path) return list.path;
  throw new Error(
    "This list does not say which micrographs it was made from. Start a ManualPick job and take these picks there.",
  );
}

function line(tick: HTMLElement | null, dot: HTMLElement, title: string, n: string): HTMLElement {
  return make(
    "li",
    {},
    tick ?? make("span", { class: "mg-gap" }),
    dot,
    make("span", { class: "grow cut", text: title, title }),
    make("b", { text: n }),
  );
}

function swatch(kind: "scale" | "plain"): HTMLElement {
  const made = make("i", { class: "mg-swatch" });
  made.style.background =
    kind === "scale"
      ? `linear-gradient(90deg, ${onScale(0)}, ${onScale(0.5)}, ${onScale(1)})`
      : PLAIN;
  return made;
}

export function titleOf(path: string): string {
  const [folder = "", job = ""] = path.split("/");
  return /^job\d+$/.test(job) ? `${folder} ${job.replace("job", "")}` : path;
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
      picker.setType(type),
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
    const how = picker.colouring;
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

/** The CTF picture with the fit in it, and what was found. */
function ctf(picker: Picker): HTMLElement {
  const image = make("img", { class: "mg-ctf" });
  const figures = make("dl", { class: "mg-figures" });
  const fourier = button("Fourier amplitudes", "Show the transform of the micrograph (T)", () => {
    picker.isFourier = !picker.isFourier;
    picker.tell();
  });
  const root = section("CTF", make("div", { class: "mg-ctf-row" }, image, figures), fourier);
  let shown = "";
  picker.hear(() => {
    const name = picker.micrograph?.ctf_image;
    const { path = "" } = picker.list ?? {};
    const source =
      name && path.endsWith(".star")
        ? address("images/one", {
            path,
            column: "rlnCtfImage",
            row: picker.row,
            size: 360,
            sigma: 2.5,
          })
        : "";
    if (source !== shown) {
      shown = source;
      image.hidden = source === "";
      image.alt = "Power spectrum, with the fitted CTF in one half";
      if (source) image.src = source;
      else image.removeAttribute("src");
    }
    const rows = factsOf(picker);
    figures.replaceChildren(
      ...rows.flatMap(([label, value]) => [
        make("dt", { text: label }),
        make("dd", { text: value }),
      ]),
    );
    root.querySelector("h2")?.classList.toggle("muted", rows.length === 0);
    fourier.setAttribute("aria-pressed", String(picker.isFourier));
    root.classList.toggle("bare", rows.length === 0 && !source);
  });
  image.addEventListener("error", () => (image.hidden = true));
  return root;
}

function factsOf(picker: Picker): [string, string][] {
  const { facts, micrograph } = picker;
  const at = (label: string): number | null => {
    const value = facts[label];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  const [u, v] = [at("rlnDefocusU") ?? micrograph?.defocus_A ?? null, at("rlnDefocusV")];
  const rows: [string, string][] = [];
  const mean = u !== null && v !== null ? (u + v) / 2 : u;
  if (mean !== null) rows.push(["Defocus", `${(mean / 1e4).toFixed(2)} µm`]);
  if (u !== null && v !== null) rows.push(["Astigmatism", `${Math.round(Math.abs(u - v))} Å`]);
  const resolution = at("rlnCtfMaxResolution") ?? micrograph?.ctf_max_resolution_A ?? null;
  if (resolution !== null) rows.push(["Fit to", `${resolution.toFixed(1)} Å`]);
  for (const [label, text] of [
    ["rlnCtfFigureOfMerit", "Merit"],
    ["rlnCtfIceRingDensity", "Ice ring"],
    ["rlnPhaseShift", "Phase shift"],
  ] as const) {
    const value = at(label);
    if (value !== null) rows.push([text, digits(value)]);
  }
  return rows;
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
