/** Icons as elements, of the same strokes as elsewhere. */

const STROKES = {
  pick: "M8 2v12M2 8h12",
  erase: "m13.5 2.5-6 6M6 8.5c-2 0-2.5 1.5-2.5 3-1 .8-1.5.8-1.5.8 1.5 1.4 6 1.7 6-1.8Z",
  move: "M8 1.5v13M1.5 8h13M8 1.5 6 3.5M8 1.5l2 2M8 14.5l-2-2M8 14.5l2-2M1.5 8l2-2M1.5 8l2 2M14.5 8l-2-2M14.5 8l-2 2",
  ruler: "m2 11 9-9 3 3-9 9ZM5 8l1.5 1.5M7.5 5.5 9 7",
  undo: "M5.5 3 2.5 6l3 3M2.5 6H10a3.5 3.5 0 0 1 0 7H7",
  redo: "m10.5 3 3 3-3 3M13.5 6H6a3.5 3.5 0 0 0 0 7h3",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  left: "m10 4-4 4 4 4",
  right: "m6 4 4 4-4 4",
  check: "m3.5 8.5 3 3 6-7",
  plus: "M8 3v10M3 8h10",
  warn: "M8 2.2 14.5 13.5h-13ZM8 6.5v3.2M8 11.6v.1",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4ZM10.2 10.2l3.3 3.3",
  panel: "M2 3h12v10H2ZM10.5 3v10",
  full: "M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5 9 7M2.5 13.5 7 9",
} as const;

export type IconName = keyof typeof STROKES;
const SVG = "http://www.w3.org/2000/svg";

export function icon(name: IconName): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "i sm");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", STROKES[name]);
  if (name === "more") path.setAttribute("stroke-width", "2.2");
  svg.append(path);
  return svg;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
