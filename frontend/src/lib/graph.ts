/** The graph of jobs as it is drawn: what is folded, where each box stands, how lines run. */
import dagre from "@dagrejs/dagre";

import type { Graph, GraphNode } from "../api/types";
import { jobNumber, jobTitle, lastPart } from "./format";
import { stateOf, type State } from "./jobs";

export const BOX = { width: 152, height: 42 };

/** So many jobs are easier to see than to unfold. */
const FEW = 14;

/** One box: a job, or several in a row folded to one. */
export type Box = {
  id: string;
  jobs: GraphNode[];
  state: State;
  family: string;
  small: string;
  title: string;
  x: number;
  y: number;
};
export type Line = { from: string; to: string; d: string; what: string };
export type Drawing = {
  boxes: Box[];
  lines: Line[];
  width: number;
  height: number;
  nFolded: number;
};

export type Links = { before: Map<number, Set<number>>; after: Map<number, Set<number>> };

export function linksOf(graph: Graph): Links {
  const before = new Map(graph.jobs.map((job) => [job.n, new Set<number>()]));
  const after = new Map(graph.jobs.map((job) => [job.n, new Set<number>()]));
  for (const { source, target } of graph.edges) {
    if (source === target) continue;
    before.get(target)?.add(source);
    after.get(source)?.add(target);
  }
  return { before, after };
}

/** All jobs that can be reached from one, without itself. */
export function reach(from: number, next: ReadonlyMap<number, ReadonlySet<number>>): Set<number> {
  const found = new Set<number>();
  const open = [from];
  for (let n = open.pop(); n !== undefined; n = open.pop()) {
    for (const other of next.get(n) ?? []) {
      if (!found.has(other)) {
        found.add(other);
        open.push(other);
      }
    }
  }
  found.delete(from);
  return found;
}

/** Leave out links that only repeat a longer way: Select reads Class2D, which read Extract. */
export function reduced(links: Links): Links {
  const before = new Map<number, Set<number>>();
  const after = new Map([...links.after.keys()].map((n) => [n, new Set<number>()]));
  for (const [n, sources] of links.before) {
    const far = new Set<number>();
    for (const source of sources) for (const one of reach(source, links.before)) far.add(one);
    const kept = new Set([...sources].filter((source) => !far.has(source)));
    before.set(n, kept);
    for (const source of kept) after.get(source)?.add(n);
  }
  return { before, after };
}

/** Return rows of finished jobs, one after the other, which can be folded to one box. */
export function chains(jobs: readonly GraphNode[], links: Links, shortest: number): number[][] {
  const plain = new Set(jobs.filter((job) => stateOf(job) === "finished").map((job) => job.n));
  const next = (n: number): number | null => {
    const [only, ...others] = links.after.get(n) ?? [];
    if (only === undefined || others.length > 0 || !plain.has(only)) return null;
    return (links.before.get(only)?.size ?? 0) === 1 ? only : null;
  };
  const isInside = new Set<number>();
  for (const n of plain) {
    const following = next(n);
    if (following !== null) isInside.add(following);
  }
  const rows: number[][] = [];
  for (const n of [...plain].sort((a, b) => a - b)) {
    if (isInside.has(n)) continue;
    const row = [n];
    for (let at = next(n); at !== null; at = next(at)) row.push(at);
    if (row.length >= shortest) rows.push(row);
  }
  return rows;
}

/** Lay the graph out. `open` are chains, by their first job, that are not folded. */
export function draw(
  graph: Graph,
  folds: "none" | "chains",
  open: ReadonlySet<number>,
  allLinks: boolean,
): Drawing {
  const links = linksOf(graph);
  const few = reduced(links);
  const rows =
    folds === "none" || graph.jobs.length <= FEW
      ? []
      : chains(graph.jobs, few, 3).filter((row) => !open.has(row[0] ?? -1));
  const boxOf = new Map<number, string>();
  for (const row of rows) for (const n of row) boxOf.set(n, `fold${row[0]}`);
  const groups = new Map<string, GraphNode[]>();
  for (const job of graph.jobs) {
    const id = boxOf.get(job.n) ?? `job${job.n}`;
    boxOf.set(job.n, id);
    groups.set(id, [...(groups.get(id) ?? []), job]);
  }
  const pairs: [string, string][] = [];
  for (const [n, targets] of (allLinks ? links : few).after) {
    for (const target of targets) {
      const [from, to] = [boxOf.get(n), boxOf.get(target)];
      if (from !== undefined && to !== undefined && from !== to) pairs.push([from, to]);
    }
  }
  const placed = place([...groups.keys()], pairs);
  const what = new Map(
    graph.edges.map((edge) => [`${boxOf.get(edge.source)} ${boxOf.get(edge.target)}`, edge.what]),
  );
  return {
    boxes: [...groups].map(([id, jobs]) => boxFor(id, jobs, placed.at.get(id) ?? { x: 0, y: 0 })),
    lines: placed.lines.map((line) => ({
      ...line,
      what: what.get(`${line.from} ${line.to}`) ?? "",
    })),
    width: placed.width,
    height: placed.height,
    nFolded: rows.length,
  };
}

type Placed = {
  at: Map<string, Point>;
  lines: { from: string; to: string; d: string }[];
  width: number;
  height: number;
};

const EDGE = 14;
const GAP = 26;

