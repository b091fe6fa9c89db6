/** Where the time of a job went. */
import { between, bytes, number } from "./format";

export type Phase = { phase: string; seconds: number; rate: string };
type Span = { status: string; started: string | null; ended: string | null };

/** The phases in order, those of one name as one. */
export function phasesOf(timing: readonly Record<string, unknown>[]): Phase[] {
  const found = new Map<string, Phase>();
  for (const one of timing) {
    const phase = String(one["phase"] ?? "");
    const before = found.get(phase)?.seconds ?? 0;
    const seconds = before + Number(one["seconds"] ?? 0);
    found.set(phase, { phase, seconds, rate: rateOf(one) });
  }
  return [...found.values()];
}

/** Seconds from start to end of a finished job that no phase counts, or null. */
export function outside(phases: readonly Phase[], job: Span): number | null {
  if (job.status !== "Succeeded" || job.ended === null) return null;
  const whole = between(job.started, job.ended, 0);
  if (whole === null) return null;
  const rest = whole - phases.reduce((sum, one) => sum + one.seconds, 0);
  return rest >= 0.05 ? rest : null;
}

function rateOf(one: Record<string, unknown>): string {
  const rate = Number(one["items_per_s"] ?? 0);
  const flow = Number(one["bytes_per_s"] ?? 0);
  if (rate > 0) return `${number(rate)} ${String(one["unit"] ?? "")}/s`;
  return flow > 0 ? `${bytes(flow)}/s` : "";
}
