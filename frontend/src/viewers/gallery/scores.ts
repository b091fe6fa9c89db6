/** Scores that a class ranker gave to these classes, in a job of its own. */
import { ask } from "../../api/client";
import type { components } from "../../api/schema";
import type { DisplayInfo, JobDetail, NodeRow } from "../../api/types";
import type { Columns } from "./columns";

type Part = components["schemas"]["TablePart"];
const SCORES = ["rlnPredictedClassScore", "rlnClassScore"] as const;

/** Put the newest scores beside the classes; whether there are some. */
export async function addScores(info: DisplayInfo, columns: Columns): Promise<boolean> {
  const isRanked = SCORES.some((score) => info.columns.some((one) => one.label === score));
  if (info.kind !== "classes" || isRanked || info.job === null) return false;
  try {
    const query = { pattern: "*rank_optimiser.star" };
    const ranked = await ask<NodeRow[]>("GET", "nodes", { query });
    for (const node of ranked.filter((one) => one.exists).reverse()) {
      if (node.job === null || !(await reads(node.job, info.path))) continue;
      const table = await ask<Part>("GET", "images/table", {
        query: { path: node.path, columns: SCORES[0], count: 0 },
      });
      const values = table.columns[SCORES[0]] as (number | null)[] | undefined;
      if (!values || values.length !== info.n) continue;
      columns.add(
        SCORES[0],
        values.map((one) => (one === -999 ? null : one)),
      );
      info.columns.push({ label: SCORES[0], kind: "number" });
      return true;
    }
  } catch {
    // scores are an addition: the classes are shown without them
  }
  return false;
}

async function reads(job: number, path: string): Promise<boolean> {
  const detail = await ask<JobDetail>("GET", `jobs/${job}`);
  return detail.input_nodes.some((node) => node.path === path);
}