/** Lay out each connected part by itself, and the parts in rows like words on a page. */
function place(ids: readonly string[], pairs: readonly [string, string][]): Placed {
  const parts = connected(ids, pairs).map((part) => layOut(part, pairs));
  const widest = Math.max(3 * (BOX.width + GAP), ...parts.map((part) => part.width));
  const all: Placed = { at: new Map(), lines: [], width: 0, height: 0 };
  let [x, y, tall] = [EDGE, EDGE, 0];
  for (const part of parts) {
    if (x > EDGE && x + part.width > widest + EDGE) [x, y, tall] = [EDGE, y + tall + GAP, 0];
    for (const [id, at] of part.at) all.at.set(id, { x: at.x + x, y: at.y + y });
    for (const { from, to, points } of part.lines) {
      const moved = points.map((point) => ({ x: point.x + x, y: point.y + y }));
      const ends = [all.at.get(from), all.at.get(to)] as const;
      if (ends[0] && ends[1]) all.lines.push({ from, to, d: route(moved, ends[0], ends[1]) });
    }
    all.width = Math.max(all.width, x + part.width + EDGE);
    tall = Math.max(tall, part.height);
    all.height = Math.max(all.height, y + tall + EDGE);
    x += part.width + GAP;
  }
  return all;
}

/** Parts of the graph that nothing joins, the largest first. */
function connected(ids: readonly string[], pairs: readonly [string, string][]): string[][] {
  const near = new Map(ids.map((id) => [id, [] as string[]]));
  for (const [a, b] of pairs) {
    near.get(a)?.push(b);
    near.get(b)?.push(a);
  }
  const seen = new Set<string>();
  const parts: string[][] = [];
  for (const start of ids) {
    if (seen.has(start)) continue;
    seen.add(start);
    const part = [start];
    for (const id of part) {
      for (const other of near.get(id) ?? []) {
        if (!seen.has(other)) {
          seen.add(other);
          part.push(other);
        }
      }
    }
    parts.push(part);
  }
  return parts.sort((a, b) => b.length - a.length);
}

function layOut(
  ids: readonly string[],
  pairs: readonly [string, string][],
): {
  at: Map<string, Point>;
  lines: { from: string; to: string; points: Point[] }[];
  width: number;
  height: number;
} {
  const layout = new dagre.graphlib.Graph({ multigraph: false });
  layout.setGraph({ rankdir: "TB", nodesep: GAP, ranksep: 22 });
  layout.setDefaultEdgeLabel(() => ({}));
  const inside = new Set(ids);
  for (const id of ids) layout.setNode(id, { ...BOX });
  for (const [from, to] of pairs) if (inside.has(from)) layout.setEdge(from, to, {});
  dagre.layout(layout);
  const size = layout.graph() as { width?: number; height?: number };
  return {
    at: new Map(ids.map((id) => [id, layout.node(id) as Point])),
    lines: layout.edges().map((edge) => ({
      from: edge.v,
      to: edge.w,
      points: (layout.edge(edge) as { points: Point[] }).points,
    })),
    width: size.width ?? 0,
    height: size.height ?? 0,
  };
}

function boxFor(id: string, jobs: GraphNode[], at: { x: number; y: number }): Box {
  const [first, last] = [jobs[0], jobs.at(-1)];
  if (!first || !last) throw new Error(`a box without jobs: ${id}`);
  const folder = (job: GraphNode) => job.name.split("/")[0] ?? "";
  const isFold = jobs.length > 1;
  return {
    id,
    jobs,
    state: stateOf({ ...last, queued_since: null, started: "known" }),
    family: last.family,
    small: isFold
      ? `${jobNumber(first.n)}–${jobNumber(last.n)}, ${jobs.length} jobs`
      : `${jobNumber(first.n)} ${folder(first)}`,
    title: isFold
      ? `${first.alias ? jobTitle(first) : folder(first)} to ${last.alias ? jobTitle(last) : folder(last)}`
      : lastPart(jobTitle(first)),
    x: at.x,
    y: at.y,
  };
}

type Point = { x: number; y: number };

/** A line of right angles with round corners through the points of the layout. */
export function route(points: readonly Point[], from: Point, to: Point): string {
  const inner = points
    .slice(1, -1)
    .filter((point) => point.y > from.y + BOX.height / 2 && point.y < to.y - BOX.height / 2);
  const stops: Point[] = [
    { x: from.x, y: from.y + BOX.height / 2 },
    ...inner,
    { x: to.x, y: to.y - BOX.height / 2 },
  ];
  let d = `M${round(stops[0]?.x ?? 0)} ${round(stops[0]?.y ?? 0)}`;
  for (let at = 1; at < stops.length; at += 1) {
    const [a, b] = [stops[at - 1], stops[at]];
    if (!a || !b) continue;
    d += Math.abs(a.x - b.x) < 0.5 ? `L${round(b.x)} ${round(b.y)}` : bend(a, b);
  }
  return d;
}

function bend(a: Point, b: Point): string {
  const middle = (a.y + b.y) / 2;
  const side = Math.sign(b.x - a.x);
  const r = Math.min(4, Math.abs(b.x - a.x) / 2, Math.abs(b.y - a.y) / 2);
  return (
    `L${round(a.x)} ${round(middle - r)}Q${round(a.x)} ${round(middle)} ${round(a.x + side * r)} ${round(middle)}` +
    `L${round(b.x - side * r)} ${round(middle)}Q${round(b.x)} ${round(middle)} ${round(b.x)} ${round(middle + r)}L${round(b.x)} ${round(b.y)}`
  );
}

const round = (value: number) => Math.round(value * 10) / 10;
