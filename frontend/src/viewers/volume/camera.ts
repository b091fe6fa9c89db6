/** From where a map is seen. Without a turn x runs right, y down and z away, as slices lie. */

export type Quaternion = readonly [number, number, number, number];
export type Direction = "x" | "y" | "z" | "-x" | "-y" | "-z";

const HALF = Math.SQRT1_2;
const VIEWS: Readonly<Record<Direction, Quaternion>> = {
  z: [0, 0, 0, 1],
  "-z": [0, 1, 0, 0],
  // Along x: y runs right and z down. Along y: z runs right and x down.
  x: [0.5, 0.5, 0.5, -0.5],
  "-x": [HALF, 0, -HALF, 0],
  y: [0.5, 0.5, 0.5, 0.5],
  "-y": [0, HALF, -HALF, 0],
};
export const FIT = 1.06;

export class Camera {
  turn: Quaternion = VIEWS.z;
  /** Half of the height that is seen, as a part of half of the longest side of the maps. */
  zoom = FIT;
  /** What a reset goes back to: all that is above the threshold is seen. */
  fit = FIT;
  pan: [number, number] = [0, 0];
  isPerspective = false;
  /** Where the view is cut: 0 in front of everything, 1 behind. */
  clip = 0;

  reset(): void {
    this.turn = VIEWS.z;
    this.zoom = this.fit;
    this.pan = [0, 0];
    this.clip = 0;
  }

  /** See as much as holds everything within a radius, unless somebody chose what to see. */
  fitTo(radius: number): void {
    const isChosen = this.zoom !== this.fit || this.pan[0] !== 0 || this.pan[1] !== 0;
    this.fit = Math.min(FIT, Math.max(0.2, radius * 1.08));
    if (!isChosen) this.zoom = this.fit;
  }

  look(direction: Direction): void {
    this.turn = VIEWS[direction];
  }

  /** Turn by an angle about an axis of the picture. */
  rotate(axis: readonly [number, number, number], angle: number): void {
    const length = Math.hypot(...axis) || 1;
    const s = Math.sin(angle / 2) / length;
    this.turn = normal(
      product([axis[0] * s, axis[1] * s, axis[2] * s, Math.cos(angle / 2)], this.turn),
    );
  }

  /** Scale by a factor about a place of the picture (-1 to 1 of half its height). */
  scale(factor: number, x = 0, y = 0): void {
    const next = Math.min(6, Math.max(0.05, this.zoom / factor));
    const grown = next / this.zoom;
    this.pan = [
      this.pan[0] + x * this.zoom * (1 - grown),
      this.pan[1] + y * this.zoom * (1 - grown),
    ];
    this.zoom = next;
  }

  /** Return the matrix from map to picture, row by row. */
  get matrix(): number[] {
    const [x, y, z, w] = this.turn;
    return [
      ...[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
      ...[2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
      ...[2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ];
  }

  /** Return a direction of the map as it lies in the picture. */
  seen(x: number, y: number, z: number): [number, number, number] {
    const m = this.matrix as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return [
      m[0] * x + m[1] * y + m[2] * z,
      m[3] * x + m[4] * y + m[5] * z,
      m[6] * x + m[7] * y + m[8] * z,
    ];
  }

  /** Return rot, tilt and psi in degrees, as the server's pictures take them. */
  get angles(): { rot: number; tilt: number; psi: number } {
    const m = this.matrix;
    const at = (row: number, column: number): number => m[3 * row + column] ?? 0;
    // A = Rz(psi) Ry(tilt) Rz(rot) with RELION's signs; its third row and column tell the angles.
    const flat = Math.hypot(at(2, 0), at(2, 1));
    const tilt = Math.atan2(flat, at(2, 2));
    const isPole = flat < 1e-6;
    const rot = isPole ? 0 : Math.atan2(at(2, 1), at(2, 0));
    const psi = isPole ? Math.atan2(at(0, 1), at(1, 1)) : Math.atan2(at(1, 2), -at(0, 2));
    const degrees = 180 / Math.PI;
    return { rot: rot * degrees, tilt: tilt * degrees, psi: psi * degrees };
  }

  get kept(): Record<string, unknown> {
    return { isPerspective: this.isPerspective };
  }
}

function product(a: Quaternion, b: Quaternion): Quaternion {
  const [ax, ay, az, aw] = a;
  const [bx, by, bz, bw] = b;
  return [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
}

function normal(q: Quaternion): Quaternion {
  const length = Math.hypot(...q) || 1;
  return [q[0] / length, q[1] / length, q[2] / length, q[3] / length];
}
