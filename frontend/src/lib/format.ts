/** Numbers, sizes, times and names as people read them. */

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** 128440 -> "128,440"; 3.0412 -> "3.04"; 0.00012 -> "1.2e-4". */
export function number(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return GROUPED.format(value);
  const size = Math.abs(value);
  if (size >= 1000) return GROUPED.format(value);
  if (size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(Math.max(digits, Math.floor(Math.log10(size)) + 1))));
}

/** A headline number; a resolution keeps its digits: 8 Å is "8.00". */
export function amount(value: unknown, unit: string): string {
  if (typeof value !== "number") return text(value) || "–";
  return unit === "Å" && value >= 1 && value < 100 ? value.toPrecision(3) : number(value);
}

/** Any value of an option or a table. */
export function text(value: unknown): string {
  if (typeof value === "number") return number(value, 4);
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return value === null || value === undefined ? "" : String(value);
}

/** 9.2e9 -> "9.2 GB", in steps of 1000 as disks are sold. */
export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  let step = 0;
  let size = n;
  while (size >= 999.5 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  if (step === 0) return n === 1 ? "1 byte" : `${GROUPED.format(n)} bytes`;
  return `${size < 9.95 ? size.toFixed(1) : GROUPED.format(size)} ${units[step]}`;
}

/** 6480 -> "1 h 48 min"; 41 -> "41 s"; 0.3 -> "0.3 s". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds > 0 && seconds < 0.05) return "< 0.1 s";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 600) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  }
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.round(hours / 24)} days`;
}

/** Time left, rounded as an estimate deserves. */
export function timeLeft(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 3570 ? `${Math.round(seconds / 60)} min` : duration(seconds);
}

/** Seconds between two times; the second may be now. */
export function between(from: string | null, to: string | null, now: number): number | null {
  if (from === null) return null;
  const end = to === null ? now : Date.parse(to);
  const span = (end - Date.parse(from)) / 1000;
  return Number.isFinite(span) ? Math.max(0, span) : null;
}

/** "09:14" today, "18 Nov" this year, "18 Nov 2025" before. */
export function when(time: string | null, now: Date): string {
  if (time === null) return "";
  const then = new Date(time);
  if (Number.isNaN(then.getTime())) return "";
  const clock = `${String(then.getHours()).padStart(2, "0")}:${String(then.getMinutes()).padStart(2, "0")}`;
  if (then.toDateString() === now.toDateString()) return clock;
  const day = `${then.getDate()} ${MONTHS[then.getMonth()] ?? ""}`;
  return then.getFullYear() === now.getFullYear() ? day : `${day} ${then.getFullYear()}`;
}

/** "1 job", "3 jobs". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${GROUPED.format(n)} ${n === 1 ? one : many}`;
}

/** What a file holds: "240 particles", "1 micrograph", "a map", "coordinates of 6 micrographs". */
export function contents(what: string, n: number | null | undefined): string {
  if (typeof n !== "number") return what;
  if (what.endsWith("coordinates")) return `coordinates of ${count(n, "micrograph")}`;
  return what.endsWith("s") ? count(n, what.slice(0, -1), what) : `${GROUPED.format(n)} ${what}`;
}

/** The label of a headline number after its value: "1 optics group", "3 CTFs", "Thon" kept. */
export function labelOf(value: unknown, label: string): string {
  const lower = /^[A-Z][a-z]/.test(label) ? label.charAt(0).toLowerCase() + label.slice(1) : label;
  const many = /(?<=class)es\b|s(?= (?:at|of|in|with|without) |$)/;
  return value === 1 ? lower.replace(many, "") : lower;
}

/** 7 -> "007". */
export function jobNumber(n: number): string {
  return String(n).padStart(3, "0");
}

/** The last part of "Class2D/good/" or "Class2D/job007/". */
export function lastPart(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? path;
}

/** What a job is called: its alias, else its folder's last part. */
export function jobTitle(job: { alias: string | null; name: string }): string {
  return lastPart(job.alias ?? job.name);
}

/** A sentence begins with a capital letter. */
export function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
