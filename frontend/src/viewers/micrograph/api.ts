/** What the picker asks of the server. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type List = Schemas["PickList"];
export type Micrograph = Schemas["PickedMicrograph"];
export type Picks = Schemas["Picks"];
export type Edit = Partial<Schemas["PickEdit"]> & Pick<Schemas["PickEdit"], "act">;
export type Meta = Schemas["ImageMeta"];
export type Cell = number | string | null;

const sets = "picks/sets";

export const list = (job: number) => ask<List>("GET", `picks/${job}`);
export const listOf = (path: string) => ask<List>("GET", sets, { query: { path } });
export const picks = (job: number, row: number) => ask<Picks>("GET", `picks/${job}/${row}`);
export const picksOf = (path: string, name: string) =>
  ask<Picks>("GET", `${sets}/picks`, { query: { path, name } });
export const change = (
  job: number,
  row: number,
  body: { version: string; edits?: Edit[]; selected?: boolean; force?: boolean },
) => ask<Picks>("POST", `picks/${job}/${row}`, { body });
export const tick = (job: number, body: { rows?: number[]; selected: boolean | null }) =>
  ask<List>("POST", `picks/${job}/ticks`, { body });
export const load = (job: number, body: { path: string; row?: number }) =>
  ask<Schemas["PickLoaded"]>("POST", `picks/${job}/load`, { body });
export const save = (job: number, close: boolean) =>
  ask<Schemas["PickSaved"]>("POST", `picks/${job}`, { body: { close } });
export const meta = (path: string, row = 0, column?: string) =>
  ask<Meta>("GET", "images/meta", { query: { path, row, column } });
export const value = (path: string, x: number, y: number) =>
  ask<Schemas["Value"]>("GET", "images/value", { query: { path, x, y } });
export const line = (query: {
  path: string;
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  lowpass_A: number;
  highpass_A: number;
  pixel_size_A: number;
  denoised?: true;
}) => ask<Schemas["Profile"]>("GET", "images/line", { query });
/** Let Topaz denoise a micrograph; where it is not ready, ask again. */
export const denoise = (path: string, job: number | null) =>
  ask<Schemas["PickDenoised"]>("POST", "picks/denoised", { body: { path, job } });
export const coordinateNodes = () =>
  ask<Schemas["NodeRow"][]>("GET", "nodes", { query: { type: "MicrographCoordsGroup" } });
export const project = () => ask<Schemas["ProjectInfo"]>("GET", "project");
export const job = (n: number) => ask<Schemas["JobDetail"]>("GET", `jobs/${n}`);
export const makeJob = (values: Record<string, unknown>) =>
  ask<Schemas["MadeJob"]>("POST", "jobs", {
    body: {
      word: "manualpick",
      values,
      mode: "run",
      request_id: `by-hand-${Date.now()}-${Math.random().toString(36).slice(2)}`,
    },
  });
