import { describe, expect, it } from "vitest";

import type { FormOption, NodeRow, Rule } from "../src/api/types";
import { closeness, fillFrom } from "../src/lib/fill";
import { holds, isOn, whyOff } from "../src/lib/rules";

function option(name: string, more: Partial<FormOption> = {}): FormOption {
  return {
    name,
    key: `fn_${name}`,
    label: name,
    relion_label: `${name}?`,
    kind: "boolean",
    type: "bool",
    default: false,
    default_text: "No",
    required: false,
    optional: false,
    choices: [],
    low: null,
    high: null,
    step: null,
    at_least: null,
    at_most: null,
    off: null,
    unit: "",
    help: "",
    range: "",
    pattern: null,
    directory: "",
    node_type: "",
    when: null,
    when_text: "",
    on_continue: "free",
    locked_here: false,
    ...more,
  };
}

const is = (key: string, equals = true): Rule => ({ any: null, all: null, key, equals });
const all = (...rules: Rule[]): Rule => ({ any: null, all: rules, key: null, equals: null });
const any = (...rules: Rule[]): Rule => ({ any: rules, all: null, key: null, equals: null });
const OPTIONS = new Map(
  [option("helix"), option("fit"), option("reference", { kind: "node", type: "str" })].map(
    (one) => [one.name, one],
  ),
);

describe("a rule", () => {
  it("knows what is on", () => {
    expect([true, "x", 3, -1].every(isOn)).toBe(true);
    expect([false, "", 0, null, undefined].some(isOn)).toBe(false);
  });

  it("joins parts by all and any", () => {
    const rule = all(is("helix"), any(is("fit", false), is("reference")));
    expect(holds(rule, { helix: true, fit: false })).toBe(true);
    expect(holds(rule, { helix: true, fit: true })).toBe(false);
    expect(holds(rule, { helix: true, fit: true, reference: "a.mrc" })).toBe(true);
    expect(holds(null, {})).toBe(true);
  });

  it("says which options stand against it, and nothing where none does", () => {
    const rule = all(is("helix"), is("fit", false), is("reference"));
    expect(whyOff(rule, { helix: false, fit: true, reference: "" }, OPTIONS)).toBe(
      "Not used while “helix?” is No and “fit?” is Yes and “reference?” is empty.",
    );
    expect(whyOff(rule, { helix: true, fit: false, reference: "a" }, OPTIONS)).toBe("");
  });
});

describe("outputs as inputs of the next job", () => {
  const node = (path: string, type: string): NodeRow =>
    ({ path, type, what: "", job: 1, exists: true }) as NodeRow;

  it("takes the closest kind and fills each kind once", () => {
    const options = [
      option("micrographs", { kind: "node", node_type: "MicrographGroupMetadata.star.relion" }),
      option("half", { kind: "node", node_type: "DensityMap.mrc.relion.halfmap" }),
      option("reference", { kind: "node", node_type: "DensityMap.mrc" }),
      option("go_on", { kind: "node", node_type: "OptimiserData.star", on_continue: "only" }),
    ];
    const outputs = [
      node("whole.mrc", "DensityMap.mrc.relion.refine3d"),
      node("half1.mrc", "DensityMap.mrc.relion.halfmap.refine3d"),
      node("run.star", "OptimiserData.star"),
    ];
    expect(fillFrom(outputs, options)).toEqual({ half: "half1.mrc" });
    expect(closeness("DensityMap.mrc", "DensityMapX.mrc")).toBe(0);
  });
});
