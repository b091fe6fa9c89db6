/** Colours of maps and of values on them. All but the rainbow are told apart by lightness alone. */
export type Rgb = readonly [number, number, number];

export type RampName = "blue" | "difference" | "rainbow";

/** Low to high; the server's pictures (programs/display/volumes.py) have the same blue. */
export const RAMPS: Readonly<Record<RampName, readonly Rgb[]>> = {
  blue: [
    [17, 59, 128],
    [43, 121, 178],
    [103, 178, 190],
    [190, 220, 190],
    [250, 240, 200],
  ],
  difference: [
    [22, 82, 156],
    [122, 170, 214],
    [240, 240, 238],
    [236, 164, 98],
    [178, 78, 6],
  ],
  rainbow: [
    [48, 68, 190],
    [30, 170, 200],
    [90, 190, 80],
    [240, 200, 40],
    [210, 50, 40],
  ],
};

/** Map, first half, second half, mask, and maps that were added. */
export const LAYERS = {
  map: [0.71, 0.75, 0.77],
  half1: [0.24, 0.55, 0.78],
  half2: [0.9, 0.58, 0.2],
  mask: [0.86, 0.66, 0.16],
  other: [0.66, 0.45, 0.78],
} as const satisfies Record<string, Rgb>;

/** Colours of classes that stand side by side: told by place and label, so one is enough. */
export function css(colour: Rgb): string {
  return `rgb(${colour.map((part) => Math.round(part * 255)).join(" ")})`;
}

/** Return a ramp as texture bytes, `n` of four channels. */
export function rampBytes(name: RampName, n = 256): Uint8Array {
  const stops = RAMPS[name];
  const bytes = new Uint8Array(n * 4);
  for (let i = 0; i < n; i++) {
    const place = (i / (n - 1)) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    const [a, b] = [stops[k] ?? [0, 0, 0], stops[k + 1] ?? [0, 0, 0]];
    for (const c of [0, 1, 2] as const) bytes[4 * i + c] = a[c] + (b[c] - a[c]) * (place - k);
    bytes[4 * i + 3] = 255;
  }
  return bytes;
}

/** Return a ramp as a gradient of a style sheet, low at the left. */
export function rampGradient(name: RampName): string {
  return `linear-gradient(90deg, ${RAMPS[name].map((stop) => `rgb(${stop.join(" ")})`).join(", ")})`;
}
