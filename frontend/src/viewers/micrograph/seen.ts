/** What is seen of the picks of a micrograph: which are hidden, in what colour, how large. */
import { colourOf, columnsOf, diameterOf, FOM, isManual, type Colouring } from "./colours";
import type { Picker } from "./picker";
import type { Pick } from "./rows";

export class Seen {
  constructor(private readonly picker: Picker) {}

  private get picks(): readonly Pick[] {
    return this.picker.doc?.picks ?? [];
  }

  get foms(): number[] {
    return this.picks.flatMap((pick) => (pick.fom === null || isManual(pick) ? [] : [pick.fom]));
  }

  isBelow(pick: Pick): boolean {
    return (
      this.picker.threshold !== null &&
      pick.fom !== null &&
      !isManual(pick) &&
      pick.fom < this.picker.threshold - 1e-7
    );
  }

  get nShown(): number {
    return this.picks.filter((pick) => !this.isBelow(pick)).length;
  }

  get nManual(): number {
    return this.picks.filter(isManual).length;
  }

  get colouring(): Colouring {
    const { colour } = this.picker.settings;
    const { picks } = this;
    if (colour === "type" || colour === "plain") return { by: colour };
    const columns = columnsOf(picks);
    const label = colour === "auto" ? FOM : colour;
    const range = columns.get(label);
    if (range) {
      const display = (this.picker.list?.display ?? {}) as Record<string, unknown>;
      const isFormed = colour !== "auto" && display["color_label"] === label;
      const [blue, red] = [display["blue_value"], display["red_value"]];
      if (
        isFormed &&
        display["use_colors"] === true &&
        typeof blue === "number" &&
        typeof red === "number"
      ) {
        return { by: "column", label, low: blue, high: red };
      }
      return { by: "column", label, low: range[0], high: range[1] };
    }
    return picks.some((pick) => (pick.type ?? 1) !== 1) ? { by: "type" } : { by: "plain" };
  }

  colour(pick: Pick, how: Colouring): string {
    if (how.by === "column" && isManual(pick)) {
      return (pick.type ?? 1) > 1
        ? (this.picker.types[(pick.type ?? 1) - 1] ?? "")
        : colourOf(pick, { by: "plain" }, this.picker.types);
    }
    return colourOf(pick, how, this.picker.types);
  }

  /** Whether some picks say how large they are. */
  get haveSizes(): boolean {
    return this.picks.some((pick) => diameterOf(pick) > 0);
  }

  /** Radius of the mark of a pick in pixels of the micrograph: its own, where it has one. */
  radiusOf(pick: Pick): number {
    const { picker } = this;
    const own_A = picker.settings.hasOwnSizes ? diameterOf(pick) : 0;
    return own_A ? Math.max(1, own_A / 2 / (picker.pixelSize_A || 1)) : picker.radius_px;
  }

  /** Return the nearest pick whose ring a place lies in. */
  hit(x: number, y: number): Pick | null {
    let best: Pick | null = null;
    let least = Infinity;
    for (const pick of this.picks) {
      const away = Math.hypot(pick.x - x, pick.y - y);
      if (
        away < least &&
        away < this.radiusOf(pick) &&
        !this.isBelow(pick) &&
        !this.picker.erasing.has(pick.id)
      ) {
        [best, least] = [pick, away];
      }
    }
    return best;
  }
}
