/** How this browser shows things: theme, text size, widths. Kept in the browser only. */
import { isRecord, keep, recall } from "./storage";
import type { Order } from "../lib/jobs";

export type Theme = "system" | "light" | "dark";
export type TextSize = "auto" | "small" | "medium" | "large" | "huge";

const KEY = "settings";

class Settings {
  theme = $state<Theme>("system");
  size = $state<TextSize>("auto");
  sideWidth = $state(25.6);
  rail = $state(false);
  order = $state<Order>("newest");
  singleKeys = $state(true);
  foldedLists = $state<string[]>([]);

  constructor() {
    const kept = recall(KEY);
    if (!isRecord(kept)) return;
    this.theme = oneOf(kept["theme"], ["system", "light", "dark"], "system");
    this.size = oneOf(kept["size"], ["auto", "small", "medium", "large", "huge"], "auto");
    this.order = oneOf(kept["order"], ["newest", "oldest", "alias"], "newest");
    if (typeof kept["sideWidth"] === "number") this.sideWidth = clampWidth(kept["sideWidth"]);
    this.rail = kept["rail"] === true;
    this.singleKeys = kept["singleKeys"] !== false;
    if (Array.isArray(kept["foldedLists"])) this.foldedLists = kept["foldedLists"].map(String);
  }

  keep(): void {
    const { theme, size, sideWidth, rail, order, singleKeys, foldedLists } = this;
    keep(KEY, { theme, size, sideWidth, rail, order, singleKeys, foldedLists });
  }

  /** Write theme and size where the style sheet looks. */
  apply(root: HTMLElement): void {
    if (this.theme === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = this.theme;
    if (this.size === "auto") delete root.dataset["size"];
    else root.dataset["size"] = this.size;
    root.style.setProperty("--side-w", `${this.sideWidth}rem`);
  }

  get isDark(): boolean {
    if (this.theme !== "system") return this.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }
}

/** Width of the sidebar in rem, within what stays usable. */
export function clampWidth(rem: number): number {
  return Math.min(48, Math.max(20, rem));
}

function oneOf<T extends string>(value: unknown, all: readonly T[], other: T): T {
  return all.find((one) => one === value) ?? other;
}

export const settings = new Settings();
