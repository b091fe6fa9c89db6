/** Keeping a selection: in this browser at once, at the server soon, never over somebody else's. */
import { ApiError, ask, OfflineError } from "../../api/client";
import type { components } from "../../api/schema";
import { forget, isRecord, keep, recall } from "../../state/storage";
import type { Told } from "../viewer";
import { packed, unpacked } from "./selection";

export type JobSelection = components["schemas"]["Selection"];
type Saved = components["schemas"]["SelectionSaved"];
type DraftBody = components["schemas"]["DraftBody"];
type Found = { types: Uint8Array; version: string; isMade: boolean };

/** Where selections are kept: a Select job, or a draft of the project. */
export type Place = {
  name: string;
  read: () => Promise<Found>;
  /** Return the new version; where somebody else changed it, what they keep. */
  write: (types: Uint8Array, version: string) => Promise<{ version: string } | { theirs: Found }>;
  isMine: (event: Told) => boolean;
};

const SEND_AFTER_MS = 500;
const RETRY_MS = 1500;

export type KeeperHooks = {
  /** Types that were kept elsewhere are to be shown. */
  take: (types: Uint8Array) => void;
  /** Somebody else changed it too: null once that is settled. */
  conflict: (theirs: Uint8Array | null) => void;
  unsent: (n: number) => void;
  fail: (error: unknown) => void;
};

export class Keeper {
  private version = "";
  private types: Uint8Array | null = null;
  private theirs: Found | null = null;
  private isDirty = false;
  private isSending = false;
  private isClosed = false;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly place: Place,
    private readonly n: number,
    private readonly hooks: KeeperHooks,
  ) {}

  get isSettled(): boolean {
    return !this.isDirty && this.theirs === null;
  }

  /** Show what is kept; what this browser could not send yet comes first. */
  async load(): Promise<void> {
    const here = this.recallHere();
    if (here) {
      this.types = here.types;
      this.version = here.version;
      this.isDirty = true;
      this.hooks.take(here.types);
      this.hooks.unsent(1);
    }
    try {
      const found = await this.place.read();
      if (this.isClosed) return;
      if (!this.isDirty || this.types === null) this.settle(found, true);
      else this.meet(found);
    } catch (error) {
      if (error instanceof OfflineError) this.later(() => void this.load(), RETRY_MS);
      else this.hooks.fail(error);
    }
  }

  set(types: Uint8Array): void {
    this.types = types.slice();
    this.isDirty = true;
    this.keepHere();
    this.hooks.unsent(1);
    if (this.theirs === null) this.later(() => this.send(), SEND_AFTER_MS);
  }

  hear(event: Told): void {
    if (event.kind !== "reload" && !this.place.isMine(event)) return;
    if (this.isSending || event["version"] === this.version) return;
    if (this.isDirty) this.send();
    else void this.load();
  }

  takeTheirs(): void {
    const theirs = this.theirs;
    this.theirs = null;
    this.hooks.conflict(null);
    if (theirs) this.settle(theirs, true);
  }

  keepMine(): void {
    if (!this.theirs) return;
    this.version = this.theirs.version;
    this.theirs = null;
    this.hooks.conflict(null);
    this.send();
  }

  /** Send now, and wait until it is kept; whether it is. */
  async flush(): Promise<boolean> {
    if (this.timer !== null) clearTimeout(this.timer);
    for (let turn = 0; turn < 3 && this.isDirty && this.theirs === null; turn += 1) {
      while (this.isSending) await new Promise((done) => setTimeout(done, 50));
      if (this.isDirty) await this.put();
    }
    return this.isSettled;
  }

  /** What was saved has this version now. */
  saved(version: string): void {
    this.version = version;
  }

  get base(): string {
    return this.version;
  }

  close(): void {
    if (this.isDirty && this.theirs === null && !this.isSending) void this.put();
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private send(): void {
    if (!this.isSending && this.isDirty && this.theirs === null) void this.put();
  }

  private async put(): Promise<void> {
    const types = this.types;
    if (types === null || this.isSending) return;
    this.isSending = true;
    try {
      const answer = await this.place.write(types, this.version);
      if ("theirs" in answer) this.meet(answer.theirs);
      else {
        this.version = answer.version;
        if (this.types === types) this.clean();
        else this.keepHere();
      }
    } catch (error) {
      if (error instanceof OfflineError) this.later(() => this.send(), RETRY_MS);
      else {
        this.clean();
        this.hooks.fail(error);
      }
    } finally {
      this.isSending = false;
      if (this.isDirty && this.theirs === null && this.timer === null) {
        this.later(() => this.send(), SEND_AFTER_MS);
      }
    }
  }

  /** Something else is kept than what this window has: the same, older, or somebody else's. */
  private meet(found: Found): void {
    const isSame = this.types !== null && packed(found.types) === packed(this.types);
    if (isSame) this.settle(found, false);
    else if (found.version === this.version || !found.isMade) {
      this.version = found.version;
      this.later(() => this.send(), 0);
    } else {
      this.theirs = found;
      this.hooks.conflict(found.types);
    }
  }

  private settle(found: Found, isShown: boolean): void {
    this.version = found.version;
    this.types = found.types;
    this.clean();
    if (isShown) this.hooks.take(found.types);
  }

  private clean(): void {
    this.isDirty = false;
    forget(this.place.name);
    this.hooks.unsent(0);
  }

  private later(act: () => void, after: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.isClosed) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      act();
    }, after);
  }

  private keepHere(): void {
    if (this.types === null) return;
    keep(this.place.name, { types: packed(this.types), version: this.version });
  }

  private recallHere(): { types: Uint8Array; version: string } | null {
    const kept = recall(this.place.name);
    if (!isRecord(kept) || typeof kept["version"] !== "string") return null;
    const types = unpacked(kept["types"], this.n);
    return types ? { types, version: kept["version"] } : null;
  }
}

