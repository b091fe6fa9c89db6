/** Everything that can be asked of the server, one function each. */
import { ask } from "./client";
import type * as T from "./types";

type Signal = AbortSignal | undefined;
const withSignal = (signal: Signal) => (signal ? { signal } : {});

export const project = (signal?: Signal) =>
  ask<T.ProjectInfo>("GET", "project", withSignal(signal));
export const jobs = () => ask<T.JobRow[]>("GET", "jobs");
export const types = () => ask<T.TypeRow[]>("GET", "types");
export const reread = () => ask<T.Done>("POST", "project/reread");
export const remakeNodes = () => ask<T.Done>("POST", "project/remake-nodes");
export const stopServer = () => ask<T.Done>("POST", "project/stop-server");
export const projectNote = () => ask<T.NoteBody>("GET", "project/note");
export const writeProjectNote = (body: { text: string; version: string }) =>
  ask<T.NoteBody>("PUT", "project/note", { body });

export const form = (word: string, query: { job?: number | undefined; defaults?: boolean } = {}) =>
  ask<T.Form>("GET", `types/${encodeURIComponent(word)}/form`, { query });
export const check = (
  word: string,
  body: {
    values: T.Values;
    continue_job?: number | null;
    overwrite_job?: number | null;
    schedule?: boolean;
    alias?: string | null;
  },
  signal?: Signal,
) =>
  ask<T.Checked>("POST", `types/${encodeURIComponent(word)}/check`, {
    body,
    ...withSignal(signal),
  });

export type NewJob = {
  word: string;
  values: T.Values;
  mode: "run" | "schedule" | "continue" | "overwrite";
  job?: number | null;
  alias?: string | null;
  schedule?: boolean;
  request_id: string;
};
export const makeJob = (body: NewJob) => ask<T.MadeJob>("POST", "jobs", { body });

export const job = (n: number, signal?: Signal) =>
  ask<T.JobDetail>("GET", `jobs/${n}`, withSignal(signal));
export const plot = (n: number, name: string) =>
  ask<Record<string, unknown>>("GET", `jobs/${n}/plots/${encodeURIComponent(name)}`);
export const log = (n: number, stream: "out" | "err", from: number) =>
  ask<T.LogText>("GET", `jobs/${n}/log`, { query: { stream, from } });
export const clearErrors = (n: number) => ask<T.Done>("POST", `jobs/${n}/clear-errors`);
export const jobFiles = (n: number, under?: string) =>
  ask<T.FileList>("GET", `jobs/${n}/files`, { query: { under } });
export const neighbours = (n: number, side: "inputs" | "outputs") =>
  ask<T.Neighbours>("GET", `jobs/${n}/${side}`);
export const note = (n: number) => ask<T.NoteBody>("GET", `jobs/${n}/note`);
export const writeNote = (n: number, body: { text: string; version: string }) =>
  ask<T.NoteBody>("PUT", `jobs/${n}/note`, { body });

export const setAlias = (n: number, alias: string | null) =>
  ask<T.Done>("POST", `jobs/${n}/alias`, { body: { alias } });
export const abort = (n: number) => ask<T.Done>("POST", `jobs/${n}/abort`);
export const start = (n: number) => ask<T.Done>("POST", `jobs/${n}/start`);
export const mark = (n: number, state: "finished" | "failed") =>
  ask<T.Done>("POST", `jobs/${n}/mark`, { body: { state } });
export const clean = (n: number, harsh: boolean, dry_run: boolean) =>
  ask<T.CleanReport>("POST", `jobs/${n}/clean`, { body: { harsh, dry_run } });
export const cleanAll = (harsh: boolean, dry_run: boolean) =>
  ask<T.CleanReport>("POST", "project/clean-all", { body: { harsh, dry_run } });
export const remove = (n: number, dry_run: boolean) =>
  ask<T.DeleteReport>("POST", `jobs/${n}/delete`, { body: { dry_run, yes: !dry_run } });

export const trash = () => ask<T.TrashInfo>("GET", "trash");
export const undelete = (names: string[], whole_group: boolean) =>
  ask<T.Undeleted>("POST", "trash/undelete", { body: { names, whole_group } });
export const emptyTrash = () => ask<T.Done>("POST", "trash/empty");

export const graph = () => ask<T.Graph>("GET", "graph");
export const nodes = (query: { type?: string; pattern?: string }) =>
  ask<T.NodeRow[]>("GET", "nodes", { query });
export const files = (query: { path?: string; pattern?: string }) =>
  ask<T.FileList>("GET", "files", { query });
export const search = (q: string, signal?: Signal) =>
  ask<T.SearchResult>("GET", "search", { query: { q }, ...withSignal(signal) });
export const display = (path: string) => ask<T.DisplayInfo>("GET", "display", { query: { path } });

export const autoruns = () => ask<T.AutorunRow[]>("GET", "autorun");
export type Rhythm = {
  jobs: number[];
  name: string;
  times: number;
  wait_before_min: number;
  wait_between_min: number;
  wait_after_s: number;
};
export const startAutorun = (body: Rhythm) => ask<T.Done>("POST", "autorun", { body });
export const stopAutorun = (name: string) =>
  ask<T.Done>("POST", "autorun/stop", { body: { name } });

const draftPath = (key: string) => `drafts/${key.split("/").map(encodeURIComponent).join("/")}`;
export const draft = (key: string) => ask<T.DraftBody>("GET", draftPath(key));
export const putDraft = (key: string, body: { value: unknown; version: number; by: string }) =>
  ask<T.DraftBody>("PUT", draftPath(key), { body });
export const dropDraft = (key: string) => ask<T.Done>("DELETE", draftPath(key));
