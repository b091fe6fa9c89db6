/** Screens by the first word of the address; each is loaded when it is first wanted. */
import type { Component } from "svelte";

type Loader = () => Promise<{ default: Component }>;

export const SCREENS: Readonly<Record<string, Loader>> = {
  overview: () => import("../screens/Overview.svelte"),
  start: () => import("../screens/StartPage.svelte"),
  graph: () => import("../screens/GraphScreen.svelte"),
  files: () => import("../screens/FilesScreen.svelte"),
  runs: () => import("../screens/RunsScreen.svelte"),
  trash: () => import("../screens/TrashScreen.svelte"),
  notes: () => import("../screens/NotesScreen.svelte"),
  job: () => import("../screens/JobScreen.svelte"),
  new: () => import("../screens/NewJobScreen.svelte"),
  display: () => import("../screens/DisplayScreen.svelte"),
};
