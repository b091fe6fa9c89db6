/** Saving what is chosen: in its Select job, in a new one, or as a STAR file of this computer. */
import { address, ApiError, ask } from "../../api/client";
import type { components } from "../../api/schema";
import type { MadeJob } from "../../api/types";
import { contents, count } from "../../lib/format";
import { token } from "../../lib/random";
import { make } from "../dom";
import type { Gallery } from "./gallery";
import type { JobSelection } from "./keeper";
import { button, dialog, numberField, select, tick } from "./parts";
import { TYPE_NAMES, TYPES } from "./selection";

type Saved = components["schemas"]["SelectionSaved"];
const INPUTS: Readonly<Record<string, string>> = {
  classes: "optimiser",
  micrographs: "micrographs",
  particles: "particles",
};

/** Whether what is shown can become a Select job. */
export function canSave(gallery: Gallery): boolean {
  if (gallery.options.isReadOnly) return false;
  if (gallery.options.job !== null) return gallery.job?.can_save ?? false;
  return gallery.info.kind in INPUTS && gallery.info.path.endsWith(".star");
}

/** Ask how to save, and do it. */
export function askToSave(gallery: Gallery): void {
  if (!canSave(gallery)) {
    gallery.options.onSay(gallery.job?.why_not ?? "This list cannot be saved as a selection.");
    return;
  }
  const isClasses = gallery.info.kind === "classes";
  const counts = gallery.selection.counts(gallery.particles);
  const used = TYPES.filter((type) => (counts.images[type] ?? 0) > 0);
  const how = {
    type: used.length > 1 ? gallery.paint : 0,
    regroup: gallery.job?.regroup ?? 0,
    isRegrouped: gallery.job?.regroup != null,
    recentre: gallery.job?.recentre ?? false,
    most: 0,
  };
  if (how.type > 0 && !used.includes(how.type as (typeof TYPES)[number])) how.type = 0;
  const where = gallery.options.job === null ? "a new Select job" : `job ${gallery.options.job}`;
  const { body, acts, close } = dialog(`Save the selection in ${where}`);
  const told = make("p");
  const form = make("div", { class: "formrow" });
  function tellCount(): void {
    const images = counts.images[how.type] ?? 0;
    const parts = isClasses ? `, ${count(counts.particles[how.type] ?? 0, "particle")}` : "";
    const what = isClasses
      ? count(images, "class", "classes")
      : contents(gallery.info.kind, images);
    told.textContent =
      images === 0 ? "Nothing is selected, so there is nothing to save." : `Saves ${what}${parts}.`;
    save.disabled = images === 0;
  }
  if (used.length > 1) {
    const choices = [
      { value: "0", text: "All types" },
      ...used.map((type) => ({ value: String(type), text: `Type ${type} (${TYPE_NAMES[type]})` })),
    ];
    form.append(
      make("span", { text: "What is saved" }),
      select("What is saved", choices, String(how.type), (value) => {
        how.type = Number(value);
        tellCount();
      }),
    );
  }
  if (isClasses) {
    const groups = numberField(
      "About how many groups",
      how.regroup || 1,
      (n) => (how.regroup = n),
      { min: 1, step: 1 },
    );
    groups.disabled = !how.isRegrouped;
    form.append(
      tick("Regroup the particles into about this many groups", how.isRegrouped, (on) => {
        how.isRegrouped = on;
        groups.disabled = !on;
      }),
      groups,
      tick("Re-centre the class averages", how.recentre, (on) => (how.recentre = on)),
      make("span", { class: "muted small", text: "2D averages, by their centre of mass" }),
      make("span", { text: "At most this many particles of each class" }),
      numberField("Most particles of a class", 0, (n) => (how.most = n), {
        min: 1,
        step: 1,
        empty: "all",
      }),
    );
  }
  body.append(told, form);
  const save = button(
    "Save",
    () => {
      save.disabled = true;
      void doSave(gallery, how).then((isDone) => (isDone ? close() : (save.disabled = false)));
    },
    { kind: "primary" },
  );
  acts.append(button("Cancel", close, { kind: "" }), save);
  tellCount();
  save.focus();
}

type How = { type: number; regroup: number; isRegrouped: boolean; recentre: boolean; most: number };

async function doSave(gallery: Gallery, how: How): Promise<boolean> {
  const { options, keeper } = gallery;
  try {
    if (options.job !== null && keeper && !(await keeper.flush())) return false;
    const n = options.job ?? (await makeJob(gallery));
    const body = {
      action: "save",
      types: [...gallery.selection.types],
      version: options.job === null ? "" : (keeper?.base ?? ""),
      save_type: how.type,
      regroup: how.isRegrouped ? Math.max(1, Math.round(how.regroup)) : null,
      recentre: how.recentre,
      max_per_class: how.most > 0 ? Math.round(how.most) : null,
    };
    const saved = await ask<Saved>("POST", `selections/${n}`, { body });
    keeper?.saved(options.job === null ? keeper.base : saved.version);
    options.onSay(saved.message);
    if (options.job === null) options.go(`#/job/${n}`);
    else void gallery.readJob(n);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 409 && options.job !== null) {
      await keeper?.load();
    }
    options.onFail(error);
    return false;
  }
}

/** Make a Select job of what is shown and return its number. */
export async function makeJob(gallery: Gallery): Promise<number> {
  const key = INPUTS[gallery.info.kind];
  if (!key) throw new Error("This list cannot be the input of a Select job.");
  const body = {
    word: "select",
    values: { [key]: gallery.info.path },
    mode: "run",
    request_id: token(),
  };
  return (await ask<MadeJob>("POST", "jobs", { body })).n;
}

/** Make a Select job that starts with what is chosen here, and open it. */
export async function selectInJob(gallery: Gallery): Promise<void> {
  try {
    const n = await makeJob(gallery);
    if (gallery.selection.rows(0).length > 0) {
      const now = await ask<JobSelection>("GET", `selections/${n}`);
      const body = { action: "backup", types: [...gallery.selection.types], version: now.version };
      await ask<Saved>("POST", `selections/${n}`, { body });
    }
    gallery.options.go(`#/job/${n}`);
  } catch (error) {
    gallery.options.onFail(error);
  }
}

/** Save the rows that are chosen as a STAR file of this computer. */
export async function saveStar(gallery: Gallery): Promise<void> {
  const rows = gallery.selection.rows(0);
  if (rows.length === 0) {
    gallery.options.onSay("Select some images first.");
    return;
  }
  const answer = await fetch(address("images/star"), {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path: gallery.info.path, rows }),
  });
  if (!answer.ok) {
    gallery.options.onFail(new Error(`The server answered ${answer.status}.`));
    return;
  }
  const link = make("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = "selected.star";
  link.click();
  URL.revokeObjectURL(link.href);
  gallery.options.onSay(`${rows.length.toLocaleString("en-US")} rows in selected.star.`);
}

/** Load what is kept at the server: RELION's backup selection. */
export async function loadBackup(gallery: Gallery): Promise<void> {
  const { job } = gallery.options;
  if (job === null) {
    await gallery.keeper?.load();
    return;
  }
  try {
    const kept = await ask<JobSelection>("GET", `selections/${job}`);
    const before = gallery.selection.types;
    const rows = kept.types.flatMap((type, row) => (type === before[row] ? [] : [row]));
    for (const type of [0, ...TYPES]) {
      gallery.selection.set(
        rows.filter((row) => kept.types[row] === type),
        type,
      );
    }
    gallery.options.onSay("The backup is loaded.");
  } catch (error) {
    gallery.options.onFail(error);
  }
}
