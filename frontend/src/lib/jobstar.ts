/** job.star files that people keep outside of the project: the options table, read and written. */
import type { FormOption, Values } from "../api/types";

export type JobStar = {
  label: string;
  /** Values by our name, of those options that the form has. */
  read: (options: ReadonlyMap<string, FormOption>) => Values;
};

export function parseJobStar(text: string): JobStar {
  const label = /_rlnJobTypeLabel\s+(\S+)/.exec(text)?.[1] ?? "";
  const pairs = new Map<string, string>();
  const table = text.split(/^data_joboptions_values\s*$/m)[1] ?? "";
  for (const line of (table.split(/^data_/m)[0] ?? "").split("\n")) {
    if (/^\s*(_|#|loop_|$)/.test(line)) continue;
    const [key, value] = words(line);
    if (key !== undefined) pairs.set(key, value ?? "");
  }
  return {
    label,
    read: (options) => {
      const values: Values = {};
      for (const option of options.values()) {
        const text = pairs.get(option.key) ?? pairs.get(option.name);
        if (text !== undefined) values[option.name] = valueOf(option, text);
      }
      return values;
    },
  };
}

/** Words of a line; quotes hold a word together. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"(?=\s|$)|'([^']*)'(?=\s|$)|(\S+)/g)].map(
    (found) => found[1] ?? found[2] ?? found[3] ?? "",
  );
}

function valueOf(option: FormOption, text: string): unknown {
  if (text.startsWith("$$")) return text;
  if (option.type === "bool") return /^(yes|true|1)$/i.test(text);
  if (option.type === "str" || text === "") return text;
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

/** Write the options as RELION does. */
export function writeJobStar(
  label: string,
  options: ReadonlyMap<string, FormOption>,
  values: Values,
): string {
  const rows = [...options.values()].map((option) => {
    const text = asText(values[option.name]);
    return `${option.key || option.name} ${/\s|^$/.test(text) ? `"${text}"` : text}`;
  });
  return [
    "",
    "# version 50001",
    "",
    "data_job",
    "",
    `_rlnJobTypeLabel ${label}`,
    "_rlnJobIsContinue 0",
    "_rlnJobIsTomo 0",
    "",
    "",
    "# version 50001",
    "",
    "data_joboptions_values",
    "",
    "loop_",
    "_rlnJobOptionVariable #1",
    "_rlnJobOptionValue #2",
    ...rows,
    "",
  ].join("\n");
}

function asText(value: unknown): string {
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return value === null || value === undefined ? "" : String(value);
}
