/** What the mouse, the pen and fingers do on the picture. */
import * as api from "./api";
import type { Picker } from "./picker";
import type { Stage } from "./stage";

type Act =
  | { kind: "pan"; x: number; y: number; isClick: boolean }
  | { kind: "drag"; id: number; startX: number; startY: number; isMoved: boolean }
  | { kind: "erase"; radius: number; x: number; y: number }
  | { kind: "ruler"; x0: number; y0: number };

const SLACK = 4;
const VALUE_MS = 60;

export class Pointer {
  private act: Act | null = null;
  private readonly fingers = new Map<number, { x: number; y: number }>();
  private spread = 0;
  private start = { x: 0, y: 0 };
  private asked = 0;
  private timer = 0;
  isSpaceHeld = false;

  constructor(
    private readonly picker: Picker,
    private readonly stage: Stage,
    private readonly menu: (x: number, y: number) => void,
  ) {
    const { over } = stage;
    over.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    over.addEventListener("pointerdown", (event) => this.down(event));
    over.addEventListener("pointermove", (event) => this.moved(event));
    over.addEventListener("pointerup", (event) => this.up(event));
    over.addEventListener("pointercancel", () => this.cancel());
    over.addEventListener("pointerleave", () => {
      if (!this.act) this.place(null);
    });
    over.addEventListener("dblclick", () => {
      if (picker.tool === "move") {
        picker.view.fit();
        picker.tell();
      }
    });
    over.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      const { x, y } = this.local(event);
      this.menu(x, y);
    });
    over.addEventListener("auxclick", (event) => event.preventDefault());
  }

  /** Take away picks that the brush meets on its way from where it was. */
  private erase(act: Act & { kind: "erase" }, x: number, y: number): void {
    const { picker } = this;
    const [dx, dy] = [x - act.x, y - act.y];
    const length = dx * dx + dy * dy;
    for (const pick of picker.doc?.picks ?? []) {
      if (picker.seen.isBelow(pick)) continue;
      const along = length > 0 ? ((pick.x - act.x) * dx + (pick.y - act.y) * dy) / length : 0;
      const part = Math.min(1, Math.max(0, along));
      const away = Math.hypot(pick.x - act.x - part * dx, pick.y - act.y - part * dy);
      if (away < act.radius) picker.erasing.add(pick.id);
    }
    Object.assign(act, { x, y });
    picker.draw();
  }

  private local(event: MouseEvent): { x: number; y: number } {
    const box = this.stage.over.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const { x, y } = this.local(event);
    const lines = event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
    // A pinch on a touchpad comes as a wheel with Ctrl, in small steps.
    this.picker.view.zoom(Math.exp(-lines * (event.ctrlKey ? 0.01 : 0.0015)), x, y);
    this.picker.tell();
  }

  private down(event: PointerEvent): void {
    const { picker, stage } = this;
    const { x, y } = this.local(event);
    stage.over.focus({ preventScroll: true });
    this.fingers.set(event.pointerId, { x, y });
    if (this.fingers.size === 2) {
      this.cancel();
      this.spread = this.distance();
      return;
    }
    if (event.button === 2) return;
    stage.over.setPointerCapture(event.pointerId);
    this.start = { x, y };
    const at = picker.view.toImage(x, y);
    const isErasing = picker.tool === "erase" || event.shiftKey || event.button === 1;
    if (this.isSpaceHeld) this.act = { kind: "pan", x, y, isClick: false };
    else if (picker.tool === "ruler" && event.button === 0) {
      this.act = { kind: "ruler", x0: at.x, y0: at.y };
    } else if (isErasing && picker.isEditable) {
      const brush = picker.settings.brush_A / 2 / (picker.pixelSize_A || 1);
      const radius = picker.tool === "erase" ? brush : picker.radius_px;
      const act = { kind: "erase" as const, radius, x: at.x, y: at.y };
      this.act = act;
      this.erase(act, at.x, at.y);
    } else {
      const hit = picker.isEditable ? picker.seen.hit(at.x, at.y) : null;
      this.act = hit
        ? { kind: "drag", id: hit.id, startX: hit.x - at.x, startY: hit.y - at.y, isMoved: false }
        : { kind: "pan", x, y, isClick: event.button === 0 };
    }
    if (event.button === 1) event.preventDefault();
  }

  private moved(event: PointerEvent): void {
    const { picker } = this;
    const { x, y } = this.local(event);
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, { x, y });
    if (this.fingers.size === 2) {
      this.pinch();
      return;
    }
    const at = picker.view.toImage(x, y);
    this.place(at);
    const { act } = this;
    if (!act) return;
    const isFar = Math.hypot(x - this.start.x, y - this.start.y) > SLACK;
    if (act.kind === "pan" && (isFar || !act.isClick)) {
      picker.view.pan(x - act.x, y - act.y);
      Object.assign(act, { x, y, isClick: false });
      picker.tell();
    } else if (act.kind === "drag" && (isFar || act.isMoved)) {
      act.isMoved = true;
      picker.moving = { id: act.id, x: at.x + act.startX, y: at.y + act.startY };
      picker.draw();
    } else if (act.kind === "erase") this.erase(act, at.x, at.y);
    else if (act.kind === "ruler") {
      picker.ruler = { x0: act.x0, y0: act.y0, x1: at.x, y1: at.y };
      picker.tell();
    }
  }

  private up(event: PointerEvent): void {
    const { picker, act } = this;
    this.fingers.delete(event.pointerId);
    this.act = null;
    if (!act) return;
    const { x, y } = this.local(event);
    const at = picker.view.toImage(x, y);
    if (act.kind === "pan" && act.isClick && picker.tool === "pick") {
      this.stage.pick(at.x, at.y, event.timeStamp);
    } else if (act.kind === "drag" && picker.moving) {
      const { id, x: toX, y: toY } = picker.moving;
      picker.moving = null;
      picker.edits.move(id, toX, toY);
      picker.tell();
    } else if (act.kind === "erase") {
      const gone = picker.erasing;
      picker.erasing = new Set();
      picker.edits.remove(gone);
      picker.tell();
    } else if (act.kind === "ruler" && picker.ruler) void picker.measure({ ...picker.ruler });
  }

  private cancel(): void {
    this.act = null;
    this.picker.moving = null;
    this.picker.erasing = new Set();
    this.picker.draw();
  }

  private distance(): number {
    const [a, b] = [...this.fingers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  private pinch(): void {
    const [a, b] = [...this.fingers.values()];
    const now = this.distance();
    if (!a || !b || now === 0) return;
    if (this.spread > 0) {
      this.picker.view.zoom(now / this.spread, (a.x + b.x) / 2, (a.y + b.y) / 2);
      this.picker.tell();
    }
    this.spread = now;
  }

  /** Tell where the pointer is, and ask for the value there, not too often. */
  private place(at: { x: number; y: number } | null): void {
    const { picker } = this;
    if (!at || !picker.view.holds(at.x, at.y)) {
      if (picker.pointer) {
        picker.pointer = null;
        picker.point();
      }
      return;
    }
    const before = picker.pointer;
    if (picker.hasCross) {
      picker.hasCross = false;
      picker.draw();
    }
    picker.pointer = { ...at, value: before?.value ?? null };
    picker.point();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), VALUE_MS);
  }

  private async ask(): Promise<void> {
    const { pointer, meta } = this.picker;
    if (!pointer || !meta || this.act) return;
    const number = (this.asked += 1);
    try {
      const found = await api.value(meta.path, Math.round(pointer.x), Math.round(pointer.y));
      if (number !== this.asked || !this.picker.pointer) return;
      this.picker.pointer.value = found.value;
      this.picker.point();
    } catch {
      // The next place is asked for again.
    }
  }
}
