/** Surfaces and slices as pictures that the server makes, for a browser without WebGL2. */
import { address } from "../../api/client";
import { make } from "../dom";
import type { Camera } from "./camera";
import { layersOf, type Laid } from "./layers";
import type { Entry, Model } from "./model";
import { ACROSS, AXES, type Axis } from "./slices";

const SIZE = 512;

/** The surface of each map of a model. */
export class Pictures {
  readonly element = make("div", { class: "vol-pictures" });
  private images: HTMLImageElement[] = [];
  private wanted: string[] = [];
  private isWaiting = false;

  constructor(private readonly camera: Camera) {}

  show(model: Model, columns: number): void {
    if (this.images.length !== model.entries.length) {
      this.images = model.entries.map(() => make("img", { class: "vol-picture" }));
      this.element.replaceChildren(...this.images);
    }
    this.element.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const [x, y] = this.camera.pan;
    const { zoom } = this.camera;
    model.entries.forEach((entry, k) => {
      const image = this.images[k];
      if (!image) return;
      image.alt = `Surface of ${entry.path}`;
      image.style.transform = `translate(${(-x / zoom) * 50}%, ${(-y / zoom) * 50}%) scale(${1 / zoom})`;
    });
    this.wanted = model.entries.map((entry) => surfaceOf(entry, model, this.camera));
    this.next();
  }

  /** Ask for the newest view, one at a time. */
  private next(): void {
    if (this.isWaiting) return;
    const k = this.wanted.findIndex((source, n) => this.images[n]?.dataset["source"] !== source);
    const image = this.images[k];
    const source = this.wanted[k];
    if (!image || source === undefined) return;
    this.isWaiting = true;
    image.dataset["source"] = source;
    const done = (): void => {
      this.isWaiting = false;
      this.next();
    };
    image.onload = done;
    image.onerror = done;
    image.src = source;
  }

  paint(context: CanvasRenderingContext2D, element: HTMLElement): void {
    const from = element.getBoundingClientRect();
    for (const image of this.images) {
      const box = image.getBoundingClientRect();
      const side = Math.min(box.width, box.height);
      const left = box.left - from.left + (box.width - side) / 2;
      const top = box.top - from.top + (box.height - side) / 2;
      context.drawImage(image, 2 * left, 2 * top, 2 * side, 2 * side);
    }
  }

  close(): void {
    this.images = [];
    this.wanted = [];
  }
}

function surfaceOf(entry: Entry, model: Model, camera: Camera): string {
  const rounded = (value: number): number => Math.round(value * 10) / 10;
  const { rot, tilt, psi } = camera.angles;
  const { second } = model;
  const [solid, ...over] = layersOf(model, entry);
  const hasSameBox = ({ of }: Laid): boolean =>
    of.meta.shape.every((side, n) => side === entry.meta.shape[n]);
  const laid = over.filter(hasSameBox).map(({ of, threshold, colour }) => {
    const level = Number(threshold.toPrecision(4));
    return `&over=${encodeURIComponent(of.path)}&over_threshold=${level}&over_colour=${colour}`;
  });
  const base = address("volumes/surface.png", {
    path: solid?.of.path ?? entry.path,
    threshold: Number((solid?.threshold ?? model.threshold).toPrecision(4)),
    rot: rounded(rot),
    tilt: rounded(tilt),
    psi: rounded(psi),
    size: SIZE,
    ...(solid && solid.of !== entry ? { colour: solid.colour } : {}),
    ...(second && solid?.of === entry
      ? { colour_by: second.path, low: second.low, high: second.high }
      : {}),
  });
  return base + laid.join("");
}

/** Three slices of a map through one point. */
export class SlicePictures {
  readonly element = make("div", { class: "vol-slices" });
  readonly cross: [number, number, number] = [0.5, 0.5, 0.5];
  private readonly panes = AXES.map((axis) => this.pane(axis));
  private entry: Entry | null = null;

  constructor(private readonly onMove: () => void) {
    this.element.append(...this.panes.map((pane) => pane.figure));
  }

  show(entry: Entry): void {
    this.entry = entry;
    for (const { axis, image, lines, name } of this.panes) {
      const [right, down, along] = ACROSS[axis];
      const index = this.indexOf(along);
      const { path, meta } = entry;
      image.src = address("volumes/slice", { path, axis, index, sigma: 4, version: meta.version });
      image.alt = `Slice ${axis} ${index}`;
      name.textContent = `${axis.toUpperCase()} ${index}`;
      lines[0].style.left = `${this.cross[right] * 100}%`;
      lines[1].style.top = `${this.cross[down] * 100}%`;
    }
  }

  private indexOf(along: 0 | 1 | 2): number {
    const n = this.entry?.meta.shape[(2 - along) as 0 | 1 | 2] ?? 1;
    return Math.min(n - 1, Math.floor(this.cross[along] * n));
  }

  get voxel(): { x: number; y: number; z: number; value: null } | null {
    if (!this.entry) return null;
    return { x: this.indexOf(0), y: this.indexOf(1), z: this.indexOf(2), value: null };
  }

  private pane(axis: Axis): {
    axis: Axis;
    figure: HTMLElement;
    image: HTMLImageElement;
    lines: readonly [HTMLElement, HTMLElement];
    name: HTMLElement;
  } {
    const image = make("img", { class: "vol-slice" });
    const lines = [
      make("i", { class: "vol-line down" }),
      make("i", { class: "vol-line across" }),
    ] as const;
    const name = make("figcaption");
    image.addEventListener("click", (event) => {
      const box = image.getBoundingClientRect();
      const [right, down] = ACROSS[axis];
      this.cross[right] = (event.clientX - box.left) / box.width;
      this.cross[down] = (event.clientY - box.top) / box.height;
      if (this.entry) this.show(this.entry);
      this.onMove();
    });
    return { axis, figure: make("figure", {}, image, ...lines, name), image, lines, name };
  }
}
