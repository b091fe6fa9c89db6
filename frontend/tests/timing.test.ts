import { describe, expect, it } from "vitest";

import { outside, phasesOf } from "../src/lib/timing";

describe("the time of a job", () => {
  const phases = phasesOf([
    { phase: "Reading", seconds: 1, items_per_s: 0, bytes_per_s: 2e6 },
    { phase: "Picking", seconds: 2, items_per_s: 4, unit: "micrographs" },
    { phase: "Picking", seconds: 3, items_per_s: 5, unit: "micrographs" },
  ]);
  const job = {
    status: "Succeeded",
    started: "2026-11-23T11:39:45.000Z",
    ended: "2026-11-23T11:39:53.500Z",
  };

  it("counts phases of one name as one", () => {
    expect(phases).toEqual([
      { phase: "Reading", seconds: 1, rate: "2.0 MB/s" },
      { phase: "Picking", seconds: 5, rate: "5 micrographs/s" },
    ]);
  });

  it("adds up to what the head of the page says", () => {
    expect(outside(phases, job)).toBeCloseTo(2.5);
  });

  it("says nothing of a job whose last phase is unknown, or whose phases are all there is", () => {
    expect(outside(phases, { ...job, status: "Running", ended: null })).toBeNull();
    expect(outside(phases, { ...job, status: "Failed" })).toBeNull();
    expect(outside(phases, { ...job, ended: "2026-11-23T11:39:51.000Z" })).toBeNull();
    expect(outside(phases, { ...job, started: null })).toBeNull();
  });
});
