/** Small controls of the volume viewer. */
import { make } from "../dom";

export function button(text: string, title: string, act: () => void): HTMLButtonElement {
  const made = make("button", { class: "btn sm", text, title });
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export function press(made: HTMLElement, isOn: boolean): void {
  made.setAttribute("aria-pressed", String(isOn));
}

export function option(value: string, text: string): HTMLOptionElement {
  const made = make("option", { text });
  made.value = value;
  return made;
}

export function number(
  name: string,
  title: string,
  value: number,
  onValue: (value: number) => void,
): HTMLElement {
  const input = make("input", { class: "in sm", label: name });
  input.type = "number";
  input.min = "0";
  input.value = String(value);
  input.addEventListener("change", () => onValue(Math.max(0, Number(input.value) || 0)));
  return make("label", { title }, name, input);
}
