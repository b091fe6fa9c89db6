/** The micrographs beside the picture: which go on, how many picks each has, how good it is. */
import { rem } from "../../lib/rem";
import { icon, make } from "../dom";
import type { Micrograph } from "./api";
import type { Picker } from "./picker";
import { button } from "./toolbar";

type Sort = "row" | "name" | "count" | "defocus" | "resolution";
const ROW_REM = 2.6;

export class MicrographList {
  readonly root = make("section", { class: "mg-list", label: "Micrographs" });
  private readonly rows = make("div", { class: "mg-rows" });
  private readonly scroller = make("div", { class: "mg-scroll" });
  private readonly foot = make("div", { class: "mg-foot" });
  private readonly head = make("div", { class: "mg-head" });
  private readonly filter = make("input", { class: "in", label: "Filter micrographs" });
  private sort: Sort = "row";
  private isReversed = false;
  private shown: Micrograph[] = [];
  private drawn = "";

  constructor(private readonly picker: Picker) {
    this.filter.placeholder = "Filter micrographs";
    this.filter.addEventListener("input", () => this.update());
    this.filter.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.filter.value = "";
        this.update();
      }
    });
    const search = make("div", { class: "filter" }, icon("search"), this.filter);
    search.append(make("kbd", { text: "/" }));
    this.scroller.append(this.rows);
    this.scroller.setAttribute("role", "listbox");
    this.scroller.setAttribute("aria-label", "Micrographs");
    this.scroller.tabIndex = 0;
    this.scroller.addEventListener("scroll", () => this.draw());
    this.scroller.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      this.step(by);
    });
    this.root.append(
      make("div", { class: "mg-filter" }, search),
      this.head,
      this.scroller,
      this.foot,
    );
    picker.hear(() => this.update());
    new ResizeObserver(() => this.draw()).observe(this.scroller);
  }

  /** Open the next or previous micrograph, in the order of the list. */
  step(by: number): void {
    const at = this.shown.findIndex((one) => one.row === this.picker.row);
    const next = this.shown[Math.min(this.shown.length - 1, Math.max(0, at + by))];
    if (next && next.row !== this.picker.row) {
      void this.picker.open(next.row, true);
      this.reveal(next.row);
    }
  }

  get place(): { at: number; n: number } {
    return {
      at: this.shown.findIndex((one) => one.row === this.picker.row),
      n: this.shown.length,
    };
  }

  private update(): void {
    const all = this.picker.list?.micrographs ?? [];
    const words = this.filter.value.trim().toLowerCase();
    this.shown = all.filter((one) => one.name.toLowerCase().includes(words));
    const value = this.value;
    if (this.sort !== "row") {
      this.shown.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return typeof x === "string" ? x.localeCompare(String(y)) : x - Number(y);
      });
    }
    if (this.isReversed) this.shown.reverse();
    this.heads();
    this.drawn = "";
    this.draw();
    const used = all.filter((one) => one.selected).length;
    const total = all.reduce((sum, one) => sum + one.count, 0);
    const canTick = this.canTick;
    this.foot.replaceChildren(
      make("span", { text: `${format(used)} of ${format(all.length)} used` }),
      make("span", { class: "muted", text: `${format(total)} picks` }),
    );
    if (canTick) {
      const act = (rows: number[] | null, to: boolean | null) => () =>
        void this.picker.edits.tick(rows, to);
      this.foot.append(
        make(
          "span",
          { class: "mg-ticks" },
          button("All", "Use all micrographs (RELION: Select all)", act(null, true)),
          button("None", "Use no micrograph", act(null, false)),
          button("Invert", "Use the others (RELION: Invert selection)", act(null, null)),
        ),
      );
    }
  }

  private get canTick(): boolean {
    return this.picker.list?.editable === true && !this.picker.options.isReadOnly;
  }

  private readonly value = (one: Micrograph): number | string => {
    switch (this.sort) {
      case "name":
        return one.name;
      case "count":
        return one.count;
      case "defocus":
        return one.defocus_A ?? Infinity;
      case "resolution":
        return one.ctf_max_resolution_A ?? Infinity;
      default:
        return one.row;
    }
  };

  private heads(): void {
    const all = this.picker.list?.micrographs ?? [];
    const columns: [Sort, string, string, boolean][] = [
      ["name", "Micrograph", "Name", true],
      ["count", "Picks", "Number of picks", true],
      ["defocus", "Def. µm", "Defocus", all.some((one) => one.defocus_A !== null)],
      [
        "resolution",
        "Fit Å",
        "Resolution of the CTF fit",
        all.some((one) => one.ctf_max_resolution_A !== null),
      ],
    ];
    this.root.classList.toggle("no-ctf", !columns[2]?.[3]);
    this.root.classList.toggle("no-resolution", !columns[3]?.[3]);
    this.root.classList.toggle("no-ticks", !this.canTick && all.every((one) => one.selected));
    this.head.replaceChildren(make("span"));
    for (const [sort, text, title, isThere] of columns) {
      if (!isThere) continue;
      const made = make("button", { class: "mg-sort", text, title: `${title}: sort` });
      made.setAttribute("aria-label", `${title}: sort`);
      if (this.sort === sort) {
        made.append(this.isReversed ? " ↓" : " ↑");
        made.setAttribute("aria-label", `${title}: sort, now ${this.isReversed ? "down" : "up"}`);
      }
      made.addEventListener("click", () => {
        if (this.sort !== sort) [this.sort, this.isReversed] = [sort, sort === "count"];
        else if (this.isReversed === (sort === "count")) this.isReversed = !this.isReversed;
        else [this.sort, this.isReversed] = ["row", false];
        this.update();
      });
      this.head.append(made);
    }
  }

  private get rowHeight(): number {
    return ROW_REM * rem();
  }

  private reveal(row: number): void {
    const at = this.shown.findIndex((one) => one.row === row);
    const [top, height] = [at * this.rowHeight, this.rowHeight];
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) {
      this.scroller.scrollTop = top + height - clientHeight;
    }
  }

  /** Only rows in sight are there. */
  private draw(): void {
    const height = this.rowHeight;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - 2);
    const n = Math.ceil(this.scroller.clientHeight / height) + 4;
    const window = `${first} ${n}`;
    if (window === this.drawn) return;
    this.drawn = window;
    this.rows.style.height = `${this.shown.length * height}px`;
    const made = this.shown.slice(first, first + n).map((one, k) => this.line(one, first + k));
    const hadFocus = this.rows.contains(document.activeElement);
    this.rows.replaceChildren(...made);
    if (hadFocus) this.scroller.focus({ preventScroll: true });
    if (this.shown.length === 0) {
      this.rows.replaceChildren(
        make("p", { class: "muted small pad", text: "No name has this in it." }),
      );
    }
  }

  private line(one: Micrograph, at: number): HTMLElement {
    const isOpen = one.row === this.picker.row;
    const line = make("div", { class: `mg-line${one.selected ? "" : " unused"}` });
    line.style.top = `${at * ROW_REM}rem`;
    line.dataset["row"] = String(one.row);
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", String(isOpen));
    const tick = make("input", { label: `Use ${shortName(one.name)}` });
    tick.type = "checkbox";
    tick.checked = one.selected;
    tick.disabled = !this.canTick;
    tick.title = "Use this micrograph (U)";
    tick.addEventListener("click", (event) => event.stopPropagation());
    tick.addEventListener("change", () => void this.picker.edits.tick([one.row], tick.checked));
    line.append(
      tick,
      make("span", { class: "cut", text: shortName(one.name), title: one.name }),
      make("span", { class: "num", text: format(one.count) }),
    );
    line.append(
      make("span", {
        class: "num muted mg-defocus",
        text: one.defocus_A === null ? "" : (one.defocus_A / 1e4).toFixed(2),
      }),
      make("span", {
        class: "num muted mg-resolution",
        text: one.ctf_max_resolution_A === null ? "" : one.ctf_max_resolution_A.toFixed(1),
      }),
    );
    line.addEventListener("click", () => void this.picker.open(one.row, true));
    return line;
  }
}

export const format = (n: number): string => n.toLocaleString("en-US");

export function shortName(name: string): string {
  const last = name.split("/").pop() ?? name;
  return last.replace(/\.(mrc|mrcs|tiff?|map)$/, "");
}
