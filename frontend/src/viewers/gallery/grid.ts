/** Where images lie, and drawing those that can be seen: one canvas as large as the window. */
import type { Tile } from "./sheets";

/** Browsers end elements at about 33 million pixels; longer lists are scrolled in proportion. */
const TALLEST = 12_000_000;
const GAP = 6;
const PAD = 8;
const FACES = '"Segoe UI", "Liberation Sans", system-ui, sans-serif';

/** Letters and lines of labels, which follow the text size of the page. */
class Type {
  readonly font: string;
  readonly bold: string;
  readonly line: number;

  constructor(private readonly rem: number) {
    this.font = `${1.1 * rem}px ${FACES}`;
    this.bold = `600 ${this.font}`;
    this.line = Math.round(1.5 * rem);
  }

  /** How many labels stand side by side under an image. */
  perLine(width: number): number {
    return Math.max(1, Math.floor(width / (3.7 * this.rem)));
  }
}

export type Box = { x: number; y: number; width: number; height: number };

/** The places of `n` images in a window. */
export class Layout {
  readonly across: number;
  /** Width of an image: as asked, and what is left of the line shared out. */
  readonly size: number;
  readonly lines: number;
  readonly stepX: number;
  readonly stepY: number;
  readonly pictureHeight: number;
  readonly height: number;
  readonly type: Type;
  private readonly left: number;

  constructor(
    readonly n: number,
    readonly width: number,
    readonly view: number,
    wanted: number,
    aspect: number,
    readonly nLabels: number,
    /** The unit of text: CSS pixels in a rem. */
    rem = 10,
  ) {
    this.type = new Type(rem);
    const room = width - 2 * PAD + GAP;
    this.across = Math.max(1, Math.floor(room / (wanted + GAP)));
    const share = Math.floor(room / this.across) - GAP;
    // Few images share a wide window, up to twice as large as asked.
    const few = Math.min(2 * wanted, Math.floor(room / Math.max(1, n)) - GAP);
    const size = n < this.across ? few : share;
    this.size = size;
    const labelLines = Math.ceil(nLabels / this.type.perLine(size));
    this.pictureHeight = Math.round(size * Math.min(1, aspect));
    this.stepX = size + GAP;
    this.stepY = this.pictureHeight + GAP + (nLabels > 0 ? labelLines * this.type.line + 2 : 0);
    this.lines = Math.ceil(n / this.across);
    const used = Math.min(n, this.across) * this.stepX - GAP;
    this.left = n < this.across ? PAD : Math.max(PAD, Math.floor((width - used) / 2));
    this.height = 2 * PAD + this.lines * this.stepY;
  }

  /** Height of what is scrolled. */
  get tall(): number {
    return Math.min(TALLEST, this.height);
  }

  /** The pixel of the list at the top of the window. */
  top(scrolled: number): number {
    if (this.height <= TALLEST) return scrolled;
    const part = scrolled / Math.max(1, this.tall - this.view);
    return part * (this.height - this.view);
  }

  /** How far to scroll for a pixel of the list to be at the top. */
  scrollFor(top: number): number {
    if (this.height <= TALLEST) return top;
    return (top / Math.max(1, this.height - this.view)) * (this.tall - this.view);
  }

  /** First place and the one after the last that lie between two pixels of the list. */
  span(top: number, bottom: number): [number, number] {
    const first = Math.max(0, Math.floor((top - PAD) / this.stepY));
    const last = Math.max(first, Math.ceil((bottom - PAD) / this.stepY));
    return [Math.min(this.n, first * this.across), Math.min(this.n, last * this.across)];
  }

  box(place: number): Box {
    const x = this.left + (place % this.across) * this.stepX;
    const y = PAD + Math.floor(place / this.across) * this.stepY;
    return { x, y, width: this.size, height: this.pictureHeight };
  }

  /** The image at a pixel of the list; -1 between images. */
  at(x: number, y: number): number {
    const column = Math.floor((x - this.left) / this.stepX);
    const line = Math.floor((y - PAD) / this.stepY);
    if (column < 0 || column >= this.across || line < 0) return -1;
    if (x - this.left - column * this.stepX > this.size) return -1;
    const place = line * this.across + column;
    return place < this.n ? place : -1;
  }

  /** All places that a rectangle of the list touches. */
  touched(a: { x: number; y: number }, b: { x: number; y: number }): number[] {
    const [x0, x1] = [Math.min(a.x, b.x), Math.max(a.x, b.x)];
    const [y0, y1] = [Math.min(a.y, b.y), Math.max(a.y, b.y)];
    const [first, end] = this.span(y0, y1 + 1);
    const found: number[] = [];
    for (let place = first; place < end; place += 1) {
      const box = this.box(place);
      if (box.x <= x1 && box.x + box.width >= x0 && box.y <= y1 && box.y + box.height >= y0) {
        found.push(place);
      }
    }
    return found;
  }
}

