/** A part of the panel on the right: its heading and what is below. */
import { make } from "../dom";

export function section(title: string, ...children: Node[]): HTMLElement {
  return make("section", {}, make("h2", { text: title }), ...children);
}
