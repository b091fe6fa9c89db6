/** States, families and lists of jobs. */
import type { JobRow } from "../api/types";

export type State =
  "running" | "queued" | "scheduled" | "finished" | "failed" | "aborted" | "waiting";

export const STATE_WORDS: Readonly<Record<State, string>> = {
  running: "Running",
  queued: "In queue",
  scheduled: "Scheduled",
  finished: "Finished",
  failed: "Failed",
  aborted: "Aborted",
  waiting: "Waiting for you",
};

type HasState = {
  status: string;
  waits_for_you: boolean;
  queued_since?: string | null;
  started?: string | null;
};

/** Headline numbers that stand above the results of a job; the others have a panel of their own. */
export const IN_STRIP = 5;

/** The state that a job is shown in. */
export function stateOf(job: HasState): State {
  switch (job.status) {
    case "Running":
      if (job.waits_for_you) return "waiting";
      return job.queued_since && !job.started ? "queued" : "running";
    case "Scheduled":
      return "scheduled";
    case "Failed":
      return "failed";
    case "Aborted":
      return "aborted";
    default:
      return "finished";
  }
}

const FAMILY_CLASSES: Readonly<Record<string, string>> = {
  micrographs: "f-mic",
  particles: "f-par",
  "2d": "f-2d",
  "3d": "f-3d",
  improve: "f-imp",
  map: "f-map",
};

/** The class that sets the colour of a family. */
export function familyClass(family: string): string {
  return FAMILY_CLASSES[family] ?? "f-map";
}

export type Order = "newest" | "oldest" | "alias";
export type Lists = { running: JobRow[]; scheduled: JobRow[]; finished: JobRow[] };

/** RELION's three lists: running and scheduled oldest on top, finished in a chosen order. */
export function lists(jobs: readonly JobRow[], order: Order): Lists {
  const oldestFirst = [...jobs].sort((a, b) => a.n - b.n);
  const finished = oldestFirst.filter(
    (job) => job.status !== "Running" && job.status !== "Scheduled",
  );
  if (order === "newest") finished.reverse();
  if (order === "alias")
    finished.sort((a, b) => sortName(a).localeCompare(sortName(b)) || a.n - b.n);
  return {
    running: oldestFirst.filter((job) => job.status === "Running"),
    scheduled: oldestFirst.filter((job) => job.status === "Scheduled"),
    finished,
  };
}

function sortName(job: JobRow): string {
  return (job.alias ?? job.name).toLowerCase();
}

/** Everything that a filter looks at: number, alias, type, state, note. */
export function filterText(job: JobRow): string {
  const number = String(job.n).padStart(3, "0");
  const state = STATE_WORDS[stateOf(job)];
  return [
    number,
    job.alias ?? "",
    job.name,
    job.gui_name,
    job.word,
    state,
    job.note_first_line,
  ].join(" ");
}

/** How much of the work is done, 0 to 1; null where nobody knows. */
export function share(job: JobRow): number | null {
  const progress = job.progress;
  if (progress === null || progress.total <= 0) return null;
  return Math.min(1, progress.done / progress.total);
}
