/** What is rarely asked of a surface: perspective, clip plane, filters, box, colours, another map. */
import { make } from "../dom";
import { type RampName, RAMPS } from "./colours";
import type { Model } from "./model";
import type { Acts } from "./panel";
import { button, number, option, press } from "./parts";
import type { Stage } from "./stage";

const RAMP_NAMES: Readonly<Record<RampName, string>> = {
  blue: "Blue to pale",
  difference: "Blue, white, orange",
  rainbow: "Rainbow",
};
const SIDES = [0, 64, 128, 192, 256, 384];

export class More {
  readonly element = make("div", { class: "vol-more" });
  private readonly other = make("select", { class: "in sm", label: "Add a map" });
  private readonly clip = make("input", { label: "Clip plane" });
  private readonly orthographic: HTMLButtonElement;

  constructor(
    private readonly model: Model,
    private readonly stage: Stage,
    private readonly acts: Acts,
  ) {
    this.orthographic = button("Perspective", "Perspective, else orthographic (O)", () => {
      stage.camera.isPerspective = !stage.camera.isPerspective;
      model.kept.isPerspective = stage.camera.isPerspective;
      acts.keep();
      acts.redraw();
    });
    this.clip.type = "range";
    this.clip.max = "100";
    this.clip.addEventListener("input", () => {
      stage.camera.clip = Number(this.clip.value) / 100;
      acts.redraw();
    });
    this.other.addEventListener("change", () => void model.add(this.other.value));
    if (!stage.renderer)
      for (const one of [this.orthographic, this.clip, this.other]) one.disabled = true;
    this.element.hidden = true;
    const cut = { class: "vol-clip", title: "Cuts away what is nearest to you" };
    this.element.append(
      this.orthographic,
      make("label", cut, "Clip", this.clip),
      ...this.filters(),
      make("label", { title: "Voxels a side that are drawn" }, "Box shown, voxels", this.box()),
      make("label", { title: "Of the surface, where a map colours it" }, "Colours", this.ramp()),
      make("label", { title: "Drawn beside this one" }, "Add a map", this.other),
    );
  }

  /** Write what the camera says. */
  show(): void {
    press(this.orthographic, this.stage.camera.isPerspective);
    this.clip.value = String(Math.round(this.stage.camera.clip * 100));
    this.clip.style.setProperty("--v", `${this.clip.value}%`);
  }

  /** Offer other maps of the project. */
  offer(paths: readonly string[]): void {
    const added = this.other.value;
    this.other.replaceChildren(option("", "none"), ...paths.map((path) => option(path, path)));
    this.other.value = added;
  }

  private filters(): HTMLElement[] {
    const { acts, model } = this;
    return [
      number("Low-pass, Å", "0 is none", model.kept.lowpassA, (value) => {
        model.kept.lowpassA = value;
        acts.keep();
        void model.reload();
      }),
      number("Hide dust below, voxels", "Pieces smaller than this", model.kept.dust, (value) => {
        model.kept.dust = value;
        acts.keep();
        model.tidy();
        acts.redraw();
      }),
    ];
  }

  private box(): HTMLSelectElement {
    const { acts, model } = this;
    const made = make("select", { class: "in sm", label: "Voxels" });
    for (const side of SIDES)
      made.append(option(String(side), side === 0 ? "as fits" : String(side)));
    made.value = String(model.kept.box);
    made.addEventListener("change", () => {
      model.kept.box = Number(made.value);
      acts.keep();
      void model.reload();
    });
    return made;
  }

  private ramp(): HTMLSelectElement {
    const names = Object.keys(RAMPS) as RampName[];
    const made = make("select", { class: "in sm", label: "Colours" });
    for (const name of names) made.append(option(name, RAMP_NAMES[name]));
    made.value = this.model.kept.ramp;
    made.disabled = !this.stage.renderer;
    made.addEventListener("change", () => {
      const chosen = names.find((one) => one === made.value);
      if (chosen) this.acts.ramp(chosen);
    });
    return made;
  }
}
