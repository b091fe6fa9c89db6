/** What a person changes: picks, ticks, and the lists that are written of them. */
import * as api from "./api";
import { DIAMETER } from "./colours";
import type { Picker } from "./picker";
import { newPick, round, type Pick } from "./rows";

export class Edits {
  constructor(private readonly picker: Picker) {}

  add(x: number, y: number): boolean {
    const { picker } = this;
    const { doc } = picker;
    if (!picker.isEditable || !doc || !picker.view.holds(x, y) || picker.seen.hit(x, y)) {
      return false;
    }
    // Among picks that say how large they are, a new one does too.
    const more: Pick["more"] = picker.seen.haveSizes
      ? { [DIAMETER]: picker.settings.diameter_A }
      : {};
    doc.add([newPick(x, y, picker.type, more)]);
    picker.sync?.edited(doc, true);
    // Its ring is drawn by whoever asked; only what depends on other picks is drawn anew.
    if (picker.type !== 1 || picker.list?.filaments) picker.draw();
    return true;
  }

  remove(ids: ReadonlySet<number>): void {
    if (!this.picker.isEditable || !this.picker.doc || ids.size === 0) return;
    this.picker.doc.remove(ids, this.picker.list?.filaments === true);
    this.edited();
  }

  move(id: number, x: number, y: number): void {
    if (!this.picker.isEditable || !this.picker.doc || !this.picker.view.holds(x, y)) return;
    this.picker.doc.change(new Set([id]), (pick) => ({ ...pick, x: round(x), y: round(y) }));
    this.edited();
  }

  setType(type: number, pick: Pick | null = null): void {
    if (pick && this.picker.isEditable && this.picker.doc) {
      this.picker.doc.change(new Set([pick.id]), (one) => ({ ...one, type }));
      this.edited();
    } else this.picker.type = type;
    this.picker.tell();
  }

  clear(): void {
    this.remove(new Set((this.picker.doc?.picks ?? []).map((pick) => pick.id)));
  }

  removeBelow(): void {
    const below = (this.picker.doc?.picks ?? []).filter((pick) => this.picker.seen.isBelow(pick));
    this.remove(new Set(below.map((pick) => pick.id)));
  }

  undo(): void {
    if (this.picker.isEditable && this.picker.doc?.undo()) this.edited();
  }

  redo(): void {
    if (this.picker.isEditable && this.picker.doc?.redo()) this.edited();
  }

  edited(): void {
    if (this.picker.doc) this.picker.sync?.edited(this.picker.doc);
  }

  async tick(rows: number[] | null, selected: boolean | null): Promise<void> {
    const list = this.picker.list;
    if (!list?.editable || this.picker.options.isReadOnly) return;
    for (const row of rows ?? list.micrographs.keys()) {
      const one = list.micrographs[row];
      if (one) one.selected = selected ?? !one.selected;
    }
    this.picker.tell();
    try {
      await api.tick(list.n, { ...(rows ? { rows } : {}), selected });
    } catch (error) {
      this.picker.options.onFail(error);
    }
    await this.picker.relist();
  }

  async save(close: boolean): Promise<void> {
    const n = this.picker.job;
    if (n === null || !this.picker.sync) return;
    if (!(await this.picker.sync.flush())) {
      this.picker.options.onSay("Some picks are not sent yet, so the lists were not written.");
      return;
    }
    try {
      const saved = await api.save(n, close);
      const odd = saved.left_out.length;
      this.picker.options.onSay(
        `${saved.total.toLocaleString("en-US")} picks of ${saved.n_micrographs} micrographs are listed for other jobs.` +
          (odd > 0 ? ` ${odd} left out: an end of a filament is missing.` : ""),
      );
    } catch (error) {
      this.picker.options.onFail(error);
    }
    await this.picker.relist();
  }
}
