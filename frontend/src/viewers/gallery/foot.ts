/** What is chosen, always in sight; keeping and saving it. */
import { make } from "../dom";
import type { Gallery } from "./gallery";
import { button } from "./parts";
import { askToSave, canSave, loadBackup } from "./saving";
import { TYPES } from "./selection";

export function foot(gallery: Gallery): HTMLElement {
  const bar = make("div", { class: "g-foot" });
  const counts = make("div", { class: "g-counts" });
  counts.setAttribute("aria-live", "polite");
  const acts = make("div", { class: "g-row" });
  bar.append(counts, make("span", { class: "grow" }), acts);
  const number = (n: number) => n.toLocaleString("en-US");
  function show(): void {
    const { info, shown, selection } = gallery;
    const isClasses = info.kind === "classes";
    const noun = isClasses ? "classes" : info.kind === "images" ? "images" : info.kind;
    const count = selection.counts(gallery.particles);
    const all =
      isClasses && info.n_particles !== null ? `, ${number(info.n_particles)} particles` : "";
    const parts: HTMLElement[] = [];
    for (const type of TYPES) {
      const n = count.images[type] ?? 0;
      if (n === 0) continue;
      const share =
        isClasses && info.n_particles
          ? (100 * (count.particles[type] ?? 0)) / info.n_particles
          : null;
      const words = `${number(n)} ${n === 1 ? singular(noun) : noun}${isClasses ? `, ${number(count.particles[type] ?? 0)} particles` : ""}`;
      parts.push(
        make(
          "span",
          { class: "g-count" },
          make("i", { class: `g-type g-t${type}`, text: String(type) }),
          make("b", { text: words }),
          make("span", {
            class: "muted",
            text: share === null ? "" : `${share.toFixed(1)} % of particles`,
          }),
        ),
      );
    }
    if (parts.length === 0) parts.push(make("span", { class: "muted", text: "Nothing selected" }));
    const some = shown.length === info.n ? "" : `${number(shown.length)} shown `;
    parts.push(make("span", { class: "muted", text: `${some}of ${number(info.n)} ${noun}${all}` }));
    counts.replaceChildren(...parts);
    saving(count.images[0] ?? 0);
  }
  function saving(n: number): void {
    const { options, job } = gallery;
    const made: HTMLElement[] = [];
    if (options.job !== null && job && !job.can_save) {
      made.push(make("span", { class: "muted", text: job.why_not ?? "" }));
    }
    if (canSave(gallery)) {
      if (options.job !== null)
        made.push(button("Load backup", () => void loadBackup(gallery), { kind: "quiet" }));
      const save = button("Save selection", () => askToSave(gallery), { kind: "primary" });
      save.disabled = n === 0 || gallery.theirs !== null;
      made.push(save);
    }
    acts.replaceChildren(...made);
  }
  gallery.on((change) => {
    if (change !== "current") show();
  });
  show();
  return bar;
}

function singular(noun: string): string {
  return (
    { classes: "class", movies: "movie", particles: "particle", micrographs: "micrograph" }[noun] ??
    "image"
  );
}

/** What is said while somebody else's choice differs from the one here. */
export function conflictBar(gallery: Gallery): HTMLElement {
  const bar = make("div", { class: "g-conflict" });
  bar.setAttribute("role", "alert");
  function show(): void {
    const { theirs } = gallery;
    bar.hidden = theirs === null;
    if (!theirs) return;
    const mine = gallery.selection.types;
    const differing = [...theirs.keys()].filter((row) => theirs[row] !== mine[row]);
    const n = theirs.reduce((sum, type) => sum + Number(type > 0), 0);
    bar.replaceChildren(
      make("b", { text: "Changed in another window." }),
      make("span", {
        text: `There ${n.toLocaleString("en-US")} are selected, here ${gallery.selection.rows(0).length.toLocaleString("en-US")}; ${differing.length.toLocaleString("en-US")} differ. Nothing is overwritten until you choose.`,
      }),
      make("span", { class: "grow" }),
      button("Take theirs", () => gallery.keeper?.takeTheirs(), { kind: "sm" }),
      button("Keep mine", () => gallery.keeper?.keepMine(), { kind: "sm" }),
    );
  }
  gallery.on((change) => {
    if (change === "job" || change === "selection") show();
  });
  show();
  return bar;
}
