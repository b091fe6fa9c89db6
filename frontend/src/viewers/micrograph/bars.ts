/** The bar of a conflict above the picture, and the one below it: next, previous, saved. */
import { icon, make } from "../dom";
import { format, type MicrographList } from "./list";
import type { Picker } from "./picker";
import { patchOf, type Pick } from "./rows";
import { button } from "./toolbar";

/** Somebody else changed these picks: both are shown, and a person chooses. */
export function conflictBar(picker: Picker): HTMLElement {
  const root = make("div", { class: "mg-conflict" });
  root.setAttribute("role", "alert");
  const text = make("span", { class: "grow" });
  const settle = (how: "merge" | "theirs" | "mine") => () => {
    if (picker.doc) picker.sync?.settle(picker.doc, how);
  };
  root.append(
    icon("warn"),
    text,
    button(
      "Merge both",
      "Their picks with your changes made to them",
      settle("merge"),
      undefined,
      "primary",
    ),
    button("Take theirs", "Your changes since are given up", settle("theirs"), undefined, "plain"),
    button(
      "Keep mine",
      "Theirs are replaced by yours; undo brings them back",
      settle("mine"),
      undefined,
      "plain",
    ),
  );
  picker.hear(() => {
    const { doc } = picker;
    const theirs = doc?.theirs;
    root.hidden = !theirs;
    if (!doc || !theirs) return;
    const [ours, other] = [counts(doc.base, doc.picks), counts(doc.base, theirs.picks)];
    text.textContent =
      `Changed elsewhere while you picked here. Theirs (dotted, yellow): ${other}. ` +
      `Yours (rings): ${ours}. Nothing is lost until you choose.`;
  });
  return root;
}

function counts(base: readonly Pick[], now: readonly Pick[]): string {
  const patch = patchOf(base, now);
  const parts = [
    patch.added.length > 0 ? `${format(patch.added.length)} added` : "",
    patch.removed.length > 0 ? `${format(patch.removed.length)} deleted` : "",
    patch.changed.length > 0 ? `${format(patch.changed.length)} changed` : "",
  ].filter(Boolean);
  return `${format(now.length)} picks${parts.length > 0 ? `, ${parts.join(", ")}` : ""}`;
}

/** Steps through the list, and whether all is saved. */
export function footBar(picker: Picker, list: MicrographList): HTMLElement {
  const root = make("div", { class: "mg-bottom" });
  const key = (name: string): HTMLElement => make("kbd", { text: name });
  const previous = button(
    "Previous",
    "Previous micrograph ([)",
    () => list.step(-1),
    "left",
    "plain",
  );
  previous.append(key("["));
  const next = button("Next", "Next micrograph (])", () => list.step(1), undefined, "plain");
  next.append(key("]"), icon("right"));
  const place = make("span", { class: "muted nowrap" });
  const why = make("span", { class: "muted cut" });
  const saved = make("span", { class: "mg-saved" });
  saved.setAttribute("role", "status");
  const keep = button(
    "Save",
    "Write the lists that other jobs read (Ctrl S)",
    () => void picker.edits.save(false),
    undefined,
    "plain",
  );
  const finish = button(
    "Save and close",
    "Write the lists and mark the job as finished",
    () => void picker.edits.save(true),
    undefined,
    "primary",
  );
  root.append(previous, next, place, why, make("span", { class: "grow" }), saved, keep, finish);
  picker.hear(() => {
    const { at, n } = list.place;
    const canEdit = picker.list?.editable === true && !picker.options.isReadOnly;
    place.textContent = n > 0 ? `${format(at + 1)} of ${format(n)}` : "";
    previous.disabled = at <= 0;
    next.disabled = at < 0 || at >= n - 1;
    why.textContent = canEdit ? "" : (picker.list?.why_not ?? "");
    why.title = why.textContent;
    saved.hidden = !canEdit;
    keep.hidden = finish.hidden = !canEdit;
    const [word, state] = savedWord(picker);
    saved.className = `mg-saved ${state}`;
    saved.replaceChildren(...(state === "ok" ? [icon("check")] : []), word);
  });
  return root;
}

function savedWord(picker: Picker): [string, string] {
  const n = picker.sync?.nUnsent ?? 0;
  const doc = picker.doc;
  if (doc?.refusal) return [`Not saved: ${doc.refusal}`, "bad"];
  if (doc?.theirs) return ["Choose above what is kept", "wait"];
  if (n > 0 && picker.sync?.isOffline) {
    return [
      `Not connected. ${format(n)} change${n === 1 ? "" : "s"} kept here, sent later`,
      "wait",
    ];
  }
  if (n > 0) return ["Saving…", "busy"];
  return ["All picks saved", "ok"];
}
