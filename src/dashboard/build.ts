/**
 * The dashboard's state, built from what subjects answer. Pure, and bounded whatever remote programs answer: sources,
 * links, endpoints per side, characters per text.
 */
import { defined } from "../core/arguments.js";
import type { RatedReading, RatedSource, Reading } from "../metrics/reading.js";
import type { PeerView } from "../sockets/internal.js";
import type {
  DashboardAction,
  DashboardItem,
  DashboardLink,
  DashboardList,
  DashboardProcess,
  DashboardSide,
  DashboardSource,
  DashboardState,
} from "./state.js";

const MAX_SOURCES_SHOWN = 2_000;
const MAX_LINKS = 4_096;
const MAX_SIDE_ENDPOINTS = 16;
const MAX_REASONS = 32;
const MAX_MEMBERS = 32;
/** A node's side. */
const MEMBERS = "members";
const MAX_TEXT = 256;
export const MAX_PAGE = 200;
export const PEER_SIDES = ["frontend", "backend"] as const;

/** `drops` may contain zeros. */
export type SideDetails = Pick<DashboardSide, "type" | "drops"> &
  Required<Pick<DashboardSide, "bound" | "connected">>;

/** Made on request. */
export interface SourceList {
  readonly length: number;
  /** At most 20,000. */
  items(): readonly DashboardItem[] | Promise<readonly DashboardItem[]>;
}

export interface SourceDetails extends Partial<Pick<DashboardSource, "members" | "actions" | "refusal">> {
  readonly sides?: Readonly<Record<string, SideDetails>>;
  readonly lists?: Readonly<Record<string, SourceList>>;
}

export interface SubjectReading {
  readonly reading: Reading;
  readonly details: ReadonlyMap<string, SourceDetails>;
}

/** This program or a remote address, read in the same way. */
export interface Subject {
  readonly address: string;
  /** Rejects without a response. @param timeout ms */
  read(timeout: number, signal: AbortSignal): Promise<SubjectReading>;
  /** @throws the source's error */
  act(source: string, action: DashboardAction): Promise<void>;
  reasonOf(error: unknown): string;
}

type Members = Readonly<Record<string, unknown>>;

export interface SeenProcess
  extends Pick<DashboardProcess, "id" | "address" | "up" | "latency" | "since" | "reason"> {
  readonly reading?: RatedReading;
  readonly details: ReadonlyMap<string, SourceDetails>;
}

export type StateOptions = Pick<DashboardState, "time" | "interval" | "control">;

// --- State -----------------------------------------------------------------------------------------------------------

export function stateOf(seen: readonly SeenProcess[], options: StateOptions): DashboardState {
  const isShown = shownOnce(seen);
  let room = MAX_SOURCES_SHOWN;
  let omitted = 0;
  const processes = seen.map((process): DashboardProcess => {
    const { id, address, up, latency, since, reason, reading, details } = process;
    const { sources: read = [], ...measured }: Partial<RatedReading> = reading ?? {};
    const sources = read.filter((source) => isShown(process, source));
    const shown = sources.slice(0, room);
    room -= shown.length;
    omitted += sources.length - shown.length;
    return {
      id,
      address: cut(address),
      up,
      ...defined({
        latency: latency === undefined ? undefined : Math.round(latency * 10) / 10,
        since,
        reason: optional(reason),
      }),
      ...measured,
      ...defined({ version: optional(measured.version) }),
      sources: shown.map((source) => sourceOf(id, source, details.get(source.name), options.control)),
    };
  });
  return { version: 1, ...options, processes, links: linksOf(processes), omitted };
}

/**
 * A program may be watched at several addresses. A source that can be steered is known by its process, kind, name and
 * endpoints, and its first address shows it; by metrics, which have no endpoints, it is not shown again.
 */
