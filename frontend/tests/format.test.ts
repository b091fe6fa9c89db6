import { describe, expect, it } from "vitest";

import { amount, bytes, count, duration, labelOf, number, timeLeft, when } from "../src/lib/format";

describe("numbers as people read them", () => {
  it.each([
    [128440, "128,440"],
    [3.0412, "3.04"],
    [0.46, "0.46"],
    [1234.6, "1,235"],
    [0.00012, "1.2e-4"],
    [-71, "-71"],
    [NaN, "–"],
  ])("%d is %s", (value, text) => expect(number(value)).toBe(text));
});

describe("sizes", () => {
  it.each([
    [0, "0 bytes"],
    [1, "1 byte"],
    [9.2e9, "9.2 GB"],
    [999_600, "1.0 MB"],
    [1.62e12, "1.6 TB"],
    [412e9, "412 GB"],
  ])("%d is %s", (value, text) => expect(bytes(value)).toBe(text));
});

describe("times", () => {
  it.each([
    [0.34, "0.3 s"],
    [41, "41 s"],
    [9.97, "10 s"],
    [125, "2 min 05 s"],
    [599, "9 min 59 s"],
    [6480, "1 h 48 min"],
    [259200, "3 days"],
  ])("%d s is %s", (value, text) => expect(duration(value)).toBe(text));

  it("rounds what is left as an estimate deserves", () => {
    expect(timeLeft(37)).toBe("37 s");
    expect(timeLeft(665)).toBe("11 min");
    expect(timeLeft(0.1)).toBe("1 s");
  });

  it("tells the hour today, the day this year, the year before", () => {
    const now = new Date(2026, 10, 22, 12);
    expect(when(new Date(2026, 10, 22, 9, 5).toISOString(), now)).toBe("09:05");
    expect(when(new Date(2026, 10, 18).toISOString(), now)).toBe("18 Nov");
    expect(when(new Date(2025, 0, 2).toISOString(), now)).toBe("2 Jan 2025");
    expect(when("never", now)).toBe("");
  });
});

it("counts one and many", () => {
  expect(count(1, "job")).toBe("1 job");
  expect(count(0, "job")).toBe("0 jobs");
  expect(count(2, "entry", "entries")).toBe("2 entries");
});

describe("headline numbers", () => {
  it.each([
    [8, "Å", "8.00"],
    [25.6, "Å", "25.6"],
    [1234.5, "Å", "1,235"],
    [8, "", "8"],
    ["D2", "", "D2"],
    [null, "Å", "–"],
  ])("%s with the unit '%s' is %s", (value, unit, said) => expect(amount(value, unit)).toBe(said));
  it.each([
    [1, "Optics groups", "optics group"],
    [1, "Separate parts at the threshold", "separate part at the threshold"],
    [1, "Classes with particles", "class with particles"],
    [3, "Classes with particles", "classes with particles"],
    ["D2", "Symmetry", "symmetry"],
    [0, "Micrographs without Thon rings", "micrographs without Thon rings"],
    [1, "Micrographs without Thon rings", "micrograph without Thon rings"],
  ])("%s %s are %s", (value, label, said) => expect(labelOf(value, label)).toBe(said));
});
