/** What lies over the surface: scale bar, directions, symmetry axes. */
import { rem } from "../../lib/rem";
import type { components } from "../../api/schema";
import type { Camera } from "./camera";

type SymmetryAxis = components["schemas"]["SymmetryAxis"];
export type Marks = {
  axes: readonly SymmetryAxis[];
  /** Ångström in a unit of the scene. */
  unitA: number;
  hasPixelSize: boolean;
  columns: number;
  rows: number;
};

const NAMES = ["x", "y", "z"] as const;
const DIRECTIONS: readonly (readonly [number, number, number])[] = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

/** Draw into a canvas whose units are CSS pixels times `scale`. */
export function drawMarks(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  camera: Camera,
  marks: Marks,
  style: CSSStyleDeclaration,
): void {
  const value = (name: string): string => style.getPropertyValue(name).trim();
  const unit = rem() / 10; // signs and letters follow the text size
  const tall = height / unit;
  const cell = { width: width / unit / marks.columns, height: tall / marks.rows };
  context.save();
  context.scale(unit, unit);
  const colours = { ink: value("--ink"), soft: value("--canvas") };
  context.font = `600 12px ${value("--font")}`;
  context.lineCap = "round";
  for (let row = 0; row < marks.rows; row++)
    for (let column = 0; column < marks.columns; column++)
      drawAxes(context, column * cell.width, row * cell.height, cell, camera, marks.axes, colours);
  drawScale(context, tall, cell, camera, marks, colours);
  drawDirections(context, tall, camera, [value("--c-2"), value("--c-7"), value("--c-5")], colours);
  context.restore();
}

type Size = { width: number; height: number };
type Colours = { ink: string; soft: string };

function drawAxes(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  cell: Size,
  camera: Camera,
  axes: readonly SymmetryAxis[],
  { ink, soft }: Colours,
): void {
  const scale = cell.height / 2 / camera.zoom;
  const [cx, cy] = [
    left + cell.width / 2 - camera.pan[0] * scale,
    top + cell.height / 2 - camera.pan[1] * scale,
  ];
  for (const axis of axes) {
    const [x, y] = camera.seen(...axis.direction);
    const reach = 0.92 * scale;
    for (const [colour, width] of [
      [soft, 4],
      [ink, 1.5],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.setLineDash(axis.order === 2 ? [7, 5] : []);
      context.beginPath();
      context.moveTo(cx - x * reach, cy - y * reach);
      context.lineTo(cx + x * reach, cy + y * reach);
      context.stroke();
    }
    context.setLineDash([]);
    for (const sign of [1, -1])
      drawOrder(context, cx + sign * x * reach, cy + sign * y * reach, axis.order, ink, soft);
  }
}

/** Draw the sign of an axis of some order: lens, triangle, square, polygon. */
function drawOrder(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  order: number,
  ink: string,
  soft: string,
): void {
  context.beginPath();
  if (order === 2) context.ellipse(x, y, 4, 7, 0, 0, 2 * Math.PI);
  else
    for (let k = 0; k < order; k++) {
      const angle = (2 * Math.PI * k) / order - Math.PI / 2;
      context.lineTo(x + 8 * Math.cos(angle), y + 8 * Math.sin(angle));
    }
  context.closePath();
  context.fillStyle = ink;
  context.strokeStyle = soft;
  context.lineWidth = 1.5;
  context.fill();
  context.stroke();
  say(context, String(order), x + 9, y + 4, ink, soft);
}

function drawScale(
  context: CanvasRenderingContext2D,
  height: number,
  cell: Size,
  camera: Camera,
  marks: Marks,
  { ink, soft }: Colours,
): void {
  const perPixelA = (camera.zoom * marks.unitA) / (cell.height / 2);
  const wanted = 90 * perPixelA;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = [5, 2, 1].map((n) => n * power).find((n) => n <= wanted) ?? power;
  const pixels = length / perPixelA;
  const [x, y] = [88, height - 18];
  for (const [colour, width] of [
    [soft, 5],
    [ink, 2],
  ] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + pixels, y);
    context.stroke();
  }
  const unit = marks.hasPixelSize ? (length >= 10000 ? "µm" : "Å") : "px";
  const shown = unit === "µm" ? length / 10000 : length;
  say(context, `${Number(shown.toPrecision(2))} ${unit}`, x, y - 7, ink, soft);
}

function drawDirections(
  context: CanvasRenderingContext2D,
  height: number,
  camera: Camera,
  hues: readonly string[],
  { ink, soft }: Colours,
): void {
  const [cx, cy, reach] = [42, height - 46, 24];
  const arms = DIRECTIONS.map((direction, k) => ({ to: camera.seen(...direction), k }));
  for (const { to, k } of arms.sort((a, b) => b.to[2] - a.to[2])) {
    const [x, y] = [cx + to[0] * reach, cy + to[1] * reach];
    context.strokeStyle = hues[k] ?? ink;
    context.lineWidth = 2.5;
    context.beginPath();
    context.moveTo(cx, cy);
    context.lineTo(x, y);
    context.stroke();
    const [right, down] = letterOf(to, arms);
    say(context, NAMES[k] ?? "", cx + right * reach - 3, cy + down * reach + 4, ink, soft);
  }
}

type Arm = { to: readonly number[]; k: number };

/** Where the letter of an arm stands, in lengths of an arm: past its end; of one that points at the
 *  viewer beside the root, away from the others. */
function letterOf(to: readonly number[], arms: readonly Arm[]): [number, number] {
  const [x = 0, y = 0] = to;
  if (Math.hypot(x, y) > 0.35) return [x * 1.38, y * 1.38];
  const sum = [0, 1].map((axis) => arms.reduce((all, arm) => all + (arm.to[axis] ?? 0), 0));
  const [sx = 0, sy = 0] = sum;
  const length = Math.hypot(sx, sy);
  return length > 0.1 ? [(-0.55 * sx) / length, (-0.55 * sy) / length] : [-0.4, 0.4];
}

function say(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  ink: string,
  soft: string,
): void {
  context.lineJoin = "round";
  context.strokeStyle = soft;
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillStyle = ink;
  context.fillText(text, x, y);
}
