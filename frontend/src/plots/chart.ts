/** Curves, points and bars on a uPlot, drawn as the design asks. */
import uPlot from "uplot";

import { rem } from "../lib/rem";
import { DASHES, inks, ramp, type Inks } from "./colours";
import { axisTitle, isResolution, type Axis, type Curves, type Series } from "./data";
import {
  crossing,
  isCounting,
  logTicks,
  plainTicks,
  rangesOf,
  resolutionTicks,
  tickText,
  type Range,
} from "./ranges";

export type Readout = { x: string; y: string; name: string } | null;

/** Draw some curves into an element; returns what keeps them up to date. */
export function chart(
  element: HTMLElement,
  curves: Curves,
  onRead: (readout: Readout) => void,
): { resize(): void; destroy(): void } {
  const colours = inks(element);
  const ranges = rangesOf(curves);
  const plot = new uPlot(options(element, curves, colours, ranges, onRead), data(curves), element);
  return {
    resize: () => plot.setSize(size(element)),
    destroy: () => plot.destroy(),
  };
}

function size(element: HTMLElement): { width: number; height: number } {
  return { width: Math.max(120, element.clientWidth), height: Math.max(90, element.clientHeight) };
}

function data(curves: Curves): uPlot.AlignedData {
  // In mode 2 each series has its own x; the type of the library only knows mode 1.
  const facets = curves.series.map((series) => [series.x.map(orNaN), series.y.map(orNaN)]);
  return [null, ...facets] as unknown as uPlot.AlignedData;
}

const orNaN = (value: number | null) => value ?? NaN;

function options(
  element: HTMLElement,
  curves: Curves,
  colours: Inks,
  ranges: { x: Range; y: Range },
  onRead: (readout: Readout) => void,
): uPlot.Options {
  const scale = (axis: Axis, range: Range): uPlot.Scale => ({
    time: false,
    auto: false,
    range: () => range,
    ...(axis.log ? { distr: 3 as const } : {}),
  });
  return {
    mode: 2,
    ...size(element),
    legend: { show: false },
    cursor: { drag: { setScale: false, x: false, y: false }, points: { show: false } },
    padding: [10, 12, 0, 0],
    scales: { x: scale(curves.x, ranges.x), y: scale(curves.y, ranges.y) },
    axes: [
      axis(element, curves, "x", colours, ranges.x),
      axis(element, curves, "y", colours, ranges.y),
    ],
    series: [{}, ...curves.series.map((series, place) => drawn(curves, series, place, colours))],
    hooks: {
      draw: [(plot) => drawMarks(plot, curves, colours)],
      setCursor: [(plot) => onRead(nearest(plot, curves))],
    },
  };
}

function axis(
  element: HTMLElement,
  curves: Curves,
  which: "x" | "y",
  colours: Inks,
  range: Range,
): uPlot.Axis {
  const one = curves[which];
  const labels = which === "x" ? curves.series.find((series) => series.labels)?.labels : null;
  const unit = rem();
  const title = which === "x" ? axisTitle(one) : fitting(element, one, colours);
  const isWhole = isCounting(curves.series.map((series) => series[which]));
  return {
    scale: which,
    side: which === "x" ? 2 : 3,
    stroke: colours.soft,
    font: colours.font,
    labelFont: colours.font,
    label: title,
    labelSize: title ? unit * 1.9 : 0,
    labelGap: 0,
    gap: 4,
    size: which === "x" ? unit * 2.2 : (plot, values) => widest(plot, values, colours),
    grid: { show: which === "y", stroke: colours.grid, width: 1 },
    ticks: { show: which === "x", stroke: colours.axis, width: 1, size: 4 },
    border: { show: true, stroke: colours.axis, width: 1 },
    splits: (plot) => splits(plot, one, which, range, labels ?? null, isWhole),
    values: (_plot, ticks) =>
      // The library leaves out labels where they would crowd: null in their place.
      ticks.map((tick: number | null) => {
        if (tick === null) return "";
        return labels ? short(labels[tick]) : tickText(one, tick);
      }),
  };
}

/** The title of an upright axis, or its unit alone where the title is longer than the axis. */
function fitting(element: HTMLElement, one: Axis, colours: Inks): string {
  const title = axisTitle(one);
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return title;
  context.font = colours.font;
  const room = size(element).height - 4.5 * rem();
  return context.measureText(title).width <= room || !one.unit ? title : one.unit;
}

function short(label: string | undefined): string {
  if (label === undefined) return "";
  return label.length > 12 ? `${label.slice(0, 11)}…` : label;
}

function widest(plot: uPlot, values: string[] | null, colours: Inks): number {
  if (!values) return 30;
  plot.ctx.font = colours.font;
  return Math.ceil(Math.max(...values.map((value) => plot.ctx.measureText(value).width)) + 12);
}

