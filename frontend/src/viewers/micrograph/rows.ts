/** Picks as the picker holds them: each is one unchanging object with a number of its own. */
import type { Cell, Edit, Picks } from "./api";

export type Pick = Readonly<{
  id: number;
  x: number;
  y: number;
  fom: number | null;
  type: number | null;
  /** All other columns. */
  more: Readonly<Record<string, Cell>>;
}>;

/** A change of a list: what goes, by its place before, and what comes, by its place after. */
export type Step = Readonly<{
  out: readonly (readonly [number, Pick])[];
  in: readonly (readonly [number, Pick])[];
}>;

export type Patch = { removed: Pick[]; added: [number, Pick][]; changed: [Pick, Pick][] };

let last = 0;
export const nextId = (): number => (last += 1);

export const round = (value: number): number => Math.round(value * 1000) / 1000;

export function newPick(x: number, y: number, type: number, more: Pick["more"] = {}): Pick {
  return { id: nextId(), x: round(x), y: round(y), fom: null, type, more };
}

const near = (a: Pick, b: Pick): boolean =>
  Math.abs(a.x - b.x) < 0.002 && Math.abs(a.y - b.y) < 0.002;
const key = (pick: Pick): string => `${pick.x.toFixed(2)} ${pick.y.toFixed(2)}`;

/** Return what the server has; picks that were known before keep their number. */
export function fromServer(found: Picks, known: readonly Pick[]): Pick[] {
  const labels = Object.keys(found.columns);
  const byPlace = new Map(known.map((pick) => [key(pick), pick.id]));
  return found.x.map((x, n) => {
    const more: Record<string, Cell> = {};
    for (const label of labels) more[label] = (found.columns[label]?.[n] ?? null) as Cell;
    const pick = {
      id: 0,
      x,
      y: found.y[n] ?? 0,
      fom: found.fom[n] ?? null,
      type: found.type[n] ?? null,
      more,
    };
    const id = byPlace.get(key(pick));
    if (id !== undefined) byPlace.delete(key(pick));
    return { ...pick, id: id ?? nextId() };
  });
}

/** Return a list after a step; what is not there any more cannot go, and is passed over. */
export function applied(picks: readonly Pick[], step: Step): Pick[] {
  const gone = new Set(step.out.map(([, pick]) => pick.id));
  const there = new Set(picks.map((pick) => pick.id));
  const left = picks.filter((pick) => !gone.has(pick.id));
  const coming = step.in.filter(([, pick]) => gone.has(pick.id) || !there.has(pick.id));
  const ordered = [...coming].sort((a, b) => a[0] - b[0]);
  if (ordered.length === 0) return left;
  const made: Pick[] = [];
  let from = 0;
  for (const [place, pick] of ordered) {
    while (made.length < place && from < left.length) made.push(left[from++] as Pick);
    made.push(pick);
  }
  for (; from < left.length; from += 1) made.push(left[from] as Pick);
  return made;
}

export const inverse = (step: Step): Step => ({ out: step.in, in: step.out });

/** Return what leads from one list to another. */
export function patchOf(base: readonly Pick[], mine: readonly Pick[]): Patch {
  const places = new Map(base.map((pick, place) => [pick.id, place]));
  const patch: Patch = { removed: [], added: [], changed: [] };
  const kept = new Set<number>();
  let highest = -1;
  mine.forEach((pick, place) => {
    const before = places.get(pick.id);
    if (before === undefined || before < highest) {
      patch.added.push([place, pick]);
      return;
    }
    highest = before;
    kept.add(pick.id);
    const old = base[before] as Pick;
    if (old !== pick && (!near(old, pick) || old.type !== pick.type))
      patch.changed.push([old, pick]);
  });
  patch.removed = base.filter((pick) => !kept.has(pick.id));
  return patch;
}

export const sizeOf = (patch: Patch): number =>
  patch.removed.length + patch.added.length + patch.changed.length;

/** Return another list with the changes of a patch made to it: picks are told by their places. */
export function merged(theirs: readonly Pick[], patch: Patch): Pick[] {
  const gone = new Set([...patch.removed, ...patch.changed.map(([old]) => old)].map(key));
  const there = new Set(theirs.map(key));
  const turned = new Map(patch.changed.map(([old, now]) => [key(old), now]));
  const made: Pick[] = [];
  for (const pick of theirs) {
    const now = turned.get(key(pick));
    if (now) made.push({ ...pick, x: now.x, y: now.y, type: now.type });
    else if (!gone.has(key(pick))) made.push(pick);
  }
  for (const [old, now] of patch.changed) {
    if (!there.has(key(old)) && !there.has(key(now))) made.push({ ...now, id: nextId() });
  }
  for (const [, pick] of patch.added) if (!there.has(key(pick))) made.push(pick);
  return made;
}

/** Return the changes that the server makes of a patch, in their order. */
export function editsOf(base: readonly Pick[], patch: Patch): Edit[] {
  const places = new Map(base.map((pick, place) => [pick.id, place]));
  const edits: Edit[] = [];
  const types = new Map<number, number[]>();
  for (const [old, now] of patch.changed) {
    const index = places.get(old.id) ?? 0;
    if (!near(old, now)) edits.push({ act: "move", index, x: now.x, y: now.y });
    if (now.type !== old.type && now.type !== null) {
      types.set(now.type, [...(types.get(now.type) ?? []), index]);
    }
  }
  for (const [type, indices] of types) edits.push({ act: "type", type, indices });
  if (patch.removed.length > 0) {
    const indices = patch.removed.map((pick) => places.get(pick.id) ?? 0);
    edits.push({ act: "delete", indices });
  }
  if (patch.added.length > 0) {
    edits.push({
      act: "insert",
      indices: patch.added.map(([place]) => place),
      rows: patch.added.map(([, pick]) => rowOf(pick)),
    });
  }
  return edits;
}

function rowOf(pick: Pick): Record<string, Cell> {
  const row: Record<string, Cell> = { ...pick.more };
  row["rlnCoordinateX"] = pick.x;
  row["rlnCoordinateY"] = pick.y;
  if (pick.fom !== null) row["rlnAutopickFigureOfMerit"] = pick.fom;
  if (pick.type !== null) row["rlnParticleSelectionType"] = pick.type;
  return row;
}

/** Whether two lists say the same, wherever their objects came from. */
export function same(a: readonly Pick[], b: readonly Pick[]): boolean {
  return a.length === b.length && a.every((pick, n) => near(pick, b[n] as Pick));
}
