/** Changes that the server does not have yet, kept by the browser until it has them. */
import type { Patch, Pick } from "./rows";

export type Kept = { row: number; version: string; patch: Patch; base: Pick[] | null };

type Base = { version: string; picks: Pick[] };

const PREFIX = "vitreous.picks";

export class Unsent {
  private readonly head: string;
  /** Versions of the lists that are kept. */
  private readonly bases = new Map<string, string>();

  constructor(root: string, job: number) {
    this.head = `${PREFIX}|${root}|${job}|`;
  }

  /** Keep a patch at once; the list it is based on only if there is room for it. */
  keep(row: number, name: string, version: string, patch: Patch, base: readonly Pick[]): boolean {
    const key = this.head + name;
    try {
      localStorage.setItem(key, JSON.stringify({ row, version, patch }));
    } catch {
      return false;
    }
    if (this.bases.get(key) !== version) {
      this.bases.set(key, version);
      try {
        localStorage.removeItem(`${key}|base`);
        localStorage.setItem(`${key}|base`, JSON.stringify({ version, picks: base }));
      } catch {
        // Without it a conflict can be merged all the same.
      }
    }
    return true;
  }

  read(name: string): Kept | null {
    const found = parsed<Omit<Kept, "base">>(localStorage.getItem(this.head + name));
    if (!found) return null;
    const base = parsed<Base>(localStorage.getItem(`${this.head}${name}|base`));
    return { ...found, base: base?.version === found.version ? base.picks : null };
  }

  drop(name: string): void {
    this.bases.delete(this.head + name);
    localStorage.removeItem(this.head + name);
    localStorage.removeItem(`${this.head}${name}|base`);
  }

  /** Rows of all micrographs with changes. */
  rows(): number[] {
    const found: number[] = [];
    for (let n = 0; n < localStorage.length; n += 1) {
      const key = localStorage.key(n) ?? "";
      if (!key.startsWith(this.head) || key.endsWith("|base")) continue;
      const kept = parsed<Kept>(localStorage.getItem(key));
      if (kept) found.push(kept.row);
    }
    return found;
  }
}

function parsed<T>(text: string | null): T | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}
