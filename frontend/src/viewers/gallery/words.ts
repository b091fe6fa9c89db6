/** How values are written. */
import { unitOf } from "./settings";

/** A value with its unit, short enough to stand under a picture. */
export function words(value: number | string | null, label = ""): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  if (label === "rlnClassDistribution") return `${(100 * value).toFixed(1)} %`;
  const unit = unitOf(label);
  if (value === -999 || value === 999) return "–";
  const size = Math.abs(value);
  const text =
    unit !== "" && size < 100
      ? value.toFixed(size < 10 && unit === "°" ? 2 : 1)
      : Number.isInteger(value)
        ? value.toLocaleString("en-US")
        : size >= 1000
          ? Math.round(value).toLocaleString("en-US")
          : size >= 10
            ? value.toFixed(1)
            : size >= 0.01
              ? value.toFixed(2)
              : value.toPrecision(2);
  return unit ? `${text} ${unit}` : text;
}
