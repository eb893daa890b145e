/** The table of sources, each with its sides on request. Rows are reused, so focus and selection survive updates. */
import { byId, html, setClass, setText } from "./dom.js";
import {
  counted,
  isRefusing,
  isWell,
  programOf,
  type Row,
  rowOf,
  type Shown,
  short,
  withSides,
} from "./model.js";

/** The filter selects others. */
const MAX_ROWS = 300;

interface Column {
  readonly head: string;
  readonly isText?: true;
  by(row: Row): number | string;
  text(row: Row): string;
  mark?(row: Row): "good" | "warn" | "bad" | "";
}

const number = (head: string, of: (row: Row) => number | undefined, mark?: Column["mark"]): Column => ({
  head,
  by: (row) => of(row) ?? -1,
  text: (row) => short(of(row)),
  ...(mark === undefined ? {} : { mark }),
});
const text = (head: string, of: (row: Row) => string, mark?: Column["mark"]): Column => ({
  head,
  isText: true,
  by: (row) => of(row).toLowerCase(),
  text: of,
  ...(mark === undefined ? {} : { mark }),
});

const COLUMNS: readonly Column[] = [
  text("Name", ({ source, side, isWhole }) => (isWhole ? source.name : side.side)),
  text("Kind", ({ source, side, isWhole }) => (isWhole ? source.kind : (side.type ?? ""))),
  text(
    "State",
    ({ source, isWhole }) => (isWhole ? `● ${source.state}` : ""),
    ({ source }) => (isWell(source) ? "good" : "warn"),
  ),
  number("Peers", ({ side }) => side.peers),
  number("In /s", ({ side }) => side.rates.in),
  number("Out /s", ({ side }) => side.rates.out),
  number("In B/s", ({ side }) => side.rates.inBytes),
  number("Out B/s", ({ side }) => side.rates.outBytes),
  number("Queued", ({ side }) => side.queued),
  number(
    "Drop /s",
    ({ side }) => side.rates.dropped,
    ({ side }) => ((side.rates.dropped ?? 0) > 0 ? "bad" : ""),
  ),
  number("Dropped", ({ side }) => side.dropped),
  number(
    "Refused",
    ({ side }) => side.refused,
    ({ side }) => (isRefusing(side) ? "bad" : ""),
  ),
  text("Program", ({ process, side, isWhole }) =>
    isWhole ? programOf(process) : [...(side.bound ?? []), ...(side.connected ?? [])].join(" "),
  ),
];

interface Line {
  readonly element: HTMLTableRowElement;
  readonly cells: readonly HTMLElement[];
  /** Shows or hides the sides. */
  readonly toggle: HTMLButtonElement;
}

export class TableView {
  readonly #body = byId("rows");
  readonly #heads: readonly HTMLTableCellElement[];
  readonly #lines = new Map<string, Line>();
  readonly #opened = new Set<string>();
  readonly #open: (id: string) => void;
  readonly #changed: () => void;
  #sorted: { readonly column: number; readonly down: boolean } | undefined;

  /** @param open shows a source's details @param changed called after a new sort order */
  constructor(open: (id: string) => void, changed: () => void) {
    this.#open = open;
    this.#changed = changed;
    this.#heads = COLUMNS.map(({ head, isText }, at) => {
      const button = html("button", { type: "button" }, head);
      button.addEventListener("click", () => this.#sortBy(at));
      return html("th", { scope: "col", class: isText ? "text" : undefined }, button);
    });
    byId("heads").append(...this.#heads);
  }

  show(shown: readonly Shown[]): void {
    const all = this.#inOrder(shown.map(rowOf)).flatMap((row) => withSides(row, this.#opened.has(row.key)));
    const rows = all.slice(0, MAX_ROWS);
    const present = new Set(rows.map(({ key }) => key));
    for (const [key, { element }] of this.#lines) {
      if (present.has(key)) continue;
      element.remove();
      this.#lines.delete(key);
    }
    for (const [at, row] of rows.entries()) {
      const line = this.#lines.get(row.key) ?? this.#add(row);
      for (const [column, cell] of line.cells.entries()) {
        const { text, mark } = COLUMNS[column] as Column;
        setText(cell, text(row));
        if (mark !== undefined) setClass(cell, mark(row));
      }
      const isOpen = this.#opened.has(row.key);
      line.toggle.hidden = !row.isWhole || row.source.sides.length < 2;
      line.toggle.setAttribute("aria-expanded", String(isOpen));
      setText(line.toggle, isOpen ? "▾" : "▸");
      const there = this.#body.children[at];
      if (there !== line.element) this.#body.insertBefore(line.element, there ?? null);
    }
    const more = all.length - rows.length;
    setText(byId("rows-more"), more === 0 ? "" : `… and ${counted(more, "row")} more: filter to see others.`);
  }

  #add(row: Row): Line {
    const { key } = row;
    const toggle = html("button", { type: "button", class: "toggle", "aria-label": "Sides" });
    toggle.addEventListener("click", () => {
      if (!this.#opened.delete(key)) this.#opened.add(key);
      this.#changed();
    });
    const name = html("button", { type: "button", class: "name" });
    name.addEventListener("click", () => this.#open(row.source.id));
    const cells = COLUMNS.map((_, at) => (at === 0 ? name : html("span")));
    const element = html(
      "tr",
      { class: row.isWhole ? undefined : "side" },
      ...cells.map((cell, at) => {
        const { head, isText } = COLUMNS[at] as Column;
        return html(
          "td",
          { class: isText ? "text" : undefined, "data-head": head },
          ...(at === 0 ? [toggle, cell] : [cell]),
        );
      }),
    );
    const line = { element, cells, toggle };
    this.#lines.set(row.key, line);
    return line;
  }

  /** First click: ascending, descending for numbers; second: reversed; third: original order. */
  #sortBy(column: number): void {
    const first = COLUMNS[column]?.isText !== true;
    const { column: was, down } = this.#sorted ?? {};
    this.#sorted =
      was !== column ? { column, down: first } : down === first ? { column, down: !first } : undefined;
    for (const [at, head] of this.#heads.entries()) {
      if (at !== this.#sorted?.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.#sorted.down ? "descending" : "ascending");
      const mark = at !== this.#sorted?.column ? "" : this.#sorted.down ? " ▾" : " ▴";
      setText(head.firstElementChild as Element, `${COLUMNS[at]?.head}${mark}`);
    }
    this.#changed();
  }

  #inOrder(rows: readonly Row[]): readonly Row[] {
    if (this.#sorted === undefined) return rows;
    const { column, down } = this.#sorted;
    const { by } = COLUMNS[column] as Column;
    const way = down ? -1 : 1;
    return rows
      .map((row) => [by(row), row] as const)
      .sort(([a], [b]) => (a < b ? -way : a > b ? way : 0))
      .map(([, row]) => row);
  }
}
