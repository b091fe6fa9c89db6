/** Histograms of columns: brush a range to show or to choose only what lies in it. */
import { make, paper } from "../dom";
import { binOf, counted, part, scaleOf, tickWords, valueAt, type Scale } from "./axes";
import type { Gallery } from "./gallery";
import { button, numberField, select } from "./parts";
import { titleOf, unitOf } from "./settings";

const BINS = 40;
const HEIGHT = 74;

export function histograms(gallery: Gallery): HTMLElement {
  const list = make("div", { class: "g-stack" });
  const adder = make("div", { class: "g-row" });
  const box = make("section", { label: "Filters" }, make("h2", { text: "Filters" }), list, adder);
  let redraw: (() => void)[] = [];

  function build(): void {
    const numbers = gallery.info.columns.filter((one) => one.kind === "number");
    box.hidden = numbers.length === 0;
    const { histograms: labels, hasSide } = gallery.settings;
    if (!hasSide) return;
    redraw = [];
    list.replaceChildren(
      ...labels.map((label) => one(gallery, label, (draw) => redraw.push(draw))),
    );
    const rest = numbers.filter((column) => !labels.includes(column.label));
    const choices = [
      { value: "", text: "Add a column" },
      ...rest.map((column) => ({ value: column.label, text: titleOf(column.label) })),
    ];
    adder.replaceChildren(
      select("Column to filter by", choices, "", (value) => {
        gallery.set({ histograms: [...gallery.settings.histograms, value] });
        build();
      }),
    );
    void gallery.columns.need(labels).then(() => redraw.forEach((draw) => draw()));
  }
  gallery.on((change) => {
    if (change === "columns") build();
    else if (change === "order" || change === "selection") redraw.forEach((draw) => draw());
  });
  build();
  return box;
}

function one(gallery: Gallery, label: string, onDraw: (draw: () => void) => void): HTMLElement {
  const canvas = make("canvas", { class: "g-hist", label: `Histogram of ${titleOf(label)}` });
  canvas.dataset["column"] = label;
  const low = numberField(`Least ${titleOf(label)}`, 0, () => typed(), { empty: "from" });
  const high = numberField(`Greatest ${titleOf(label)}`, 0, () => typed(), { empty: "to" });
  const all = button("All", () => clear(), { title: "Show all again" });
  const choose = button("Select", () => pick(), {
    kind: "sm",
    title: "Select what lies in this range",
  });
  const close = button("", () => remove(), {
    icon: "x",
    kind: "quiet sm icon",
    label: `Remove the filter ${titleOf(label)}`,
  });
  const unit = unitOf(label);
  const head = make(
    "div",
    { class: "g-row" },
    make("b", { class: "cut", text: titleOf(label) + (unit ? ` (${unit})` : "") }),
    make("span", { class: "grow" }),
    close,
  );
  const range = make(
    "div",
    { class: "g-row" },
    low,
    make("span", { class: "muted", text: "to" }),
    high,
    all,
    choose,
  );
  let from = -1;
  let brush: [number, number] | null = null;
  let countedOf: Float64Array | null = null;
  let counts: number[] = [];

  function scale(): Scale | null {
    const values = gallery.columns.number(label);
    return values && scaleOf(values);
  }

  function ends(): readonly [number, number] {
    const read = (field: HTMLInputElement, other: number) =>
      field.value === "" ? other : Number(field.value);
    return [read(low, -Infinity), read(high, Infinity)];
  }

  function typed(): void {
    const [a, b] = ends();
    gallery.setRange(label, a === -Infinity && b === Infinity ? null : [a, b]);
  }

  function clear(): void {
    low.value = "";
    high.value = "";
    gallery.setRange(label, null);
  }

  function remove(): void {
    gallery.setRange(label, null);
    gallery.set({ histograms: gallery.settings.histograms.filter((one) => one !== label) });
    gallery.tell("columns");
  }

  function pick(): void {
    const values = gallery.columns.number(label);
    const [a, b] = ends();
    if (!values) return;
    const rows = [...gallery.shown].filter((row) => {
      const value = values[row] ?? NaN;
      return value >= a && value <= b;
    });
    gallery.selection.set(rows, gallery.paint);
  }

  function draw(): void {
    const values = gallery.columns.number(label);
    const axis = scale();
    const sheet = values && axis && paper(canvas, HEIGHT);
    if (!sheet) return;
    const { context, width, ink } = sheet;
    const base = HEIGHT - 16;
    const inside = new Set<number>();
    if (values !== countedOf) {
      countedOf = values;
      counts = counted(values, axis, BINS);
    }
    const chosen = new Array<number>(BINS).fill(0);
    const { types } = gallery.selection;
    for (let row = 0; row < types.length; row += 1) {
      const bin = (types[row] ?? 0) > 0 ? binOf(axis, values[row] ?? NaN, BINS) : -1;
      if (bin >= 0) chosen[bin] = (chosen[bin] ?? 0) + 1;
    }
    const [a, b] = brush ?? gallery.ranges.get(label) ?? [-Infinity, Infinity];
    const tallest = Math.max(1, ...counts);
    counts.forEach((count, n) => {
      const [v0, v1] = [valueAt(axis, n / BINS), valueAt(axis, (n + 1) / BINS)];
      if (v1 >= a && v0 <= b) inside.add(n);
      const x = (n / BINS) * width;
      const tall = count === 0 ? 0 : Math.max(1.5, (count / tallest) * (base - 4));
      context.fillStyle = inside.has(n) ? ink("--accent-line") : ink("--line-2");
      context.fillRect(x, base - tall, width / BINS - 1, tall);
      const dark = ((chosen[n] ?? 0) / tallest) * (base - 4);
      context.fillStyle = ink("--c-1");
      context.fillRect(x, base - dark, width / BINS - 1, dark);
    });
    context.fillStyle = ink("--plot-mark");
    for (const end of [a, b]) {
      if (!Number.isFinite(end)) continue;
      const x = Math.round(part(axis, end) * width);
      for (let y = 0; y < base; y += 5) context.fillRect(x, y, 1, 3);
    }
    context.fillStyle = ink("--plot-axis");
    context.fillRect(0, base, width, 1);
    context.fillStyle = ink("--ink-3");
    context.font = `11px ${ink("--font") || "sans-serif"}`;
    context.textBaseline = "top";
    context.fillText(tickWords(axis.low), 0, base + 3);
    context.textAlign = "right";
    context.fillText(tickWords(axis.high), width, base + 3);
  }

  function span(event: PointerEvent): [number, number] | null {
    const axis = scale();
    if (!axis) return null;
    const at = (x: number) => valueAt(axis, Math.min(1, Math.max(0, x / canvas.clientWidth)));
    const [a, b] = [at(from), at(event.offsetX)];
    return [Math.min(a, b), Math.max(a, b)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    from = event.offsetX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from < 0) return;
    brush = span(event);
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const found = Math.abs(event.offsetX - from) > 2 ? span(event) : null;
    from = -1;
    brush = null;
    if (!found) return clear();
    low.value = String(Number(found[0].toPrecision(4)));
    high.value = String(Number(found[1].toPrecision(4)));
    typed();
  });
  new ResizeObserver(draw).observe(canvas);
  const kept = gallery.ranges.get(label);
  if (kept) {
    if (Number.isFinite(kept[0])) low.value = String(kept[0]);
    if (Number.isFinite(kept[1])) high.value = String(kept[1]);
  }
  onDraw(draw);
  return make("div", { class: "g-filter" }, head, canvas, range);
}
