/** Keys of the whole window. Viewers and fields that use a key stop it before it comes here. */
import { dialogs } from "./dialogs.svelte";
import { frame } from "./frame.svelte";
import { notices } from "./notices.svelte";
import { project } from "./project.svelte";
import { jobAddress, router } from "./router.svelte";
import { runAction } from "./actions";
import { settings } from "./settings.svelte";

export type KeyRow = { keys: string; what: string; where: string };

/** All keys, for the page of keys; those of the viewers too. */
export const KEYS: readonly KeyRow[] = [
  { keys: "Ctrl K", what: "Find a job, an option, a command", where: "Everywhere" },
  { keys: "/", what: "Filter the list", where: "Everywhere" },
  { keys: "N", what: "New job", where: "Everywhere" },
  {
    keys: "G, then O G F S",
    what: "Go to Overview, Graph, Files, Scheduled runs",
    where: "Everywhere",
  },
  { keys: "J  K", what: "Next, previous job of the list", where: "Everywhere" },
  { keys: "1 – 6", what: "Tab of the page", where: "Job" },
  { keys: "D", what: "Display", where: "Job" },
  { keys: ",  .", what: "A job that this one reads; a job that reads this one", where: "Job" },
  { keys: "Ctrl Enter", what: "Run, Continue or Overwrite", where: "Form" },
  { keys: "Ctrl O", what: "Show a file", where: "Everywhere" },
  { keys: "F", what: "Full window, and back", where: "Everywhere" },
  { keys: "?", what: "This list", where: "Everywhere" },
  { keys: "Esc", what: "Close what is open", where: "Everywhere" },
  { keys: "Arrows, Page, Home, End", what: "Go to another image", where: "Gallery" },
  { keys: "Space", what: "Select the image, or not", where: "Gallery" },
  { keys: "Shift + click or arrows", what: "Select a range", where: "Gallery" },
  { keys: "Drag, Ctrl + drag", what: "Select, deselect what the frame touches", where: "Gallery" },
  { keys: "1 – 6", what: "Selection type", where: "Gallery" },
  { keys: "A  B", what: "Select all above, below", where: "Gallery" },
  { keys: "I", what: "Invert the selection", where: "Gallery" },
  { keys: "Ctrl A, Delete", what: "Select all that is shown; clear", where: "Gallery" },
  { keys: "Ctrl Z, Ctrl Y", what: "Undo, redo", where: "Gallery" },
  { keys: "Enter, M, T", what: "Original image, all values, Fourier amplitudes", where: "Gallery" },
  { keys: "+  -", what: "Larger, smaller images", where: "Gallery" },
  { keys: "Ctrl S", what: "Save the selection", where: "Gallery" },
  { keys: "Shift F10", what: "Menu of the image (right click)", where: "Gallery" },
  { keys: "P  E  M  R", what: "Pick, erase, look, measure", where: "Picker" },
  { keys: "[  ]", what: "Previous, next micrograph", where: "Picker" },
  { keys: "U", what: "Use this micrograph, or not", where: "Picker" },
  { keys: "Ctrl Z, Ctrl Y", what: "Undo, redo", where: "Picker" },
  {
    keys: "Shift or middle click",
    what: "Delete a pick; dragged: all on the way",
    where: "Picker",
  },
  { keys: "1 – 6", what: "Selection type of new picks", where: "Picker" },
  {
    keys: "Arrows, Enter, Delete",
    what: "A cross on the picture: add, delete there",
    where: "Picker",
  },
  { keys: "+  –  0  =", what: "Zoom in, out, fit, 1:1; Space and drag pans", where: "Picker" },
  { keys: "H  I  T", what: "Hide marks, invert greys, Fourier amplitudes", where: "Picker" },
  { keys: "Ctrl S", what: "Save the lists that other jobs read", where: "Picker" },
  { keys: "X  Y  Z", what: "Look along an axis; with Shift from behind", where: "Volume" },
  { keys: "Arrows", what: "Turn; with Shift move", where: "Volume" },
  { keys: "+  -  0", what: "Larger, smaller, reset the view", where: "Volume" },
  { keys: "O", what: "Perspective or orthographic", where: "Volume" },
  { keys: "Alt R", what: "Re-read pipeline", where: "As in RELION" },
  { keys: "Alt N", what: "Remake .Nodes/", where: "As in RELION" },
  { keys: "Alt Z", what: "Start page (initial screen)", where: "As in RELION" },
  { keys: "Alt T", what: "Trash", where: "As in RELION" },
  { keys: "Alt U", what: "Undelete job(s)", where: "As in RELION" },
  { keys: "Alt A, Alt C", what: "Finished jobs by alias, by time", where: "As in RELION" },
  { keys: "Alt G, Alt H", what: "Gently, harshly clean all jobs", where: "As in RELION" },
];

