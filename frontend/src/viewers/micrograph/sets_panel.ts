/** The part of the panel with the sets of picks: which are shown, and what can be done with them. */
import { make } from "../dom";
import { agreement } from "./agreement";
import * as api from "./api";
import { onScale, PLAIN } from "./colours";
import { format } from "./list";
import type { Picker } from "./picker";
import { section } from "./section";
import type { OtherSet } from "./sets";
import { button, check, number } from "./toolbar";

/** Which picks are shown, and others to compare with. */
export function sets(picker: Picker): HTMLElement {
  const rows = make("ul", { class: "mg-sets" });
  const otherRows = make("ul", { class: "mg-sets" });
  const choice = make("select", { class: "in sm", label: "Compare another set of picks" });
  const below = make("div", { class: "mg-actions" });
  const root = section("Picks", rows, otherRows, choice, below);
  const ownJob = (): number | null => picker.job;
  const shown = new Map<OtherSet, OtherRow>();
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
      if (!picker.sets.others.some((one) => one.path === node.path)) {
        choice.append(new Option(node.title, node.path));
      }
    }
    choice.hidden = choice.options.length < 2;
  };
  choice.addEventListener("change", () => {
    const node = nodes.find((one) => one.path === choice.value);
    if (node) void picker.sets.add(node.path, node.title).then(fill);
  });
  const own = check("", (isOn) => {
    picker.areMarksHidden = !isOn;
    picker.tell();
  });
  picker.hear(() => {
    const { doc } = picker;
    const n = doc?.picks.length ?? 0;
    const manual = picker.seen.nManual;
    own.input.checked = !picker.areMarksHidden;
    own.input.setAttribute("aria-label", "Show the picks (H)");
    const how = picker.seen.colouring;
    const ground = how.by === "column" ? "scale" : "plain";
    const lines: HTMLElement[] = [];
    const title = picker.job === null ? "Picks of this list" : "Picks of this job";
    lines.push(line(own.input, swatch(ground), title, format(n - (manual < n ? manual : 0))));
    if (manual > 0 && manual < n) {
      lines.push(line(null, swatch("plain"), "Added by hand", format(manual)));
    }
    for (const other of picker.sets.others) {
      // Made once, and left in place: a number that is being typed stays in its field.
      let known = shown.get(other);
      if (!known) {
        shown.set(other, (known = otherRow(picker, other)));
        otherRows.append(...known.lines);
      }
      known.update();
    }
    rows.replaceChildren(...lines);
    below.replaceChildren(...actions(picker));
  });
  return root;
}

type OtherRow = { lines: HTMLElement[]; update: () => void };

/** A set to compare with: whether it is shown, how large its marks are, how far it agrees. */
function otherRow(picker: Picker, other: OtherSet): OtherRow {
  const isShown = check("", (isOn) => {
    other.isShown = isOn;
    picker.tell();
  });
  isShown.input.setAttribute("aria-label", `Show ${other.title}`);
  const dot = swatch("plain");
  dot.style.background = other.colour;
  const count = make("b");
  const first = line(isShown.input, dot, other.title, count);
  const agree = make("span", { class: "mg-agree grow" });
  const size = number("", "Å", "Diameter of its marks", (value) => {
    other.diameter_A = value;
    picker.tell();
  });
  size.input.setAttribute("aria-label", `Diameter of ${other.title} in Å`);
  const second = make("li", { class: "mg-sub muted" }, agree, size.root);
  const update = (): void => {
    const picks = picker.doc?.picks ?? [];
    const same = agreement(picks, other.picks, picker.radius_px);
    isShown.input.checked = other.isShown;
    count.textContent = format(other.picks.length);
    agree.textContent = `${format(same)} of ${format(picks.length)} agree`;
    first.title = `${format(same)} of ${format(picks.length)} lie within a radius of one of these`;
    size.show(other.diameter_A || picker.settings.diameter_A);
  };
  return { lines: [first, second], update };
}

function actions(picker: Picker): HTMLElement[] {
  const made: HTMLElement[] = [];
  const { list } = picker;
  if (list?.editable && !picker.options.isReadOnly) {
    for (const other of picker.sets.others.slice(-1)) {
      made.push(
        button(
          "Take them here",
          `Replace the picks of this micrograph by ${other.title}`,
          () => void picker.sets.take(other.path, picker.row),
        ),
        button(
          "For all without picks",
          `Take ${other.title} where nothing is picked yet`,
          () => void picker.sets.take(other.path),
        ),
      );
    }
    if (picker.doc?.theirs) return made;
    made.push(
      button("Clear", "Take away all picks of this micrograph; undo brings them back", () =>
        picker.edits.clear(),
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

function line(
  tick: HTMLElement | null,
  dot: HTMLElement,
  title: string,
  n: string | HTMLElement,
): HTMLElement {
  return make(
    "li",
    {},
    tick ?? make("span", { class: "mg-gap" }),
    dot,
    make("span", { class: "grow cut", text: title, title }),
    typeof n === "string" ? make("b", { text: n }) : n,
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
