/** The project as the server last told it: its facts, its jobs, its job types. */
import { SvelteMap } from "svelte/reactivity";

import { ApiError } from "../api/client";
import * as api from "../api/endpoints";
import { EventStream, type Link, type ServerEvent } from "../api/socket";
import type { JobRow, ProjectInfo, TypeRow } from "../api/types";
import { lists, STATE_WORDS, stateOf } from "../lib/jobs";
import { jobNumber, jobTitle } from "../lib/format";
import { notices } from "./notices.svelte";
import { settings } from "./settings.svelte";

export type Hearer = (event: ServerEvent) => void;

class ProjectState {
  info = $state<ProjectInfo | null>(null);
  types = $state.raw<TypeRow[]>([]);
  jobs = $state.raw<JobRow[]>([]);
  isLoaded = $state(false);
  failure = $state<unknown>(null);
  link = $state<Link>("connecting");
  /** When the connection was lost, in milliseconds; null while it is there. */
  lostAt = $state<number | null>(null);
  /** The server does not know this window any more: it was started anew. */
  isSignedOut = $state(false);
  /** How many changes wait for the connection, by who keeps them. */
  unsent = new SvelteMap<string, number>();
  /** The time, for all that shows how long something takes; moves every second. */
  now = $state(Date.now());

  readonly byNumber = $derived(new Map(this.jobs.map((job) => [job.n, job])));
  readonly lists = $derived(lists(this.jobs, settings.order));
  readonly typeOf = $derived(new Map(this.types.map((type) => [type.word, type])));
  readonly isReadOnly = $derived(this.info?.read_only ?? false);
  readonly nUnsent = $derived([...this.unsent.values()].reduce((sum, n) => sum + n, 0));

  private stream: EventStream | null = null;
  private hearers = new Set<Hearer>();
  private reloads = new Set<() => void>();
  private isAsking = false;
  private askAgain = false;

  /** Load everything and follow what changes. */
  async begin(): Promise<void> {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const base = new URL("api/events", document.baseURI);
    this.stream = new EventStream(`${scheme}//${base.host}${base.pathname}`, {
      event: (event) => this.hear(event),
      reset: () => void this.reload(),
      link: (link) => this.setLink(link),
    });
    this.stream.open();
    setInterval(() => (this.now = Date.now()), 1000);
    addEventListener("online", () => this.stream?.hurry());
    await this.reload();
  }

  /** Call `hearer` for every event; returns how to stop. */
  listen(hearer: Hearer): () => void {
    this.hearers.add(hearer);
    return () => this.hearers.delete(hearer);
  }

  /** Call `again` whenever everything has to be loaded anew; returns how to stop. */
  onReload(again: () => void): () => void {
    this.reloads.add(again);
    return () => this.reloads.delete(again);
  }

  followLog(n: number | null): void {
    this.stream?.followLog(n);
  }

  async reload(): Promise<void> {
    try {
      const [info, types, jobs] = await Promise.all([api.project(), api.types(), api.jobs()]);
      this.info = info;
      this.types = types;
      this.setJobs(jobs);
      this.failure = null;
      this.isLoaded = true;
      for (const again of this.reloads) again();
    } catch (error) {
      this.failure = error;
      if (!this.isLoaded) setTimeout(() => void this.reload(), 2000);
    }
  }

  /** Load the jobs anew; calls that come meanwhile are joined into one more. */
  async reloadJobs(): Promise<void> {
    if (this.isAsking) {
      this.askAgain = true;
      return;
    }
    this.isAsking = true;
    try {
      this.setJobs(await api.jobs());
    } catch {
      // the status line tells that the server is away; `reset` loads all when it is back
    } finally {
      this.isAsking = false;
      if (this.askAgain) {
        this.askAgain = false;
        void this.reloadJobs();
      }
    }
  }

  async reloadInfo(): Promise<void> {
    try {
      this.info = await api.project();
    } catch {
      // told by the status line
    }
  }

  private setJobs(jobs: JobRow[]): void {
    const before = this.byNumber;
    this.jobs = jobs;
    if (!this.isLoaded) return;
    for (const job of jobs) this.tell(before.get(job.n), job);
  }

  /** Say for screen readers what a job came to. */
  private tell(before: JobRow | undefined, job: JobRow): void {
    if (!before || before.status === job.status) return;
    const words = `${jobNumber(job.n)} ${jobTitle(job)}: ${STATE_WORDS[stateOf(job)]}`;
    if (job.status === "Failed") notices.assertive = words;
    else notices.polite = words;
  }

  private hear(event: ServerEvent): void {
    switch (event.kind) {
      case "jobs":
      case "job":
      case "graph":
        void this.reloadJobs();
        break;
      case "progress":
        this.progress(event);
        break;
      case "project":
      case "trash":
        void this.reloadInfo();
        break;
      default:
        break;
    }
    for (const hearer of this.hearers) hearer(event);
  }

  private progress(event: ServerEvent): void {
    const progress = event["progress"] as JobRow["progress"] | undefined;
    if (event.n === undefined || progress === undefined) return;
    this.jobs = this.jobs.map((job) => (job.n === event.n ? { ...job, progress } : job));
  }

  private setLink(link: Link): void {
    if (link === "lost") {
      this.lostAt ??= Date.now();
      void this.askWhy();
    }
    if (link === "open") {
      if (this.lostAt !== null) void this.reload();
      this.lostAt = null;
      this.isSignedOut = false;
    }
    this.link = link;
  }

  /** A WebSocket does not tell why it was refused; a plain question does. */
  private async askWhy(): Promise<void> {
    try {
      await api.project();
      this.isSignedOut = false;
    } catch (error) {
      this.isSignedOut = error instanceof ApiError && error.status === 401;
    }
  }
}

export const project = new ProjectState();
