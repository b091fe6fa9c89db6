/** Marks of picks: rings stamped from prepared ones, which is what keeps thousands fast. */
import { rem } from "../../lib/rem";
import type { View } from "./view";

export type Ring = {
  x: number;
  y: number;
  colour: string;
  /** Drawn dotted and thin: below the threshold, or of another set. */
  isFaint?: boolean;
  /** A digit in the middle. */
  sign?: string;
  isChosen?: boolean;
  /** In CSS pixels, where it is not that of the others. */
  radius?: number;
};

const LARGE = 260;

export class Marks {
  private readonly stamps = new Map<string, HTMLCanvasElement>();

  /** Draw rings of a radius in CSS pixels, or of their own; those out of sight are left out. */
  draw(
    context: CanvasRenderingContext2D,
    view: View,
    ratio: number,
    rings: Iterable<Ring>,
    radius: number,
  ): number {
    if (this.stamps.size > 400) this.stamps.clear();
    const plain = new Map<string, HTMLCanvasElement>();
    let n = 0;
    for (const ring of rings) {
      const at = view.toScreen(ring.x, ring.y);
      const wide = ring.radius ?? radius;
      const edge = wide + 6;
      if (at.x < -edge || at.y < -edge || at.x > view.width + edge || at.y > view.height + edge) {
        continue;
      }
      n += 1;
      const isPlain = !ring.isFaint && !ring.isChosen && !ring.sign && wide <= LARGE;
      const key = ring.radius === undefined ? ring.colour : `${ring.colour}|${wide}`;
      const known = isPlain ? plain.get(key) : undefined;
      if (known) {
        const half = known.width / 2;
        context.drawImage(known, Math.round(at.x * ratio - half), Math.round(at.y * ratio - half));
        continue;
      }
      const made = this.stamp(context, at.x, at.y, ratio, ring, wide);
      if (isPlain && made) plain.set(key, made);
    }
    return n;
  }

  private stamp(
    context: CanvasRenderingContext2D,
    x: number,
    y: number,
    ratio: number,
    ring: Ring,
    radius: number,
  ): HTMLCanvasElement | null {
    if (radius > LARGE) {
      context.save();
      context.scale(ratio, ratio);
      context.translate(x, y);
      strokes(context, ring, radius);
      context.restore();
      return null;
    }
    const key = `${ring.colour}|${ring.isFaint ? 1 : 0}|${ring.isChosen ? 1 : 0}|${ring.sign ?? ""}|${radius.toFixed(1)}|${ratio}`;
    let picture = this.stamps.get(key);
    if (!picture) {
      const half = Math.ceil((radius + 4) * ratio);
      picture = document.createElement("canvas");
      picture.width = picture.height = half * 2;
      const inside = picture.getContext("2d");
      if (inside) {
        inside.translate(half, half);
        inside.scale(ratio, ratio);
        strokes(inside, ring, radius);
      }
      this.stamps.set(key, picture);
    }
    const half = picture.width / 2;
    context.drawImage(picture, Math.round(x * ratio - half), Math.round(y * ratio - half));
    return picture;
  }
}

function strokes(context: CanvasRenderingContext2D, ring: Ring, radius: number): void {
  const width = ring.isChosen ? 3 : radius < 6 ? 1.25 : 1.75;
  context.beginPath();
  context.arc(0, 0, Math.max(1.5, radius), 0, 2 * Math.PI);
  if (ring.isFaint) {
    context.setLineDash([3, 4]);
    context.lineWidth = 1.25;
    context.globalAlpha = 0.85;
    context.strokeStyle = ring.colour;
    context.stroke();
    return;
  }
  context.lineWidth = width + 1.5;
  context.strokeStyle = "rgb(10 14 16 / 0.5)";
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = ring.colour;
  context.stroke();
  if (ring.sign && radius >= 9) {
    context.font = `600 ${Math.min(1.3 * rem(), radius)}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3;
    context.strokeStyle = "rgb(10 14 16 / 0.7)";
    context.strokeText(ring.sign, 0, -radius);
    context.fillStyle = ring.colour;
    context.fillText(ring.sign, 0, -radius);
  }
}

/** Draw lines between places of the micrograph, as of filaments. */
export function drawLines(
  context: CanvasRenderingContext2D,
  view: View,
  ratio: number,
  lines: readonly (readonly [number, number, number, number])[],
  colour: string,
): void {
  for (const [width, style] of [
    [3.5, "rgb(10 14 16 / 0.5)"],
    [1.75, colour],
  ] as const) {
    context.lineWidth = width * ratio;
    context.strokeStyle = style;
    context.beginPath();
    for (const [x0, y0, x1, y1] of lines) {
      const [a, b] = [view.toScreen(x0, y0), view.toScreen(x1, y1)];
      context.moveTo(a.x * ratio, a.y * ratio);
      context.lineTo(b.x * ratio, b.y * ratio);
    }
    context.stroke();
  }
}
