/** Maps as they come from the server: voxels, what they mean, what is known of the file. */
import { ApiError, OfflineError, address, ask } from "../../api/client";
import type { components } from "../../api/schema";
import { halfTable } from "./half";

export type Meta = components["schemas"]["VolumeMeta"];
export type Scene = components["schemas"]["Scene"];
type IterationMap = components["schemas"]["IterationMap"];

/** Voxels from 0 to 1 as half-precision bits, x fastest; 0 means `low`, 1 means `high`. */
export type Volume = {
  path: string;
  version: string;
  bits: Uint16Array;
  /** x, y, z */
  size: readonly [number, number, number];
  low: number;
  high: number;
  pixelA: number;
  lowpassA: number;
};

export type Source = { path: string; meta: Meta };

export const getMeta = (path: string): Promise<Meta> =>
  ask<Meta>("GET", "volumes/meta", { query: { path } });
export const getScene = (path: string): Promise<Scene> =>
  ask<Scene>("GET", "volumes/scene", { query: { path } });
export const getAt = (path: string, iteration: number): Promise<IterationMap> =>
  ask<IterationMap>("GET", "volumes/at", { query: { path, iteration } });

/** Load the voxels of a map, cut to a box. */
export async function getVolume(
  { path, meta }: Source,
  box: number,
  lowpassA: number,
  signal: AbortSignal,
): Promise<Volume> {
  const query = { path, box, form: "float16", lowpass_A: lowpassA, version: meta.version };
  let answer: Response;
  try {
    answer = await fetch(address("volumes/data", query), { credentials: "same-origin", signal });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new OfflineError("The server cannot be reached; the map is loaded when it is back.");
  }
  if (!answer.ok) {
    const told = (await answer.json().catch(() => null)) as { error?: string } | null;
    throw new ApiError(answer.status, told?.error ?? `${path} could not be loaded.`, [], told);
  }
  const number = (name: string): number => Number(answer.headers.get(name));
  const [z = 1, y = 1, x = 1] = (answer.headers.get("X-Box") ?? "").split(",").map(Number);
  const bits = new Uint16Array(await answer.arrayBuffer());
  if (bits.length !== x * y * z) throw new Error(`${path}: the server sent another box.`);
  const [low, high] = [number("X-Low"), number("X-High")];
  const pixelA = number("X-Pixel-Size") || 1;
  return { path, version: meta.version, bits, size: [x, y, z], low, high, pixelA, lowpassA };
}

/** Return the value of a voxel. */
export function valueAt(volume: Volume, x: number, y: number, z: number): number {
  const [nx, ny] = volume.size;
  const bits = volume.bits[(z * ny + y) * nx + x] ?? 0;
  return volume.low + (halfTable()[bits] ?? 0) * (volume.high - volume.low);
}

/** Return a density as the part of 0 to 1 that voxels are kept as. */
export function partOf(volume: Volume, value: number): number {
  return (value - volume.low) / (volume.high - volume.low || 1);
}

/** Return the most of each block of voxels and its rim: where it is low nothing needs a look. */
export function blockMaxima(volume: Volume, side: number): { size: number[]; bits: Uint16Array } {
  const [nx, ny, nz] = volume.size;
  const size = volume.size.map((n) => Math.ceil(n / side));
  const [bx = 1, by = 1, bz = 1] = size;
  const bits = new Uint16Array(bx * by * bz);
  // Half-precision bits of numbers from 0 to 1 are in the order of the numbers.
  const touch = (n: number, count: number): [number, number] => [
    Math.floor(Math.max(0, n - 1) / side),
    Math.min(count - 1, Math.floor((n + 1) / side)),
  ];
  for (let z = 0; z < nz; z++) {
    const [z0, z1] = touch(z, bz);
    for (let y = 0; y < ny; y++) {
      const [y0, y1] = touch(y, by);
      const row = (z * ny + y) * nx;
      for (let block = 0; block < bx; block++) {
        let most = 0;
        const end = Math.min(nx, (block + 1) * side + 1);
        for (let x = Math.max(0, block * side - 1); x < end; x++) {
          const bit = volume.bits[row + x] ?? 0;
          if (bit > most) most = bit;
        }
        for (let k = z0; k <= z1; k++)
          for (let j = y0; j <= y1; j++) {
            const place = (k * by + j) * bx + block;
            if (most > (bits[place] ?? 0)) bits[place] = most;
          }
      }
    }
  }
  return { size, bits };
}

/** Return the radius that holds what is above a threshold, as a part of half of the side. */
export function radiusAbove(volume: Volume, threshold: number): number {
  const table = halfTable();
  const level = partOf(volume, threshold);
  const [nx, ny, nz] = volume.size;
  const half = Math.max(nx, ny, nz) / 2;
  const counts = new Uint32Array(256);
  let n = 0;
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++)
      for (let x = 0; x < nx; x++) {
        if ((table[volume.bits[(z * ny + y) * nx + x] ?? 0] ?? 0) < level) continue;
        const radius = Math.hypot(x - nx / 2, y - ny / 2, z - nz / 2) / half;
        const bin = Math.min(255, Math.floor(radius * 160));
        counts[bin] = (counts[bin] ?? 0) + 1;
        n++;
      }
  let seen = 0;
  for (let bin = 0; bin < 256; bin++) {
    seen += counts[bin] ?? 0;
    if (n > 0 && seen >= 0.998 * n) return (bin + 1) / 160;
  }
  return 1;
}

/** Return the values of a second map where a map is above its threshold: their 2nd and 98th. */
export function rangeOnSurface(map: Volume, threshold: number, second: Volume): [number, number] {
  const table = halfTable();
  const level = partOf(map, threshold);
  const counts = new Uint32Array(1024);
  const width = second.high - second.low;
  let n = 0;
  const same = map.size.every((one, axis) => one === second.size[axis]);
  for (let i = 0; i < second.bits.length; i++) {
    const part = table[second.bits[i] ?? 0] ?? 0;
    // Zero is where a local resolution was not measured.
    const isNone = Math.abs(second.low + part * width) < 1e-4 * width;
    if ((same && (table[map.bits[i] ?? 0] ?? 0) < level) || isNone) continue;
    const bin = Math.min(1023, Math.floor(part * 1024));
    counts[bin] = (counts[bin] ?? 0) + 1;
    n++;
  }
  const at = (share: number): number => {
    let seen = 0;
    for (let bin = 0; bin < 1024; bin++) {
      seen += counts[bin] ?? 0;
      if (seen >= share * n && seen > 0) return bin / 1024;
    }
    return 1;
  };
  const value = (part: number): number => second.low + part * (second.high - second.low);
  return [value(at(0.02)), value(at(0.98) + 1 / 1024)];
}
