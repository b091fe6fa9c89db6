/** What lies on the picture: its name, a scale bar, the place and value under the pointer. */
import { make } from "../dom";
import type { Picker } from "./picker";

export function hud(picker: Picker): HTMLElement[] {
  const name = make("div", { class: "mg-hud mg-name" });
  const bar = make("span", { class: "mg-bar" });
  const length = make("span");
  const scale = make("div", { class: "mg-hud mg-scale" }, bar, length);
  const place = make("div", { class: "mg-hud mg-place" });
  place.hidden = true;
  const waiting = make("div", { class: "mg-hud mg-waiting" });
  waiting.hidden = true;
  let timer = 0;
  const trouble = make("div", { class: "mg-trouble" });
  trouble.setAttribute("role", "alert");
  picker.hear(() => {
    const file = picker.micrograph?.name.split("/").pop() ?? "";
    const how = picker.isFourier
      ? ", Fourier amplitudes"
      : picker.denoised.isShown
        ? ", denoised by Topaz"
        : "";
    name.textContent = `${file}${how}`;
    name.hidden = file === "";
    trouble.textContent = picker.trouble || picker.denoised.trouble;
    trouble.hidden = trouble.textContent === "";
    // The picture itself is there: the message leaves it free.
    trouble.classList.toggle("mg-note", picker.trouble === "");
  });
  picker.onPoint(() => {
    const { pointer, pixelSize_A: pixel } = picker;
    place.hidden = pointer === null;
    if (!pointer) return;
    const value = pointer.value === null ? "" : `, value ${digits(pointer.value)}`;
    const away = pixel ? ` (${digits(pointer.x * pixel)}, ${digits(pointer.y * pixel)} Å)` : "";
    const middleX = pointer.x - Math.floor(picker.view.imageWidth / 2);
    const middleY = pointer.y - Math.floor(picker.view.imageHeight / 2);
    place.textContent = `x ${pointer.x.toFixed(1)}, y ${pointer.y.toFixed(1)} px${away}${value}`;
    place.title = `From the middle: ${middleX.toFixed(1)}, ${middleY.toFixed(1)} px`;
  });
  picker.onDraw(() => {
    const pixel = picker.pixelSize_A || 1;
    const wanted = nice((110 / picker.view.scale) * pixel);
    bar.style.width = `${(wanted / pixel) * picker.view.scale}px`;
    length.textContent = !picker.pixelSize_A
      ? `${wanted} px`
      : wanted >= 1000
        ? `${wanted / 10} nm`
        : `${wanted} Å`;
    clearTimeout(timer);
    if (picker.tiles.isComplete) waiting.hidden = true;
    else timer = window.setTimeout(() => (waiting.hidden = picker.tiles.isComplete), 300);
    waiting.textContent = picker.meta
      ? "The picture is being made…"
      : "The micrograph is being read…";
    if (picker.denoised.isWaiting) {
      waiting.textContent = "Topaz denoises this micrograph; until then it is shown filtered.";
      waiting.hidden = false;
    }
    if (picker.trouble) waiting.textContent = "";
    scale.hidden = picker.meta === null || picker.isFourier;
  });
  return [name, scale, place, waiting, trouble];
}

/** Return 1, 2 or 5 times a power of ten, not above a number by much. */
export function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

export function digits(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return size >= 100 ? value.toFixed(1) : value.toPrecision(3);
}
