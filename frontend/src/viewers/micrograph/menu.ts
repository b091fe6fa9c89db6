/** The menu of the right button: RELION's entries, and what is there at the pointer. */
import { make } from "../dom";
import { savePicture } from "./picture";
import type { Picker } from "./picker";
import { digits } from "./hud";

type Entry =
  { text: string; act: () => void; detail?: string; isOff?: boolean } | "line" | { title: string };

export function openMenu(picker: Picker, stage: HTMLElement, x: number, y: number): void {
  close(stage);
  const at = picker.view.toImage(x, y);
  const pick = picker.seen.hit(at.x, at.y);
  const menu = make("div", { class: "mg-menu" });
  menu.setAttribute("role", "menu");
  for (const entry of entries(picker, stage, pick?.id ?? null)) {
    if (entry === "line") menu.append(make("hr"));
    else if ("title" in entry) menu.append(make("p", { class: "muted small", text: entry.title }));
    else {
      const made = make("button", {}, make("span", { text: entry.text }));
      if (entry.detail) made.append(make("kbd", { text: entry.detail }));
      made.setAttribute("role", "menuitem");
      made.disabled = entry.isOff === true;
      made.addEventListener("click", () => {
        close(stage);
        entry.act();
      });
      menu.append(made);
    }
  }
  stage.append(menu);
  menu.style.left = `${Math.max(4, Math.min(x, stage.clientWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, stage.clientHeight - menu.offsetHeight - 4))}px`;
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll<HTMLElement>("button:not([disabled])")];
    const now = items.indexOf(document.activeElement as HTMLElement);
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) items[(now + by + items.length) % items.length]?.focus();
    else if (event.key === "Escape" || event.key === "Tab") {
      close(stage);
      stage.querySelector<HTMLElement>(".mg-over")?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  menu.querySelector<HTMLElement>("button:not([disabled])")?.focus();
  const away = (event: Event): void => {
    if (menu.contains(event.target as Node)) return;
    document.removeEventListener("pointerdown", away, true);
    menu.remove();
  };
  document.addEventListener("pointerdown", away, true);
}

function close(stage: HTMLElement): void {
  for (const menu of stage.querySelectorAll(".mg-menu")) menu.remove();
}

function entries(picker: Picker, stage: HTMLElement, id: number | null): Entry[] {
  const pick = picker.doc?.picks.find((one) => one.id === id) ?? null;
  const made: Entry[] = [];
  if (pick) {
    const fom = pick.fom === null ? "" : `, figure of merit ${digits(pick.fom)}`;
    made.push({ title: `Pick at ${pick.x.toFixed(1)}, ${pick.y.toFixed(1)}${fom}` });
    if (picker.isEditable) {
      made.push({
        text: "Delete this pick",
        act: () => picker.edits.remove(new Set([pick.id])),
        detail: "Shift click",
      });
      made.push({
        text: `Set selection type to ${picker.type}`,
        act: () => picker.edits.setType(picker.type, pick),
      });
    }
    made.push("line");
  }
  if (picker.isEditable) {
    made.push(
      {
        text: "Save STAR with coordinates",
        act: () => void picker.edits.save(false),
        detail: "Ctrl S",
      },
      { text: "Reload", act: () => picker.sync?.reload() },
      {
        text: "Clear coordinates",
        act: () => picker.edits.clear(),
        isOff: picker.doc?.picks.length === 0,
      },
      {
        text: "Delete hidden picks",
        act: () => picker.edits.removeBelow(),
        isOff: picker.seen.nShown === picker.doc?.picks.length,
      },
      "line",
    );
  }
  made.push(
    {
      text: picker.areMarksHidden ? "Show marks" : "Hide marks",
      act: () => toggle(picker),
      detail: "H",
    },
    { text: "Show metadata", act: () => metadata(picker, stage) },
    { text: "Save image as PNG", act: () => savePicture(picker, stage) },
  );
  return made;
}

function toggle(picker: Picker): void {
  picker.areMarksHidden = !picker.areMarksHidden;
  picker.tell();
}

/** All that the list says of the micrograph. */
function metadata(picker: Picker, stage: HTMLElement): void {
  const dialog = make("dialog", { class: "mg-metadata", label: "Metadata" });
  const rows = Object.entries({ ...picker.meta, values: undefined, ...picker.facts })
    .filter(([, value]) => ["string", "number"].includes(typeof value))
    .flatMap(([label, value]) => [
      make("dt", { text: label }),
      make("dd", { text: typeof value === "number" ? String(value) : String(value) }),
    ]);
  const close = make("button", { class: "btn", text: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(
    make("h2", { text: picker.micrograph?.name ?? "" }),
    make("dl", {}, ...rows),
    make("div", { class: "mg-row" }, make("span", { class: "grow" }), close),
  );
  stage.append(dialog);
  dialog.showModal();
}
