/** What every viewer is: a plain module that draws into an element it is given. */
import type { DisplayInfo } from "../api/types";

/** What the server told: a change of picks, selections, jobs. */
export type Told = { kind: string; n?: number; [more: string]: unknown };

export type ViewerOptions = {
  /** What the server says of the file. */
  info: DisplayInfo;
  /** Whether only a part of a page is there for it. */
  isCompact: boolean;
  /** A Select or picking job whose selection is edited here; null to look only. */
  job: number | null;
  isReadOnly: boolean;
  /** Settings of this kind of viewer that the project keeps. */
  settings: Record<string, unknown>;
  /** Keep some settings; those that are not named stay as they are. */
  onSettings: (settings: Record<string, unknown>) => void;
  /** How many changes are not sent yet. */
  onUnsent: (n: number) => void;
  onFail: (error: unknown) => void;
  onSay: (text: string) => void;
  /** Hear what the server tells; returns how to stop. A `reload` says that some may be missed. */
  listen: (hear: (event: Told) => void) => () => void;
  /** Room in the sidebar, such as for a list; absent where there is none. */
  side?: HTMLElement | undefined;
  /** Open another address of the pages, such as `#/job/3`. */
  go: (to: string) => void;
  /** Whether single letters are keys. */
  hasSingleKeys: () => boolean;
};

/** State that tests and screen readers ask for. */
export type ViewerState = Readonly<Record<string, unknown>>;

export type Viewer = {
  update: (options: Partial<ViewerOptions>) => void;
  destroy: () => void;
  readonly state: ViewerState;
};

export type Mount = (element: HTMLElement, options: ViewerOptions) => Viewer;

export type ViewerModule = {
  mount: Mount;
  /** It takes a new `info` by `update`, such as that of the next iteration; else it is made anew. */
  isLive?: boolean;
};
