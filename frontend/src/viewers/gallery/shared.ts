/** One contrast for all images, from a sample of them. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";
import type { DisplayInfo } from "../../api/types";
import type { Settings } from "./settings";

type Meta = components["schemas"]["ImageMeta"];
const SAMPLE = 12;

/** Return the values shown black and white; null where the settings name them or nothing is known. */
export async function sharedLimits(
  info: DisplayInfo,
  settings: Settings,
  order: Int32Array | null,
): Promise<{ black: number; white: number } | null> {
  if (settings.black !== settings.white || info.n === 0) return null;
  const step = Math.max(1, Math.floor(info.n / SAMPLE));
  const rows = Array.from(
    { length: Math.min(SAMPLE, info.n) },
    (_, k) => order?.[k * step] ?? k * step,
  );
  const query = { path: info.path, ...(settings.column ? { column: settings.column } : {}) };
  const asked = rows.map((row) => ask<Meta>("GET", "images/meta", { query: { ...query, row } }));
  const found = (await Promise.allSettled(asked)).flatMap((one) =>
    one.status === "fulfilled" ? [one.value] : [],
  );
  if (found.length === 0) return null;
  if (settings.sigma === 0) {
    return {
      black: Math.min(...found.map((one) => one.minimum)),
      white: Math.max(...found.map((one) => one.maximum)),
    };
  }
  const mean = found.reduce((sum, one) => sum + one.mean, 0) / found.length;
  const square = found.reduce((sum, one) => sum + one.deviation ** 2 + (one.mean - mean) ** 2, 0);
  const reach = settings.sigma * Math.sqrt(square / found.length);
  return { black: mean - reach, white: mean + reach };
}
