/** The figure of merit: how it is spread, and below which picks are hidden. */
import { make, svg } from "../dom";
import { format } from "./list";
import type { Picker } from "./picker";
import { button } from "./toolbar";

const BINS = 24;
const [WIDE, HIGH] = [292, 64];

export class Threshold {
  readonly root: HTMLElement;
  private readonly plot = svg("svg", {
    class: "plot mg-histogram",
    viewBox: `0 0 ${WIDE} ${HIGH}`,
    role: "img",
  });
  private readonly slider = make("input", { label: "Hide picks below this figure of merit" });
  private readonly typed = make("input", { class: "in sm", label: "Figure of merit at least" });
  private readonly low = make("span");
  private readonly high = make("span");
  private readonly count = make("span");
  private readonly drop = button("", "Take the hidden picks away; undo brings them back", () => {
    this.picker.edits.removeBelow();
  });
  private drawn = "";

  constructor(private readonly picker: Picker) {
    this.slider.type = "range";
    this.slider.addEventListener("input", () => this.set(Number(this.slider.value)));
    this.typed.inputMode = "decimal";
    this.typed.addEventListener("change", () => {
      const value = Number(this.typed.value.replace(",", "."));
      if (this.typed.value.trim() === "") this.set(null);
      else this.set(Number.isFinite(value) ? value : this.picker.threshold);
    });
    this.typed.addEventListener("keydown", (event) => {
      // Keys of the picker work again at once.
      if (event.key === "Enter") this.typed.blur();
    });
    this.drop.removeAttribute("aria-label");
    this.root = make(
      "section",
      { class: "mg-threshold" },
      make(
        "div",
        { class: "mg-row" },
        make("h2", { text: "Figure of merit" }),
        make("label", { class: "mg-number" }, make("span", { text: "at least" }), this.typed),
      ),
      this.plot,
      this.slider,
      make("div", { class: "mg-row mg-ends" }, this.low, this.count, this.high),
      this.drop,
    );
    picker.hear(() => this.update());
  }

  private set(value: number | null): void {
    this.picker.threshold = value;
    this.picker.tell();
  }

  private update(): void {
    const { picker } = this;
    const values = picker.seen.foms;
    this.root.hidden = values.length === 0;
    if (values.length === 0) return;
    const low = Math.min(...values);
    const high = Math.max(...values, low + 1e-6);
    const at = picker.threshold ?? low;
    this.slider.min = String(low);
    this.slider.max = String(high);
    this.slider.step = "any";
    this.slider.value = String(at);
    const part = Math.min(1, Math.max(0, (at - low) / (high - low)));
    this.slider.style.setProperty("--v", `${part * 100}%`);
    if (document.activeElement !== this.typed) {
      this.typed.value = picker.threshold === null ? "" : picker.threshold.toFixed(3);
    }
    this.low.textContent = low.toFixed(2);
    this.high.textContent = high.toFixed(2);
    const n = picker.doc?.picks.length ?? 0;
    const shown = picker.seen.nShown;
    this.count.replaceChildren(
      make("b", { text: format(shown) }),
      ` of ${format(n)} shown${shown < n ? "; the rest is hidden" : ""}`,
    );
    this.drop.hidden = !picker.isEditable || shown === n;
    this.drop.textContent = `Delete the ${format(n - shown)} hidden here`;
    this.draw(values, low, high, at);
  }

  private draw(values: readonly number[], low: number, high: number, at: number): void {
    const counts = new Array<number>(BINS).fill(0);
    for (const value of values) {
      const bin = Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    const key = `${counts.join()} ${at} ${low} ${high}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const most = Math.max(...counts);
    const step = WIDE / BINS;
    const bars = counts.map((n, bin) => {
      const height = n === 0 ? 0 : Math.max(1.5, (n / most) * (HIGH - 4));
      const from = low + (bin / BINS) * (high - low);
      const isBelow = from + (high - low) / BINS / 2 < at;
      return svg("rect", {
        x: bin * step + 1,
        y: HIGH - 1 - height,
        width: step - 2,
        height,
        class: isBelow ? "below" : "above",
      });
    });
    const x = ((at - low) / (high - low)) * WIDE;
    const mark = svg("path", { class: "mk", d: `M${x.toFixed(1)} 0V${HIGH}` });
    this.plot.replaceChildren(
      svg("path", { class: "ax", d: `M0 ${HIGH - 0.5}H${WIDE}` }),
      ...bars,
      mark,
    );
    this.plot.setAttribute(
      "aria-label",
      `Histogram of the figure of merit, threshold ${at.toFixed(2)}`,
    );
  }
}
