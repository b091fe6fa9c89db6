/** The viewers, each loaded when it is first wanted. */
import type { ViewerKind } from "../lib/pictures";
import type { ViewerModule } from "./viewer";

export const VIEWERS: Readonly<Record<ViewerKind, () => Promise<ViewerModule>>> = {
  gallery: () => import("./gallery/index"),
  micrograph: () => import("./micrograph/index"),
  volume: () => import("./volume/index"),
};