function shownOnce(seen: readonly SeenProcess[]): (process: SeenProcess, source: RatedSource) => boolean {
  const owners = new Map<string, string>();
  const keyOf = ({ reading, details }: SeenProcess, { kind, name }: RatedSource, isLong: boolean): string => {
    const { sides = {} } = details.get(name) ?? {};
    const ends = isLong ? Object.values(sides).map(({ bound }) => bound) : undefined;
    return JSON.stringify([reading?.instance, kind, name, ends]);
  };
  const isSteered = ({ details }: SeenProcess, { name }: RatedSource): boolean =>
    details.get(name)?.actions !== undefined;
  for (const process of seen) {
    if (process.reading?.instance === undefined) continue;
    for (const source of process.reading.sources) {
      if (!isSteered(process, source)) continue;
      for (const isLong of [true, false]) {
        const key = keyOf(process, source, isLong);
        if (!owners.has(key)) owners.set(key, process.id);
      }
    }
  }
  return (process, source) => {
    const owner = owners.get(keyOf(process, source, isSteered(process, source)));
    return owner === undefined || owner === process.id;
  };
}

export function sourceId(process: string, name: string): string {
  return `${process}/${cut(name)}`;
}

function sourceOf(
  process: string,
  { name, kind, state, sides }: RatedSource,
  details: SourceDetails = {},
  control: boolean,
): DashboardSource {
  return {
    id: sourceId(process, name),
    name: cut(name),
    kind: cut(kind),
    state: cut(state),
    sides: sides.map((side): DashboardSide => {
      const known = details.sides?.[side.side];
      return { ...side, ...(known === undefined ? {} : endpointsOf(known)) };
    }),
    lists: Object.fromEntries(
      Object.entries(details.lists ?? {}).map(([list, { length }]) => [list, isCount(length) ? length : 0]),
    ),
    actions: control ? (details.actions ?? []) : [],
    ...defined({
      refusal: optional(details.refusal),
      members: details.members?.slice(0, MAX_MEMBERS).map(cut),
    }),
  };
}

