import { describe, expect, it } from "vitest";

import type { FormOption } from "../src/api/types";
import { contents } from "../src/lib/format";
import { find, fits } from "../src/lib/fuzzy";
import { parseJobStar, writeJobStar } from "../src/lib/jobstar";
import { marked, settle, tail } from "../src/lib/log";
import { nextOf } from "../src/lib/next";

describe("filters", () => {
  it("want every word and put beginnings first", () => {
    expect(fits("class 3", "2D classification")).toBe(0);
    expect(find("class", ["subclass", "2D classification", "Classes"], (one) => one)[0]).not.toBe(
      "subclass",
    );
    expect(find("", ["b", "a"], (one) => one)).toEqual(["b", "a"]);
  });
});

describe("what a file holds", () => {
  it.each([
    ["particles", 240, "240 particles"],
    ["micrographs", 1, "1 micrograph"],
    ["particle coordinates", 6, "coordinates of 6 micrographs"],
    ["a map", null, "a map"],
  ])("%s, %s", (what, n, text) => expect(contents(what, n)).toBe(text));
});

describe("logs", () => {
  it("show the last state of a progress bar", () => {
    expect(settle("a\n 1/9\r 5/9\r 9/9\r\nb")).toBe("a\n 9/9\nb");
    expect(tail("1\n2\n3\n\n\n", 2)).toBe("2\n3");
  });

  it("mark every place of a search", () => {
    expect(marked("aXbx", "x")).toEqual([
      { text: "a", hit: false },
      { text: "X", hit: true },
      { text: "b", hit: false },
      { text: "x", hit: true },
    ]);
  });
});

describe("job.star", () => {
  const option = (name: string, key: string, type: FormOption["type"]) =>
    ({ name, key, type }) as FormOption;
  const options = new Map([
    ["particles", option("particles", "fn_img", "str")],
    ["n_classes", option("n_classes", "nr_classes", "int")],
    ["use_em", option("use_em", "do_em", "bool")],
  ]);

  it("comes back as it was written, also with spaces, empty texts and variables", () => {
    const values = { particles: "my data/p.star", n_classes: "$$k", use_em: true };
    const read = parseJobStar(writeJobStar("relion.class2d", options, values));
    expect(read.label).toBe("relion.class2d");
    expect(read.read(options)).toEqual(values);
    const empty = parseJobStar(
      writeJobStar("relion.class2d", options, { particles: "", n_classes: 3, use_em: false }),
    );
    expect(empty.read(options)).toEqual({ particles: "", n_classes: 3, use_em: false });
  });
});

describe("next steps", () => {
  it("after an import depend on what was imported", () => {
    expect(nextOf("import", ["ParticleGroupMetadata.star.relion"])).toContain("class2d");
    expect(nextOf("import", ["MicrographMovieGroupMetadata.star.relion"])).toEqual(["motioncorr"]);
    expect(nextOf("import", ["Mask3D.mrc"])).toEqual([]);
    expect(nextOf("class2d")).toEqual(["select"]);
  });
});
