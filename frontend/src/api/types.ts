/** Short names for the types of the OpenAPI document. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type AutorunRow = Schemas["AutorunRow"];
export type Checked = Schemas["Checked"];
export type CleanReport = Schemas["CleanReport"];
export type DeleteReport = Schemas["DeleteReport"];
export type DisplayInfo = Schemas["DisplayInfo"];
export type Done = Schemas["Done"];
export type DraftBody = Schemas["DraftBody"];
export type DraftConflict = Schemas["DraftConflict"];
export type Failure = Schemas["Failure"];
export type FileList = Schemas["FileList"];
export type Form = Schemas["Form"];
export type FormOption = Schemas["FormOption"];
export type FormTab = Schemas["FormTab"];
export type Graph = Schemas["Graph"];
export type GraphNode = Schemas["GraphNode"];
export type HeadlineRow = Schemas["HeadlineRow"];
export type Hit = Schemas["Hit"];
export type JobDetail = Schemas["JobDetail"];
export type JobRow = Schemas["JobRow"];
export type LogText = Schemas["LogText"];
export type MadeJob = Schemas["MadeJob"];
export type Neighbours = Schemas["Neighbours"];
export type NodeRow = Schemas["NodeRow"];
export type NoteBody = Schemas["NoteBody"];
export type ProblemRow = Schemas["ProblemRow"];
export type ProjectInfo = Schemas["ProjectInfo"];
export type Rule = Schemas["Rule"];
export type SearchResult = Schemas["SearchResult"];
export type TrashInfo = Schemas["TrashInfo"];
export type TypeRow = Schemas["TypeRow"];
export type Undeleted = Schemas["Undeleted"];

/** Values of options by our name. */
export type Values = Record<string, unknown>;