function endpointsOf({
  type,
  bound,
  connected,
  drops = {},
}: SideDetails): Pick<DashboardSide, "type" | "bound" | "connected" | "drops"> {
  const counted = Object.entries(drops).filter(([, messages]) => messages > 0);
  const some = (endpoints: readonly string[]): string[] => endpoints.slice(0, MAX_SIDE_ENDPOINTS).map(cut);
  return {
    ...defined({ type: optional(type) }),
    bound: some(bound),
    connected: some(connected),
    ...(counted.length === 0
      ? {}
      : { drops: Object.fromEntries(counted.slice(0, MAX_REASONS).map(([reason, n]) => [cut(reason), n])) }),
  };
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`;
}

function optional(text: string | undefined): string | undefined {
  return text === undefined ? undefined : cut(text);
}

/** Sides of a proxy's statistics, perhaps of a remote or custom one. */
export function sidesOf(status: Members): Readonly<Record<string, SideDetails>> {
  return Object.fromEntries(PEER_SIDES.map((side) => [side, sideOf((status[side] ?? {}) as Members)]));
}

function sideOf({ type, endpoints, connected, in: incoming, out }: Members): SideDetails {
  return {
    ...(typeof type === "string" ? { type } : {}),
    bound: textsOf(endpoints),
    connected: textsOf(connected),
    drops: { ...dropsOf(incoming), ...dropsOf(out) },
  };
}

function dropsOf(traffic: unknown): Record<string, number> {
  const { dropped } = (traffic ?? {}) as Members;
  const entries = entriesOf(dropped);
  return Object.fromEntries(
    entries.filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}

/** Of an object only: those of a long text would take minutes. */
export function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** States of a member that is there: a node's own word, and those of its control socket. */
const THERE: readonly string[] = ["alive", "running", "draining"];

/** The members of a cluster for a source's state: those in trouble first, and none that left or is back. */
export function memberTexts(
  members: Iterable<{ readonly name: string; readonly state: string }>,
): readonly string[] {
  const names = new Set<string>();
  const troubled = new Map<string, string>();
  for (const { name, state } of members)
    if (typeof name !== "string")
      continue; // Of a custom source.
    else if (THERE.includes(state)) names.add(name);
    else if (state !== "left") troubled.set(name, `${name}, ${state}`);
  for (const name of names) troubled.delete(name);
  return [...troubled.values(), ...names];
}

// --- Links -----------------------------------------------------------------------------------------------------------

/** Connections between sides, as far as endpoints show them, and from a node to its members. */
export function linksOf(processes: readonly DashboardProcess[]): DashboardLink[] {
  const listeners = new Map<string, { readonly to: string; readonly toSide: string }>();
  const sides = processes.flatMap(({ sources }) =>
    sources.flatMap(({ id, sides }) => sides.map((side) => ({ id, ...side }))),
  );
  for (const { id, side, bound = [] } of sides)
    for (const endpoint of bound)
      for (const key of keysOf(endpoint, (host) => [EVERY_HOST.has(host) ? "*" : host]))
        if (!listeners.has(key)) listeners.set(key, { to: id, toSide: side });
  const links: DashboardLink[] = [];
  for (const { id, side, connected = [] } of sides)
    for (const endpoint of connected) {
      if (links.length === MAX_LINKS) return links;
      const found = keysOf(endpoint, (host) => [host, "*"])
        .map((key) => listeners.get(key))
        .find(Boolean);
      links.push({ from: id, fromSide: side, endpoint, ...found });
    }
  const nodes = processes.flatMap(({ sources }) => sources.filter(({ members }) => members !== undefined));
  const ids = new Map(nodes.map(({ name, id }) => [name, id]));
  for (const { id, members = [] } of nodes)
    for (const endpoint of members) {
      const to = ids.get(endpoint) ?? ids.get(endpoint.split("@", 1)[0] as string);
      // Of two nodes that know each other, one has the link.
      if (links.length === MAX_LINKS || (to !== undefined && to <= id)) continue;
      const toSide = to && MEMBERS;
      links.push({ from: id, fromSide: MEMBERS, endpoint, ...defined({ to, toSide }) });
    }
  return links;
}

/** A connected endpoint may have a source address: tcp://SOURCE;HOST:PORT. */
const TCP = /^([a-z][a-z0-9+]*):\/\/(?:[^;/]*;)?(\[[^\]]*\]|[^/:]*):(\d+)(\/.*)?$/i;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);
const EVERY_HOST = new Set(["0.0.0.0", "[::]", "*", ""]);

/** Wildcard listeners match by port, since endpoints do not show their machine. */
function keysOf(endpoint: string, hostsFor: (host: string) => readonly string[]): string[] {
  const match = TCP.exec(endpoint);
  if (match === null) return [endpoint];
  const [, scheme = "", host = "", port = "", path = ""] = match;
  return hostsFor(host.toLowerCase()).map((name) => {
    const place = LOOPBACK.has(name) ? "loopback" : name;
    return `${scheme}://${place}:${port}${path === "/" ? "" : path}`;
  });
}

// --- Lists -----------------------------------------------------------------------------------------------------------

export function itemOfPeer({ name, type, address, queuedOut, queuedIn }: PeerView): DashboardItem {
  return {
    name,
    state: "connected",
    address,
    detail: [type, `${queuedOut} to send`, `${queuedIn} received and waiting`].filter(Boolean).join(", "),
  };
}

/** Rows whose name, state, address or detail contain the filter. */
export function pageOf(
  items: readonly DashboardItem[],
  { filter = "", offset = 0, limit = MAX_PAGE }: { filter?: string; offset?: number; limit?: number },
): DashboardList {
  const wanted = filter.toLowerCase();
  const matching =
    wanted === ""
      ? items
      : items.filter(({ name, state, address = "", detail = "" }) =>
          [name, state, address, detail].some((text) => text.toLowerCase().includes(wanted)),
        );
  return {
    total: matching.length,
    offset,
    items: matching.slice(offset, offset + Math.min(limit, MAX_PAGE)).map((item) => ({
      name: cut(item.name),
      state: cut(item.state),
      ...defined({ address: optional(item.address), detail: optional(item.detail) }),
    })),
  };
}