function splits(
  plot: uPlot,
  one: Axis,
  which: "x" | "y",
  range: Range,
  labels: string[] | null,
  isWhole: boolean,
): number[] {
  const pixels =
    which === "x" ? plot.over.clientWidth || plot.width : plot.over.clientHeight || plot.height;
  const most = Math.max(2, Math.floor(pixels / (which === "x" ? 54 : 30)));
  if (labels) {
    const step = Math.max(1, Math.ceil(labels.length / most));
    return labels.map((_, place) => place).filter((place) => place % step === 0);
  }
  if (isResolution(one)) return resolutionTicks(range, most);
  return one.log ? logTicks(range) : plainTicks(range, Math.min(6, most), isWhole);
}

function drawn(curves: Curves, series: Series, place: number, colours: Inks): uPlot.Series {
  const colour = colourOf(curves, series, place, colours);
  return {
    stroke: colour,
    facets: [
      { scale: "x", auto: false },
      { scale: "y", auto: false },
    ],
    paths: (plot) => {
      plot.ctx.save();
      clip(plot);
      if (curves.kind === "histogram") histogram(plot, series, colour);
      else if (curves.kind === "bar") bars(plot, curves, series, place, colour);
      else if (curves.kind === "scatter" || series.style === "points") points(plot, series, colour);
      else line(plot, series, dashOf(curves, series, place), colour);
      plot.ctx.restore();
      return null;
    },
  } as uPlot.Series;
}

/** Colour of a series; earlier iterations are pale. */
export function colourOf(curves: Curves, series: Series, place: number, colours: Inks): string {
  if (series.style === "pale") return colours.axis;
  const before = curves.series.slice(0, place).filter((one) => one.style !== "pale").length;
  return colours.curves[before % colours.curves.length] ?? colours.ink;
}

export function dashOf(curves: Curves, series: Series, place: number): readonly number[] {
  if (series.style === "dashed") return [6, 3];
  if (series.style === "pale") return [];
  const before = curves.series.slice(0, place).filter((one) => one.style === "solid").length;
  return DASHES[before % DASHES.length] ?? [];
}

function clip(plot: uPlot): void {
  const { left, top, width, height } = plot.bbox;
  plot.ctx.beginPath();
  plot.ctx.rect(left - 1, top - 1, width + 2, height + 2);
  plot.ctx.clip();
}

const ratio = () => devicePixelRatio || 1;

