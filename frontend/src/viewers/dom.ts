/** Making elements without a framework. */

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
