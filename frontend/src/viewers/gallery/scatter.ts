/** A plot of two columns on which images are chosen with a lasso. */
import { rem } from "../../lib/rem";
import { make, paper } from "../dom";
import { isIn, part, scaleOf, ticks, tickWords, type Scale } from "./axes";
import type { Gallery } from "./gallery";
import { select } from "./parts";
import { TYPE_NAMES, TYPES } from "./selection";
import { titleOf, unitOf } from "./settings";

const LEFT = 56;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 32;
const HEIGHT = 190;
/** More points than that are thinned out on the screen; the lasso takes all of them. */
const MOST_DRAWN = 20_000;
const MARKS = ["ring", "dot", "square", "up", "diamond", "down", "cross"] as const;

export function scatter(gallery: Gallery): HTMLElement {
  const canvas = make("canvas", { class: "g-plot" });
  canvas.tabIndex = 0;
  canvas.dataset["plot"] = "scatter";
  const head = make("div", { class: "g-row" });
  const box = make(
    "section",
    { label: "Pick on a plot" },
    make("h2", { text: "Pick on a plot" }),
    head,
    canvas,
  );
  const hint = make("p", { class: "muted small" });
  box.append(hint);
  let lasso: [number, number][] = [];
  let frame = 0;

  function heads(): void {
    const choices = gallery.info.columns
      .filter((one) => one.kind === "number")
      .map((one) => ({ value: one.label, text: titleOf(one.label) }));
    const { plotX, plotY } = gallery.settings;
    head.replaceChildren(
      select("Vertical axis", choices, plotY, (value) => change({ plotY: value })),
      make("span", { class: "muted", text: "against" }),
      select("Horizontal axis", choices, plotX, (value) => change({ plotX: value })),
    );
    box.hidden = choices.length < 2;
  }

  function change(changed: { plotX?: string; plotY?: string }): void {
    gallery.set(changed);
    load();
  }

  function load(): void {
    const { plotX, plotY } = gallery.settings;
    if (gallery.settings.hasSide)
      void gallery.columns.need([plotX, plotY]).then(soon, gallery.options.onFail);
  }

  function soon(): void {
    if (frame === 0) frame = requestAnimationFrame(paint);
  }

  function scales(): { x: Scale; y: Scale; xs: Float64Array; ys: Float64Array } | null {
    const xs = gallery.columns.number(gallery.settings.plotX);
    const ys = gallery.columns.number(gallery.settings.plotY);
    const x = xs && scaleOf(xs, true);
    const y = ys && scaleOf(ys, true);
    return xs && ys && x && y ? { x, y, xs, ys } : null;
  }

  function paint(): void {
    frame = 0;
    const sheet = paper(canvas, HEIGHT);
    const found = scales();
    if (!sheet || !found) return;
    const { context, width, ink } = sheet;
    axes(context, found, width, ink);
    points(context, found, width, ink);
    if (lasso.length > 1) outline(context, ink("--accent"));
    const { plotX, plotY } = gallery.settings;
    canvas.setAttribute("role", "img");
    canvas.setAttribute(
      "aria-label",
      `${titleOf(plotY)} against ${titleOf(plotX)} of ${gallery.shown.length} images; draw around points to choose them`,
    );
    const colour = TYPE_NAMES[gallery.paint] ?? "";
    hint.textContent = `Draw around points: their images are selected as type ${gallery.paint} (${colour}). With Ctrl they are taken out.`;
  }

  const toX = (scale: Scale, value: number, width: number) =>
    LEFT + part(scale, value) * (width - LEFT - RIGHT);
  const toY = (scale: Scale, value: number) =>
    HEIGHT - BOTTOM - part(scale, value) * (HEIGHT - TOP - BOTTOM);

  function axes(
    context: CanvasRenderingContext2D,
    found: { x: Scale; y: Scale },
    width: number,
    ink: (name: string) => string,
  ): void {
    context.font = `11px ${ink("--font") || "sans-serif"}`;
    context.textBaseline = "middle";
    for (const value of ticks(found.y, 4)) {
      const y = Math.round(toY(found.y, value)) + 0.5;
      line(context, LEFT, y, width - RIGHT, y, ink("--plot-grid"));
      context.fillStyle = ink("--ink-3");
      context.textAlign = "right";
      context.fillText(tickWords(value), LEFT - 5, y);
    }
    context.textBaseline = "top";
    context.textAlign = "center";
    let end = -Infinity;
    for (const value of ticks(found.x, Math.max(2, Math.floor(width / 70)))) {
      const x = toX(found.x, value, width);
      const half = context.measureText(tickWords(value)).width / 2;
      if (x - half < end + 6) continue;
      end = x + half;
      context.fillStyle = ink("--ink-3");
      context.fillText(tickWords(value), Math.min(x, width - half), HEIGHT - BOTTOM + 4);
    }
    line(context, LEFT, TOP, LEFT, HEIGHT - BOTTOM, ink("--plot-axis"));
    line(context, LEFT, HEIGHT - BOTTOM, width - RIGHT, HEIGHT - BOTTOM, ink("--plot-axis"));
    const { plotX, plotY } = gallery.settings;
    context.fillText(nameOf(plotX, found.x), (LEFT + width - RIGHT) / 2, HEIGHT - 14);
    context.save();
    context.translate(2, (TOP + HEIGHT - BOTTOM) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(nameOf(plotY, found.y), 0, 0);
    context.restore();
  }

  function points(
    context: CanvasRenderingContext2D,
    found: { x: Scale; y: Scale; xs: Float64Array; ys: Float64Array },
    width: number,
    ink: (name: string) => string,
  ): void {
    const { shown, selection } = gallery;
    const step = Math.max(1, Math.ceil(shown.length / MOST_DRAWN));
    // Those of the frames in the grid; an edge makes the pale ones stand out on paper.
    const colours = ["--ink-3", ...TYPES.map((type) => `--sel-${type}`)].map(ink);
    const edge = ink("--ink-2");
    const radius = shown.length > 5000 ? 1.5 : shown.length > 500 ? 2.5 : 3.5;
    for (let place = 0; place < shown.length; place += step) {
      const row = shown[place] ?? 0;
      const type = selection.type(row);
      const [px, py] = [
        toX(found.x, found.xs[row] ?? NaN, width),
        toY(found.y, found.ys[row] ?? NaN),
      ];
      if (!Number.isFinite(px) || !Number.isFinite(py)) continue;
      mark(
        context,
        px,
        py,
        radius,
        MARKS[type] ?? "ring",
        colours[type] ?? "#888",
        shown.length > 5000 ? null : edge,
      );
    }
    const { current } = gallery;
    if (current >= 0) {
      context.strokeStyle = ink("--ink");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(
        toX(found.x, found.xs[current] ?? NaN, width),
        toY(found.y, found.ys[current] ?? NaN),
        6,
        0,
        7,
      );
      context.stroke();
    }
  }

  function outline(context: CanvasRenderingContext2D, colour: string): void {
    context.beginPath();
    lasso.forEach(([x, y], n) => (n === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.closePath();
    context.setLineDash([4, 3]);
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 0.12;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }

  /** Where the pointer is, in the units of the drawing. */
  function place(event: PointerEvent): [number, number] {
    const unit = rem() / 10;
    return [event.offsetX / unit, event.offsetY / unit];
  }

  function choose(takesOut: boolean): void {
    const found = scales();
    const width = (10 * canvas.clientWidth) / rem();
    if (!found || lasso.length < 3) return;
    const every = Math.ceil(lasso.length / 80);
    const polygon = lasso.filter((_, n) => n % every === 0);
    const rows = [...gallery.shown].filter((row) =>
      isIn(polygon, toX(found.x, found.xs[row] ?? NaN, width), toY(found.y, found.ys[row] ?? NaN)),
    );
    gallery.selection.set(rows, takesOut ? 0 : gallery.paint);
    gallery.options.onSay(`${rows.length.toLocaleString("en-US")} images in the lasso.`);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    lasso = [place(event)];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (lasso.length === 0 || !canvas.hasPointerCapture(event.pointerId)) return;
    lasso.push(place(event));
    soon();
  });
  canvas.addEventListener("pointerup", (event) => {
    choose(event.ctrlKey || event.metaKey);
    lasso = [];
    soon();
  });
  gallery.on((change) => {
    if (change === "columns") {
      heads();
      load();
    } else soon();
  });
  new ResizeObserver(soon).observe(canvas);
  heads();
  return box;
}

/** Return what an axis is called: the column, its unit, and whether it is logarithmic. */
function nameOf(label: string, scale: Scale): string {
  const words = [unitOf(label), scale.isLog ? "log" : ""].filter(Boolean).join(", ");
  return titleOf(label) + (words ? ` (${words})` : "");
}

function line(
  context: CanvasRenderingContext2D,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  colour: string,
): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.stroke();
}

/** Types differ in shape as well as in colour. */
function mark(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  r: number,
  kind: (typeof MARKS)[number],
  colour: string,
  edge: string | null,
): void {
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  if (edge === null) {
    context.fillRect(x - r, y - r, 2 * r, 2 * r);
    return;
  }
  context.beginPath();
  if (kind === "ring" || kind === "dot") context.arc(x, y, r, 0, 7);
  else if (kind === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (kind === "cross") {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
    context.lineWidth = 2;
  } else {
    const up = kind === "down" ? -1 : 1;
    context.moveTo(x - r, y + (kind === "diamond" ? 0 : up * r));
    if (kind === "diamond") context.lineTo(x, y + r);
    context.lineTo(x + r, y + (kind === "diamond" ? 0 : up * r));
    context.lineTo(x, y - up * r);
    context.closePath();
  }
  if (kind === "ring") context.stroke();
  else if (kind === "cross") {
    context.lineWidth = 4;
    context.strokeStyle = edge;
    context.stroke();
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.stroke();
  } else {
    context.fill();
    context.strokeStyle = edge;
    context.stroke();
  }
}
