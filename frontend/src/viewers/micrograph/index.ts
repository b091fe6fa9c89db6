/** The micrograph viewer and picker. */
import "./micrograph.css";
import { address } from "../../api/client";
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";
import { conflictBar, footBar } from "./bars";
import { hud } from "./hud";
import { inspector } from "./inspector";
import { keys } from "./keys";
import { MicrographList } from "./list";
import { openMenu } from "./menu";
import { Picker } from "./picker";
import { savePicture } from "./picture";
import { Pointer } from "./pointer";
import { Stage } from "./stage";
import { toolbar } from "./toolbar";

export const isLive = true;

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const picker = new Picker(options, element);
  const stage = new Stage(picker);
  const pointer = new Pointer(picker, stage, (x, y) => openMenu(picker, stage.root, x, y));
  const list = new MicrographList(picker);
  stage.root.append(...hud(picker), fourier(picker));
  const stops: (() => void)[] = [];
  if (options.isCompact) {
    element.replaceChildren(stage.root, compactBar(picker, list));
  } else {
    const middle = make("div", { class: "mg-middle" }, stage.root, inspector(picker));
    const side = options.side ?? null;
    (side ?? middle).prepend(list.root);
    element.replaceChildren(
      toolbar(picker, () => savePicture(picker, stage.root)),
      conflictBar(picker),
      middle,
      footBar(picker, list),
    );
    stops.push(keys({ picker, stage, pointer, step: (by) => list.step(by) }));
    stops.push(() => list.root.remove());
  }
  element.classList.add("mg");
  void picker.start();
  const viewer: Viewer = {
    update: (changed) => {
      Object.assign(options, changed);
      void picker.relist();
    },
    destroy: () => {
      picker.close();
      stage.destroy();
      for (const stop of stops) stop();
      element.classList.remove("mg");
      element.replaceChildren();
    },
    get state() {
      return stateOf(picker, stage);
    },
  };
  // Tests ask the element.
  Object.assign(element, { viewer });
  return viewer;
}

function stateOf(picker: Picker, stage: Stage): Record<string, unknown> {
  const { view, doc } = picker;
  const box = stage.over.getBoundingClientRect();
  return {
    kind: "micrograph",
    isLoaded: picker.meta !== null && doc !== null && picker.tiles.isComplete,
    isEditable: picker.isEditable,
    row: picker.row,
    name: picker.micrograph?.name ?? "",
    n: picker.list?.micrographs.length ?? 0,
    nPicks: doc?.picks.length ?? 0,
    nShown: picker.seen.nShown,
    nMarks: stage.nMarks,
    nFrames: stage.nFrames,
    nUndo: doc?.nUndo ?? 0,
    nRedo: doc?.nRedo ?? 0,
    nUnsent: picker.sync?.nUnsent ?? 0,
    isOffline: picker.sync?.isOffline ?? false,
    hasConflict: Boolean(doc?.theirs),
    threshold: picker.threshold,
    tool: picker.tool,
    type: picker.type,
    ruler: picker.ruler,
    isProfiled: picker.profile !== null,
    others: picker.sets.others.map((one) => one.picks.length),
    isDenoised: picker.denoised.isShown,
    lastPick_ms: stage.lastPick_ms,
    lastDraw_ms: stage.lastDraw_ms,
    picks: doc?.picks.slice(0, 200).map((pick) => ({
      x: pick.x,
      y: pick.y,
      type: pick.type,
      radius_px: picker.seen.radiusOf(pick),
    })),
    view: { scale: view.scale, x: view.x, y: view.y, width: view.width, height: view.height },
    box: { left: box.left, top: box.top },
    trouble: picker.trouble,
  };
}

/** The transform of the micrograph, in its place. */
function fourier(picker: Picker): HTMLElement {
  const image = make("img", { class: "mg-fourier" });
  image.alt = "Fourier amplitudes of the micrograph, zero frequency in the middle";
  image.hidden = true;
  picker.hear(() => {
    const source =
      picker.isFourier && picker.meta
        ? address("images/fft", {
            path: picker.meta.path,
            size: 1024,
            version: picker.meta.version,
          })
        : "";
    image.hidden = source === "";
    if (source && image.getAttribute("src") !== source) image.src = source;
  });
  return image;
}

/** On a page of a job: which micrograph, and steps to the others. */
function compactBar(picker: Picker, list: MicrographList): HTMLElement {
  const root = make("div", { class: "mg-compact" });
  const step = (by: number, text: string, label: string): HTMLButtonElement => {
    const made = make("button", { class: "btn quiet sm", text, label });
    made.addEventListener("click", () => list.step(by));
    return made;
  };
  const previous = step(-1, "‹", "Previous micrograph");
  const next = step(1, "›", "Next micrograph");
  const text = make("span", { class: "cut" });
  root.append(previous, next, text);
  picker.hear(() => {
    const { micrograph: one, list: all } = picker;
    const { at, n } = list.place;
    previous.disabled = at <= 0;
    next.disabled = at >= n - 1;
    text.textContent = one
      ? `${at + 1} of ${n}, ${one.count.toLocaleString("en-US")} picks here, ${(all?.total ?? 0).toLocaleString("en-US")} in all`
      : "";
  });
  return root;
}
