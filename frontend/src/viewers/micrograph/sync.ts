/** Sending changes as they are made, and taking those of others. */
import { ApiError, OfflineError, sentence } from "../../api/client";
import * as api from "./api";
import { PickDocument } from "./document";
import { editsOf, fromServer, merged, nextId, patchOf, same, sizeOf, type Pick } from "./rows";
import type { Unsent } from "./storage";

const SOON_MS = 120;
const AGAIN_MS = 2000;

export type Source = {
  get: (row: number) => Promise<api.Picks>;
  /** Null where nothing can be changed. */
  put: ((row: number, version: string, edits: api.Edit[]) => Promise<api.Picks>) | null;
};

export class Sync {
  readonly documents = new Map<number, PickDocument>();
  isOffline = false;
  private readonly loading = new Map<number, Promise<PickDocument>>();
  private readonly timers = new Map<number, number>();
  private readonly seen = new Map<number, string>();
  private isClosed = false;

  constructor(
    private readonly source: Source,
    private readonly unsent: Unsent | null,
    /** Something about a micrograph is different now. */
    private readonly changed: (row: number, isShown?: boolean) => void,
    private readonly fail: (error: unknown) => void,
  ) {}

  /** Changes that the server does not have. */
  get nUnsent(): number {
    let n = 0;
    for (const doc of this.documents.values()) if (doc.isChanged) n += sizeOf(doc.patch);
    return n;
  }

  load(row: number): Promise<PickDocument> {
    const known = this.documents.get(row);
    if (known) return Promise.resolve(known);
    const waiting = this.loading.get(row);
    if (waiting) return waiting;
    const asked = this.source
      .get(row)
      .then((found) => {
        const doc = new PickDocument(row, found);
        this.documents.set(row, doc);
        this.restore(doc);
        return doc;
      })
      .finally(() => this.loading.delete(row));
    this.loading.set(row, asked);
    return asked;
  }

  /** After a step: keep it here at once, and send it soon. */
  edited(doc: PickDocument, isShown = false): void {
    if (this.unsent && !this.keep(doc)) {
      this.fail(
        new Error("The browser has no room to keep unsent picks: stay until they are sent."),
      );
    }
    this.sendSoon(doc, SOON_MS);
    this.changed(doc.row, isShown);
  }

  /** The server tells of a version. */
  told(row: number, version: string): void {
    this.seen.set(row, version);
    const doc = this.documents.get(row);
    if (doc && !doc.isSending && version !== doc.version) void this.refresh(doc);
  }

  /** The server may have told things that nobody heard. */
  reload(): void {
    for (const doc of this.documents.values()) {
      if (doc.isChanged) this.sendSoon(doc, 0);
      else void this.refresh(doc);
    }
  }

  /** Load what was changed before the page was loaded, and send it. */
  async resume(): Promise<void> {
    for (const row of this.unsent?.rows() ?? []) {
      await this.load(row).catch(() => undefined);
    }
  }

  /** Settle a conflict. */
  settle(doc: PickDocument, how: "merge" | "theirs" | "mine"): void {
    const theirs = doc.theirs;
    if (!theirs) return;
    const mine = doc.picks;
    const patch = doc.patch;
    doc.base = theirs.picks;
    doc.version = theirs.version;
    doc.theirs = null;
    doc.picks = doc.base;
    if (how === "merge") doc.replace(merged(theirs.picks, patch));
    else if (how === "mine") doc.replace(mine);
    else this.unsent?.drop(doc.name);
    if (how === "theirs") this.changed(doc.row);
    else this.edited(doc);
  }