export type Shown = {
  row: number;
  tile: Tile | null;
  type: number;
  number: string;
  labels: readonly string[];
  isCurrent: boolean;
};

export type Palette = { ground: string; types: readonly string[]; onType: string };

/** The colours of the page; those of selections are the same in both themes. */
export function paletteOf(element: HTMLElement): Palette {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    ground: of("--canvas-image") || "#484a4b",
    types: ["", ...[1, 2, 3, 4, 5, 6].map((type) => of(`--sel-${type}`))],
    onType: of("--on-sel") || "#14181a",
  };
}

/** Draw what lies in the window. */
export function draw(
  canvas: HTMLCanvasElement,
  layout: Layout,
  top: number,
  palette: Palette,
  isFocused: boolean,
  shown: (place: number) => Shown,
): void {
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) return;
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [Math.round(layout.width * ratio), Math.round(layout.view * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = palette.ground;
  context.fillRect(0, 0, layout.width, layout.view);
  context.imageSmoothingQuality = "medium";
  context.textBaseline = "top";
  const [first, end] = layout.span(top, top + layout.view);
  for (let place = first; place < end; place += 1) {
    const box = layout.box(place);
    one(context, layout.type, { ...box, y: box.y - top }, shown(place), palette, isFocused);
  }
}

function one(
  context: CanvasRenderingContext2D,
  type: Type,
  box: Box,
  shown: Shown,
  palette: Palette,
  isFocused: boolean,
): void {
  picture(context, box, shown.tile);
  if (shown.type > 0) frame(context, type, box, shown.type, palette);
  context.font = type.font;
  if (box.width >= 56) {
    const width = context.measureText(shown.number).width;
    context.fillStyle = "rgb(20 24 26 / 0.55)";
    context.fillRect(box.x + box.width - width - 8, box.y + 3, width + 6, type.line);
    context.fillStyle = "#e4e8ea";
    context.fillText(shown.number, box.x + box.width - width - 5, box.y + 4.5);
  }
  labels(context, type, box, shown.labels);
  if (shown.isCurrent) {
    context.strokeStyle = "#ffffff";
    context.lineWidth = isFocused ? 2 : 1;
    context.setLineDash([4, 3]);
    context.strokeRect(box.x - 2, box.y - 2, box.width + 4, box.height + 4);
    context.setLineDash([]);
  }
}

function picture(context: CanvasRenderingContext2D, box: Box, tile: Tile | null): void {
  if (!tile) {
    context.fillStyle = "#3d4041";
    context.fillRect(box.x, box.y, box.width, box.height);
    return;
  }
  const deep = (tile.size * box.height) / box.width;
  const skip = Math.max(0, (tile.size - deep) / 2);
  context.drawImage(
    tile.sheet,
    tile.x,
    tile.y + skip,
    tile.size,
    deep,
    box.x,
    box.y,
    box.width,
    box.height,
  );
}

/** A frame with the digit of its type: never told by colour alone. */
function frame(
  context: CanvasRenderingContext2D,
  { bold, line }: Type,
  box: Box,
  type: number,
  palette: Palette,
): void {
  const colour = palette.types[type] ?? "#fff";
  context.strokeStyle = colour;
  context.lineWidth = 2.5;
  context.strokeRect(box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1);
  context.fillStyle = colour;
  context.fillRect(box.x - 0.5, box.y - 0.5, line + 2, line + 2);
  context.fillStyle = palette.onType;
  context.font = bold;
  const text = String(type);
  context.fillText(text, box.x + (line + 1 - context.measureText(text).width) / 2, box.y + 3);
}

/** Values under an image: as many in a line as fit, the first one bold. */
function labels(
  context: CanvasRenderingContext2D,
  type: Type,
  box: Box,
  texts: readonly string[],
): void {
  const most = type.perLine(box.width);
  texts.forEach((text, place) => {
    const [line, column] = [Math.floor(place / most), place % most];
    const inLine = Math.min(most, texts.length - line * most);
    const width = box.width / inLine;
    context.font = place === 0 ? type.bold : type.font;
    context.fillStyle = place === 0 ? "#ffffff" : "#d3d8da";
    const y = box.y + box.height + 3 + line * type.line;
    const size = Math.min(width - 3, context.measureText(text).width);
    const at = [0, 0.5, 1][column === 0 ? 0 : column === inLine - 1 ? 2 : 1] ?? 0;
    const x = box.x + column * width + at * (width - size) + (at === 0 ? 1 : -1);
    context.fillText(text, x, y, width - 3);
  });
}
