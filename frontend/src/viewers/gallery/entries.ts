/** Everything that can be done with the grid: RELION's right-click menu, and what it lacks. */
import { askRandom, askThreshold } from "./asking";
import type { Gallery } from "./gallery";
import { onePicture } from "./inspector";
import { showParticles } from "./links";
import { showAverage, showOne } from "./original";
import { menu, type Item } from "./parts";
import { askToSave, canSave, loadBackup, saveStar } from "./saving";
import { TYPE_NAMES, TYPES } from "./selection";
import { make } from "../dom";

export function entries(gallery: Gallery): Item[] {
  const { current, selection, options, info } = gallery;
  const isClasses = info.kind === "classes";
  const noun = isClasses ? "classes" : "images";
  const has = current >= 0;
  const place = has ? gallery.placeOf(current) : -1;
  const count = selection.counts(gallery.particles);
  const nothing = count.images[0] === 0;
  const items: Item[] = [];
  if (has) {
    items.push(
      { title: `${isClasses ? "Class" : "Image"} ${(current + 1).toLocaleString("en-US")}` },
      { label: "Show metadata", keys: "M", act: () => showOne(gallery, current, "values") },
      { label: "Show original image", keys: "Enter", act: () => showOne(gallery, current) },
      { label: "Save image as PNG", act: () => savePicture(gallery, current) },
      {
        label: "Show Fourier amplitudes",
        keys: "T",
        act: () => showOne(gallery, current, "amplitude"),
      },
      { label: "Show Fourier phase angles", act: () => showOne(gallery, current, "phase") },
      { label: "Show helical layer line profile", act: () => showOne(gallery, current, "lines") },
      "line",
      {
        label: `Select all ${noun} above`,
        keys: "A",
        act: () => selection.set(gallery.rowsBetween(0, place), gallery.paint),
      },
      {
        label: `Select all ${noun} below`,
        keys: "B",
        act: () =>
          selection.set(gallery.rowsBetween(place, gallery.shown.length - 1), gallery.paint),
      },
    );
  }
  items.push(
    { title: `Selection: ${(count.images[0] ?? 0).toLocaleString("en-US")} ${noun}` },
    {
      label: "Select all shown",
      keys: "Ctrl A",
      act: () => selection.set(gallery.shown, gallery.paint),
    },
    {
      label: "Invert selection",
      keys: "I",
      act: () => selection.invert(gallery.shown, gallery.paint),
    },
    {
      label: "Clear selection",
      keys: "Del",
      off: nothing,
      act: () => selection.set(selection.rows(0), 0),
    },
    { label: "Select by a threshold...", act: () => askThreshold(gallery) },
    { label: "Select a random subset...", act: () => askRandom(gallery) },
    {
      label: `Make selected ones type ${gallery.paint}`,
      off: nothing,
      act: () => selection.set(selection.rows(0), gallery.paint),
    },
    "line",
  );
  if (isClasses && info.classes_of) {
    items.push({
      label: "Show particles from selected classes",
      off: nothing,
      act: () => showParticles(gallery, selection.rows(0)),
    });
  }
  items.push(
    {
      label: "Show average of selection",
      off: nothing,
      act: () => void showAverage(gallery, "mean"),
    },
    {
      label: "Show stddev of selection",
      off: nothing,
      act: () => void showAverage(gallery, "deviation"),
    },
    "line",
  );
  if (gallery.keeper)
    items.push({ label: "Load backup selection", act: () => void loadBackup(gallery) });
  if (gallery.keeper && !options.isReadOnly) {
    items.push({ label: "Save backup selection", act: () => void backup(gallery) });
  }
  if (info.path.endsWith(".star") || !options.isReadOnly) {
    items.push({
      label: "Save STAR with selected images",
      off: nothing,
      act: () => void saveStar(gallery),
    });
  }
  if (canSave(gallery)) {
    items.push({
      label: `Save selected ${noun}...`,
      keys: "Ctrl S",
      off: nothing,
      act: () => askToSave(gallery),
    });
  }
  items.push(
    { title: "Set selection type" },
    ...TYPES.map((type) => ({
      label: `${type} ${TYPE_NAMES[type]}`,
      keys: String(type),
      checked: type === gallery.paint,
      act: () => setPaint(gallery, type),
    })),
  );
  return items;
}

export function openMenu(gallery: Gallery, x: number, y: number): void {
  menu(x, y, "Images", entries(gallery));
}

export function setPaint(gallery: Gallery, type: number): void {
  gallery.paint = type;
  gallery.tell("settings");
}

async function backup(gallery: Gallery): Promise<void> {
  gallery.keeper?.set(gallery.selection.types);
  if (await gallery.keeper?.flush()) gallery.options.onSay("The selection is kept.");
}

function savePicture(gallery: Gallery, row: number): void {
  const link = make("a");
  link.href = onePicture(gallery, row, 0);
  link.download = `image_${row + 1}.png`;
  link.click();
}
