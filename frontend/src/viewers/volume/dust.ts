/** Hiding dust: parts above the threshold that hang together in few voxels only. */
import { type Volume, partOf } from "./data";
import { halfTable } from "./half";

/** Return a copy in which parts of fewer than `least` voxels lie below the threshold. */
export function hideDust(volume: Volume, threshold: number, least: number): Volume {
  const [nx, ny, nz] = volume.size;
  const table = halfTable();
  const level = partOf(volume, threshold);
  const bits = volume.bits.slice();
  const seen = new Uint8Array(bits.length);
  const below = lastBelow(table, level);
  const stack: number[] = [];
  const strides = [1, -1, nx, -nx, nx * ny, -nx * ny];
  for (let start = 0; start < bits.length; start++) {
    if (seen[start] || (table[bits[start] ?? 0] ?? 0) < level) continue;
    const part: number[] = [];
    stack.push(start);
    seen[start] = 1;
    while (stack.length > 0) {
      const place = stack.pop() ?? 0;
      part.push(place);
      const x = place % nx;
      const y = Math.floor(place / nx) % ny;
      const z = Math.floor(place / (nx * ny));
      const open = [x < nx - 1, x > 0, y < ny - 1, y > 0, z < nz - 1, z > 0];
      for (let k = 0; k < 6; k++) {
        const next = place + (strides[k] ?? 0);
        if (!open[k] || seen[next] || (table[bits[next] ?? 0] ?? 0) < level) continue;
        seen[next] = 1;
        stack.push(next);
      }
    }
    if (part.length < least) for (const place of part) bits[place] = below;
  }
  return { ...volume, bits };
}

/** Return the greatest half-precision bits whose value lies below a level. */
function lastBelow(table: Float32Array, level: number): number {
  let [low, high] = [0, 0x3c00];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((table[middle] ?? 0) < level) low = middle;
    else high = middle - 1;
  }
  return low;
}
