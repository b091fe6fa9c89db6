/** Strokes of the icons, on a grid of 16. */

export type Stroke = {
  d: string;
  fill?: boolean;
  faint?: boolean;
  dash?: string;
  wide?: boolean;
  turns?: boolean;
};

const stroke = (d: string): Stroke[] => [{ d }];
/** A circle as a path. */
const ring = (x: number, y: number, r: number) =>
  `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;

export const ICONS = {
  camera: [{ d: `M2 5h3l1-1.5h4L11 5h3v8H2Z${ring(8, 8.8, 2.3)}` }],
  check: stroke("m3.5 8.5 3 3 6-7"),
  copy: stroke("M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3"),
  down: stroke("m4 6 4 4 4-4"),
  erase: stroke("m13.5 2.5-6 6M6 8.5c-2 0-2.5 1.5-2.5 3-1 .8-1.5.8-1.5.8 1.5 1.4 6 1.7 6-1.8Z"),
  eye: [{ d: `M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8Z${ring(8, 8, 1.9)}` }],
  file: stroke("M4 2h5l3 3v9H4ZM9 2v3h3"),
  folder: stroke("M2 4h4l1.5 1.5H14V13H2Z"),
  full: stroke("M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5 9 7M2.5 13.5 7 9"),
  help: [{ d: `${ring(8, 8, 6)}M6.3 6.3a1.8 1.8 0 1 1 2.5 1.8c-.6.3-.8.6-.8 1.2M8 11.4v.1` }],
  left: stroke("m10 4-4 4 4 4"),
  list: stroke("M2.5 4.5h11M2.5 8h11M2.5 11.5h11"),
  lock: stroke("M4 7.5h8v6H4ZM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5"),
  more: [{ d: "M3.5 8h.01M8 8h.01M12.5 8h.01", wide: true }],
  move: stroke(
    "M8 1.5v13M1.5 8h13M8 1.5 6 3.5M8 1.5l2 2M8 14.5l-2-2M8 14.5l2-2M1.5 8l2-2M1.5 8l2 2M14.5 8l-2-2M14.5 8l-2 2",
  ),
  panel: stroke("M2 3h12v10H2ZM10.5 3v10"),
  pick: stroke("M8 2v12M2 8h12"),
  plus: stroke("M8 3v10M3 8h10"),
  print: stroke("M4.5 6V2.5h7V6M4.5 11.5h-2V6h11v5.5h-2M4.5 9.5h7v4h-7Z"),
  redo: stroke("m10.5 3 3 3-3 3M13.5 6H6a3.5 3.5 0 0 0 0 7h3"),
  right: stroke("m6 4 4 4-4 4"),
  ruler: stroke("m2 11 9-9 3 3-9 9ZM5 8l1.5 1.5M7.5 5.5 9 7"),
  search: [{ d: `${ring(7, 7, 4.2)}M10.2 10.2l3.3 3.3` }],
  theme: [{ d: ring(8, 8, 5.5) }, { d: "M8 2.5v11a5.5 5.5 0 0 0 0-11Z", fill: true }],
  trash: stroke("M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9"),
  undo: stroke("M5.5 3 2.5 6l3 3M2.5 6H10a3.5 3.5 0 0 1 0 7H7"),
  warn: stroke("M8 2.2 14.5 13.5h-13ZM8 6.5v3.2M8 11.6v.1"),
  wifi: stroke("M1.8 6.5a9 9 0 0 1 12.4 0M4 9a5.8 5.8 0 0 1 8 0M6.3 11.4a2.5 2.5 0 0 1 3.4 0"),
  x: stroke("m4 4 8 8M12 4l-8 8"),
} satisfies Record<string, Stroke[]>;

export type IconName = keyof typeof ICONS;

export const STATES: Readonly<Record<string, Stroke[]>> = {
  running: [
    { d: ring(8, 8, 5.8), faint: true },
    { d: "M8 2.2a5.8 5.8 0 0 1 5.8 5.8", turns: true },
    { d: ring(8, 8, 1.2), fill: true },
  ],
  queued: [
    { d: ring(8, 8, 5.8), dash: "2 2.55" },
    { d: "M5.8 8h.01M8 8h.01M10.2 8h.01", wide: true },
  ],
  scheduled: [{ d: `${ring(8, 8, 5.8)}M8 4.8V8l2.2 1.6` }],
  finished: stroke("m3 8.5 3.2 3.2L13 4.5"),
  failed: stroke(
    "M5.6 2.2h4.8l3.4 3.4v4.8l-3.4 3.4H5.6l-3.4-3.4V5.6ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  ),
  aborted: [{ d: ring(8, 8, 5.8) }, { d: "M5.8 5.8h4.4v4.4H5.8Z", fill: true }],
  waiting: stroke("M4 2.3 12.8 7.7 8.9 8.9l2.1 4-1.9 1-2.1-4.1L4 12.6Z"),
};
