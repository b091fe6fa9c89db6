/** Plots as jobs hand them in, read into types that can be drawn; odd data become nothing. */

export type Axis = {
  label: string;
  unit: string;
  log: boolean;
  low: number | null;
  high: number | null;
};
export type Numbers = (number | null)[];
export type Series = {
  name: string;
  style: "solid" | "dashed" | "points" | "pale";
  x: Numbers;
  y: Numbers;
  c: Numbers | null;
  labels: string[] | null;
};
export type Threshold = { axis: "x" | "y"; value: number; label: string };
export type Curves = {
  kind: "line" | "scatter" | "histogram" | "bar";
  x: Axis;
  y: Axis;
  c: Axis | null;
  series: Series[];
  thresholds: Threshold[];
};
export type Mark = { x: Numbers; y: Numbers; radius: number | null; name: string };
export type Picture = {
  rows: Numbers[];
  colour: "grey" | "ramp" | "difference";
  low: number | null;
  high: number | null;
  isUp: boolean;
  width: number | null;
  height: number | null;
  x: Axis;
  y: Axis;
  bar: Axis | null;
  marks: Mark[];
};
export type Track = { name: string; x: Numbers; y: Numbers; at: [number, number] | null };
export type Vectors = {
  tracks: Track[];
  scale: number;
  width: number | null;
  height: number | null;
  x: Axis;
  y: Axis;
};
export type Grid = { columns: { name: string; unit: string }[]; rows: unknown[][] };
export type Panel =
  | { kind: "curves"; title: string; note: string; data: Curves }
  | { kind: "picture"; title: string; note: string; data: Picture }
  | { kind: "vectors"; title: string; note: string; data: Vectors }
  | { kind: "table"; title: string; note: string; data: Grid };

type Json = Record<string, unknown>;

/** Return the panels of a plot: one, or one a unit. */
export function panelsOf(kind: string, data: Json): Panel[] {
  const inner = data["panels"];
  if (!Array.isArray(inner)) {
    const panel = panelOf(kind, "", data);
    return panel ? [panel] : [];
  }
  const { panels: _panels, note: _note, ...shared } = data;
  return inner.flatMap((one: unknown) => {
    if (!isJson(one)) return [];
    const panel = panelOf(kind, string(one["title"]), { ...shared, ...one });
    return panel ? [panel] : [];
  });
}

function panelOf(kind: string, title: string, data: Json): Panel | null {
  const note = string(data["note"]);
  switch (kind) {
    case "line":
    case "scatter":
    case "histogram":
    case "bar":
      return { kind: "curves", title, note, data: curves(kind, data) };
    case "image": {
      const picture = pictureOf(data);
      return picture && { kind: "picture", title, note, data: picture };
    }
    case "vectors":
      return { kind: "vectors", title, note, data: vectors(data) };
    case "table":
      return { kind: "table", title, note, data: table(data) };
    default:
      return null;
  }
}

function curves(kind: Curves["kind"], data: Json): Curves {
  const axes = json(data["axes"]);
  return {
    kind,
    x: axis(axes["x"]),
    y: axis(axes["y"]),
    c: isJson(axes["c"]) ? axis(axes["c"]) : null,
    series: array(data["series"])
      .filter(isJson)
      .map((one) => series(kind, one)),
    thresholds: array(data["thresholds"]).filter(isJson).map(threshold),
  };
}

function series(kind: Curves["kind"], one: Json): Series {
  const style = one["style"];
  const known = style === "dashed" || style === "points" || style === "pale" ? style : "solid";
  const base = { name: string(one["name"]), style: known, c: null, labels: null } as const;
  if (kind === "histogram") return { ...base, x: numbers(one["edges"]), y: numbers(one["counts"]) };
  if (kind === "bar") {
    const labels = array(one["labels"]).map(String);
    return { ...base, x: labels.map((_, place) => place), y: numbers(one["values"]), labels };
  }
  const c = Array.isArray(one["c"]) ? numbers(one["c"]) : null;
  return { ...base, x: numbers(one["x"]), y: numbers(one["y"]), c };
}

function threshold(one: Json): Threshold {
  const value = finite(one["value"]) ?? 0;
  return {
    axis: one["axis"] === "x" ? "x" : "y",
    value,
    label: string(one["label"]) || String(value),
  };
}

function pictureOf(data: Json): Picture | null {
  const rows = array(data["image"]).map(numbers);
  if (rows.length === 0 || (rows[0] ?? []).length === 0) return null;
  const axes = json(data["axes"]);
  const colour = data["colour"];
  return {
    rows,
    colour: colour === "ramp" || colour === "difference" ? colour : "grey",
    low: finite(data["low"]),
    high: finite(data["high"]),
    isUp: data["origin"] === "bottom",
    width: finite(data["width"]),
    height: finite(data["height"]),
    x: axis(axes["x"]),
    y: axis(axes["y"]),
    bar: data["bar"] === true ? axis(axes["c"]) : null,
    marks: array(data["series"])
      .filter(isJson)
      .map((one) => ({
        x: numbers(one["x"]),
        y: numbers(one["y"]),
        radius: finite(one["radius"]),
        name: string(one["name"]),
      })),
  };
}

function vectors(data: Json): Vectors {
  const axes = json(data["axes"]);
  return {
    tracks: array(data["tracks"]).filter(isJson).map(track),
    scale: finite(data["scale"]) ?? 1,
    width: finite(data["width"]),
    height: finite(data["height"]),
    x: axis(axes["x"]),
    y: axis(axes["y"]),
  };
}

function track(one: Json): Track {
  const [x, y] = numbers(one["at"]);
  const at: [number, number] | null =
    typeof x === "number" && typeof y === "number" ? [x, y] : null;
  return { name: string(one["name"]), x: numbers(one["x"]), y: numbers(one["y"]), at };
}

function table(data: Json): Grid {
  return {
    columns: array(data["columns"])
      .filter(isJson)
      .map((one) => ({ name: string(one["name"]), unit: string(one["unit"]) })),
    rows: array(data["rows"]).filter((row): row is unknown[] => Array.isArray(row)),
  };
}

function axis(value: unknown): Axis {
  const one = json(value);
  return {
    label: string(one["label"]),
    unit: string(one["unit"]),
    log: one["scale"] === "log",
    low: finite(one["low"]),
    high: finite(one["high"]),
  };
}

/** An axis in 1/Å has its ticks written in Å. */
export function isResolution(one: Axis): boolean {
  return (one.unit === "1/Å" || one.unit === "1/A") && !one.log;
}

export function axisTitle(one: Axis): string {
  if (isResolution(one)) return "Resolution (Å)";
  return one.unit ? `${one.label} (${one.unit})` : one.label;
}

function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function json(value: unknown): Json {
  return isJson(value) ? value : {};
}

function array(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function numbers(value: unknown): Numbers {
  return array(value).map(finite);
}
