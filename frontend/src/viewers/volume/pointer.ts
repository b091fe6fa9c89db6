/** Turning, moving and scaling by pointer, touch and keys. */
import type { Camera, Direction } from "./camera";

const STEP = Math.PI / 18;

/** Let a camera follow what is done on an element; `onMove` says whether it goes on. */
export function follow(
  element: HTMLElement,
  camera: Camera,
  onMove: (isGoingOn: boolean) => void,
  rowsOf: () => number,
): void {
  const fingers = new Map<number, { x: number; y: number }>();
  let spread = 0;

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    spread = distance(fingers);
    element.focus({ preventScroll: true });
  });
  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const half = element.clientHeight / rowsOf() / 2 || 1;
    if (fingers.size === 2) {
      const now = distance(fingers);
      if (spread > 0) camera.scale(now / spread);
      spread = now;
      shift(camera, dx / 2 / half, dy / 2 / half);
    } else if (event.shiftKey || event.buttons === 4) {
      shift(camera, dx / half, dy / half);
    } else if (event.buttons === 2) {
      camera.rotate([0, 0, 1], dx / half);
    } else if (dx !== 0 || dy !== 0) {
      // The surface follows the pointer as a ball would.
      camera.rotate([-dy, dx, 0], -Math.hypot(dx, dy) / half);
    }
    onMove(true);
  });
  const end = (event: PointerEvent): void => {
    if (!fingers.delete(event.pointerId)) return;
    spread = distance(fingers);
    onMove(false);
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      camera.scale(
        Math.exp(-Math.sign(event.deltaY) * Math.min(0.3, Math.abs(event.deltaY) / 600)),
      );
      onMove(true);
      later();
    },
    { passive: false },
  );
  let timer: ReturnType<typeof setTimeout> | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => onMove(false), 160);
  };
}

/** Do what a key means for the camera; returns whether it means something. */
export function turnByKey(camera: Camera, event: KeyboardEvent): boolean {
  const turns: Record<string, readonly [number, number, number]> = {
    ArrowLeft: [0, 1, 0],
    ArrowRight: [0, -1, 0],
    ArrowUp: [-1, 0, 0],
    ArrowDown: [1, 0, 0],
  };
  const axis = turns[event.key];
  if (axis) {
    if (event.shiftKey) shift(camera, -axis[1] * 0.1, axis[0] * 0.1);
    else camera.rotate(axis, STEP);
    return true;
  }
  const views: Record<string, Direction> = { x: "x", y: "y", z: "z", X: "-x", Y: "-y", Z: "-z" };
  const view = views[event.key];
  if (view) camera.look(view);
  else if (event.key === "+" || event.key === "=") camera.scale(1.2);
  else if (event.key === "-") camera.scale(1 / 1.2);
  else if (event.key === "0") camera.reset();
  else if (event.key === "o") camera.isPerspective = !camera.isPerspective;
  else return false;
  return true;
}

function shift(camera: Camera, x: number, y: number): void {
  camera.pan = [camera.pan[0] - x * camera.zoom, camera.pan[1] - y * camera.zoom];
}

function distance(fingers: Map<number, { x: number; y: number }>): number {
  const [a, b] = [...fingers.values()];
  return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
}
