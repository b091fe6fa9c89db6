import { describe, expect, it } from "vitest";

import { panelsOf } from "../src/plots/data";
import {
  crossing,
  isCounting,
  logTicks,
  plainTicks,
  resolutionTicks,
  tickText,
} from "../src/plots/ranges";

describe("plots", () => {
  it("share what panels do not say, and keep gaps", () => {
    const [one, two] = panelsOf("line", {
      axes: { x: { label: "Frame" }, y: { label: "Shift", unit: "Å" } },
      panels: [
        { title: "a", series: [{ name: "x", x: [1, 2, 3], y: [0, null, "odd"] }] },
        { title: "b", axes: { x: { label: "Dose" } }, series: [] },
      ],
    });
    expect(one?.kind === "curves" && one.data.y.unit).toBe("Å");
    expect(one?.kind === "curves" && one.data.series[0]?.y).toEqual([0, null, null]);
    expect(two?.kind === "curves" && two.data.x.label).toBe("Dose");
  });

  it("of an unknown kind, or without rows, are nothing", () => {
    expect(panelsOf("hologram", {})).toEqual([]);
    expect(panelsOf("image", { image: [] })).toEqual([]);
    expect(panelsOf("image", { image: "no" })).toEqual([]);
  });

  it("find where a curve falls below a level", () => {
    expect(crossing([0, 0.1, 0.2], [1, 0.5, 0], 0.25)).toBeCloseTo(0.15);
    expect(crossing([0, 1], [0.1, 0.9], 0.5)).toBeNull();
  });
});

describe("ticks", () => {
  it("are round", () => {
    expect(plainTicks([0, 8000], 5)).toEqual([0, 2000, 4000, 6000, 8000]);
    expect(plainTicks([-0.1, 1], 4)).toEqual([0, 0.5, 1]);
    expect(plainTicks([0.0004, 0.0094], 3)).toEqual([0.0025, 0.005, 0.0075]);
    expect(logTicks([500, 20000])).toEqual([500, 1000, 2000, 5000, 10000, 20000]);
  });

  it("of counts are whole numbers", () => {
    expect(isCounting([[0, 3, null], [7]])).toBe(true);
    expect(isCounting([[0, 0.5]])).toBe(false);
    expect(plainTicks([0, 10], 4)).toEqual([0, 2.5, 5, 7.5, 10]);
    expect(plainTicks([0, 10], 4, true)).toEqual([0, 5, 10]);
    expect(plainTicks([0, 2.1], 6, true)).toEqual([0, 1, 2]);
    expect(plainTicks([0, 1.06], 4, true)).toEqual([0, 1]);
  });

  it("of resolution axes are in Å and never crowded", () => {
    const ticks = resolutionTicks([0.01, 0.5], 6);
    const gap = 0.49 / 6;
    ticks
      .slice(1)
      .forEach((tick, at) => expect(tick - (ticks[at] ?? 0)).toBeGreaterThanOrEqual(gap - 1e-9));
    const axis = { label: "", unit: "1/Å", log: false, low: null, high: null };
    expect(ticks.map((tick) => tickText(axis, tick))).toContain("2");
  });
});
