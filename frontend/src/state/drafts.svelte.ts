/** Values that somebody typed and has not used yet: kept here at once, at the server soon.
 *
 * A change names the version that it is based on. Where somebody else changed the draft
 * meanwhile, both are kept until a person decides.
 */
import { ApiError, OfflineError, sentence } from "../api/client";
import * as api from "../api/endpoints";
import type { ServerEvent } from "../api/socket";
import type { DraftBody } from "../api/types";
import { token } from "../lib/random";
import { notices } from "./notices.svelte";
import { project } from "./project.svelte";
import { forget, isRecord, keep, recall } from "./storage";

const SEND_AFTER_MS = 500;
const RETRY_MS = 2000;
const REFUSED_RETRY_MS = 5000;

/** This window, so that its own changes are told from those of others. */
export const WINDOW = `window ${token().slice(0, 6)}`;

export class Draft {
  readonly key: string;
  value = $state.raw<Record<string, unknown> | null>(null);
  /** What somebody else keeps now, while it is not known whose is right. */
  theirs = $state.raw<DraftBody | null>(null);
  savedAt = $state<string | null>(null);
  isDirty = $state(false);
  isLoaded = $state(false);

  /** Its name in this browser, which may know several projects. */
  private readonly place: string;
  private version = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  /** What is on its way to the server. */
  private sending: Promise<void> | null = null;
  private nSent = 0;
  private askAgain = false;
  private isClosed = false;
  /** What was last said of a refusal, which is not said again. */
  private told = "";
  private stops: (() => void)[] = [];

  constructor(key: string) {
    this.key = key;
    this.place = `draft:${project.info?.root ?? ""}:${key}`;
    this.recallHere();
    this.stops.push(project.listen((event) => this.hear(event)));
    this.stops.push(project.onReload(() => void this.load()));
  }

  /** Take what the server keeps, unless something newer waits here. */
  async load(): Promise<void> {
    const before = this.nSent;
    try {
      const kept = await api.draft(this.key);
      if (this.isClosed) return;
      // What was sent since may not be in this answer.
      if (this.sending !== null) this.askAgain = true;
      else if (this.nSent !== before) await this.load();
      else this.compare(kept);
    } catch {
      // not reachable: what is kept here stands
    } finally {
      this.isLoaded = true;
    }
  }

  /** Keep a new value: here now, at the server in half a second. */
  set(value: Record<string, unknown>): void {
    this.value = value;
    this.isDirty = true;
    this.keepHere();
    project.unsent.set(this.key, 1);
    if (this.theirs === null) this.schedule(SEND_AFTER_MS);
  }

  /** Forget it: it was used, or thrown away. */
  async drop(): Promise<void> {
    this.value = null;
    this.theirs = null;
    this.settle();
    forget(this.place);
    if (project.isReadOnly) return;
    await this.sending;
    this.nSent += 1;
    try {
      await api.dropDraft(this.key);
      this.version = (await api.draft(this.key)).version;
    } catch {
      // a draft that stays does no harm
    }
  }

  takeTheirs(): void {
    if (this.theirs) this.take(this.theirs);
    this.theirs = null;
  }

  keepMine(): void {
    if (!this.theirs) return;
    this.version = this.theirs.version;
    this.theirs = null;
    this.schedule(0);
  }

  close(): void {
    this.isClosed = true;
    if (this.isDirty && this.theirs === null) this.send();
    for (const stop of this.stops) stop();
  }

  private compare(kept: DraftBody): void {
    if (!this.isDirty) this.take(kept);
    else if (kept.version !== this.version && !same(kept.value, this.value)) this.theirs = kept;
    else {
      this.version = kept.version;
      this.send();
    }
  }

  private take(kept: DraftBody): void {
    this.version = kept.version;
    this.value = isRecord(kept.value) ? kept.value : null;
    this.savedAt = kept.saved ?? null;
    this.settle();
    if (this.value) this.keepHere();
    else forget(this.place);
  }

  private settle(): void {
    this.isDirty = false;
    this.told = "";
    if (this.timer !== null) clearTimeout(this.timer);
    project.unsent.delete(this.key);
  }

  private hear(event: ServerEvent): void {
    if (event.kind !== "draft" || event["key"] !== this.key || event["by"] === WINDOW) return;
    if (this.sending !== null) this.askAgain = true;
    else void this.load();
  }

  private schedule(after: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), after);
  }

  private send(): void {
    if (this.sending !== null || !this.isDirty || this.value === null) return;
    if (project.isReadOnly) {
      this.settle();
      return;
    }
    this.nSent += 1;
    this.sending = this.put(this.value).finally(() => this.sent());
    this.timer = null;
  }

  private sent(): void {
    this.sending = null;
    if (this.isDirty && this.theirs === null && this.timer === null) this.schedule(SEND_AFTER_MS);
    if (!this.askAgain) return;
    this.askAgain = false;
    void this.load();
  }

  private async put(value: Record<string, unknown>): Promise<void> {
    try {
      const kept = await api.putDraft(this.key, { value, version: this.version, by: WINDOW });
      this.version = kept.version;
      this.savedAt = kept.saved ?? null;
      if (this.value === value) this.settle();
      this.keepHere();
    } catch (error) {
      this.refused(error);
    }
  }

  private refused(error: unknown): void {
    if (error instanceof OfflineError) {
      this.schedule(RETRY_MS);
      return;
    }
    if (error instanceof ApiError && error.status === 409) {
      const body = error.body;
      if (isRecord(body) && isRecord(body["theirs"])) {
        const theirs = body["theirs"] as DraftBody;
        if (theirs.value === null) this.follow(theirs);
        else if (same(theirs.value, this.value)) this.take(theirs);
        else this.theirs = theirs;
        return;
      }
    }
    // Not taken, for instance because the disk is full: it stays here as unsent, and is sent again.
    this.schedule(REFUSED_RETRY_MS);
    if (sentence(error) !== this.told) notices.fail(error);
    this.told = sentence(error);
  }

  /** Theirs was used or thrown away: ours stands. */
  private follow(theirs: DraftBody): void {
    this.version = theirs.version;
    this.schedule(0);
  }

  private keepHere(): void {
    if (this.value === null) return;
    keep(this.place, { value: this.value, version: this.version, isDirty: this.isDirty });
  }

  private recallHere(): void {
    const kept = recall(this.place);
    if (!isRecord(kept) || !isRecord(kept["value"])) return;
    this.value = kept["value"];
    this.version = typeof kept["version"] === "number" ? kept["version"] : 0;
    this.isDirty = kept["isDirty"] === true;
    if (this.isDirty) project.unsent.set(this.key, 1);
  }
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}
