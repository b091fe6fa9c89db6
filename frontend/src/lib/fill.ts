/** Outputs of one job as inputs of the next. */
import type { FormOption, NodeRow, Values } from "../api/types";

/** How many leading parts two node types share; 0 means that one does not fit. */
export function closeness(wanted: string, given: string): number {
  const parts = given.split(".");
  let same = 0;
  for (const part of wanted.split(".")) {
    if (parts[same] !== part) break;
    same += 1;
  }
  return same;
}

/** Put each output into the first input that takes its kind; one input a kind. */
export function fillFrom(outputs: readonly NodeRow[], options: readonly FormOption[]): Values {
  const filled: Values = {};
  const taken = new Set<string>();
  for (const option of options) {
    const kind = option.node_type.split(".")[0] ?? "";
    if (option.kind !== "node" || option.on_continue === "only" || taken.has(kind)) continue;
    const fitting = outputs.filter((node) => closeness(option.node_type, node.type) > 0);
    if (fitting.length === 0) continue;
    const best = fitting.reduce((a, b) =>
      closeness(option.node_type, b.type) > closeness(option.node_type, a.type) ? b : a,
    );
    filled[option.name] = best.path;
    taken.add(kind);
  }
  return filled;
}
