/** The picture with its marks: two canvases, one over the other. */
import { rem } from "../../lib/rem";
import { make } from "../dom";
import { isManual, PLAIN } from "./colours";
import { drawLines, Marks, type Ring } from "./marks";
import type { Picker } from "./picker";
import type { Pick } from "./rows";

export class Stage {
  readonly root = make("div", { class: "mg-stage" });
  readonly picture = make("canvas", { class: "mg-picture" });
  readonly over = make("canvas", { class: "mg-over" });
  /** What was drawn last, for tests. */
  nMarks = 0;
  nFrames = 0;
  lastPick_ms = 0;
  lastDraw_ms = 0;
  private readonly marks = new Marks();
  private readonly watch: ResizeObserver;

  constructor(private readonly picker: Picker) {
    this.over.tabIndex = 0;
    this.over.setAttribute("role", "application");
    this.picture.setAttribute("aria-hidden", "true");
    this.root.append(this.picture, this.over);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.root);
    picker.onDraw(() => this.draw());
    picker.hear(() => this.name());
  }

  destroy(): void {
    this.watch.disconnect();
  }

  get ratio(): number {
    return Math.min(3, window.devicePixelRatio || 1);
  }

  /** Add a pick and show it in the next frame, however many marks there are. */
  pick(x: number, y: number, since: number): void {
    const { picker } = this;
    if (!picker.edits.add(x, y)) return;
    const pick = picker.doc?.picks[picker.doc.picks.length - 1];
    const over = this.over.getContext("2d");
    if (pick && over && !picker.areMarksHidden) {
      const colour = picker.seen.colour(pick, picker.seen.colouring);
      const ring = { x: pick.x, y: pick.y, colour, ...this.size(pick) };
      const radius = picker.radius_px * picker.view.scale;
      this.nMarks += this.marks.draw(over, picker.view, this.ratio, [ring], radius);
    }
    // A frame later it has been painted.
    requestAnimationFrame(() => setTimeout(() => (this.lastPick_ms = performance.now() - since)));
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.root;
    for (const canvas of [this.picture, this.over]) {
      canvas.width = Math.max(1, Math.round(clientWidth * this.ratio));
      canvas.height = Math.max(1, Math.round(clientHeight * this.ratio));
    }
    this.picker.view.resize(clientWidth, clientHeight);
    this.draw();
    this.picker.tell();
  }

  private name(): void {
    const { picker } = this;
    this.picture.classList.toggle("inverted", picker.settings.isInverted);
    const n = picker.doc?.picks.length ?? 0;
    this.over.setAttribute(
      "aria-label",
      `Micrograph ${picker.micrograph?.name ?? ""} with ${n} picks, ${picker.seen.nShown} shown`,
    );
  }

  draw(): void {
    const begun = performance.now();
    const { picker } = this;
    const [under, over] = [this.picture.getContext("2d"), this.over.getContext("2d")];
    if (!under || !over) return;
    picker.tiles.draw(under, picker.view, this.ratio);
    over.setTransform(1, 0, 0, 1, 0, 0);
    over.clearRect(0, 0, this.over.width, this.over.height);
    this.nMarks = 0;
    if (!picker.areMarksHidden && picker.meta) this.drawPicks(over);
    this.drawRuler(over);
    this.nFrames += 1;
    this.lastDraw_ms = performance.now() - begun;
  }

  private drawPicks(over: CanvasRenderingContext2D): void {
    const { picker, ratio } = this;
    const radius = picker.radius_px * picker.view.scale;
    for (const other of picker.sets.others) {
      if (!other.isShown) continue;
      // As large as those they are compared with, they would hide below them.
      const smaller = other.diameter_A ? 1 : 0.82;
      const rings = other.picks.map((pick) => ({
        x: pick.x,
        y: pick.y,
        colour: other.colour,
        radius: rounded(picker.sets.radiusOf(other, pick) * picker.view.scale * smaller),
      }));
      this.marks.draw(over, picker.view, ratio, rings, radius);
    }
    const how = picker.seen.colouring;
    const rings: Ring[] = [];
    const faint: Ring[] = [];
    for (const pick of picker.doc?.picks ?? []) {
      if (picker.erasing.has(pick.id)) continue;
      const at = picker.moving?.id === pick.id ? picker.moving : pick;
      const size = this.size(pick);
      if (picker.seen.isBelow(pick)) {
        faint.push({ x: at.x, y: at.y, colour: "#ffffff", isFaint: true, ...size });
      } else {
        const sign = how.by === "type" || (isManual(pick) && (pick.type ?? 1) > 1);
        rings.push({
          x: at.x,
          y: at.y,
          colour: picker.seen.colour(pick, how),
          ...(sign ? { sign: String(pick.type ?? "") } : {}),
          isChosen: at !== pick,
          ...size,
        });
      }
    }
    if (picker.settings.areHiddenDotted) {
      this.marks.draw(over, picker.view, ratio, faint, radius);
    }
    if (picker.list?.filaments) this.drawFilaments(over);
    this.nMarks = this.marks.draw(over, picker.view, ratio, rings, radius);
    const theirs = picker.doc?.theirs;
    if (theirs) {
      const dotted = theirs.picks.map((pick) => ({
        x: pick.x,
        y: pick.y,
        colour: "#ffe36b",
        isFaint: true,
      }));
      this.marks.draw(over, picker.view, ratio, dotted, radius * 1.18);
    }
  }

  /** How large the ring of a pick is, where that is not as large as all others. */
  private size(pick: Pick): { radius?: number } {
    const { picker } = this;
    const own = picker.seen.radiusOf(pick);
    return own === picker.radius_px ? {} : { radius: rounded(own * picker.view.scale) };
  }

  private drawFilaments(over: CanvasRenderingContext2D): void {
    const { picker } = this;
    const picks = (picker.doc?.picks ?? []).filter((pick) => !picker.erasing.has(pick.id));
    const place = (pick: Pick): { x: number; y: number } =>
      picker.moving?.id === pick.id ? picker.moving : pick;
    const lines: [number, number, number, number][] = [];
    for (let n = 0; n + 1 < picks.length; n += 2) {
      const [a, b] = [place(picks[n] as Pick), place(picks[n + 1] as Pick)];
      lines.push([a.x, a.y, b.x, b.y]);
    }
    const open = picks.length % 2 === 1 ? picks[picks.length - 1] : undefined;
    if (open && picker.pointer && picker.tool === "pick") {
      over.save();
      over.setLineDash([6, 5]);
      const { x, y } = picker.pointer;
      drawLines(over, picker.view, this.ratio, [[open.x, open.y, x, y]], PLAIN);
      over.restore();
    }
    drawLines(over, picker.view, this.ratio, lines, PLAIN);
  }

  private drawRuler(over: CanvasRenderingContext2D): void {
    const { picker, ratio } = this;
    const { ruler, view } = picker;
    if (ruler) {
      drawLines(over, view, ratio, [[ruler.x0, ruler.y0, ruler.x1, ruler.y1]], "#ffd24a");
      const unit = (ratio * rem()) / 10;
      const at = view.toScreen(ruler.x1, ruler.y1);
      const text = lengthText(ruler, picker.pixelSize_A);
      over.font = `600 ${12 * unit}px sans-serif`;
      const wide = over.measureText(text).width + 12 * unit;
      const right = Math.min((view.width - 4) * ratio - wide, (at.x + 10) * ratio);
      const top = Math.min(
        view.height * ratio - 26 * unit,
        Math.max(4 * ratio, at.y * ratio - 28 * unit),
      );
      over.fillStyle = "rgb(18 22 24 / 0.82)";
      over.fillRect(right, top, wide, 22 * unit);
      over.fillStyle = "#fff";
      over.textBaseline = "middle";
      over.textAlign = "left";
      over.fillText(text, right + 6 * unit, top + 11 * unit);
    }
    if (picker.hasCross && picker.pointer) {
      const { x, y } = picker.pointer;
      const arm = 9 / view.scale;
      drawLines(
        over,
        view,
        ratio,
        [
          [x - arm, y, x + arm, y],
          [x, y - arm, x, y + arm],
        ],
        "#ffd24a",
      );
    }
    if (picker.tool === "erase" && picker.pointer && picker.isEditable) {
      const at = view.toScreen(picker.pointer.x, picker.pointer.y);
      const radius = (picker.settings.brush_A / 2 / (picker.pixelSize_A || 1)) * view.scale;
      over.beginPath();
      over.arc(at.x * ratio, at.y * ratio, radius * ratio, 0, 2 * Math.PI);
      over.fillStyle = "rgb(255 106 94 / 0.14)";
      over.fill();
      over.lineWidth = 1.5 * ratio;
      over.strokeStyle = "#ff8a80";
      over.stroke();
    }
  }
}

/** Rings of nearly the same size share their stamp. */
const rounded = (radius: number): number => Math.max(1, Math.round(radius * 2) / 2);

export function lengthText(
  ruler: { x0: number; y0: number; x1: number; y1: number },
  pixelSize_A: number,
): string {
  const length = Math.hypot(ruler.x1 - ruler.x0, ruler.y1 - ruler.y0);
  const pixels = `${length.toFixed(1)} px`;
  if (!pixelSize_A) return pixels;
  const far = length * pixelSize_A;
  return `${far >= 1000 ? `${(far / 10).toFixed(1)} nm` : `${far.toFixed(1)} Å`}, ${pixels}`;
}
