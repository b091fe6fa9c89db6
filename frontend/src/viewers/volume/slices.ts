/** Three slices through one point, drawn from the voxels that are here; a click moves the point. */
import { make } from "../dom";
import { type Volume, valueAt } from "./data";
import { halfTable } from "./half";

export type Axis = "x" | "y" | "z";
/** Which axes run right and down in the slice across an axis. */
export const ACROSS: Readonly<Record<Axis, readonly [0 | 1 | 2, 0 | 1 | 2, 0 | 1 | 2]>> = {
  z: [0, 1, 2],
  y: [0, 2, 1],
  x: [1, 2, 0],
};
export const AXES: readonly Axis[] = ["z", "y", "x"];

export class Slices {
  readonly element = make("div", { class: "vol-slices" });
  /** Where the three meet, in parts of the box from 0 to 1: x, y, z. */
  readonly cross: [number, number, number] = [0.5, 0.5, 0.5];
  private readonly panes: Pane[];
  private shown: { volume: Volume; mask: Volume | null; limits: [number, number] } | null = null;
  private readonly onMove: () => void;

  constructor(onMove: () => void) {
    this.onMove = onMove;
    this.panes = AXES.map((axis) => new Pane(axis, this.cross, () => this.moved()));
    this.element.append(...this.panes.map((pane) => pane.element));
  }

  show(volume: Volume, mask: Volume | null): void {
    if (this.shown?.volume !== volume || this.shown.mask !== mask) {
      const limits = this.shown?.volume === volume ? this.shown.limits : limitsOf(volume);
      this.shown = { volume, mask, limits };
    }
    this.draw();
  }

  draw(): void {
    if (!this.shown) return;
    const { volume, mask, limits } = this.shown;
    for (const pane of this.panes) pane.draw(volume, mask, limits);
  }

  /** The voxel where the slices meet, and its value. */
  get voxel(): { x: number; y: number; z: number; value: number } | null {
    if (!this.shown) return null;
    const { volume } = this.shown;
    const [x, y, z] = volume.size.map((n, axis) => voxelOf(this.cross[axis] ?? 0.5, n)) as [
      number,
      number,
      number,
    ];
    return { x, y, z, value: valueAt(volume, x, y, z) };
  }

  private moved(): void {
    this.draw();
    this.onMove();
  }
}

export function voxelOf(part: number, n: number): number {
  return Math.min(n - 1, Math.max(0, Math.floor(part * n)));
}

/** Return the values shown black and white: nearly all of them lie between. */
export function limitsOf(volume: Volume): [number, number] {
  const table = halfTable();
  const counts = new Uint32Array(512);
  const stride = Math.max(1, Math.floor(volume.bits.length / 400_000));
  let n = 0;
  for (let i = 0; i < volume.bits.length; i += stride, n++) {
    const bin = Math.min(511, Math.floor((table[volume.bits[i] ?? 0] ?? 0) * 512));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  const at = (share: number): number => {
    let seen = 0;
    for (let bin = 0; bin < 512; bin++) {
      seen += counts[bin] ?? 0;
      if (seen > share * n) return bin / 512;
    }
    return 1;
  };
  const [low, high] = [at(0.005), at(0.998)];
  return high > low ? [low, high] : [0, 1];
}

class Pane {
  readonly element: HTMLElement;
  private readonly canvas = make("canvas", { class: "vol-slice" });
  private readonly name = make("figcaption");
  private readonly lines: readonly [HTMLElement, HTMLElement];
  private size: readonly [number, number, number] = [1, 1, 1];

  constructor(
    readonly axis: Axis,
    private readonly cross: [number, number, number],
    private readonly onMove: () => void,
  ) {
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "slider");
    this.canvas.dataset["axis"] = axis;
    this.lines = [make("i", { class: "vol-line down" }), make("i", { class: "vol-line across" })];
    this.element = make("figure", {}, this.canvas, ...this.lines, this.name);
    this.listen();
  }

  draw(volume: Volume, mask: Volume | null, [low, high]: [number, number]): void {
    this.size = volume.size;
    const [right, down, along] = ACROSS[this.axis];
    const [width, height] = [volume.size[right], volume.size[down]];
    const [nx, ny] = volume.size;
    const strides = [1, nx, nx * ny] as const;
    const index = voxelOf(this.cross[along], volume.size[along]);
    const hasMask = mask?.size.every((n, axis) => n === volume.size[axis]) === true;
    const image = new ImageData(width, height);
    const table = halfTable();
    for (let j = 0; j < height; j++)
      for (let i = 0; i < width; i++) {
        const place = index * strides[along] + j * strides[down] + i * strides[right];
        const part = ((table[volume.bits[place] ?? 0] ?? 0) - low) / (high - low);
        const grey = Math.max(0, Math.min(1, part)) * 255;
        const isIn = hasMask && (table[mask?.bits[place] ?? 0] ?? 0) >= 0.5;
        image.data.set(
          isIn ? [grey * 0.75 + 60, grey * 0.75 + 44, grey * 0.75, 255] : [grey, grey, grey, 255],
          4 * (j * width + i),
        );
      }
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
    this.label(index, volume.size[along]);
  }

  /** Write the number of the slice and place the lines of the other two. */
  label(index: number, n: number): void {
    const [right, down] = ACROSS[this.axis];
    const name = `${this.axis.toUpperCase()} ${index}`;
    this.name.textContent = name;
    this.canvas.setAttribute("aria-label", `Slice across ${this.axis}`);
    this.canvas.setAttribute("aria-valuenow", String(index));
    this.canvas.setAttribute("aria-valuemin", "0");
    this.canvas.setAttribute("aria-valuemax", String(n - 1));
    this.canvas.setAttribute("aria-valuetext", name);
    this.lines[0].style.left = `${this.cross[right] * 100}%`;
    this.lines[1].style.top = `${this.cross[down] * 100}%`;
  }

  private listen(): void {
    const [right, down, along] = ACROSS[this.axis];
    const point = (event: PointerEvent): void => {
      const box = this.canvas.getBoundingClientRect();
      const within = (part: number): number => Math.min(0.9999, Math.max(0, part));
      this.cross[right] = within((event.clientX - box.left) / box.width);
      this.cross[down] = within((event.clientY - box.top) / box.height);
      this.onMove();
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      point(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) point(event);
    });
    const go = (by: number): void => {
      const n = this.size[along];
      const next = Math.min(n - 1, Math.max(0, voxelOf(this.cross[along], n) + by));
      this.cross[along] = (next + 0.5) / n;
      this.onMove();
    };
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        go(event.deltaY > 0 ? 1 : -1);
      },
      { passive: false },
    );
    const keys: Record<string, number> = {
      ArrowUp: 1,
      ArrowRight: 1,
      ArrowDown: -1,
      ArrowLeft: -1,
    };
    this.canvas.addEventListener("keydown", (event) => {
      const by =
        keys[event.key] ?? (event.key === "PageUp" ? 10 : event.key === "PageDown" ? -10 : 0);
      if (by === 0) return;
      event.preventDefault();
      event.stopPropagation();
      go(by);
    });
  }
}
