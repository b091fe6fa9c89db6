/** Short messages at the corner, with an Undo where the act can be taken back. */
import { sentence } from "../api/client";

export type Notice = {
  id: number;
  text: string;
  isBad: boolean;
  undo: (() => void) | null;
};

const STAY_MS = 7000;

class Notices {
  shown = $state<Notice[]>([]);
  /** The newest message, for screen readers: failures at once, the rest when they can. */
  polite = $state("");
  assertive = $state("");
  private next = 1;

  say(text: string, undo: (() => void) | null = null): void {
    this.polite = text;
    this.add(text, false, undo);
  }

  fail(error: unknown): void {
    const text = sentence(error);
    this.assertive = text;
    this.add(text, true, null);
  }

  close(id: number): void {
    this.shown = this.shown.filter((notice) => notice.id !== id);
  }

  private add(text: string, isBad: boolean, undo: (() => void) | null): void {
    const id = this.next++;
    const rest = this.shown.filter((notice) => notice.text !== text).slice(-3);
    this.shown = [...rest, { id, text, isBad, undo }];
    setTimeout(() => this.close(id), isBad ? STAY_MS * 2 : STAY_MS);
  }
}

export const notices = new Notices();
