/** The controls around the surface. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";
import { make } from "../dom";
import { type RampName, css, rampGradient } from "./colours";
import { Threshold } from "./histogram";
import type { Mode, Model } from "./model";
import { More } from "./more";
import { button, option, press } from "./parts";
import { HALF_COLOURS, type Stage } from "./stage";

type NodeRow = components["schemas"]["NodeRow"];
const MODES: readonly [Mode, string][] = [
  ["volume", "Volume"],
  ["slices", "Slices"],
  ["both", "Both"],
];
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
  private readonly legend = make("div", { class: "vol-legend" });
  private readonly message = make("p", { class: "vol-message" });
  private readonly more: More;
  private readonly iterations = make("div", { class: "vol-iterations" });
  private readonly slider = make("input", { label: "Iteration" });
  private readonly iteration = make("output");
  private known = "";
  private isChoosing = false;

  constructor(
    private readonly model: Model,
    private readonly stage: Stage,
    private readonly acts: Acts,
  ) {
    this.threshold = new Threshold(
      (value) => model.setThreshold(value),
      () => model.autoThreshold(),
    );
    this.more = new More(model, stage, acts);
    this.fillTop();
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
    this.more.show();
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
      const made = button(name, "", () => {
        model.kept.mode = mode;
        acts.keep();
        acts.redraw();
      });
      this.modes.set(mode, made);
      modes.append(made);
    }
    const views = make("div", { class: "group" });
    for (const axis of ["x", "y", "z"] as const) {
      const title = `Look along ${axis} (${axis.toUpperCase()})`;
      views.append(
        button(axis.toUpperCase(), title, () => {
          stage.camera.look(axis);
          acts.redraw();
        }),
      );
    }
    const reset = button("Reset", "Reset the view (0)", () => {
      stage.camera.reset();
      acts.redraw();
    });
    const photograph = button("PNG", "Save a picture, twice as large", acts.photograph);
    photograph.dataset["vol"] = "photograph";
    const opener = button(
      "More",
      "Perspective, clip plane, low-pass, dust, colours, another map",
      () => {
        this.more.element.hidden = !this.more.element.hidden;
        press(opener, !this.more.element.hidden);
      },
    );
    press(opener, false);
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
    this.slider.addEventListener("input", () => {
      this.isChoosing = true;
      this.writeIterations();
    });
    this.slider.addEventListener("change", () => {
      this.isChoosing = false;
      this.goTo(Number(this.slider.value));
    });
    for (const end of ["pointerup", "keyup"])
      this.slider.addEventListener(end, () => {
        this.isChoosing = false;
      });
    this.iterations.append(make("span", { text: "Iteration" }), this.slider, this.iteration);
    this.message.setAttribute("role", "status");
    this.foot.append(this.message, this.legend, row, this.why, this.more.element, this.iterations);
  }

  private toggle(
    key: string,
    text: string,
    isOn: () => boolean,
    isThere: () => boolean,
    why: string,
    act: () => unknown,
  ): HTMLButtonElement {
    const made = button(text, "", () => {
      act();
      this.acts.keep();
    });
    made.dataset["vol"] = key;
    this.toggles.push([made, isOn, isThere, why]);
    return made;
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
    this.more.offer(rest);
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
    // What a hand is about to choose stays, whatever is drawn meanwhile.
    const shown = Math.max(0, all.indexOf(scene?.iteration ?? "final"));
    const place = this.isChoosing ? Number(this.slider.value) : shown;
    const now = all[place] ?? "final";
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
