/** What every viewer is: a plain module that draws into an element it is given. */
import type { DisplayInfo } from "../api/types";

export type ViewerOptions = {
  /** What the server says of the file. */
  info: DisplayInfo;
  /** Whether only a part of a page is there for it. */
  isCompact: boolean;
  /** A Select or picking job whose selection is edited here; null to look only. */
  job: number | null;
  isReadOnly: boolean;
  /** Settings of this viewer that the project keeps. */
  settings: Record<string, unknown>;
  onSettings: (settings: Record<string, unknown>) => void;
  /** How many changes are not sent yet. */
  onUnsent: (n: number) => void;
  onFail: (error: unknown) => void;
  onSay: (text: string) => void;
};

/** State that tests and screen readers ask for. */
export type ViewerState = Readonly<Record<string, unknown>>;

export type Viewer = {
  update: (options: Partial<ViewerOptions>) => void;
  destroy: () => void;
  readonly state: ViewerState;
};

export type Mount = (element: HTMLElement, options: ViewerOptions) => Viewer;
