/** Logs as people read them: a progress bar shows its last state only. */

/** Keep of each line what a terminal would show after its carriage returns. */
export function settle(text: string): string {
  if (!text.includes("\r")) return text;
  return text
    .split("\n")
    .map((line) => {
      const shown = line.replace(/\r+$/, "").split("\r");
      return shown.at(-1) ?? "";
    })
    .join("\n");
}

/** The last lines of a text, empty ones at the end left out. */
export function tail(text: string, lines: number): string {
  const all = settle(text).replace(/\s+$/, "").split("\n");
  return all.slice(-lines).join("\n");
}

/** A text cut at every place where a search finds something. */
export function marked(text: string, search: string): { text: string; hit: boolean }[] {
  if (search === "") return [{ text, hit: false }];
  const parts: { text: string; hit: boolean }[] = [];
  const inside = text.toLowerCase();
  const wanted = search.toLowerCase();
  let from = 0;
  for (let at = inside.indexOf(wanted); at >= 0; at = inside.indexOf(wanted, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), hit: false });
    parts.push({ text: text.slice(at, at + wanted.length), hit: true });
    from = at + wanted.length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), hit: false });
  return parts;
}
