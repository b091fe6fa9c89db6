/** The part of the panel that tells of the CTF. */
import { address } from "../../api/client";
import { make } from "../dom";
import { digits } from "./hud";
import type { Picker } from "./picker";
import { button } from "./toolbar";

/** The CTF picture with the fit in it, and what was found. */
export function ctf(picker: Picker): HTMLElement {
  const image = make("img", { class: "mg-ctf" });
  const figures = make("dl", { class: "mg-figures" });
  const fourier = button("Fourier amplitudes", "Show the transform of the micrograph (T)", () => {
    picker.isFourier = !picker.isFourier;
    picker.tell();
  });
  // Beside the title: below the figures it would lie under the edge of a low window.
  const head = make("div", { class: "mg-row" }, make("h2", { text: "CTF" }), fourier);
  const root = make("section", {}, head, make("div", { class: "mg-ctf-row" }, image, figures));
  let shown = "";
  picker.hear(() => {
    const name = picker.micrograph?.ctf_image;
    const { path = "" } = picker.list ?? {};
    const source =
      name && path.endsWith(".star")
        ? address("images/one", {
            path,
            column: "rlnCtfImage",
            row: picker.row,
            size: 360,
            sigma: 2.5,
          })
        : "";
    if (source !== shown) {
      shown = source;
      image.hidden = source === "";
      image.alt = "Power spectrum, with the fitted CTF in one half";
      if (source) image.src = source;
      else image.removeAttribute("src");
    }
    const rows = factsOf(picker);
    figures.replaceChildren(
      ...rows.flatMap(([label, value]) => [
        make("dt", { text: label }),
        make("dd", { text: value }),
      ]),
    );
    root.querySelector("h2")?.classList.toggle("muted", rows.length === 0);
    fourier.setAttribute("aria-pressed", String(picker.isFourier));
    root.classList.toggle("bare", rows.length === 0 && !source);
  });
  image.addEventListener("error", () => (image.hidden = true));
  return root;
}

function factsOf(picker: Picker): [string, string][] {
  const { facts, micrograph } = picker;
  const at = (label: string): number | null => {
    const value = facts[label];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  const [u, v] = [at("rlnDefocusU") ?? micrograph?.defocus_A ?? null, at("rlnDefocusV")];
  const rows: [string, string][] = [];
  const mean = u !== null && v !== null ? (u + v) / 2 : u;
  if (mean !== null) rows.push(["Defocus", `${(mean / 1e4).toFixed(2)} µm`]);
  if (u !== null && v !== null) rows.push(["Astigmatism", `${Math.round(Math.abs(u - v))} Å`]);
  const resolution = at("rlnCtfMaxResolution") ?? micrograph?.ctf_max_resolution_A ?? null;
  if (resolution !== null) rows.push(["Fit to", `${resolution.toFixed(1)} Å`]);
  for (const [label, text] of [
    ["rlnCtfFigureOfMerit", "Merit"],
    ["rlnCtfIceRingDensity", "Ice ring"],
    ["rlnPhaseShift", "Phase shift"],
  ] as const) {
    const value = at(label);
    if (value !== null) rows.push([text, digits(value)]);
  }
  return rows;
}
