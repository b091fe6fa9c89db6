/** A small curve with its axes. */
import { digits, nice } from "./hud";
import { svg } from "../dom";

const [WIDE, HIGH, LEFT, BELOW] = [292, 120, 40, 20];

export class Curve {
  readonly root = svg("svg", {
    class: "plot mg-curve",
    viewBox: `0 0 ${WIDE} ${HIGH}`,
    role: "img",
  });

  show(data: { x: readonly number[]; y: readonly number[]; unit: string }): void {
    const { x, y, unit } = data;
    const far = x[x.length - 1] ?? 1;
    const [low, high] = [Math.min(...y), Math.max(...y)];
    const tall = high > low ? high - low : 1;
    const toX = (value: number): number => LEFT + (value / (far || 1)) * (WIDE - LEFT - 6);
    const toY = (value: number): number =>
      HIGH - BELOW - ((value - low) / tall) * (HIGH - BELOW - 8);
    const points = x.map((one, n) => `${toX(one).toFixed(1)} ${toY(y[n] ?? 0).toFixed(1)}`);
    const text = (label: string, at: number, down: number, anchor: string): SVGElement => {
      const made = svg("text", { x: at, y: down, "text-anchor": anchor });
      made.textContent = label;
      return made;
    };
    const step = nice(far / 3);
    const ticks: SVGElement[] = [];
    for (let value = 0; value <= far * 1.001; value += step) {
      ticks.push(text(digits2(value), toX(value), HIGH - 6, value === 0 ? "start" : "middle"));
    }
    this.root.replaceChildren(
      svg("path", { class: "ax", d: `M${LEFT} 4V${HIGH - BELOW}H${WIDE - 4}` }),
      svg("path", { class: "ln mg-curve-line", d: `M${points.join("L")}` }),
      text(digits(high), LEFT - 4, 12, "end"),
      text(digits(low), LEFT - 4, HIGH - BELOW, "end"),
      ...ticks,
    );
    const last = ticks[ticks.length - 1];
    if (last && last.textContent) last.textContent += ` ${unit}`;
    if (toX(step * (ticks.length - 1)) > WIDE - 24) last?.setAttribute("text-anchor", "end");
    this.root.setAttribute(
      "aria-label",
      `Values along the line, ${digits(low)} to ${digits(high)}, over ${digits(far)} ${unit}`,
    );
  }
}

function digits2(value: number): string {
  return String(Math.round(value * 100) / 100);
}
