/** Which dialogue is open; one at a time. */

export type Open =
  | { kind: "palette" }
  | { kind: "keys" }
  | { kind: "about" }
  | { kind: "view" }
  | { kind: "delete"; job: number }
  | { kind: "clean"; job: number | null; harsh: boolean }
  | { kind: "abort"; job: number }
  | { kind: "schedule" }
  | { kind: "stop-server" }
  | { kind: "project-note" }
  | { kind: "open-file" };

class Dialogs {
  open = $state.raw<Open | null>(null);

  show(dialog: Open): void {
    this.open = dialog;
  }

  close(): void {
    this.open = null;
  }
}

export const dialogs = new Dialogs();
