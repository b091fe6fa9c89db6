/** Other sets of picks: to compare with, and to take over. */
import * as api from "./api";
import { DIAMETER, diameterOf, SETS } from "./colours";
import type { Picker } from "./picker";
import type { Pick } from "./rows";

export type OtherSet = {
  path: string;
  title: string;
  colour: string;
  isShown: boolean;
  /** Of its marks; 0 for that of the picks they are compared with. */
  diameter_A: number;
  picks: readonly Pick[];
};

export class Sets {
  readonly others: OtherSet[] = [];

  constructor(private readonly picker: Picker) {}

  async add(path: string, title: string): Promise<void> {
    const colour = SETS[this.others.length % SETS.length] ?? SETS[0];
    const other: OtherSet = { path, title, colour, isShown: true, diameter_A: 0, picks: [] };
    this.others.push(other);
    await this.load(other);
  }

  async load(other: OtherSet): Promise<void> {
    const [row, name] = [this.picker.row, this.picker.micrograph?.name ?? ""];
    other.picks = [];
    try {
      const found = await api.picksOf(other.path, name);
      if (row !== this.picker.row) return;
      other.diameter_A ||= found.diameter_A ?? 0;
      other.picks = found.x.map((x, n) => ({
        id: -n - 1,
        x,
        y: found.y[n] ?? 0,
        fom: found.fom[n] ?? null,
        type: found.type[n] ?? null,
        more: { [DIAMETER]: (found.columns[DIAMETER]?.[n] ?? null) as api.Cell },
      }));
    } catch (error) {
      this.picker.options.onFail(error);
    }
    this.picker.tell();
  }

  /** Radius of a mark of another set in pixels of the micrograph. */
  radiusOf(other: OtherSet, pick: Pick): number {
    const { picker } = this;
    const own_A = picker.settings.hasOwnSizes ? diameterOf(pick) : 0;
    const diameter_A = own_A || other.diameter_A || picker.settings.diameter_A;
    return Math.max(1, diameter_A / 2 / (picker.pixelSize_A || 1));
  }

  /** Take the picks of another list for every micrograph without picks, or for this one. */
  async take(path: string, row?: number): Promise<void> {
    if (this.picker.job === null) return;
    try {
      const found = await api.load(this.picker.job, {
        path,
        ...(row === undefined ? {} : { row }),
      });
      this.picker.options.onSay(
        `${found.n_picks.toLocaleString("en-US")} picks of ${found.n_micrographs} micrographs were taken over.`,
      );
    } catch (error) {
      this.picker.options.onFail(error);
    }
    await this.picker.relist();
    this.picker.sync?.reload();
  }
}