  close(): void {
    this.isClosed = true;
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const doc of this.documents.values()) if (doc.isChanged) void this.send(doc);
  }

  /** Wait until everything is sent; false where something cannot be. */
  async flush(): Promise<boolean> {
    for (let n = 0; n < 50 && this.nUnsent > 0; n += 1) {
      for (const doc of this.documents.values()) {
        if (doc.theirs || doc.refusal) return false;
        await this.send(doc);
      }
      if (this.isOffline) return false;
      if (this.nUnsent > 0) await new Promise((done) => setTimeout(done, 100));
    }
    return this.nUnsent === 0;
  }

  private async refresh(doc: PickDocument): Promise<void> {
    try {
      const found = await this.source.get(doc.row);
      if (doc.isSending || found.version === doc.version) return;
      if (doc.isChanged) this.conflict(doc, found);
      else doc.accept(found);
      this.changed(doc.row);
    } catch (error) {
      if (!(error instanceof OfflineError)) this.fail(error);
    }
  }

  private sendSoon(doc: PickDocument, after: number): void {
    clearTimeout(this.timers.get(doc.row));
    this.timers.set(
      doc.row,
      window.setTimeout(() => void this.send(doc), after),
    );
  }

  private async send(doc: PickDocument): Promise<void> {
    if (!this.source.put || doc.isSending || doc.theirs) return;
    const sent = doc.picks;
    const edits = editsOf(doc.base, patchOf(doc.base, sent));
    if (edits.length === 0) {
      doc.base = sent;
      this.unsent?.drop(doc.name);
      this.changed(doc.row);
      return;
    }
    doc.isSending = true;
    try {
      const found = await this.source.put(doc.row, doc.version, edits);
      this.taken(doc, sent, found);
    } catch (error) {
      this.failed(doc, error);
    } finally {
      doc.isSending = false;
      this.changed(doc.row);
    }
  }

  private taken(doc: PickDocument, sent: readonly Pick[], found: api.Picks): void {
    this.isOffline = false;
    doc.refusal = "";
    doc.version = found.version;
    const isLatest = doc.picks === sent;
    const told = fromServer(found, sent);
    doc.base = same(sent, told) ? sent : told;
    if (isLatest) doc.picks = doc.base;
    if (doc.isChanged) {
      this.keep(doc);
      this.sendSoon(doc, SOON_MS);
    } else this.unsent?.drop(doc.name);
    const seen = this.seen.get(doc.row);
    if (seen !== undefined && seen !== doc.version && !doc.isChanged) void this.refresh(doc);
  }

  private failed(doc: PickDocument, error: unknown): void {
    if (error instanceof OfflineError) {
      this.isOffline = true;
      if (!this.isClosed) this.sendSoon(doc, AGAIN_MS);
      return;
    }
    if (error instanceof ApiError && error.status === 409) {
      const theirs = (error.body as { theirs?: api.Picks } | null)?.theirs;
      if (theirs) {
        this.conflict(doc, theirs);
        return;
      }
    }
    doc.refusal = sentence(error);
    this.fail(error);
  }

  private conflict(doc: PickDocument, found: api.Picks): void {
    doc.theirs = { version: found.version, picks: fromServer(found, doc.base) };
    if (same(doc.theirs.picks, doc.picks)) this.settle(doc, "theirs");
  }

  private keep(doc: PickDocument): boolean {
    return this.unsent?.keep(doc.row, doc.name, doc.version, doc.patch, doc.base) ?? true;
  }

  /** Make again what was changed before the page was loaded. */
  private restore(doc: PickDocument): void {
    const kept = this.unsent?.read(doc.name);
    if (!kept || !this.source.put) return;
    const patch = {
      ...kept.patch,
      added: kept.patch.added.map(([at, pick]): [number, Pick] => [at, { ...pick, id: nextId() }]),
    };
    if (sizeOf(patch) === 0) {
      this.unsent?.drop(doc.name);
      return;
    }
    if (kept.version === doc.version || kept.base === null) {
      doc.replace(merged(doc.base, patch));
    } else {
      const theirs = { version: doc.version, picks: doc.base };
      doc.base = renumbered(kept.base, doc.base);
      doc.picks = doc.base;
      doc.version = kept.version;
      doc.replace(merged(doc.base, patch));
      if (same(theirs.picks, doc.picks)) {
        // It was sent before the page went away, only nobody heard.
        doc.base = theirs.picks;
        doc.picks = theirs.picks;
        doc.version = theirs.version;
        this.unsent?.drop(doc.name);
        return;
      }
      doc.theirs = theirs;
    }
    this.edited(doc);
  }
}

/** Give kept picks the numbers of those at the same places, and others new ones. */
function renumbered(kept: readonly Pick[], known: readonly Pick[]): Pick[] {
  const found: api.Picks = {
    n: 0,
    row: 0,
    name: "",
    version: "",
    count: kept.length,
    x: kept.map((pick) => pick.x),
    y: kept.map((pick) => pick.y),
    fom: kept.map((pick) => pick.fom),
    type: kept.map((pick) => pick.type),
    columns: Object.fromEntries(
      Object.keys(kept[0]?.more ?? {}).map((label) => [
        label,
        kept.map((pick) => pick.more[label] ?? null),
      ]),
    ),
  };
  return fromServer(found, known);
}
