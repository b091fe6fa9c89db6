/** How well a few typed words fit a text: for filters and the palette. */

/** Return a score, higher is better; 0 where a word is missing. */
export function fits(typed: string, target: string): number {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const inside = target.toLowerCase();
  let score = 1;
  for (const word of words) {
    const place = inside.indexOf(word);
    if (place < 0) return 0;
    const startsWord = place === 0 || !/[a-z0-9]/.test(inside[place - 1] ?? "");
    score += (startsWord ? 3 : 1) + word.length / (inside.length + 1);
  }
  return score;
}

/** Keep what fits, best first; all of it in its order while nothing is typed. */
export function find<T>(typed: string, things: readonly T[], textOf: (thing: T) => string): T[] {
  if (typed.trim() === "") return [...things];
  return things
    .map((thing, place) => ({ thing, place, score: fits(typed, textOf(thing)) }))
    .filter((one) => one.score > 0)
    .sort((a, b) => b.score - a.score || a.place - b.place)
    .map((one) => one.thing);
}
