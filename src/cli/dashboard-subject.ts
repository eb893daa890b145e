/** An address as the dashboard watches it: metrics over HTTP, or the control socket of a proxy or a node. */
import { itemOfPeer } from "../dashboard/build.js";
import { actionsIn } from "../dashboard/local.js";
import type { DashboardAction, DashboardItem } from "../dashboard/state.js";
import type { SideDetails, SourceDetails, SourceList, Subject } from "../dashboard/subject.js";
import { readRecorded } from "../dashboard/traces.js";
import { readingOf } from "../metrics/readings.js";
import type { RecordedSteps } from "../metrics/trace-recorder.js";
import { MAX_PEERS_LISTED } from "../sockets/peer-views.js";
import { ControlClient, replyOf } from "./control-client.js";
import type { SecurityOptions } from "./security.js";
import { isControl, openAddress, parseStatus, readJson, reasonOf } from "./top/address.js";

/** ms for a command to be answered. */
const ACTION_TIMEOUT = 5_000;
/** Members of an answer that are read. */
const MAX_MEMBERS_READ = 20_000;
const MAX_ENDPOINTS_READ = 64;
/** Reasons of drops that are read of a direction. */
const MAX_REASONS_READ = 32;
/** Lists of peers that are read of a program at HTTP. */
const MAX_SOURCES_READ = 1_000;
const MAX_LISTS_READ = 16;
/** Readings after which a program that has no `/peers` is asked for it again. */
const SKIPPED_READINGS = 30;
/** ms for which a list is used again. */
const LIST_AGE = 2_000;
const PEER_SIDES = ["frontend", "backend"] as const;

/** @throws UsageError for an invalid address */
export async function openSubject(text: string, security: SecurityOptions): Promise<Subject> {
  if (isControl(text)) return new ControlSubject(text, await ControlClient.open(text, security));
  const address = await openAddress(text, security);
  const peers = isMetrics(text) ? new PeersOver(text) : undefined;
  return {
    address: text,
    read: async (timeout, signal) => ({
      reading: readingOf(await address.read(timeout, signal)),
      details: (await peers?.read(timeout, signal)) ?? new Map(),
    }),
    ...(isMetrics(text) ? { traces: tracesOver(text) } : {}),
    act: async () => {
      throw new Error("metrics cannot be steered");
    },
    reasonOf,
    close: () => {
      peers?.close();
      return address.close();
    },
  };
}

/** Whether an address is that of pages by `serveMetrics`, which may have traces, too. */
function isMetrics(text: string): boolean {
  return URL.canParse(text) && ["/", "/metrics"].includes(new URL(text).pathname);
}

function tracesOver(text: string): NonNullable<Subject["traces"]> {
  return async (after, timeout, signal) => {
    return readRecorded(await readJson(new URL(`/traces?after=${after}`, text), timeout, signal));
  };
}

/** The peers that a program has at `/peers`. */
class PeersOver {
  readonly #text: string;
  readonly #lists = new Lists();
  /** A program without this page is asked again after so many readings. */
  #skip = 0;

  constructor(text: string) {
    this.#text = text;
  }

