/** Both logs of a job, read on as they grow. */
import * as api from "../api/endpoints";
import { project } from "./project.svelte";

const MOST_CHARACTERS = 2_000_000;
const POLL_MS = 2000;

class Stream {
  text = $state("");
  size = $state(0);
  isCut = $state(false);
  private readonly n: number;
  private readonly name: "out" | "err";
  private next = 0;
  private isReading = false;

  constructor(n: number, name: "out" | "err") {
    this.n = n;
    this.name = name;
  }

  async read(): Promise<void> {
    if (this.isReading) return;
    this.isReading = true;
    try {
      for (;;) {
        const part = await api.log(this.n, this.name, this.next);
        if (part.size < this.next) {
          this.restart();
          continue;
        }
        this.append(part.text);
        this.size = part.size;
        const isDone = part.next <= this.next || part.next >= part.size;
        this.next = part.next;
        if (isDone) break;
      }
    } catch {
      // told by the status line; the next look reads on from here
    } finally {
      this.isReading = false;
    }
  }

  private restart(): void {
    this.text = "";
    this.next = 0;
    this.isCut = false;
  }

  private append(more: string): void {
    const all = this.text + more;
    this.isCut ||= all.length > MOST_CHARACTERS;
    this.text = all.length > MOST_CHARACTERS ? all.slice(-MOST_CHARACTERS) : all;
  }
}

export class LogState {
  readonly out: Stream;
  readonly err: Stream;
  private readonly stop: () => void;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(n: number, isRunning: () => boolean) {
    this.out = new Stream(n, "out");
    this.err = new Stream(n, "err");
    project.followLog(n);
    this.stop = project.listen((event) => {
      if (event.n === n && (event.kind === "log" || event.kind === "job")) this.read();
    });
    // Looks by itself too: not every file system tells that a file grew.
    this.timer = setInterval(() => {
      if (isRunning()) this.read();
    }, POLL_MS);
    this.read();
  }

  read(): void {
    void this.out.read();
    void this.err.read();
  }

  close(): void {
    clearInterval(this.timer);
    this.stop();
    project.followLog(null);
  }
}
