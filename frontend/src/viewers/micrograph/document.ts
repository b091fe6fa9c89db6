/** The picks of one micrograph: what the server has, what is shown, and every step between. */
import type { Picks } from "./api";
import { applied, fromServer, inverse, patchOf, type Patch, type Pick, type Step } from "./rows";

export class PickDocument {
  readonly row: number;
  readonly name: string;
  /** As the server has them, at `version`. */
  base: readonly Pick[] = [];
  version = "";
  /** As they are shown. */
  picks: readonly Pick[] = [];
  theirs: { version: string; picks: readonly Pick[] } | null = null;
  isSending = false;
  /** Why the server took no changes, if it refused them. */
  refusal = "";
  private done: Step[] = [];
  private undone: Step[] = [];

  constructor(row: number, found: Picks) {
    this.row = row;
    this.name = found.name;
    this.accept(found);
  }

  /** Take what the server has in place of what is shown. */
  accept(found: Picks): void {
    this.base = fromServer(found, this.base);
    this.picks = this.base;
    this.version = found.version;
    this.theirs = null;
  }

  get patch(): Patch {
    return patchOf(this.base, this.picks);
  }

  get isChanged(): boolean {
    return this.picks !== this.base;
  }

  get nUndo(): number {
    return this.done.length;
  }

  get nRedo(): number {
    return this.undone.length;
  }

  make(step: Step): void {
    if (step.in.length + step.out.length === 0) return;
    this.picks = applied(this.picks, step);
    this.done.push(step);
    this.undone = [];
  }

  undo(): boolean {
    const step = this.done.pop();
    if (!step) return false;
    this.picks = applied(this.picks, inverse(step));
    this.undone.push(step);
    return true;
  }

  redo(): boolean {
    const step = this.undone.pop();
    if (!step) return false;
    this.picks = applied(this.picks, step);
    this.done.push(step);
    return true;
  }

  /** Put another list in place of what is shown, as a step that can be taken back. */
  replace(picks: readonly Pick[]): void {
    const before = this.picks.map((pick, place) => [place, pick] as const);
    const after = picks.map((pick, place) => [place, pick] as const);
    this.make({ out: before, in: after });
  }

  add(picks: readonly Pick[]): void {
    const n = this.picks.length;
    this.make({ out: [], in: picks.map((pick, k) => [n + k, pick] as const) });
  }

  /** Take picks away; of filaments both ends. */
  remove(ids: ReadonlySet<number>, pairs: boolean): void {
    const gone = pairs ? this.pairsOf(ids) : ids;
    const out = this.picks.flatMap((pick, place) =>
      gone.has(pick.id) ? [[place, pick] as const] : [],
    );
    this.make({ out, in: [] });
  }

  change(ids: ReadonlySet<number>, how: (pick: Pick) => Pick): void {
    const out = this.picks.flatMap((pick, place) =>
      ids.has(pick.id) ? [[place, pick] as const] : [],
    );
    this.make({ out, in: out.map(([place, pick]) => [place, how(pick)] as const) });
  }

  private pairsOf(ids: ReadonlySet<number>): ReadonlySet<number> {
    const both = new Set(ids);
    for (let n = 0; n + 1 < this.picks.length; n += 2) {
      const [a, b] = [this.picks[n] as Pick, this.picks[n + 1] as Pick];
      if (both.has(a.id)) both.add(b.id);
      else if (both.has(b.id)) both.add(a.id);
    }
    return both;
  }
}
