import { describe, expect, it } from "vitest";

import { sample } from "../src/viewers/gallery/asking";
import { counted, isIn, part, scaleOf, ticks, valueAt } from "../src/viewers/gallery/axes";
import { within } from "../src/viewers/gallery/columns";
import { Layout } from "../src/viewers/gallery/grid";
import { packed, Selection, unpacked } from "../src/viewers/gallery/selection";
import { sideFor } from "../src/viewers/gallery/sheets";

describe("selection", () => {
  it("counts images and particles of each type", () => {
    const selection = new Selection(4, () => undefined);
    selection.set([0, 2], 1);
    selection.set([3], 6);
    const counts = selection.counts([10, 20, 30, 40]);
    expect(counts.images).toEqual([3, 2, 0, 0, 0, 0, 1]);
    expect(counts.particles[0]).toBe(80);
    expect(selection.rows(6)).toEqual([3]);
  });
  it("undoes and redoes every change", () => {
    let changes = 0;
    const selection = new Selection(3, () => (changes += 1));
    selection.toggle(1, 2);
    selection.invert([0, 1, 2], 3);
    expect([...selection.types]).toEqual([3, 0, 3]);
    selection.undo();
    expect([...selection.types]).toEqual([0, 2, 0]);
    selection.undo();
    expect(selection.canUndo).toBe(false);
    selection.redo();
    expect([...selection.types]).toEqual([0, 2, 0]);
    expect(changes).toBe(5);
    selection.set([1], 2); // it is that already
    expect(changes).toBe(5);
  });
  it("fits in a short text and comes back", () => {
    const types = Uint8Array.from([0, 0, 0, 6, 6, 1]);
    expect(packed(types)).toBe("0*3,6*2,1*1");
    expect(unpacked(packed(types), 6)).toEqual(types);
    expect(unpacked("0*3", 6)).toBeNull();
    expect(unpacked("7*6", 6)).toBeNull();
    expect(unpacked(undefined, 6)).toBeNull();
  });
});

describe("layout", () => {
  it("finds the image at a pixel", () => {
    const layout = new Layout(1000, 800, 600, 100, 1, 2);
    for (const place of [0, 1, 7, 500, 999]) {
      const box = layout.box(place);
      expect(layout.at(box.x + 5, box.y + 5)).toBe(place);
    }
    expect(layout.at(1, 1)).toBe(-1);
  });
  it("reaches the last of a list that is longer than a browser can scroll", () => {
    const layout = new Layout(2_000_000, 300, 600, 256, 1, 1);
    expect(layout.height).toBeGreaterThan(layout.tall);
    const top = layout.top(layout.tall - layout.view);
    expect(layout.span(top, top + layout.view)[1]).toBe(2_000_000);
    expect(layout.top(layout.scrollFor(123_456))).toBeCloseTo(123_456, 0);
  });
  it("gives larger letters more room", () => {
    const [usual, large] = [10, 15].map((rem) => new Layout(100, 800, 600, 100, 1, 3, rem));
    expect(large?.stepY).toBeGreaterThan(usual?.stepY ?? 0);
    expect(large?.type.font).toContain("16.5px");
    expect(usual?.type.perLine(112)).toBe(3);
    expect(large?.type.perLine(112)).toBe(2);
  });
  it("tells what a frame touches", () => {
    const layout = new Layout(100, 700, 600, 100, 1, 0);
    const [a, b] = [layout.box(0), layout.box(layout.across + 1)];
    const touched = layout.touched({ x: b.x + 1, y: b.y + 1 }, { x: a.x + 9, y: a.y + 9 });
    expect(touched).toEqual([0, 1, layout.across, layout.across + 1]);
  });
});

describe("filters and plots", () => {
  const values = Float64Array.from([5, 1, NaN, 3]);
  const columns = { number: (label: string) => (label === "a" ? values : null) };
  it("keeps the order and leaves out what has no value", () => {
    const order = Int32Array.from([3, 2, 1, 0]);
    expect([...within(order, new Map([["a", [2, 9]]]), columns)]).toEqual([3, 0]);
    expect([...within(order, new Map(), columns, 2)]).toEqual([3, 2]);
    expect([...within(order, new Map([["unknown", [2, 9]]]), columns)]).toEqual([3, 2, 1, 0]);
  });
  it("finds points in a polygon", () => {
    const square = [
      [0, 0],
      [10, 0],
      [10, 10],
      [0, 10],
    ] as const;
    expect(isIn(square, 5, 5)).toBe(true);
    expect(isIn(square, 15, 5)).toBe(false);
  });
  it("counts every value once", () => {
    const scale = scaleOf(values);
    if (!scale) throw new Error("no scale");
    expect(counted(values, scale, 10).reduce((sum, one) => sum + one)).toBe(3);
    expect(valueAt(scale, part(scale, 4))).toBeCloseTo(4);
    expect(ticks(scale, 4)).toContain(2);
    expect(scaleOf(Float64Array.from([NaN, -999]))).toBeNull();
  });
  it("takes a random subset without repeats", () => {
    const found = sample(
      Int32Array.from({ length: 50 }, (_, n) => n),
      20,
    );
    expect(new Set(found).size).toBe(20);
    expect(sample(Int32Array.from([1, 2]), 9)).toHaveLength(2);
  });
  it("asks for few sizes of thumbnails, none larger than the image", () => {
    expect(sideFor(112, 1, 256)).toBe(128);
    expect(sideFor(112, 2, 64)).toBe(64);
    expect(sideFor(300, 1, null)).toBe(384);
  });
});
