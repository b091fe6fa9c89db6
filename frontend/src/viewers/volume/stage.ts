/** The surface: drawn by WebGL2 where that is there, else by the server; marks and labels on it. */
import { make } from "../dom";
import { Camera } from "./camera";
import { LAYERS, type Rgb } from "./colours";
import { type Volume, radiusAbove } from "./data";
import { layersOf } from "./layers";
import { type Entry, type Model, colourOf } from "./model";
import { type Marks, drawMarks } from "./overlay";
import { Pictures } from "./pictures";
import { follow } from "./pointer";
import { type Cell, type Layer, Renderer } from "./renderer";

const SLOW_MS = 45;

export class Stage {
  readonly element = make("div", { class: "vol-stage", label: "Surface" });
  readonly camera = new Camera();
  readonly renderer: Renderer | null;
  frameMs = 0;
  frames = 0;
  private readonly canvas = make("canvas", { class: "vol-surface" });
  private readonly over = make("canvas", { class: "vol-over" });
  private readonly labels = make("div", { class: "vol-labels" });
  private readonly pictures: Pictures | null = null;
  private readonly watcher: ResizeObserver;
  private asked = 0;
  private isMoving = false;
  private coarse = 1;
  private fitted: Volume | null = null;
  private radius = 0;

  constructor(
    private readonly model: Model,
    private readonly onDrawn: () => void,
  ) {
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "img");
    this.renderer = tryRenderer(this.canvas);
    if (this.renderer) this.element.append(this.canvas);
    else {
      this.pictures = new Pictures(this.camera);
      this.element.append(this.pictures.element);
    }
    this.element.append(this.over, this.labels);
    follow(
      this.element,
      this.camera,
      (isGoingOn) => {
        if (isGoingOn && !this.isMoving)
          this.coarse = Math.min(1, Math.max(0.25, Math.sqrt(SLOW_MS / (this.frameMs || 1))));
        this.isMoving = isGoingOn;
        this.ask();
      },
      () => this.grid.rows,
    );
    this.watcher = new ResizeObserver(() => this.ask());
    this.watcher.observe(this.element);
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer?.begin();
      this.ask();
    });
  }

  /** Draw soon. */
  ask(): void {
    if (this.asked === 0) this.asked = requestAnimationFrame(() => this.draw());
  }

  private get grid(): { columns: number; rows: number } {
    const n = Math.max(1, this.model.entries.length);
    const { clientWidth: width, clientHeight: height } = this.element;
    const columns = Math.min(n, Math.max(1, Math.round(Math.sqrt((n * width) / (height || 1)))));
    return { columns, rows: Math.ceil(n / columns) };
  }

  private draw(): void {
    this.asked = 0;
    this.fit();
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width === 0 || height === 0 || this.model.entries.length === 0) return;
    if (this.renderer) this.drawSurface(width, height);
    else this.pictures?.show(this.model, this.grid.columns);
    const ratio = window.devicePixelRatio || 1;
    resize(this.over, width * ratio, height * ratio);
    const context = this.over.getContext("2d");
    if (context) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      drawMarks(context, width, height, this.camera, this.marks, getComputedStyle(this.element));
    }
    this.writeLabels();
    this.frames++;
    this.onDrawn();
  }

  /** The first map fills the view; later ones, such as of further iterations, only widen it. */
  private fit(): void {
    const { first, threshold, loading } = this.model;
    if (!first?.volume || first.volume === this.fitted || loading > 0) return;
    this.fitted = first.volume;
    const radius = radiusAbove(first.volume, threshold);
    if (radius > this.radius) this.camera.fitTo((this.radius = radius));
  }

  private drawSurface(width: number, height: number): void {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const isFast = this.frameMs < SLOW_MS / 2;
    const quality = this.isMoving ? this.coarse : isFast && ratio < 2 ? 1.5 : 1;
    resize(this.canvas, width * ratio * quality, height * ratio * quality);
    const ms = this.render(this.isMoving ? 1 : 0.5, true);
    if (!this.isMoving) {
      this.frameMs = ms / (quality * quality);
      return;
    }
    if (ms > SLOW_MS) this.coarse = Math.max(0.25, this.coarse * 0.75);
    else if (ms < SLOW_MS / 3) this.coarse = Math.min(1, this.coarse * 1.2);
  }

  private render(stride: number, isTimed: boolean): number {
    const ground = groundOf(this.element);
    const how = { unitA: this.unitA, stride, ground, isTimed };
    return this.renderer?.draw(this.cells(), this.camera, how) ?? 0;
  }

  /** Ångström from the centre to the side of the largest map. */
  get unitA(): number {
    const sides = this.model.entries.map(
      ({ meta }) => (meta.pixel_size_A ?? 1) * Math.max(...meta.shape),
    );
    return Math.max(...sides, 1) / 2;
  }

  private cells(): Cell[] {
    const { columns, rows } = this.grid;
    return this.model.entries.map((entry, k) => ({
      x: (k % columns) / columns,
      y: Math.floor(k / columns) / rows,
      width: 1 / columns,
      height: 1 / rows,
      layers: this.drawn(entry),
    }));
  }

  private drawn(entry: Entry): Layer[] {
    const second = this.model.second;
    return layersOf(this.model, entry).flatMap(({ of, threshold, colour, opacity }) => {
      const volume = of.clean ?? of.volume;
      if (!volume) return [];
      const values =
        of === entry && second?.volume
          ? { volume: second.volume, low: second.low, high: second.high }
          : null;
      return [{ volume, threshold, colour: colourOf(colour), opacity, second: values }];
    });
  }

  private get marks(): Marks {
    const { scene, kept, first } = this.model;
    return {
      axes: kept.showsAxes ? (scene?.axes ?? []) : [],
      unitA: this.unitA,
      hasPixelSize: first?.meta.pixel_size_A !== null,
      ...this.grid,
    };
  }

  private writeLabels(): void {
    const { model } = this;
    const { columns, rows } = this.grid;
    const classes = model.entries.length > 1 ? (model.scene?.classes ?? []) : [];
    this.labels.replaceChildren(
      ...classes.map((one, k) => {
        const facts = [
          `Class ${one.number}`,
          one.share === null ? "" : `${(one.share * 100).toFixed(1)} %`,
          one.resolution_A === null ? "" : `${one.resolution_A.toFixed(1)} Å`,
        ];
        const label = make("span", { class: "vol-label", text: facts.filter(Boolean).join(", ") });
        label.style.left = `${((k % columns) / columns) * 100}%`;
        label.style.top = `${(Math.floor(k / columns) / rows) * 100}%`;
        return label;
      }),
    );
    const name = model.first?.path.split("/").at(-1) ?? "";
    const sigma = model.sigma.toFixed(1);
    this.element.setAttribute("aria-label", `Surface of ${name} at ${sigma} sigma`);
  }

  /** Return a picture of twice the size of what is shown, with its marks. */
  async photograph(): Promise<Blob | null> {
    const { clientWidth: width, clientHeight: height } = this.element;
    const whole = make("canvas");
    resize(whole, width * 2, height * 2);
    const context = whole.getContext("2d");
    if (!context) return null;
    const style = getComputedStyle(this.element);
    context.fillStyle = style.getPropertyValue("--canvas");
    context.fillRect(0, 0, whole.width, whole.height);
    if (this.renderer) {
      const before = [this.canvas.width, this.canvas.height] as const;
      resize(this.canvas, whole.width, whole.height);
      this.render(0.5, false);
      context.drawImage(this.canvas, 0, 0);
      resize(this.canvas, ...before);
      this.ask();
    } else this.pictures?.paint(context, this.element);
    context.scale(2, 2);
    drawMarks(context, width, height, this.camera, this.marks, style);
    return new Promise((resolve) => whole.toBlob(resolve, "image/png"));
  }

  destroy(): void {
    cancelAnimationFrame(this.asked);
    this.watcher.disconnect();
    this.pictures?.close();
    this.renderer?.destroy();
  }
}

export const HALF_COLOURS = [LAYERS.half1, LAYERS.half2] as const;

function tryRenderer(canvas: HTMLCanvasElement): Renderer | null {
  try {
    return new Renderer(canvas);
  } catch {
    return null; // the server makes pictures then
  }
}

function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  const [w, h] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
}

function groundOf(element: HTMLElement): Rgb {
  const found = getComputedStyle(element).getPropertyValue("--canvas").trim();
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(found);
  const part = (k: number): number => parseInt(hex?.[k] ?? "80", 16) / 255;
  return [part(1), part(2), part(3)];
}
