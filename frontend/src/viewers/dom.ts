/** Making elements without a framework. */
import { rem } from "../lib/rem";
import { ICONS, type IconName, type Stroke } from "../widgets/icons";

const SVG = "http://www.w3.org/2000/svg";

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: { class?: string; text?: string; title?: string; label?: string } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (given.class) element.className = given.class;
  if (given.text !== undefined) element.textContent = given.text;
  if (given.title) element.title = given.title;
  if (given.label) element.setAttribute("aria-label", given.label);
  element.append(...children);
  return element;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

export function icon(name: IconName): SVGSVGElement {
  const made = svg("svg", { class: "i sm", viewBox: "0 0 16 16", "aria-hidden": "true" });
  for (const stroke of ICONS[name] as readonly Stroke[]) {
    const path = svg("path", { d: stroke.d });
    if (stroke.fill) path.setAttribute("fill", "currentColor");
    if (stroke.wide) path.setAttribute("stroke-width", "2.2");
    made.append(path);
  }
  return made;
}

export interface Paper {
  context: CanvasRenderingContext2D;
  width: number;
  ink: (name: string) => string;
}

/** Clear a canvas to its width on the page, sharp on dense screens; null while it is not shown.
 *  Lengths are tenths of a rem, pixels at the usual text size; `ink` gives the value of a colour or
 *  font of the theme. */
export function paper(canvas: HTMLCanvasElement, height: number): Paper | null {
  const unit = rem() / 10;
  const width = canvas.clientWidth / unit;
  const context = canvas.getContext("2d");
  if (!context || width === 0) return null;
  const ratio = Math.min(2, devicePixelRatio || 1) * unit;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  return { context, width, ink: (name) => style.getPropertyValue(name).trim() };
}
