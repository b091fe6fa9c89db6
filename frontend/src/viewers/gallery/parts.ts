/** Small controls, made without a framework. */
import type { IconName } from "../../widgets/icons";
import { icon, make } from "../dom";

export function button(
  text: string,
  act: () => void,
  given: { kind?: string; icon?: IconName; label?: string; title?: string } = {},
): HTMLButtonElement {
  const made = make("button", { class: `btn ${given.kind ?? "quiet sm"}`, title: given.title });
  made.type = "button";
  if (given.icon) made.append(icon(given.icon));
  if (text) made.append(text);
  if (given.label) {
    made.setAttribute("aria-label", given.label);
    made.title = given.title ?? given.label;
  }
  made.addEventListener("click", act);
  return made;
}

export type Choice = { value: string; text: string };

export function select(
  label: string,
  choices: readonly Choice[],
  value: string,
  act: (value: string) => void,
): HTMLSelectElement {
  const made = make("select", { class: "select sm", label });
  for (const choice of choices) {
    const option = make("option", { text: choice.text });
    option.value = choice.value;
    made.append(option);
  }
  made.value = value;
  made.addEventListener("change", () => act(made.value));
  return made;
}

export function numberField(
  label: string,
  value: number,
  act: (value: number) => void,
  given: { min?: number; max?: number; step?: number; empty?: string } = {},
): HTMLInputElement {
  const made = make("input", { class: "in sm", label });
  made.type = "number";
  if (given.min !== undefined) made.min = String(given.min);
  if (given.max !== undefined) made.max = String(given.max);
  made.step = String(given.step ?? "any");
  made.placeholder = given.empty ?? "";
  made.value = value === 0 && given.empty !== undefined ? "" : String(value);
  made.addEventListener("change", () => act(made.value === "" ? 0 : Number(made.value)));
  return made;
}

export function tick(text: string, value: boolean, act: (value: boolean) => void) {
  const box = make("input");
  box.type = "checkbox";
  box.checked = value;
  box.addEventListener("change", () => act(box.checked));
  return make("label", { class: "tick" }, box, ` ${text}`);
}

/** A dialogue; returns its body and how to close it. */
export function dialog(
  title: string,
  kind = "",
): { body: HTMLElement; acts: HTMLElement; close: () => void } {
  const before = document.activeElement;
  const body = make("div", { class: "g-dialog" });
  const acts = make("div", { class: "acts" });
  const box = make("dialog", { class: `dialog ${kind}` }, make("h2", { text: title }), body, acts);
  box.setAttribute("aria-label", title);
  const close = () => {
    box.close();
    box.remove();
    if (before instanceof HTMLElement) before.focus();
  };
  box.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  box.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(box);
  box.showModal();
  return { body, acts, close };
}

export type Item =
  | { label: string; act: () => void; keys?: string; off?: boolean; checked?: boolean }
  | "line"
  | { title: string };

/** A menu at a point of the window. */
export function menu(x: number, y: number, label: string, items: readonly Item[]): void {
  document.querySelector(".menu.g-menu")?.remove();
  const before = document.activeElement;
  const box = make("div", { class: "menu g-menu", label });
  box.setAttribute("role", "menu");
  box.tabIndex = -1;
  const close = () => {
    box.remove();
    removeEventListener("pointerdown", outside, true);
    if (before instanceof HTMLElement) before.focus();
  };
  const outside = (event: Event) => {
    if (!box.contains(event.target as Node)) close();
  };
  for (const item of items) {
    if (item === "line") box.append(make("hr"));
    else if ("title" in item) box.append(make("div", { class: "title", text: item.title }));
    else {
      const one = make(
        "button",
        { class: "item" },
        make("span", { class: "grow", text: item.label }),
      );
      one.type = "button";
      one.setAttribute("role", item.checked === undefined ? "menuitem" : "menuitemradio");
      if (item.checked !== undefined) one.setAttribute("aria-checked", String(item.checked));
      if (item.checked) one.prepend(icon("check"));
      else if (item.checked === false) one.prepend(make("span", { class: "i sm" }));
      if (item.keys) one.append(make("kbd", { text: item.keys }));
      one.disabled = item.off ?? false;
      one.addEventListener("click", () => {
        close();
        item.act();
      });
      box.append(one);
    }
  }
  box.addEventListener("keydown", (event) => {
    const all = [...box.querySelectorAll<HTMLElement>(".item:not(:disabled)")];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to !== undefined) all.at(to % all.length)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(box);
  const size = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(x, innerWidth - size.width - 4))}px`;
  box.style.top = `${Math.max(4, Math.min(y, innerHeight - size.height - 4))}px`;
  addEventListener("pointerdown", outside, true);
  box.querySelector<HTMLElement>(".item:not(:disabled)")?.focus();
}
