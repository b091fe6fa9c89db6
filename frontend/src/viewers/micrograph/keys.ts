/** Keys of the picker, wherever the cursor is but in a field. */
import { openMenu } from "./menu";
import type { Picker, Tool } from "./picker";
import type { Pointer } from "./pointer";
import type { Stage } from "./stage";
import { choose } from "./toolbar";

type Parts = {
  picker: Picker;
  stage: Stage;
  pointer: Pointer;
  step: (by: number) => void;
};

const TOOLS: Readonly<Record<string, Tool>> = { p: "pick", e: "erase", m: "move", r: "ruler" };
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Listen to keys; returns how to stop. */
export function keys(parts: Parts): () => void {
  const { pointer, stage } = parts;
  const down = (event: KeyboardEvent): void => {
    if (isElsewhere(event, stage)) return;
    if (event.key === " " && event.target === stage.over) pointer.isSpaceHeld = true;
    if (onKey(event, parts)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  const up = (event: KeyboardEvent): void => {
    if (event.key === " ") pointer.isSpaceHeld = false;
  };
  window.addEventListener("keydown", down, true);
  window.addEventListener("keyup", up, true);
  return () => {
    window.removeEventListener("keydown", down, true);
    window.removeEventListener("keyup", up, true);
  };
}

function isElsewhere(event: KeyboardEvent, stage: Stage): boolean {
  if (!stage.root.isConnected || document.querySelector("dialog[open]")) return true;
  const { target } = event;
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement) return true;
  if (target instanceof HTMLSelectElement) return true;
  if (target.getAttribute("role") === "menuitem") return true;
  if (!(target instanceof HTMLInputElement)) return false;
  const isText = !["checkbox", "radio", "button"].includes(target.type);
  return isText;
}

function onKey(event: KeyboardEvent, parts: Parts): boolean {
  const { picker } = parts;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && !event.altKey) return withControl(event, key, picker);
  if (event.altKey) return false;
  const arrow = ARROWS[event.key];
  if (arrow && event.target === parts.stage.over) return cross(arrow, event.shiftKey, parts);
  if (event.target === parts.stage.over && atCross(event, key, parts)) return true;
  if (!picker.options.hasSingleKeys()) return false;
  return single(key, parts);
}

function withControl(event: KeyboardEvent, key: string, picker: Picker): boolean {
  if (key === "z") {
    if (event.shiftKey) picker.edits.redo();
    else picker.edits.undo();
  } else if (key === "y") picker.edits.redo();
  else if (key === "s") {
    if (!picker.list?.editable) return false;
    void picker.edits.save(false);
  } else if (/^[1-6]$/.test(key)) picker.edits.setType(Number(key));
  else return false;
  return true;
}

function single(key: string, parts: Parts): boolean {
  const { picker } = parts;
  const canEdit = picker.list?.editable === true && !picker.options.isReadOnly;
  const tool = TOOLS[key];
  if (tool) {
    if (!canEdit && (tool === "pick" || tool === "erase")) return false;
    choose(picker, tool);
    return true;
  }
  if (/^[1-6]$/.test(key) && canEdit) {
    picker.edits.setType(Number(key));
    return true;
  }
  switch (key) {
    case "[":
      parts.step(-1);
      break;
    case "]":
      parts.step(1);
      break;
    case "u":
      if (!canEdit || !picker.micrograph) return false;
      void picker.edits.tick([picker.row], !picker.micrograph.selected);
      break;
    case "+":
      picker.view.zoom(1.25);
      break;
    case "-":
      picker.view.zoom(0.8);
      break;
    case "0":
      picker.view.fit();
      break;
    case "=":
      picker.view.setScale(1);
      break;
    case "h":
      picker.areMarksHidden = !picker.areMarksHidden;
      break;
    case "i":
      picker.set({ isInverted: !picker.settings.isInverted });
      break;
    case "t":
      picker.isFourier = !picker.isFourier;
      break;
    default:
      return false;
  }
  picker.tell();
  return true;
}

/** Move a cross by the arrows: the place where Enter adds and Delete takes away. */
function cross([dx, dy]: readonly [number, number], isFine: boolean, parts: Parts): boolean {
  const { picker } = parts;
  const step = (isFine ? 1 : 12) / picker.view.scale;
  const from = picker.pointer ?? { x: picker.view.x, y: picker.view.y };
  const x = Math.min(picker.view.imageWidth - 1, Math.max(0, from.x + dx * step));
  const y = Math.min(picker.view.imageHeight - 1, Math.max(0, from.y + dy * step));
  picker.pointer = { x, y, value: null };
  picker.hasCross = true;
  const at = picker.view.toScreen(x, y);
  const { width, height } = picker.view;
  if (at.x < 20 || at.y < 20 || at.x > width - 20 || at.y > height - 20) {
    picker.view.pan(-dx * width * 0.25, -dy * height * 0.25);
  }
  picker.point();
  picker.draw();
  return true;
}

function atCross(event: KeyboardEvent, key: string, parts: Parts): boolean {
  const { picker, stage } = parts;
  const at = picker.pointer;
  if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
    const place = at ? picker.view.toScreen(at.x, at.y) : { x: 40, y: 40 };
    openMenu(picker, stage.root, place.x, place.y);
    return true;
  }
  if (!at) return false;
  if (event.key === "Enter") {
    stage.pick(at.x, at.y, event.timeStamp);
    return true;
  }
  if (event.key === "Delete" || event.key === "Backspace" || key === "x") {
    const pick = picker.seen.hit(at.x, at.y);
    if (pick) picker.edits.remove(new Set([pick.id]));
    return true;
  }
  return false;
}
