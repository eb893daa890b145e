/** The page: a stream of states, filter and keys. */
import type { DashboardState } from "../state.js";
import { ChartsView } from "./charts.js";
import { DetailsView } from "./details.js";
import { byId, html, setClass, setText } from "./dom.js";
import { MapView } from "./map.js";
import { Drops, History, matching, problemsOf, totalsOf } from "./model.js";
import { TableView } from "./table.js";

const MAX_PROBLEMS = 8;
/** ms. */
const RETRY = 2_000;

const filter = byId<HTMLInputElement>("filter");
const freeze = byId<HTMLButtonElement>("freeze");
const acknowledge = byId<HTMLButtonElement>("acknowledge");
const history = new History();
const drops = new Drops();
const details = new DetailsView();
const charts = new ChartsView();
const map = new MapView(open);
const table = new TableView(open, show);
let state: DashboardState | undefined;
let isFrozen = false;

function open(id: string): void {
  const shown = state && matching(state, "").find(({ source }) => source.id === id);
  if (shown !== undefined) details.open(shown);
}

function show(): void {
  if (state === undefined) return;
  const all = matching(state, "");
  const shown = filter.value === "" ? all : matching(state, filter.value);
  showTotals(state);
  map.show(shown, state);
  charts.show(shown, history, state.time);
  table.show(shown);
  details.update(all);
}

function showTotals(now: DashboardState): void {
  byId("totals").replaceChildren(
    ...totalsOf(now).map(({ name, value, mark }) =>
      html("div", {}, html("dt", {}, name), html("dd", { class: mark }, value)),
    ),
  );
  const problems = problemsOf(now, now.time, drops);
  acknowledge.hidden = !now.processes.some(({ sources }) => sources.some(({ id }) => drops.of(id) > 0));
  const lines = problems.slice(0, MAX_PROBLEMS).map(({ text, mark }) => html("li", { class: mark }, text));
  if (problems.length > MAX_PROBLEMS)
    lines.push(html("li", {}, `… and ${problems.length - MAX_PROBLEMS} more`));
  byId("problems").replaceChildren(...lines);
}

function say(text: string, mark = ""): void {
  setText(byId("status"), text);
  setClass(byId("status"), mark);
}

function sayLive(): void {
  if (state === undefined) return;
  const every = `every ${state.interval / 1_000} s`;
  if (isFrozen) say(`Frozen at ${new Date(state.time).toLocaleTimeString()}`, "warn");
  else say(`Live, ${every}`, "good");
}

function toggleFreeze(): void {
  isFrozen = !isFrozen;
  freeze.setAttribute("aria-pressed", String(isFrozen));
  sayLive();
}

function listen(): void {
  const events = new EventSource("/api/events");
  events.addEventListener("open", sayLive);
  events.addEventListener("state", ({ data }: MessageEvent<string>) => {
    if (isFrozen) return;
    const isFirst = state === undefined;
    state = JSON.parse(data) as DashboardState;
    const shown = matching(state, "");
    history.add(shown, state.time);
    drops.update(shown);
    sayLive();
    show();
    if (isFirst) performance.mark("first-picture");
  });
  events.addEventListener("error", () => {
    say("The dashboard does not answer. Trying again …", "bad");
    // It reconnects by itself, but not after an HTTP error, such as a 502 of a proxy in front.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY);
  });
}
listen();

filter.addEventListener("input", show);
freeze.addEventListener("click", toggleFreeze);
acknowledge.addEventListener("click", () => {
  drops.acknowledge();
  show();
});
document.addEventListener("keydown", (event) => {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  if (target instanceof HTMLInputElement && key === "Escape" && target === filter && filter.value !== "") {
    filter.value = "";
    show();
    return;
  }
  if (target instanceof HTMLInputElement || ctrlKey || metaKey || altKey) return;
  if (document.querySelector("dialog[open]") !== null) return;
  if (key === "/") filter.focus();
  else if (key === "f") toggleFreeze();
  else return;
  event.preventDefault();
});
