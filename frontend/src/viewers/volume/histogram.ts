/** The threshold: a slider under the histogram of the densities, a number, and sigma. */
import { make } from "../dom";
import type { Meta } from "./data";

const STEPS = 1000;

export class Threshold {
  readonly element: HTMLElement;
  readonly slider = make("input", { label: "Threshold" });
  readonly number = make("input", { class: "in sm", label: "Threshold, density" });
  private readonly sigma = make("span", { class: "vol-sigma" });
  private readonly auto = make("button", {
    class: "btn sm",
    text: "Auto",
    title: "The level that the map itself suggests",
  });
  private readonly bars = make("canvas", { class: "vol-histogram" });
  private meta: Meta | null = null;
  private range: [number, number] = [0, 1];
  private value = 0;

  constructor(onValue: (value: number) => void, onAuto: () => void) {
    this.slider.type = "range";
    this.slider.max = String(STEPS);
    this.slider.dataset["vol"] = "threshold";
    this.number.inputMode = "decimal";
    this.number.dataset["vol"] = "threshold-number";
    this.auto.type = "button";
    this.bars.setAttribute("aria-hidden", "true");
    this.element = make(
      "div",
      { class: "vol-threshold" },
      make("span", { class: "vol-name", text: "Threshold" }),
      make("div", { class: "vol-bars" }, this.bars, this.slider),
      this.number,
      this.sigma,
      this.auto,
    );
    this.slider.addEventListener("input", () => {
      const [low, high] = this.range;
      onValue(low + ((high - low) * Number(this.slider.value)) / STEPS);
    });
    this.number.addEventListener("change", () => {
      const value = Number(this.number.value.replace(",", "."));
      if (Number.isFinite(value) && this.number.value.trim() !== "") onValue(value);
      else this.write();
    });
    this.auto.addEventListener("click", onAuto);
  }

  show(meta: Meta, value: number): void {
    const isNew = this.meta !== meta;
    this.meta = meta;
    this.value = value;
    if (isNew) this.range = rangeOf(meta);
    this.write();
    this.draw();
  }

  private write(): void {
    const meta = this.meta;
    if (!meta) return;
    const [low, high] = this.range;
    const part = Math.min(1, Math.max(0, (this.value - low) / (high - low || 1)));
    this.slider.value = String(Math.round(part * STEPS));
    this.slider.style.setProperty("--v", `${part * 100}%`);
    this.number.value = String(Number(this.value.toPrecision(4)));
    const sigma = meta.deviation > 0 ? (this.value - meta.mean) / meta.deviation : 0;
    this.sigma.textContent = `${sigma.toFixed(1)} σ`;
    this.slider.setAttribute("aria-valuetext", `${this.number.value}, ${sigma.toFixed(1)} sigma`);
  }

  /** Draw how many voxels have each density, in logarithms; those above the threshold dark. */
  private draw(): void {
    const meta = this.meta;
    const context = this.bars.getContext("2d");
    if (!meta || !context) return;
    const [width, height] = [(this.bars.width = 240), (this.bars.height = 22)];
    const style = getComputedStyle(this.bars);
    const [low, high] = this.range;
    const { edges, counts } = meta.histogram;
    const most = Math.log1p(Math.max(...counts, 1));
    for (let x = 0; x < width; x++) {
      const value = low + ((x + 0.5) / width) * (high - low);
      const bin = Math.floor(
        ((value - (edges[0] ?? 0)) / ((edges.at(-1) ?? 1) - (edges[0] ?? 0))) * counts.length,
      );
      const tall = (Math.log1p(counts[bin] ?? 0) / most) * height;
      context.fillStyle = style.getPropertyValue(value >= this.value ? "--accent" : "--line-2");
      context.fillRect(x, height - tall, 1, tall);
    }
  }
}

/** Return the densities between which a threshold is looked for. */
function rangeOf(meta: Meta): [number, number] {
  if (meta.is_mask) return [0, 1];
  const high = Math.min(meta.maximum, Math.max(meta.threshold * 5, meta.threshold + 1e-9));
  const low = Math.max(meta.minimum, Math.min(meta.mean, meta.threshold));
  return high > low ? [low, high] : [meta.minimum, meta.maximum || 1];
}
