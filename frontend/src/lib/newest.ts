/** What a job that still runs wrote last. */
import * as api from "../api/endpoints";

/** The optimiser file of the newest iteration of a classification; null while there is none. */
export async function newestClasses(folder: string): Promise<string | null> {
  const path = folder.replace(/\/$/, "");
  const found = await api.files({ path, pattern: "*_optimiser.star" });
  const names = found.files.filter((file) => !file.is_folder).map((file) => file.path);
  return names.sort().at(-1) ?? null;
}