function line(plot: uPlot, series: Series, dash: readonly number[], colour: string): void {
  const { ctx } = plot;
  const unit = ratio();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = series.style === "pale" ? 0.45 : 1;
  ctx.lineWidth = (series.style === "pale" ? 1 : 1.75) * unit;
  ctx.lineJoin = "round";
  ctx.setLineDash(dash.map((part) => part * unit));
  ctx.beginPath();
  let isDown = false;
  let only: [number, number] | null = null;
  series.x.forEach((x, at) => {
    const y = series.y[at];
    if (typeof x !== "number" || typeof y !== "number") {
      isDown = false;
      return;
    }
    const [px, py] = [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    if (isDown) {
      ctx.lineTo(px, py);
      only = null;
    } else {
      ctx.moveTo(px, py);
      only ??= [px, py];
    }
    isDown = true;
  });
  ctx.stroke();
  if (only && series.x.length === 1) dot(ctx, only, 3 * unit, colour);
}

function points(plot: uPlot, series: Series, colour: string): void {
  const unit = ratio();
  const tint = series.c ? tints(series.c) : null;
  const radius = (series.x.length > 2000 ? 1.2 : series.x.length > 300 ? 1.8 : 2.6) * unit;
  plot.ctx.globalAlpha = series.x.length > 300 ? 0.6 : 0.85;
  series.x.forEach((x, at) => {
    const y = series.y[at];
    if (typeof x !== "number" || typeof y !== "number") return;
    const place: [number, number] = [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    dot(plot.ctx, place, radius, tint?.[at] ?? colour);
  });
}

function tints(values: (number | null)[]): string[] {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const of = ramp("ramp");
  return values.map((value) => {
    const [r, g, b] = of(value === null ? 0 : 0.25 + (0.7 * (value - low)) / (high - low || 1));
    return `rgb(${r} ${g} ${b})`;
  });
}

function dot(
  ctx: CanvasRenderingContext2D,
  [x, y]: [number, number],
  radius: number,
  colour: string,
): void {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
}

function histogram(plot: uPlot, series: Series, colour: string): void {
  const base = plot.valToPos(Math.max(0, plot.scales["y"]?.min ?? 0), "y", true);
  plot.ctx.fillStyle = colour;
  plot.ctx.globalAlpha = plot.series.length > 2 ? 0.6 : 0.9;
  series.y.forEach((count, at) => {
    const [from, to] = [series.x[at], series.x[at + 1]];
    if (typeof count !== "number" || typeof from !== "number" || typeof to !== "number") return;
    const [left, right] = [plot.valToPos(from, "x", true), plot.valToPos(to, "x", true)];
    const top = plot.valToPos(count, "y", true);
    const gap = right - left > 4 ? ratio() : 0;
    plot.ctx.fillRect(left, top, Math.max(1, right - left - gap), base - top);
  });
}

function bars(plot: uPlot, curves: Curves, series: Series, place: number, colour: string): void {
  const many = curves.series.length;
  const base = plot.valToPos(Math.max(0, plot.scales["y"]?.min ?? 0), "y", true);
  plot.ctx.fillStyle = colour;
  series.y.forEach((value, at) => {
    if (typeof value !== "number") return;
    const [left, right] = [at - 0.4 + (0.8 * place) / many, at - 0.4 + (0.8 * (place + 1)) / many];
    const [x0, x1] = [plot.valToPos(left, "x", true), plot.valToPos(right, "x", true)];
    const top = plot.valToPos(value, "y", true);
    plot.ctx.fillRect(x0, Math.min(top, base), Math.max(1, x1 - x0 - 1), Math.abs(base - top));
  });
}

/** Thresholds, and where the last whole curve crosses them. */
function drawMarks(plot: uPlot, curves: Curves, colours: Inks): void {
  const { ctx } = plot;
  const unit = ratio();
  const { left, top, width, height } = plot.bbox;
  ctx.save();
  clip(plot);
  ctx.font = `${Math.round(rem() * 1.1 * unit)}px ${colours.font.replace(/^\S+ /, "")}`;
  for (const mark of curves.thresholds) {
    const at = plot.valToPos(mark.value, mark.axis, true);
    ctx.strokeStyle = colours.mark;
    ctx.lineWidth = unit;
    ctx.setLineDash([2 * unit, 3 * unit]);
    ctx.beginPath();
    if (mark.axis === "y") {
      ctx.moveTo(left, at);
      ctx.lineTo(left + width, at);
    } else {
      ctx.moveTo(at, top);
      ctx.lineTo(at, top + height);
    }
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = colours.soft;
    if (mark.axis === "y") {
      // At the end of the line, unless the answer is written there.
      const isFree = !isAnswered(plot, curves, mark.value);
      ctx.textAlign = isFree ? "right" : "left";
      ctx.fillText(mark.label, isFree ? left + width - 2 * unit : left + 4 * unit, at - 4 * unit);
    } else {
      const isRight = at > left + width * 0.7;
      ctx.textAlign = isRight ? "right" : "left";
      ctx.fillText(mark.label, at + (isRight ? -4 : 4) * unit, top + 11 * unit);
    }
    if (mark.axis === "y" && isResolution(curves.x)) answer(plot, curves, mark.value, colours);
  }
  ctx.restore();
}

/** Whether the crossing of a level is written near the right end. */
function isAnswered(plot: uPlot, curves: Curves, level: number): boolean {
  const series = curves.series.find((one) => one.style === "solid");
  const at = series && isResolution(curves.x) ? crossing(series.x, series.y, level) : null;
  return at !== null && plot.valToPos(at, "x", true) > plot.bbox.left + plot.bbox.width * 0.6;
}

/** The answer of an FSC, marked and written. */
function answer(plot: uPlot, curves: Curves, level: number, colours: Inks): void {
  const series = curves.series.find((one) => one.style === "solid");
  const at = series ? crossing(series.x, series.y, level) : null;
  if (at === null || at <= 0) return;
  const unit = ratio();
  const { ctx } = plot;
  const [x, y] = [plot.valToPos(at, "x", true), plot.valToPos(level, "y", true)];
  ctx.beginPath();
  ctx.arc(x, y, 4 * unit, 0, 2 * Math.PI);
  ctx.fillStyle = colours.surface;
  ctx.strokeStyle = colours.curves[0] ?? colours.ink;
  ctx.lineWidth = 2 * unit;
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = colours.ink;
  ctx.font = `600 ${Math.round(rem() * 1.2 * unit)}px ${colours.font.replace(/^\S+ /, "")}`;
  const isRight = x > plot.bbox.left + plot.bbox.width * 0.7;
  ctx.textAlign = isRight ? "right" : "left";
  ctx.fillText(
    `${Number((1 / at).toPrecision(3))} Å`,
    x + (isRight ? -8 : 8) * unit,
    y - 10 * unit,
  );
}

/** What lies nearest to the pointer, in words. */
function nearest(plot: uPlot, curves: Curves): Readout {
  const { left, top } = plot.cursor;
  if (left === undefined || top === undefined || left < 0) return null;
  let best: Readout = null;
  let distance = 30 ** 2;
  for (const series of curves.series) {
    series.y.forEach((y, at) => {
      const from = series.x[at];
      if (typeof y !== "number" || typeof from !== "number") return;
      const next = curves.kind === "histogram" ? series.x[at + 1] : null;
      const x = typeof next === "number" ? (from + next) / 2 : from;
      const dx = plot.valToPos(x, "x") - left;
      const dy =
        curves.kind === "histogram" || curves.kind === "bar" ? 0 : plot.valToPos(y, "y") - top;
      const far = dx * dx + dy * dy;
      if (far >= distance) return;
      distance = far;
      const label = series.labels?.[at];
      const xText =
        label ??
        (isResolution(curves.x)
          ? `${tickText(curves.x, x)} Å`
          : `${tickText(curves.x, x)} ${curves.x.unit}`);
      best = { x: xText, y: `${Number(y.toPrecision(4))} ${curves.y.unit}`, name: series.name };
    });
  }
  return best;
}
