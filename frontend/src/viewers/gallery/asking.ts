/** Choosing by number: a threshold of a column, a random subset. */
import { make } from "../dom";
import type { Gallery } from "./gallery";
import { button, dialog, numberField, select, tick } from "./parts";
import { titleOf } from "./settings";

/** Select all images whose value lies on one side of a threshold. */
export function askThreshold(gallery: Gallery): void {
  const numbers = gallery.info.columns.filter((one) => one.kind === "number");
  const first = numbers.find((one) => one.label === gallery.settings.sort) ?? numbers[0];
  if (!first) {
    gallery.options.onSay("This list has no column of numbers.");
    return;
  }
  const { body, acts, close } = dialog("Select by a threshold");
  const asked = { label: first.label, side: "from", value: 0, isReplacing: false };
  const told = make("p", { class: "muted", text: " " });
  const choices = numbers.map((one) => ({
    value: one.label,
    text: `${titleOf(one.label)} (${one.label})`,
  }));
  const sides = [
    { value: "from", text: "at least (≥)" },
    { value: "to", text: "at most (≤)" },
  ];
  const field = numberField("Threshold", 0, () => undefined, { empty: "value" });
  field.addEventListener("input", () => {
    asked.value = Number(field.value);
    count();
  });
  function rows(): number[] {
    const values = gallery.columns.number(asked.label);
    if (!values || field.value === "") return [];
    return [...gallery.shown].filter((row) => {
      const value = values[row] ?? NaN;
      return asked.side === "from" ? value >= asked.value : value <= asked.value;
    });
  }
  function count(): void {
    void gallery.columns.need([asked.label]).then(() => {
      told.textContent = `${rows().length.toLocaleString("en-US")} of ${gallery.shown.length.toLocaleString("en-US")} images`;
    });
  }
  body.append(
    make(
      "div",
      { class: "g-row wrap" },
      select("Column", choices, asked.label, (value) => {
        asked.label = value;
        count();
      }),
      select("Side", sides, asked.side, (value) => {
        asked.side = value;
        count();
      }),
      field,
    ),
    tick("Take all others out of the selection", false, (on) => (asked.isReplacing = on)),
    told,
  );
  const choose = button(
    `Select as ${gallery.paint}`,
    () => {
      const found = rows();
      if (asked.isReplacing) gallery.selection.set(gallery.selection.rows(0), 0);
      gallery.selection.set(found, gallery.paint);
      close();
    },
    { kind: "primary" },
  );
  acts.append(button("Cancel", close, { kind: "" }), choose);
  field.focus();
  count();
}

/** Select so many of the shown images by chance. */
export function askRandom(gallery: Gallery): void {
  const { body, acts, close } = dialog("Select a random subset");
  const field = numberField("How many", Math.min(1000, gallery.shown.length), () => undefined, {
    min: 1,
    step: 1,
  });
  body.append(
    make(
      "div",
      { class: "formrow" },
      make("span", { text: `Of ${gallery.shown.length.toLocaleString("en-US")} shown images` }),
      field,
    ),
  );
  const choose = button(
    `Select as ${gallery.paint}`,
    () => {
      gallery.selection.set(sample(gallery.shown, Number(field.value)), gallery.paint);
      close();
    },
    { kind: "primary" },
  );
  acts.append(button("Cancel", close, { kind: "" }), choose);
  field.select();
}

/** Some rows by chance, each at most once. */
export function sample(rows: Int32Array, n: number): number[] {
  const pool = [...rows];
  const many = Math.max(0, Math.min(pool.length, Math.round(n)));
  for (let place = 0; place < many; place += 1) {
    const other = place + Math.floor(Math.random() * (pool.length - place));
    const [a, b] = [pool[place] ?? 0, pool[other] ?? 0];
    pool[place] = b;
    pool[other] = a;
  }
  return pool.slice(0, many);
}
