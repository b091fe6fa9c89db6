/** Enabling rules: when an option has an effect, and why it has none. */
import type { FormOption, Rule, Values } from "../api/types";

/** Whether a value counts as on: true, not empty, not 0. */
export function isOn(value: unknown): boolean {
  return value !== "" && Boolean(value);
}

/** Whether a rule holds; none always does. */
export function holds(rule: Rule | null, values: Values): boolean {
  if (rule === null) return true;
  if (rule.all) return rule.all.every((part) => holds(part, values));
  if (rule.any) return rule.any.some((part) => holds(part, values));
  if (rule.key) return isOn(values[rule.key]) === (rule.equals ?? true);
  return true;
}

/** Return the parts of a rule that stand against it, each naming one option. */
export function against(rule: Rule | null, values: Values): Rule[] {
  if (rule === null || holds(rule, values)) return [];
  const parts = rule.all ?? rule.any;
  return parts ? parts.flatMap((part) => against(part, values)) : [rule];
}

/** Say in one sentence why an option is not used; empty where it is. */
export function whyOff(
  rule: Rule | null,
  values: Values,
  options: ReadonlyMap<string, FormOption>,
): string {
  const seen = new Map<string, string>();
  for (const part of against(rule, values)) {
    const option = part.key ? options.get(part.key) : undefined;
    if (option) seen.set(option.name, reason(option, part.equals ?? true));
  }
  const reasons = [...seen.values()];
  return reasons.length > 0 ? `Not used while ${reasons.join(" and ")}.` : "";
}

function reason(option: FormOption, wanted: boolean): string {
  const name = `“${labelOf(option)}”`;
  if (option.kind === "boolean") return `${name} is ${wanted ? "No" : "Yes"}`;
  return wanted ? `${name} is empty` : `${name} is given`;
}

/** RELION's label without its colon, which is what people search for. */
export function labelOf(option: { label: string; relion_label: string }): string {
  return (option.relion_label || option.label).trim().replace(/\s*:$/, "");
}
