/** Where this window is: an address after the hash, so that reload and links work. */

export type Route = { parts: string[]; query: URLSearchParams };

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(safeDecode);
  return { parts, query: new URLSearchParams(query) };
}

function safeDecode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => {
      this.route = parse(location.hash);
    });
  }

  get screen(): string {
    return this.route.parts[0] ?? "overview";
  }

  /** Number of the job that is open, or null. */
  get job(): number | null {
    const [screen, n] = this.route.parts;
    if (screen !== "job" || n === undefined || !/^\d+$/.test(n)) return null;
    return Number(n);
  }

  get tab(): string {
    return this.route.parts[2] ?? "";
  }

  go(to: string): void {
    location.hash = to;
  }

  replace(to: string): void {
    history.replaceState(null, "", to);
    this.route = parse(location.hash);
  }
}

export const router = new Router();

export function jobAddress(n: number, tab = ""): string {
  return `#/job/${n}${tab ? `/${tab}` : ""}`;
}

export function newAddress(word: string, from?: number): string {
  return `#/new/${encodeURIComponent(word)}${from === undefined ? "" : `?from=${from}`}`;
}

export function displayAddress(path: string): string {
  return `#/display?path=${encodeURIComponent(path)}`;
}
