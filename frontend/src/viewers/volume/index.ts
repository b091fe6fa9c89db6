/** A map: its surface, three slices, and what belongs to it. */
import "./volume.css";

import { sentence } from "../../api/client";
import { make } from "../dom";
import type { Viewer, ViewerOptions } from "../viewer";
import { type Kept, Model, USUAL } from "./model";
import { Panel } from "./panel";
import { SlicePictures } from "./pictures";
import { turnByKey } from "./pointer";
import { Slices } from "./slices";
import { Stage } from "./stage";

/** It goes on to the next iteration and keeps the view. */
export const isLive = true;

export function mount(element: HTMLElement, options: ViewerOptions): Viewer {
  const box = options.isCompact ? 128 : 256;
  const hasVoxels = hasWebGL2();
  const model: Model = new Model(
    keptOf(options.settings),
    () => Math.min(box, stage.renderer?.largest ?? box),
    hasVoxels,
    () => show(),
    (error) => {
      // Without any map the page itself says why; later the notice is enough.
      if (model.first) options.onFail(error);
      else model.message = sentence(error);
    },
  );
  const stage: Stage = new Stage(model, () => tell());
  stage.camera.isPerspective = model.kept.isPerspective;
  stage.renderer?.setRamp(model.kept.ramp);
  const slices = stage.renderer ? new Slices(() => tell()) : new SlicePictures(() => tell());
  const readout = make("p", { class: "vol-readout" });
  const keep = (): void => options.onSettings({ ...model.kept });
  const panel: Panel = new Panel(model, stage, {
    keep,
    redraw: () => show(),
    photograph: () => void photograph(),
    ramp: (name) => {
      model.kept.ramp = name;
      stage.renderer?.setRamp(name);
      keep();
      show();
    },
  });
  const root = make("div", { class: "vol" });
  const middle = make("div", { class: "vol-middle" }, stage.element, slices.element);
  panel.top.lastElementChild?.before(readout);
  root.append(panel.top, middle, panel.foot);
  element.replaceChildren(root);

  const onKey = (event: KeyboardEvent): void => {
    const isText =
      event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    const isLetter = event.key.length === 1 && /[a-z]/i.test(event.key);
    if (isText || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isLetter && !options.hasSingleKeys()) return;
    if (!turnByKey(stage.camera, event)) return;
    event.preventDefault();
    event.stopPropagation();
    show();
  };
  root.addEventListener("keydown", onKey);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const onTheme = (): void => stage.ask();
  dark.addEventListener("change", onTheme);
  const themes = new MutationObserver(onTheme);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  void model.open(options.info.path);

  function show(): void {
    root.dataset["mode"] = model.kept.mode;
    root.setAttribute("aria-busy", String(model.loading > 0));
    const { first } = model;
    if (slices instanceof Slices) {
      if (first?.volume) slices.show(first.volume, model.mask?.volume ?? null);
    } else if (first) slices.show(first);
    panel.show();
    stage.ask();
    tell();
  }

  function tell(): void {
    const voxel = slices.voxel;
    readout.textContent = voxel
      ? `x ${voxel.x}  y ${voxel.y}  z ${voxel.z}${voxel.value === null ? "" : `  value ${voxel.value.toPrecision(3)}`}`
      : "";
    root.dataset["state"] = JSON.stringify(state());
  }

  function state(): Record<string, unknown> {
    const { scene, first, second, threshold } = model;
    return {
      kind: "volume",
      isLoaded: model.loading === 0 && first !== null,
      isServer: stage.renderer === null,
      path: first?.path ?? null,
      n: model.entries.length,
      threshold,
      sigma: model.sigma,
      mode: model.kept.mode,
      box: first?.volume?.size ?? null,
      cross: slices.voxel,
      matrix: stage.camera.matrix.map((value) => Math.round(value * 1000) / 1000),
      zoom: stage.camera.zoom,
      clip: stage.camera.clip,
      isPerspective: stage.camera.isPerspective,
      hasMask: model.mask !== null,
      halves: model.halves.length,
      second: second ? { path: second.path, low: second.low, high: second.high } : null,
      axes: model.kept.showsAxes ? (scene?.axes.length ?? 0) : 0,
      symmetry: scene?.symmetry ?? null,
      iteration: scene?.iteration ?? null,
      iterations: scene?.iterations ?? [],
      classes: scene?.classes.length ?? 0,
      message: model.message,
      frames: stage.frames,
      frameMs: stage.frameMs,
    };
  }

  async function photograph(): Promise<void> {
    const blob = await stage.photograph();
    if (!blob) return;
    const link = make("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${(model.first?.path ?? "map").replace(/\.mrc$/, "").replaceAll("/", "_")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  return {
    update: (changed) => {
      const { info } = changed;
      if (info && (model.isNewest || !isIteration(info.path))) void model.open(info.path);
    },
    destroy: () => {
      model.close();
      stage.destroy();
      themes.disconnect();
      dark.removeEventListener("change", onTheme);
      element.replaceChildren();
    },
    get state() {
      return state();
    },
  };
}

function isIteration(path: string): boolean {
  return /_it\d{3,}_/.test(path);
}

function hasWebGL2(): boolean {
  const probe = document.createElement("canvas").getContext("webgl2");
  probe?.getExtension("WEBGL_lose_context")?.loseContext();
  return probe !== null;
}

/** Take what the project keeps, where it is of the right kind. */
function keptOf(settings: Record<string, unknown>): Kept {
  const kept: Record<string, unknown> = { ...USUAL };
  for (const [key, usual] of Object.entries(USUAL))
    if (typeof settings[key] === typeof usual) kept[key] = settings[key];
  return kept as Kept;
}
