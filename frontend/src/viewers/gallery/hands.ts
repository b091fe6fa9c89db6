/** Mouse and keys on the grid. */
import { make } from "../dom";
import { openMenu, setPaint } from "./entries";
import type { Gallery } from "./gallery";
import { showOne } from "./original";
import { askToSave } from "./saving";

type Point = { x: number; y: number };

export function hands(gallery: Gallery): void {
  const { scroll } = gallery.screen;
  const band = make("div", { class: "g-band" });
  band.hidden = true;
  scroll.append(band);
  let from: Point | null = null;
  let isDragging = false;

  function point(event: MouseEvent): Point {
    const box = gallery.screen.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top + gallery.screen.top };
  }

  scroll.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    if (event.clientX > gallery.screen.canvas.getBoundingClientRect().right) return; // the scroll bar
    from = point(event);
    isDragging = false;
    scroll.setPointerCapture(event.pointerId);
  });
  scroll.addEventListener("pointermove", (event) => {
    if (!from || gallery.options.isCompact) return;
    const now = point(event);
    if (!isDragging && Math.hypot(now.x - from.x, now.y - from.y) < 6) return;
    isDragging = true;
    const box = scroll.getBoundingClientRect();
    if (event.clientY > box.bottom - 16) scroll.scrollTop += 24;
    if (event.clientY < box.top + 16) scroll.scrollTop -= 24;
    band.hidden = false;
    const top = gallery.screen.top;
    band.style.left = `${Math.min(from.x, now.x)}px`;
    band.style.top = `${Math.min(from.y, now.y) - top + scroll.scrollTop}px`;
    band.style.width = `${Math.abs(now.x - from.x)}px`;
    band.style.height = `${Math.abs(now.y - from.y)}px`;
  });
  scroll.addEventListener("pointerup", (event) => {
    if (!from) return;
    const start = from;
    from = null;
    band.hidden = true;
    if (!isDragging) return;
    const places = gallery.screen.layout.touched(start, point(event));
    const takesOut = event.ctrlKey || event.metaKey || event.altKey;
    gallery.selection.set(
      places.map((place) => gallery.rowAt(place)),
      takesOut ? 0 : gallery.paint,
    );
  });
  scroll.addEventListener("pointercancel", () => {
    from = null;
    band.hidden = true;
  });
  scroll.addEventListener("click", (event) => {
    if (isDragging) {
      isDragging = false;
      return;
    }
    const at = point(event);
    const place = gallery.screen.layout.at(at.x, at.y);
    if (place < 0) return;
    scroll.focus({ preventScroll: true });
    if (gallery.options.isCompact)
      gallery.options.go(`#/display?path=${encodeURIComponent(gallery.info.path)}`);
    else click(gallery, place, event);
  });
  scroll.addEventListener("dblclick", () => {
    if (gallery.options.isCompact || gallery.current < 0) return;
    gallery.selection.undo(); // the two clicks of a double click select nothing
    gallery.selection.undo();
    showOne(gallery, gallery.current);
  });
  scroll.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    if (gallery.options.isCompact) return;
    const at = point(event);
    const place = gallery.screen.layout.at(at.x, at.y);
    if (place >= 0) gallery.go(place);
    openMenu(gallery, event.clientX, event.clientY);
  });
  scroll.addEventListener("keydown", (event) => keys(gallery, event));
}

function click(gallery: Gallery, place: number, event: MouseEvent): void {
  const row = gallery.rowAt(place);
  const anchor = gallery.placeOf(gallery.anchor);
  gallery.go(place);
  if (event.shiftKey && anchor >= 0) {
    gallery.selection.set(gallery.rowsBetween(anchor, place), gallery.paint);
  } else {
    gallery.selection.toggle(row, gallery.paint);
    if (!(event.ctrlKey || event.metaKey)) gallery.anchor = row;
  }
}

function keys(gallery: Gallery, event: KeyboardEvent): void {
  const { selection, shown } = gallery;
  const { layout } = gallery.screen;
  const place = gallery.placeOf(gallery.current);
  const page = Math.max(1, Math.floor(layout.view / layout.stepY)) * layout.across;
  const moves: Record<string, number> = {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - layout.across,
    ArrowDown: place < 0 ? 0 : place + layout.across,
    PageUp: place - page,
    PageDown: place + page,
    Home: 0,
    End: shown.length - 1,
  };
  const to = moves[event.key];
  if (to !== undefined && !event.altKey) {
    if (event.shiftKey && gallery.anchor < 0) gallery.anchor = gallery.current;
    gallery.go(to);
    if (event.shiftKey) {
      const range = gallery.rowsBetween(
        gallery.placeOf(gallery.anchor),
        gallery.placeOf(gallery.current),
      );
      selection.set(range, gallery.paint);
    }
    return take(event);
  }
  if (gallery.options.isCompact) return;
  if (event.ctrlKey || event.metaKey) return control(gallery, event);
  if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
    const box =
      place >= 0 ? layout.box(place) : { x: 8, y: gallery.screen.top + 8, width: 0, height: 0 };
    const at = gallery.screen.canvas.getBoundingClientRect();
    openMenu(
      gallery,
      at.left + box.x + box.width / 2,
      at.top + box.y - gallery.screen.top + box.height / 2,
    );
    return take(event);
  }
  plain(gallery, event, place);
}

function control(gallery: Gallery, event: KeyboardEvent): void {
  const acts: Record<string, () => void> = {
    a: () => gallery.selection.set(gallery.shown, gallery.paint),
    z: () => (event.shiftKey ? gallery.selection.redo() : gallery.selection.undo()),
    y: () => gallery.selection.redo(),
    s: () => askToSave(gallery),
  };
  const act = acts[event.key.toLowerCase()];
  if (!act) return;
  act();
  take(event);
}

function plain(gallery: Gallery, event: KeyboardEvent, place: number): void {
  const { selection, current } = gallery;
  const row = current;
  if (event.key === " " && row >= 0) {
    selection.toggle(row, gallery.paint);
    gallery.anchor = row;
    return take(event);
  }
  if (event.key === "Enter" && row >= 0) {
    showOne(gallery, row);
    return take(event);
  }
  if (event.key === "Delete" || event.key === "Backspace") {
    selection.set(selection.rows(0), 0);
    return take(event);
  }
  if (!gallery.options.hasSingleKeys() || event.altKey) return;
  const letters: Record<string, () => void> = {
    i: () => selection.invert(gallery.shown, gallery.paint),
    m: () => row >= 0 && showOne(gallery, row, "values"),
    t: () => row >= 0 && showOne(gallery, row, "amplitude"),
    a: () => place >= 0 && selection.set(gallery.rowsBetween(0, place), gallery.paint),
    b: () =>
      place >= 0 &&
      selection.set(gallery.rowsBetween(place, gallery.shown.length - 1), gallery.paint),
    "+": () => gallery.set({ size: Math.min(512, Math.round(gallery.settings.size * 1.2)) }),
    "-": () => gallery.set({ size: Math.max(32, Math.round(gallery.settings.size / 1.2)) }),
  };
  if (/^[1-6]$/.test(event.key)) {
    setPaint(gallery, Number(event.key));
    return take(event);
  }
  const act = letters[event.key.toLowerCase()];
  if (!act) return;
  act();
  take(event);
}

function take(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
