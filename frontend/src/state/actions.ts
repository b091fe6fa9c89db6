/** What the palette, the menus and the keys do: one name, one act. */
import * as api from "../api/endpoints";
import { act } from "./acts";
import { dialogs } from "./dialogs.svelte";
import { frame } from "./frame.svelte";
import { notices } from "./notices.svelte";
import { router } from "./router.svelte";
import { settings } from "./settings.svelte";

/** The acts, by the names that the server's search gives them. */
const ACTIONS: Readonly<Record<string, () => void>> = {
  reread: () => void act(api.reread),
  "project-note": () => dialogs.show({ kind: "project-note" }),
  "all-notes": () => router.go("#/notes"),
  "remake-nodes": () => void act(api.remakeNodes),
  display: () => dialogs.show({ kind: "open-file" }),
  "start-page": () => router.go("#/start"),
  trash: () => router.go("#/trash"),
  about: () => dialogs.show({ kind: "about" }),
  view: () => dialogs.show({ kind: "view" }),
  keys: () => dialogs.show({ kind: "keys" }),
  "stop-server": () => dialogs.show({ kind: "stop-server" }),
  "run-scheduled": () => dialogs.show({ kind: "schedule" }),
  "stop-scheduled": () => router.go("#/runs"),
  "export-scheduled": () => router.go("#/runs"),
  "import-scheduled": () => router.go("#/runs"),
  "clean-gently": () => dialogs.show({ kind: "clean", job: null, harsh: false }),
  "clean-harshly": () => dialogs.show({ kind: "clean", job: null, harsh: true }),
  graph: () => router.go("#/graph"),
  files: () => router.go("#/files"),
  order: () => {
    const next = { newest: "oldest", oldest: "alias", alias: "newest" } as const;
    settings.order = next[settings.order];
    settings.keep();
    frame.side = "jobs";
  },
  overwrite: () => notices.say("Open the job, then Job actions, Overwrite."),
  "load-job-star": () =>
    hintForm("Start from, in the head of the form, takes a job.star or a job."),
  "save-job-star": () => hintForm("The menu in the head of the form has Save job.star."),
  "check-command": () => hintForm("Check command is at the foot of the form."),
};

function hintForm(words: string): void {
  if (router.screen !== "new") frame.newJob();
  notices.say(words);
}

export function runAction(name: string): void {
  ACTIONS[name]?.();
}
