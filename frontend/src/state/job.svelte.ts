/** One open job: all that the server tells of it, kept up to date. */
import * as api from "../api/endpoints";
import type { ServerEvent } from "../api/socket";
import type { JobDetail } from "../api/types";
import { project } from "./project.svelte";

export class JobState {
  readonly n: number;
  detail = $state.raw<JobDetail | null>(null);
  failure = $state<unknown>(null);
  /** Grows with every change of the results, so that plots are asked for again. */
  version = $state(0);

  private stops: (() => void)[] = [];
  private isAsking = false;
  private askAgain = false;

  constructor(n: number) {
    this.n = n;
    this.stops.push(project.listen((event) => this.hear(event)));
    this.stops.push(project.onReload(() => void this.load()));
    // Signs of life come every 30 s without an event of their own.
    const timer = setInterval(() => {
      if (this.detail?.status === "Running" && !document.hidden) void this.load();
    }, 30_000);
    this.stops.push(() => clearInterval(timer));
    void this.load();
  }

  async load(): Promise<void> {
    if (this.isAsking) {
      this.askAgain = true;
      return;
    }
    this.isAsking = true;
    try {
      this.detail = await api.job(this.n);
      this.failure = null;
      this.version += 1;
    } catch (error) {
      this.failure = error;
    } finally {
      this.isAsking = false;
      if (this.askAgain) {
        this.askAgain = false;
        void this.load();
      }
    }
  }

  close(): void {
    for (const stop of this.stops) stop();
  }

  private hear(event: ServerEvent): void {
    const isOurs = event.n === undefined || event.n === this.n;
    if (isOurs && ["job", "jobs", "results"].includes(event.kind)) void this.load();
  }
}