/** A Select job keeps its choice in `backup_selection.star`. */
export function ofJob(n: number, root: string): Place {
  const found = (told: JobSelection): Found => ({
    types: Uint8Array.from(told.types),
    version: told.version,
    isMade: told.is_saved,
  });
  return {
    name: `selection:${root}:${n}`,
    read: async () => found(await ask<JobSelection>("GET", `selections/${n}`)),
    write: async (types, version) => {
      const body = { action: "backup", types: [...types], version };
      try {
        const saved = await ask<Saved>("POST", `selections/${n}`, { body });
        return { version: saved.version };
      } catch (error) {
        if (isConflict(error)) return { theirs: found(error.body as JobSelection) };
        throw error;
      }
    },
    isMine: (event) => event.kind === "selection" && event.n === n,
  };
}

/** What is chosen in a list that no Select job was made for yet: a draft of the project. */
export function ofFile(path: string, n: number, root: string): Place {
  const key = `selection/${path.replace(/[^A-Za-z0-9_.:@/ -]/g, "_")}`;
  const url = `drafts/${key.split("/").map(encodeURIComponent).join("/")}`;
  const found = (kept: DraftBody): Found => {
    const types = isRecord(kept.value) ? unpacked(kept.value["types"], n) : null;
    return { types: types ?? new Uint8Array(n), version: String(kept.version), isMade: !!types };
  };
  return {
    name: `selection:${root}:${path}`,
    read: async () => found(await ask<DraftBody>("GET", url)),
    write: async (types, version) => {
      const body = { value: { types: packed(types) }, version: Number(version), by: "gallery" };
      try {
        return { version: String((await ask<DraftBody>("PUT", url, { body })).version) };
      } catch (error) {
        if (isConflict(error) && isRecord(error.body)) {
          return { theirs: found(error.body["theirs"] as DraftBody) };
        }
        throw error;
      }
    },
    isMine: (event) => event.kind === "draft" && event["key"] === key,
  };
}

function isConflict(error: unknown): error is ApiError {
  return (
    error instanceof ApiError &&
    error.status === 409 &&
    isRecord(error.body) &&
    ("types" in error.body || "theirs" in error.body)
  );
}
