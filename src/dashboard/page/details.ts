/** The dialog of a source: sides, lists, actions. */
import type { DashboardAction, DashboardList } from "../state.js";
import { byId, html, setText } from "./dom.js";
import { programOf, type Shown, short } from "./model.js";

const PAGE_LENGTH = 50;

export class DetailsView {
  readonly #dialog = byId<HTMLDialogElement>("details");
  #id: string | undefined;
  #facts: HTMLElement | undefined;
  #form: HTMLFormElement | undefined;
  /** Read a list again that may have changed. */
  #lists = new Map<string, (length: number) => void>();
  /** The token stays in memory. */
  #token = "";

  constructor() {
    this.#dialog.addEventListener("close", () => {
      this.#id = undefined;
      this.#dialog.replaceChildren();
    });
  }

  open(shown: Shown): void {
    const { source } = shown;
    this.#id = source.id;
    this.#facts = html("div");
    this.#form = this.#actions(source.id, source.name);
    this.#lists.clear();
    const close = html("button", { type: "button" }, "Close");
    close.addEventListener("click", () => this.#dialog.close());
    this.#dialog.replaceChildren(
      html("div", { class: "top" }, html("h2", { id: "details-title" }, source.name), close),
      this.#facts,
      this.#form,
      ...Object.keys(source.lists).map((name) => this.#list(source.id, name)),
    );
    this.update([shown]);
    this.#dialog.showModal();
  }

  update(all: readonly Shown[]): void {
    if (this.#id === undefined) return;
    const shown = all.find(({ source }) => source.id === this.#id);
    this.#facts?.replaceChildren(
      ...(shown === undefined ? [html("p", {}, "This source is gone.")] : factsOf(shown)),
    );
    for (const [name, refresh] of this.#lists) refresh(shown?.source.lists[name] ?? 0);
    if (this.#form === undefined) return;
    const actions = shown?.source.actions ?? [];
    this.#form.hidden = actions.length === 0;
    for (const button of this.#form.querySelectorAll<HTMLButtonElement>("button"))
      button.disabled = !actions.includes(button.value as DashboardAction);
  }

  #actions(id: string, name: string): HTMLFormElement {
    const token = html("input", {
      type: "password",
      autocomplete: "off",
      "aria-label": "Token",
      placeholder: "Token",
    });
    token.value = this.#token;
    token.addEventListener("input", () => {
      this.#token = token.value;
    });
    const result = html("span", { role: "status" });
    const buttons = (["pause", "resume", "drain"] as const).map((action) => {
      const label = `${action.slice(0, 1).toUpperCase()}${action.slice(1)}`;
      return html("button", { type: "submit", value: action }, label);
    });
    const form = html("form", { class: "actions", id: "steer" }, token, ...buttons, result);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { value } = event.submitter as HTMLButtonElement;
      if (value === "drain" && !confirm(`Drain ${name}? It will pass no more messages.`)) return;
      setText(result, "…");
      void steer(id, value, this.#token).then((said) => setText(result, said));
    });
    return form;
  }

  #list(id: string, name: string): HTMLElement {
    const filter = html("input", { type: "search", "aria-label": `Filter the ${name}` });
    const before = html("button", { type: "button" }, "Previous");
    const after = html("button", { type: "button" }, "Next");
    const where = html("span", { role: "status" });
    const body = html("tbody");
    let offset = 0;
    let asked = 0;
    let drawn = "";
    let known: number | undefined;
    let loading = 0;
    const load = async (): Promise<void> => {
      asked += 1;
      const now = asked;
      loading = now;
      const query = new URLSearchParams({
        source: id,
        name,
        filter: filter.value,
        offset: String(offset),
        limit: String(PAGE_LENGTH),
      });
      let list: DashboardList;
      try {
        list = await answered<DashboardList>(fetch(`/api/list?${query}`));
      } catch (error) {
        if (now === asked) setText(where, `The list could not be read: ${reasonOf(error)}.`);
        return;
      } finally {
        if (now === loading) loading = 0;
      }
      if (now !== asked) return; // A newer request is in flight.
      const { total, items } = list;
      const end = offset + items.length;
      setText(where, total === 0 ? "none" : `${offset + 1} to ${end} of ${total}`);
      before.disabled = offset === 0;
      after.disabled = end >= total;
      // A selection survives unless a row changes.
      const text = JSON.stringify(items);
      if (text === drawn) return;
      drawn = text;
      body.replaceChildren(
        ...items.map((item) =>
          html(
            "tr",
            {},
            ...[item.name, item.state, item.address ?? "", item.detail ?? ""].map((text) =>
              html("td", { class: "text" }, text),
            ),
          ),
        ),
      );
    };
    const go = (to: number): void => {
      offset = Math.max(0, to);
      void load();
    };
    filter.addEventListener("input", () => go(0));
    before.addEventListener("click", () => go(offset - PAGE_LENGTH));
    after.addEventListener("click", () => go(offset + PAGE_LENGTH));
    this.#lists.set(name, (length) => {
      // A program may answer more slowly than states come.
      if (loading > 0 || (length === known && length > PAGE_LENGTH)) return;
      known = length;
      void load();
    });
    const heads = ["Name", "State", "Address", "Details"].map((head) =>
      html("th", { scope: "col", class: "text" }, head),
    );
    return html(
      "section",
      {},
      html("h3", {}, `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`),
      html("div", { class: "paging" }, filter, before, after, where),
      html("div", { class: "scroll" }, html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body)),
    );
  }
}