  async read(timeout: number, signal: AbortSignal): Promise<ReadonlyMap<string, SourceDetails>> {
    if (this.#skip > 0) {
      this.#skip -= 1;
      return new Map();
    }
    let answer: unknown;
    try {
      answer = await readJson(new URL("/peers", this.#text), timeout, signal);
    } catch {
      // Counters are there without it, and show whether the program answers at all.
      this.#skip = SKIPPED_READINGS;
      return new Map();
    }
    const { sources } = (answer ?? {}) as Members;
    const entries = Object.entries((sources ?? {}) as Members).slice(0, MAX_SOURCES_READ);
    return new Map(entries.map(([name, lists]) => [name, { lists: this.#listsOf(name, lists) }]));
  }

  #listsOf(source: string, lists: unknown): Readonly<Record<string, SourceList>> {
    const entries = Object.entries((lists ?? {}) as Members).slice(0, MAX_LISTS_READ);
    return Object.fromEntries(
      entries.flatMap(([list, length]): [string, SourceList][] =>
        isCount(length)
          ? [
              [
                list,
                { length, items: () => this.#lists.get(`${source}\0${list}`, () => this.#ask(source, list)) },
              ],
            ]
          : [],
      ),
    );
  }

  async #ask(source: string, list: string): Promise<readonly DashboardItem[]> {
    const url = new URL("/peers", this.#text);
    url.search = String(new URLSearchParams({ source, list }));
    const { peers } = ((await readJson(url, ACTION_TIMEOUT, this.#lists.signal)) ?? {}) as Members;
    return peerItemsOf(peers);
  }

  close(): void {
    this.#lists.close();
  }
}

/** Lists that a watched program makes for each request: those who page through one use it again for LIST_AGE ms. */
class Lists {
  readonly #known = new Map<
    string,
    { readonly until: number; readonly asked: Promise<readonly DashboardItem[]> }
  >();
  readonly #ended = new AbortController();

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get(name: string, ask: () => Promise<readonly DashboardItem[]>): Promise<readonly DashboardItem[]> {
    const now = performance.now();
    for (const [each, { until }] of this.#known) if (until < now) this.#known.delete(each);
    const known = this.#known.get(name);
    if (known !== undefined) return known.asked;
    const asked = ask();
    this.#known.set(name, { until: now + LIST_AGE, asked });
    asked.catch(() => this.#known.delete(name)); // The caller has the error.
    return asked;
  }

  close(): void {
    this.#ended.abort();
    this.#known.clear();
  }
}

class ControlSubject implements Subject {
  readonly address: string;
  readonly reasonOf = reasonOf;
  readonly #client: ControlClient;
  readonly #lists = new Lists();
  #isNode = false;

  constructor(address: string, client: ControlClient) {
    this.address = address;
    this.#client = client;
  }

  async read(timeout: number, signal: AbortSignal): ReturnType<Subject["read"]> {
    const text = await this.#client.ask({ command: "status" }, { timeout, signal });
    const reading = readingOf(parseStatus(text));
    const [source] = reading.sources;
    const status = replyOf(text) ?? {};
    this.#isNode = Array.isArray(status.runningNodes);
    return {
      reading,
      details: new Map(source === undefined ? [] : [[source.name, this.#detailsOf(status)]]),
    };
  }

  #detailsOf(status: Members): SourceDetails {
    const details = detailsOf(status);
    if (this.#isNode) return details;
    const lists = PEER_SIDES.map((side) => [`${side} peers`, this.#peersOf(status, side)] as const);
    return { ...details, lists: Object.fromEntries(lists) };
  }

  /** They are asked for when somebody looks at the list. */
  #peersOf(status: Members, side: (typeof PEER_SIDES)[number]): SourceList {
    const { peers } = (status[side] ?? {}) as Members;
    const ask = async (): Promise<DashboardItem[]> => {
      const limits = { timeout: ACTION_TIMEOUT, signal: this.#lists.signal };
      const reply = await this.#client.command({ command: "peers", side }, limits);
      return peerItemsOf(reply.peers);
    };
    return { length: isCount(peers) ? peers : 0, items: () => this.#lists.get(side, ask) };
  }

  /** Of a node; a proxy does not know this command. */
  async traces(after: number, timeout: number, signal: AbortSignal): Promise<RecordedSteps> {
    if (!this.#isNode) return readRecorded(undefined);
    return readRecorded(await this.#client.command({ command: "traces", after }, { timeout, signal }));
  }

  async act(_source: string, action: DashboardAction): Promise<void> {
    await this.#client.command({ command: action }, { timeout: ACTION_TIMEOUT, signal: this.#lists.signal });
  }

  async close(): Promise<void> {
    this.#lists.close();
    await this.#client.close();
  }
}

type Members = Readonly<Record<string, unknown>>;

/** What a status has beyond the counters: it comes from a remote program, and may be anything. */
export function detailsOf(status: Members): SourceDetails {
  if (Array.isArray(status.runningNodes))
    return {
      lists: { members: { length: lengthOf(status.members), items: () => itemsOf(status.members) } },
      actions: status.state === "running" || status.state === "minority" ? ["drain"] : [],
    };
  const sides = Object.fromEntries(
    ["frontend", "backend"].map((side) => [side, sideOf((status[side] ?? {}) as Members)]),
  );
  return { sides, actions: actionsIn(String(status.state)) };
}

function sideOf({ type, endpoints, connected, in: incoming, out }: Members): SideDetails {
  const drops = { ...dropsOf(incoming), ...dropsOf(out) };
  return {
    ...(typeof type === "string" ? { type } : {}),
    bound: textsOf(endpoints),
    connected: textsOf(connected),
    ...(Object.keys(drops).length === 0 ? {} : { drops }),
  };
}

function dropsOf(traffic: unknown): Record<string, number> {
  const { dropped } = (traffic ?? {}) as Members;
  const entries = Object.entries((dropped ?? {}) as Members).slice(0, MAX_REASONS_READ);
  return Object.fromEntries(
    entries.filter((entry): entry is [string, number] => typeof entry[1] === "number" && entry[1] > 0),
  );
}

function textsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_ENDPOINTS_READ).filter((each) => typeof each === "string");
}

/** Peers as a remote proxy has them, which may be anything. */
export function peerItemsOf(value: unknown): DashboardItem[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_PEERS_LISTED).flatMap((each: unknown): DashboardItem[] => {
    const { name, type, address, queuedOut, queuedIn, silentFor } = (each ?? {}) as Members;
    if (typeof name !== "string" || typeof address !== "string") return [];
    return [
      itemOfPeer({
        name,
        type: typeof type === "string" ? type : "",
        address,
        queuedOut: isCount(queuedOut) ? queuedOut : 0,
        queuedIn: isCount(queuedIn) ? queuedIn : 0,
        ...(isCount(silentFor) ? { silentFor } : {}),
      }),
    ];
  });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function itemsOf(value: unknown): DashboardItem[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_MEMBERS_READ).flatMap((each: unknown): DashboardItem[] => {
    const { name, state, address, tags } = (each ?? {}) as Members;
    if (typeof name !== "string" || typeof state !== "string") return [];
    const detail = textsOf(tags).join(", ");
    return [
      {
        name,
        state,
        ...(typeof address === "string" ? { address } : {}),
        ...(detail === "" ? {} : { detail }),
      },
    ];
  });
}
