/** The viewers, each loaded when it is first wanted. */
import type { ViewerKind } from "../lib/pictures";
import type { Mount } from "./viewer";

export const VIEWERS: Readonly<Record<ViewerKind, () => Promise<{ mount: Mount }>>> = {
  gallery: () => import("./gallery/index"),
  micrograph: () => import("./micrograph/index"),
  volume: () => import("./volume/index"),
};