async function steer(source: string, action: string, token: string): Promise<string> {
  try {
    await answered(
      fetch("/api/control", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ source, action }),
      }),
    );
    return "done";
  } catch (error) {
    return reasonOf(error);
  }
}

/** `undefined` without a body. @throws Error with the dashboard's or the network's reason */
async function answered<T>(request: Promise<Response>): Promise<T> {
  const response = await request;
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as T;
  const said = /^\{"error"/.test(text) ? (JSON.parse(text) as { error: { message: string } }) : undefined;
  throw new Error(said?.error.message ?? `HTTP ${response.status}`);
}

/** A browser's text, such as "Failed to fetch". */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function factsOf({ source, process }: Shown): HTMLElement[] {
  const facts: [string, string][] = [
    ["Kind", source.kind],
    ["State", source.state],
    ["Program", programOf(process)],
  ];
  if (/^https?:/.test(process.address))
    facts.push([
      "Shows less",
      "Endpoints and actions need the address of a control endpoint, not of metrics.",
    ]);
  if (source.refusal !== undefined) facts.push(["Failed", source.refusal]);
  if (process.latency !== undefined) facts.push(["Answers in", `${short(process.latency)} ms`]);
  if (process.cpu !== undefined) facts.push(["Processor", `${(process.cpu * 100).toFixed(0)} %`]);
  if (process.memory !== undefined) facts.push(["Memory", `${short(process.memory)}B`]);
  const sides = source.sides.flatMap((side) => {
    const { bound = [], connected = [], rates } = side;
    const lines: [string, string][] = [];
    const add = (name: string, value: number | undefined, rest = ""): void => {
      if (value !== undefined) lines.push([name, `${short(value)}${rest}`]);
    };
    add("Peers", side.peers);
    add("In", side.in, trafficOf(rates.in, side.inBytes));
    add("Out", side.out, trafficOf(rates.out, side.outBytes));
    add("Queued", side.queued);
    add("Dropped", side.dropped, rates.dropped === undefined ? "" : `, ${short(rates.dropped)}/s`);
    for (const [reason, messages] of Object.entries(side.drops ?? {}))
      lines.push([`Dropped, ${reason}`, short(messages)]);
    add("Refused", side.refused);
    for (const [reason, count] of Object.entries(side.refusals ?? {}))
      lines.push([`Refused, ${reason}`, short(count)]);
    if (bound.length > 0) lines.push(["Listens at", bound.join(" ")]);
    if (connected.length > 0) lines.push(["Connected to", connected.join(" ")]);
    const type = side.type === undefined || side.type === source.kind ? "" : `, ${side.type}`;
    return [html("h3", {}, `${side.side}${type}`), listOf(lines)];
  });
  return [listOf(facts), ...sides];
}

function trafficOf(rate: number | undefined, bytes: number | undefined): string {
  const parts = [" messages"];
  if (rate !== undefined) parts.push(`${short(rate)}/s`);
  if (bytes !== undefined) parts.push(`${short(bytes)}B in all`);
  return parts.join(", ");
}

function listOf(facts: readonly (readonly [string, string])[]): HTMLElement {
  return html("dl", {}, ...facts.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
}
