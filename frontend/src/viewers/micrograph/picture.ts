/** What is seen, as a PNG file. */
import { make } from "../dom";
import { shortName } from "./list";
import type { Picker } from "./picker";

export function savePicture(picker: Picker, stage: HTMLElement): void {
  const [under, over] = stage.querySelectorAll("canvas");
  if (!under || !over) return;
  const whole = make("canvas");
  whole.width = under.width;
  whole.height = under.height;
  const context = whole.getContext("2d");
  if (!context) return;
  if (picker.settings.isInverted) context.filter = "invert(1)";
  context.drawImage(under, 0, 0);
  context.filter = "none";
  context.drawImage(over, 0, 0);
  whole.toBlob((blob) => {
    if (!blob) return;
    const link = make("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${shortName(picker.micrograph?.name ?? "micrograph")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}
