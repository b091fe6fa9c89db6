import { describe, expect, it } from "vitest";

import type { Graph, GraphNode } from "../src/api/types";
import { BOX, chains, draw, linksOf, reach, reduced } from "../src/lib/graph";

function node(n: number, status = "Succeeded"): GraphNode {
  return {
    n,
    name: `Class2D/job${String(n).padStart(3, "0")}/`,
    alias: null,
    word: "class2d",
    gui_name: "2D",
    family: "2d",
    status,
    waits_for_you: false,
  };
}

function graph(n: number, edges: [number, number][], status: Record<number, string> = {}): Graph {
  return {
    jobs: Array.from({ length: n }, (_, at) => node(at + 1, status[at + 1])),
    edges: edges.map(([source, target]) => ({ source, target, nodes: [], what: "particles" })),
    width: null,
    height: null,
  };
}

describe("the graph", () => {
  it("leaves out links that only repeat a longer way", () => {
    const few = reduced(
      linksOf(
        graph(3, [
          [1, 2],
          [2, 3],
          [1, 3],
        ]),
      ),
    );
    expect([...(few.before.get(3) ?? [])]).toEqual([2]);
    expect([...(few.after.get(1) ?? [])]).toEqual([2]);
  });

  it("follows paths both ways, also through a loop", () => {
    const links = linksOf(
      graph(4, [
        [1, 2],
        [2, 3],
        [3, 2],
        [1, 4],
      ]),
    );
    expect([...reach(1, links.after)].sort()).toEqual([2, 3, 4]);
    expect([...reach(3, links.before)].sort()).toEqual([1, 2]);
  });

  it("folds rows of finished jobs only, up to a fork", () => {
    const some = graph(
      6,
      [
        [1, 2],
        [2, 3],
        [3, 4],
        [4, 5],
        [4, 6],
      ],
      { 5: "Failed" },
    );
    expect(chains(some.jobs, reduced(linksOf(some)), 3)).toEqual([[1, 2, 3, 4]]);
  });

  it("draws hundreds of jobs without two boxes in one place", () => {
    const edges = Array.from({ length: 299 }, (_, at): [number, number] => [
      Math.floor(at / 2) + 1,
      at + 2,
    ]);
    const drawing = draw(graph(300, edges), "chains", new Set(), false);
    const places = drawing.boxes.map((box) => `${Math.round(box.x)} ${Math.round(box.y)}`);
    expect(new Set(places).size).toBe(drawing.boxes.length);
    expect(drawing.lines.length).toBe(drawing.boxes.length - 1);
    for (const box of drawing.boxes) {
      expect(box.x).toBeGreaterThanOrEqual(BOX.width / 2);
      expect(box.x).toBeLessThanOrEqual(drawing.width - BOX.width / 2);
      expect(box.y).toBeLessThanOrEqual(drawing.height - BOX.height / 2);
    }
  });

  it("sets parts that nothing joins in rows", () => {
    const drawing = draw(graph(9, []), "none", new Set(), false);
    expect(drawing.width).toBeLessThan(4 * (BOX.width + 40));
    expect(new Set(drawing.boxes.map((box) => box.y)).size).toBe(3);
  });
});
