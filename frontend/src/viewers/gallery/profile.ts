/** The line profile of a helix, as a curve with axes. */
import type { components } from "../../api/schema";
import { make, svg } from "../dom";
import { part, scaleOf, ticks, tickWords } from "./axes";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [760, 300, 56, 36];

export function profilePlot(profile: components["schemas"]["Profile"]): HTMLElement {
  const x = scaleOf(profile.x);
  const y = scaleOf(profile.y);
  if (!x || !y) return make("p", { text: "This image has no layer lines to show." });
  const plot = svg("svg", {
    class: "plot",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": "Amplitude by layer line",
  });
  const toX = (value: number) => LEFT + part(x, value) * (WIDTH - LEFT - 10);
  const toY = (value: number) => HEIGHT - BOTTOM - part(y, value) * (HEIGHT - BOTTOM - 10);
  const add = (name: "path" | "text", given: Record<string, string>, text = "") => {
    const one = svg(name, given);
    one.textContent = text;
    plot.append(one);
  };
  for (const value of ticks(y, 5)) {
    add("path", { class: "gr", d: `M${LEFT} ${toY(value)}H${WIDTH - 10}` });
    add(
      "text",
      { x: String(LEFT - 6), y: String(toY(value) + 4), "text-anchor": "end" },
      tickWords(value),
    );
  }
  for (const value of ticks(x, 8)) {
    const words = value === 0 ? "0" : `1/${tickWords(1 / value)}`;
    add("text", { x: String(toX(value)), y: String(HEIGHT - 18), "text-anchor": "middle" }, words);
  }
  add("path", { class: "ax", d: `M${LEFT} 10V${HEIGHT - BOTTOM}H${WIDTH - 10}` });
  add(
    "text",
    { x: String(WIDTH / 2), y: String(HEIGHT - 3), "text-anchor": "middle" },
    "Resolution (Å)",
  );
  const points = profile.x.map(
    (value, n) => `${toX(value).toFixed(1)} ${toY(profile.y[n] ?? 0).toFixed(1)}`,
  );
  add("path", { class: "ln", stroke: "currentColor", d: `M${points.join("L")}` });
  const box = make("div", { class: "g-profile" });
  box.append(plot);
  return box;
}
