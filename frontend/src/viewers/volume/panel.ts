/** The controls around the surface. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";
import { make } from "../dom";
import { type RampName, RAMPS, css, rampGradient } from "./colours";
import { Threshold } from "./histogram";
import type { Mode, Model } from "./model";
import { HALF_COLOURS, type Stage } from "./stage";

type NodeRow = components["schemas"]["NodeRow"];
const MODES: readonly [Mode, string][] = [
  ["volume", "Volume"],
  ["slices", "Slices"],
  ["both", "Both"],
];
const RAMP_NAMES: Readonly<Record<RampName, string>> = {
  blue: "Blue to pale",
  difference: "Blue, white, orange",
  rainbow: "Rainbow",
};

export type Acts = {
  keep: () => void;
  redraw: () => void;
  photograph: () => void;
  ramp: (name: RampName) => void;
};

export class Panel {
  readonly top = make("div", { class: "vol-bar", label: "View" });
  readonly foot = make("div", { class: "vol-foot" });
  private readonly threshold: Threshold;
  private readonly modes = new Map<Mode, HTMLButtonElement>();
  /** Why some of the toggles cannot be pressed. */
  private readonly why = make("p", { class: "vol-why small" });
  private readonly toggles: [HTMLButtonElement, () => boolean, () => boolean, string][] = [];
  private readonly colour = make("select", { class: "in sm", label: "Colour by" });
  private readonly other = make("select", { class: "in sm", label: "Add a map" });
  private readonly legend = make("div", { class: "vol-legend" });
  private readonly message = make("p", { class: "vol-message" });
  private readonly more = make("div", { class: "vol-more" });
  private readonly iterations = make("div", { class: "vol-iterations" });
  private readonly slider = make("input", { label: "Iteration" });
  private readonly iteration = make("output");
  private readonly clip = make("input", { label: "Clip plane" });
  private readonly orthographic: HTMLButtonElement;
  private known = "";

  constructor(
    private readonly model: Model,
    private readonly stage: Stage,
    private readonly acts: Acts,
  ) {
    this.threshold = new Threshold(
      (value) => model.setThreshold(value),
      () => model.autoThreshold(),
    );
    this.orthographic = this.button("Perspective", "Perspective, else orthographic (O)", () => {
      stage.camera.isPerspective = !stage.camera.isPerspective;
      model.kept.isPerspective = stage.camera.isPerspective;
      acts.keep();
      acts.redraw();
    });
    this.fillTop();
    this.fillMore();
    this.fillFoot();
    void this.offerMaps();
  }

  /** Write what the model says. */
  show(): void {
    const { model } = this;
    const meta = model.first?.meta;
    if (meta) this.threshold.show(meta, model.threshold);
    for (const [mode, button] of this.modes) press(button, model.kept.mode === mode);
    for (const [button, isOn, isThere, why] of this.toggles) {
      press(button, isOn());
      button.disabled = !isThere();
      button.title = isThere() ? "" : why;
    }
    const missing = model.first ? this.toggles.filter(([, , isThere]) => !isThere()) : [];
    this.why.textContent = missing
      .map(([button, , , why]) => `${button.textContent}: ${why}.`)
      .join(" ");
    this.why.hidden = missing.length === 0;
    const symmetry = model.scene?.symmetry ?? "";
    const axes = this.toggles.find(([button]) => button.dataset["vol"] === "axes")?.[0];
    if (axes) axes.textContent = model.scene?.axes.length ? `${symmetry} axes` : "Axes";
    press(this.orthographic, this.stage.camera.isPerspective);
    this.clip.value = String(Math.round(this.stage.camera.clip * 100));
    this.clip.style.setProperty("--v", `${this.clip.value}%`);
    this.offerColours();
    this.writeLegend();
    this.writeIterations();
    const notes = [model.message, this.stage.renderer ? "" : NO_WEBGL].filter(Boolean);
    this.message.textContent = notes.join(" ");
    this.message.hidden = notes.length === 0;
  }

  private fillTop(): void {
    const { acts, model, stage } = this;
    const modes = make("div", { class: "group" });
    for (const [mode, name] of MODES) {
      const button = this.button(name, "", () => {
        model.kept.mode = mode;
        acts.keep();
        acts.redraw();
      });
      this.modes.set(mode, button);
      modes.append(button);
    }
    const views = make("div", { class: "group" });
    for (const axis of ["x", "y", "z"] as const) {
      const title = `Look along ${axis} (${axis.toUpperCase()})`;
      views.append(
        this.button(axis.toUpperCase(), title, () => {
          stage.camera.look(axis);
          acts.redraw();
        }),
      );
    }
    const reset = this.button("Reset", "Reset the view (0)", () => {
      stage.camera.reset();
      acts.redraw();
    });
    const photograph = this.button("PNG", "Save a picture, twice as large", acts.photograph);
    photograph.dataset["vol"] = "photograph";
    const opener = this.button(
      "More",
      "Perspective, clip plane, low-pass, dust, colours, another map",
      () => {
        this.more.hidden = !this.more.hidden;
        press(opener, !this.more.hidden);
      },
    );
    this.more.hidden = true;
    const clip = make("label", { class: "vol-clip" }, "Clip", this.clip);
    this.clip.type = "range";
    this.clip.max = "100";
    this.clip.addEventListener("input", () => {
      stage.camera.clip = Number(this.clip.value) / 100;
      acts.redraw();
    });
    if (!stage.renderer) for (const one of [this.orthographic, this.clip]) one.disabled = true;
    this.more.append(this.orthographic, clip);
    this.top.append(modes, views, reset, opener, photograph);
  }

  private fillFoot(): void {
    const { model } = this;
    const row = make("div", { class: "vol-row" });
    const toggles = make("div", { class: "vol-toggles" });
    toggles.append(
      this.toggle(
        "mask",
        "Mask",
        () => model.mask !== null,
        () => model.scene?.mask != null,
        "the job of this map used none",
        () => model.showMask(model.mask === null),
      ),
      this.toggle(
        "halves",
        "Half maps",
        () => model.halves.length === 2,
        () => model.scene?.halves.length === 2,
        "none lie beside this map",
        () => model.showHalves(model.halves.length === 0),
      ),
      this.toggle(
        "axes",
        "Axes",
        () => model.kept.showsAxes && (model.scene?.axes.length ?? 0) > 0,
        () => (model.scene?.axes.length ?? 0) > 0,
        "the job of this map used no symmetry",
        () => {
          model.kept.showsAxes = !model.kept.showsAxes;
          this.acts.redraw();
        },
      ),
    );
    row.append(
      this.threshold.element,
      make("label", { class: "vol-colour" }, "Colour", this.colour),
      toggles,
    );
    this.colour.addEventListener("change", () => {
      model.kept.colours = this.colour.value !== "";
      this.acts.keep();
      void model.colourBy(this.colour.value);
    });
    this.slider.type = "range";
    this.slider.addEventListener("change", () => this.goTo(Number(this.slider.value)));
    this.iterations.append(make("span", { text: "Iteration" }), this.slider, this.iteration);
    this.message.setAttribute("role", "status");
    this.foot.append(this.message, this.legend, row, this.why, this.more, this.iterations);
  }

  private fillMore(): void {
    const { acts, model, stage } = this;
    const lowpass = number("Low-pass, Å", model.kept.lowpassA, (value) => {
      model.kept.lowpassA = value;
      acts.keep();
      void model.reload();
    });
    const dust = number("Hide dust below, voxels", model.kept.dust, (value) => {
      model.kept.dust = value;
      acts.keep();
      model.tidy();
      acts.redraw();
    });
    const box = make("select", { class: "in sm", label: "Voxels" });
    for (const side of [0, 64, 128, 192, 256, 384])
      box.append(option(String(side), side === 0 ? "as fits" : String(side)));
    box.value = String(model.kept.box);
    box.addEventListener("change", () => {
      model.kept.box = Number(box.value);
      acts.keep();
      void model.reload();
    });
    const ramp = make("select", { class: "in sm", label: "Colours" });
    for (const name of Object.keys(RAMPS) as RampName[])
      ramp.append(option(name, RAMP_NAMES[name]));
    ramp.value = model.kept.ramp;
    ramp.disabled = !stage.renderer;
    ramp.addEventListener("change", () => {
      const chosen = (Object.keys(RAMPS) as RampName[]).find((one) => one === ramp.value);
      if (chosen) acts.ramp(chosen);
    });
    this.other.addEventListener("change", () => void model.add(this.other.value));
    this.more.append(
      lowpass,
      dust,
      make("label", {}, "Box shown", box),
      make("label", {}, "Colours", ramp),
      make("label", {}, "Add a map", this.other),
    );
  }

  private toggle(
    key: string,
    text: string,
    isOn: () => boolean,
    isThere: () => boolean,
    why: string,
    act: () => unknown,
  ): HTMLButtonElement {
    const button = this.button(text, "", () => {
      act();
      this.acts.keep();
    });
    button.dataset["vol"] = key;
    this.toggles.push([button, isOn, isThere, why]);
    return button;
  }

  private button(text: string, title: string, act: () => void): HTMLButtonElement {
    const button = make("button", { class: "btn sm", text, title });
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }

  /** Offer local resolution, and every map of the project. */
  private offerColours(): void {
    const { model } = this;
    const own = model.scene?.colour_by ?? [];
    const chosen = model.second?.path ?? "";
    const known = JSON.stringify([own, chosen, this.maps]);
    if (known === this.known) return;
    this.known = known;
    const rest = this.maps.filter((path) => !own.includes(path) && path !== model.first?.path);
    const group = make("optgroup");
    group.label = "Other maps of the project";
    group.append(...rest.map((path) => option(path, path)));
    const local = own.map((path) =>
      option(path, `Local resolution, ${path.split("/")[1] ?? path}`),
    );
    this.colour.replaceChildren(option("", "Plain"), ...local, ...(rest.length > 0 ? [group] : []));
    if (chosen && ![...own, ...rest].includes(chosen)) this.colour.append(option(chosen, chosen));
    this.colour.value = chosen;
    const added = this.other.value;
    this.other.replaceChildren(option("", "none"), ...rest.map((path) => option(path, path)));
    this.other.value = added;
    this.other.disabled = !this.stage.renderer;
  }

  private maps: string[] = [];

  private async offerMaps(): Promise<void> {
    const nodes = await ask<NodeRow[]>("GET", "nodes").catch(() => []);
    this.maps = nodes.filter((node) => node.path.endsWith(".mrc")).map((node) => node.path);
    this.show();
  }

  private writeLegend(): void {
    const { second, halves, kept, scene } = this.model;
    const isA = second !== null && (scene?.colour_by.includes(second.path) ?? false);
    const unit = isA ? " Å" : "";
    this.legend.hidden = second === null && halves.length === 0;
    if (halves.length === 2) {
      const keys = HALF_COLOURS.map((colour, k) => {
        const patch = make("i", { class: "vol-patch" });
        patch.style.background = css(colour);
        return make("span", {}, patch, `half ${k + 1}`);
      });
      this.legend.replaceChildren(...keys);
    } else if (second) {
      const bar = make("i", { class: "vol-ramp" });
      bar.style.backgroundImage = rampGradient(kept.ramp);
      const limits = ([0, 1] as const).map((k) => {
        const given = make("input", { class: "in sm", label: k === 0 ? "Lowest" : "Highest" });
        given.value = String(Number((k === 0 ? second.low : second.high).toPrecision(3)));
        given.addEventListener("change", () => {
          const value = Number(given.value);
          const pair: [number, number] = k === 0 ? [value, second.high] : [second.low, value];
          this.model.colourRange(given.value.trim() && Number.isFinite(value) ? pair : null);
        });
        return given;
      });
      const name = isA ? "Local resolution" : (second.path.split("/").at(-1) ?? "");
      const [low, high] = limits;
      if (low && high)
        this.legend.replaceChildren(
          make("span", { text: name }),
          low,
          bar,
          high,
          make("span", { text: unit }),
        );
    }
  }

  private writeIterations(): void {
    const { scene, isNewest } = this.model;
    const all = [...(scene?.iterations ?? []), ...(scene?.final ? ["final"] : [])];
    this.iterations.hidden = all.length < 2;
    this.slider.max = String(Math.max(0, all.length - 1));
    const now = scene?.iteration ?? "final";
    const place = Math.max(0, all.indexOf(now));
    this.slider.value = String(place);
    this.slider.style.setProperty("--v", `${(100 * place) / Math.max(1, all.length - 1)}%`);
    const last = scene?.iterations.at(-1) ?? 0;
    this.iteration.textContent =
      now === "final" ? "final" : `${now} of ${last}${isNewest && now === last ? ", newest" : ""}`;
    this.slider.setAttribute("aria-valuetext", this.iteration.textContent);
  }

  private goTo(place: number): void {
    const all = this.model.scene?.iterations ?? [];
    this.model.isNewest = place >= all.length - 1;
    void this.model.goTo(all[place] ?? null);
  }
}

const NO_WEBGL =
  "This browser draws no WebGL2: the server makes these pictures. Turning waits for them; the clip plane needs WebGL2.";

function press(button: HTMLElement, isOn: boolean): void {
  button.setAttribute("aria-pressed", String(isOn));
}

function option(value: string, text: string): HTMLOptionElement {
  const made = make("option", { text });
  made.value = value;
  return made;
}

function number(name: string, value: number, onValue: (value: number) => void): HTMLElement {
  const input = make("input", { class: "in sm", label: name });
  input.type = "number";
  input.min = "0";
  input.value = String(value);
  input.addEventListener("change", () => onValue(Math.max(0, Number(input.value) || 0)));
  return make("label", {}, name, input);
}
