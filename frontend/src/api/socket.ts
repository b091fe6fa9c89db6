/** Events of the server, resumed after every break so that nothing is missed. */

export type ServerEvent = { kind: string; seq?: number; n?: number } & Record<string, unknown>;

export type Link = "connecting" | "open" | "lost";

export type StreamListener = {
  /** One event, in order. */
  event(event: ServerEvent): void;
  /** What was missed is not known any more: load everything anew. */
  reset(): void;
  link(link: Link): void;
};

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 4000;
/** The server speaks at least every 15 s; three silences mean that nobody is there. */
const SILENCE_MS = 45_000;

/** One WebSocket that comes back by itself. */
export class EventStream {
  private readonly address: string;
  private readonly listener: StreamListener;
  private socket: WebSocket | null = null;
  private seq: number | null = null;
  private boot = "";
  private wait = FIRST_WAIT_MS;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private silence: ReturnType<typeof setTimeout> | null = null;
  private ended = false;
  private logOf: number | null = null;

  constructor(address: string, listener: StreamListener) {
    this.address = address;
    this.listener = listener;
  }

  /** Connect, and stay connected. */
  open(): void {
    if (this.ended || this.socket) return;
    this.listener.link("connecting");
    const resume =
      this.seq === null ? "" : `?since=${this.seq}&boot=${encodeURIComponent(this.boot)}`;
    const socket = new WebSocket(this.address + resume);
    this.socket = socket;
    socket.onmessage = (message) => this.take(String(message.data));
    socket.onopen = () => {
      this.hear();
      if (this.logOf !== null) this.send({ subscribe: { log: this.logOf } });
    };
    socket.onclose = () => this.lost(socket);
    socket.onerror = () => socket.close();
  }

  /** Follow the log of a job, or none. */
  followLog(n: number | null): void {
    this.logOf = n;
    this.send({ subscribe: { log: n } });
  }

  /** Try at once, for instance when the machine is back on the network. */
  hurry(): void {
    if (this.socket || this.ended) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.open();
  }

  close(): void {
    this.ended = true;
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.silence !== null) clearTimeout(this.silence);
    this.socket?.close();
  }

  private send(message: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private take(data: string): void {
    this.hear();
    const event = read(data);
    if (event === null) return;
    if (event.kind === "ping") return;
    if (event.kind === "hello") {
      this.greet(event);
      return;
    }
    if (event.kind === "reset") {
      this.listener.reset();
      if (typeof event.seq === "number") this.seq = event.seq;
      return;
    }
    if (typeof event.seq === "number") {
      if (this.seq !== null && event.seq <= this.seq) return;
      this.seq = event.seq;
    }
    this.listener.event(event);
  }

  private greet(event: ServerEvent): void {
    const boot = typeof event["boot"] === "string" ? event["boot"] : "";
    const isNew = this.boot !== "" && boot !== this.boot;
    this.boot = boot;
    if (isNew) {
      this.seq = typeof event.seq === "number" ? event.seq : null;
      this.listener.reset();
    } else if (this.seq === null && typeof event.seq === "number") {
      this.seq = event.seq;
    }
    this.wait = FIRST_WAIT_MS;
    this.listener.link("open");
    this.listener.event(event);
  }

  private hear(): void {
    if (this.silence !== null) clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket?.close(), SILENCE_MS);
  }

  private lost(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.socket = null;
    if (this.silence !== null) clearTimeout(this.silence);
    if (this.ended) return;
    this.listener.link("lost");
    this.timer = setTimeout(() => {
      this.timer = null;
      this.open();
    }, this.wait);
    this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 1.7);
  }
}

function read(data: string): ServerEvent | null {
  try {
    const event: unknown = JSON.parse(data);
    const isEvent = typeof event === "object" && event !== null && "kind" in event;
    return isEvent ? (event as ServerEvent) : null;
  } catch {
    return null;
  }
}
