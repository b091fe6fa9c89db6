/** Pixels of one rem of ours, 10 at the usual text size: what is drawn follows it. */
export function rem(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}
