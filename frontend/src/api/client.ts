/** Asking the server: one function, one kind of error. */
import type { Failure, ProblemRow } from "./types";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** What the server refused, with its own sentence. */
export class ApiError extends Error {
  readonly status: number;
  readonly problems: readonly ProblemRow[];
  readonly body: unknown;

  constructor(status: number, message: string, problems: readonly ProblemRow[], body: unknown) {
    super(message);
    this.status = status;
    this.problems = problems;
    this.body = body;
  }
}

/** The server could not be reached: nothing is known of what it did. */
export class OfflineError extends Error {}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** Return the address of a resource, below where this page lies. */
export function address(path: string, query: Query = {}): string {
  const words = Object.entries(query)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`);
  return `api/${path}${words.length > 0 ? `?${words.join("&")}` : ""}`;
}

/** Ask, and return the answer; `signal` ends the wait. */
export async function ask<T>(
  method: Method,
  path: string,
  options: { query?: Query; body?: unknown; signal?: AbortSignal } = {},
): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(address(path, options.query), {
      method,
      credentials: "same-origin",
      headers: method === "GET" ? {} : { "content-type": "application/json" },
      ...(method === "GET" ? {} : { body: JSON.stringify(options.body ?? {}) }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new OfflineError("The server cannot be reached. What you typed is kept here.");
  }
  const text = await answer.text();
  const body = parse(text);
  if (!answer.ok) throw failure(answer.status, body);
  return body as T;
}

function parse(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function failure(status: number, body: unknown): ApiError | OfflineError {
  if (isFailure(body)) return new ApiError(status, body.error, body.problems ?? [], body);
  if (status === 502 || status === 503 || status === 504) {
    return new OfflineError("The server does not answer. What you typed is kept here.");
  }
  if (status === 401) {
    const sentence =
      "This window is no longer signed in. Open the address that `vitreous gui` printed.";
    return new ApiError(status, sentence, [], body);
  }
  return new ApiError(status, `The server answered ${status} without a reason.`, [], body);
}

function isFailure(body: unknown): body is Failure {
  return (
    typeof body === "object" && body !== null && "error" in body && typeof body.error === "string"
  );
}

/** Return a sentence for people, whatever was thrown. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
