/** What this browser keeps: a full or forbidden store must never stop anything. */

export function keep(key: string, value: unknown): boolean {
  try {
    localStorage.setItem(`vitreous:${key}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function recall(key: string): unknown {
  try {
    const text = localStorage.getItem(`vitreous:${key}`);
    return text === null ? null : (JSON.parse(text) as unknown);
  } catch {
    return null;
  }
}

export function forget(key: string): void {
  try {
    localStorage.removeItem(`vitreous:${key}`);
  } catch {
    // nothing was kept
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