const ALT: Readonly<Record<string, string>> = {
  r: "reread",
  n: "remake-nodes",
  z: "start-page",
  t: "trash",
  u: "trash",
  g: "clean-gently",
  h: "clean-harshly",
};

let isGoing = false;

export function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    if (key === "k") take(event, () => dialogs.show({ kind: "palette" }));
    else if (key === "o") take(event, () => dialogs.show({ kind: "open-file" }));
    return;
  }
  if (event.altKey) {
    alt(event, key);
    return;
  }
  if (event.key === "Escape") escape();
  else if (!isTyping(event) && settings.singleKeys && dialogs.open === null) single(event);
}

function alt(event: KeyboardEvent, key: string): void {
  if (event.ctrlKey || event.metaKey || isTyping(event)) return;
  const action = ALT[key];
  if (action) take(event, () => runAction(action));
  else if (key === "a" || key === "c") {
    take(event, () => {
      settings.order = key === "a" ? "alias" : "newest";
      settings.keep();
    });
  }
}

function single(event: KeyboardEvent): void {
  if (isGoing) {
    isGoing = false;
    const to = { o: "#/", g: "#/graph", f: "#/files", s: "#/runs" }[event.key.toLowerCase()];
    if (to) take(event, () => router.go(to));
    return;
  }
  switch (event.key) {
    case "/":
      take(event, () => frame.focusFilter());
      break;
    case "?":
      take(event, () => dialogs.show({ kind: "keys" }));
      break;
    case "n":
    case "N":
      if (!project.isReadOnly) take(event, () => frame.newJob());
      break;
    case "g":
    case "G":
      isGoing = true;
      setTimeout(() => (isGoing = false), 1500);
      break;
    case "f":
    case "F":
      take(event, () => (frame.isWhole = !frame.isWhole));
      break;
    case "j":
    case "k":
      take(event, () => step(event.key === "j" ? 1 : -1));
      break;
    case ",":
    case ".":
      take(event, () => walk(event.key === "," ? "inputs" : "outputs"));
      break;
    case "d":
    case "D":
      take(event, () => press(".display-button"));
      break;
    default:
      if (/^[1-6]$/.test(event.key)) {
        take(event, () => press(`main .tabs [role=tab]:nth-of-type(${event.key})`));
      }
  }
}

function take(event: KeyboardEvent, act: () => void): void {
  event.preventDefault();
  act();
}

function press(selector: string): void {
  document.querySelector<HTMLElement>(selector)?.click();
}

/** Go to the next or previous job as the sidebar lists them. */
function step(by: number): void {
  const { running, scheduled, finished } = project.lists;
  const all = [...running, ...scheduled, ...finished];
  const at = all.findIndex((job) => job.n === router.job);
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  if (next) router.go(jobAddress(next.n, router.tab));
}

function walk(side: "inputs" | "outputs"): void {
  const job = router.job === null ? undefined : project.byNumber.get(router.job);
  if (!job) return;
  const next = job[side][0];
  if (next === undefined) {
    notices.say(
      side === "inputs" ? "No job made what this one reads." : "No job reads what this one made.",
    );
  } else router.go(jobAddress(next));
}

function escape(): void {
  if (dialogs.open) dialogs.close();
  else if (frame.isWhole) frame.isWhole = false;
  else frame.isDrawerOpen = false;
}

function isTyping(event: Event): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.closest("[data-own-keys]")) return true;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "range", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
