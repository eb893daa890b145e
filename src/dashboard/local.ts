/** This program as a subject: named drivers, proxies, nodes and sockets. */

import { defined, invalidArgument, thrownText } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { thisProcess } from "../core/packages.js";
import type { Reading, SourceReading } from "../metrics/reading.js";
import { readingOf } from "../metrics/readings.js";
import {
  endingOf,
  type MetricsDriver,
  type MetricsSource,
  type MetricsSourcesByName,
  namedSources,
  StatsReader,
  samplesOf,
} from "../metrics/sources.js";
import type { MajordomoServiceStats } from "../patterns/majordomo/index.js";
import { endpointsOf, peerViews, socketsOf } from "../sockets/internal.js";
import { Socket } from "../sockets/socket.js";
import type { SocketStats } from "../sockets/stats.js";
import {
  itemOfPeer,
  memberTexts,
  type SideDetails,
  type SourceDetails,
  type SourceList,
  type Subject,
  type SubjectReading,
  sidesOf,
} from "./build.js";
import type { DashboardAction, DashboardItem } from "./state.js";

/** This program's name among the addresses. */
const THIS_PROGRAM = "this program";
const MAX_LISTED = 20_000;

/** Named sockets, drivers, proxies, nodes and custom sources. */
export type DashboardSourcesByName = Readonly<Record<string, Socket | MetricsDriver | MetricsSource>>;

/** A function is called for each reading, so sources may come and go. */
export type DashboardSources = DashboardSourcesByName | (() => DashboardSourcesByName);

interface Steerable {
  pause(): void;
  resume(): void;
  drain(): Promise<unknown>;
}

interface Member {
  readonly name: string;
  readonly state: string;
  readonly addresses: readonly string[];
  readonly tags: readonly string[];
}

/** Members of a node, services of a broker, keys of a Clone client. */
interface Listed {
  members?(options: { readonly gone: true; readonly self?: false }): Iterable<Member>;
  services?(): Iterable<MajordomoServiceStats>;
  entries?(): Iterable<readonly [key: string, value: unknown]>;
  readonly size?: number;
  readonly draining?: boolean;
}

type Counts = Readonly<Partial<Record<string, number>>>;

export class LocalSubject implements Subject {
  readonly address = THIS_PROGRAM;
  readonly #sources: DashboardSources;
  readonly #reader = new StatsReader();
  /** The last failed drain's error, by source. */
  readonly #refusals = new Map<string, string>();

  /** @throws InvalidArgumentError `EINVAL` for anything but a socket, a driver or a source */
  constructor(sources: DashboardSources) {
    this.#sources = sources;
    if (typeof sources !== "function") partsOf(sources);
  }

  async read(timeout: number, signal: AbortSignal): Promise<SubjectReading> {
    const { sockets, others, named } = partsOf(this.#given());
    const details = new Map<string, SourceDetails>();
    const failed: SourceReading[] = [];
    for (const name of this.#refusals.keys()) if (!Object.hasOwn(others, name)) this.#refusals.delete(name);
    const samples = await Promise.all(
      named.map(async (source) => {
        const { name, kind } = source;
        try {
          const found = await this.#reader.read(source, timeout, signal);
          const refusal = this.#refusals.get(name);
          const known = detailsOf(others[name], kind, found);
          details.set(name, refusal === undefined ? known : { ...known, refusal });
          return samplesOf({ name, kind, stats: found });
        } catch (error) {
          failed.push({ name, kind, state: `not read: ${this.reasonOf(error)}`, sides: [{ side: "all" }] });
          return [];
        }
      }),
    );
    const { user, system } = process.cpuUsage();
    const reading: Reading = {
      // Most statistics do not show that their driver drains.
      sources: readingOf(samples.flat()).sources.map((source) => ({
        ...source,
        state: endingOf(others[source.name] as object) ?? source.state,
      })),
      process: { cpu: (user + system) / 1_000_000, memory: process.memoryUsage.rss(), ...thisProcess() },
    };
    const read = sockets.map(([name, socket]): SourceReading => {
      const { type, ...ends } = endpointsOf(socket);
      const stats = socket.stats();
      const side: SideDetails = { type: type.toLowerCase(), ...ends, drops: dropsOf(stats) };
      details.set(name, { sides: { socket: side }, lists: { peers: peersOf(socket) } });
      return socketReading(name, type, socket, stats);
    });
    return { reading: { ...reading, sources: [...reading.sources, ...failed, ...read] }, details };
  }

  async act(name: string, action: DashboardAction): Promise<void> {
    const source = this.#given()[name] as Steerable | undefined;
    if (typeof source?.[action] !== "function") throw new InvalidArgumentError(`${name} cannot ${action}`);
    this.#refusals.delete(name);
    if (action === "drain") {
      // A drain can take long: the state shows its outcome.
      source.drain().catch((error: unknown) => this.#refusals.set(name, `drain: ${this.reasonOf(error)}`));
    } else source[action]();
  }

  reasonOf(error: unknown): string {
    return thrownText(error);
  }

  #given(): DashboardSourcesByName {
    return typeof this.#sources === "function" ? this.#sources() : this.#sources;
  }
}

/** @throws InvalidArgumentError `EINVAL` for anything but a socket, a driver or a source, with its name */
function partsOf(sources: DashboardSourcesByName): {
  readonly sockets: readonly (readonly [string, Socket])[];
  readonly others: MetricsSourcesByName;
  readonly named: ReturnType<typeof namedSources>;
} {
  if (typeof sources !== "object" || sources === null)
    throw invalidArgument("Dashboard sources must be an object by name", sources);
  const entries = Object.entries(sources);
  const sockets = entries.filter((entry): entry is [string, Socket] => entry[1] instanceof Socket);
  const others = Object.fromEntries(
    entries.filter(([, each]) => !(each instanceof Socket)),
  ) as MetricsSourcesByName;
  return { sockets, others, named: namedSources(others) };
}

function socketReading(name: string, type: string, socket: Socket, stats: SocketStats): SourceReading {
  const dropped = Object.values(stats.dropped).reduce((total, each) => total + each, 0);
  const invalid = Object.values(stats.invalid).reduce((total, each) => total + each, 0);
  return {
    name,
    kind: type.toLowerCase(),
    state: socket.closed ? "closed" : "open",
    sides: [
      {
        side: "socket",
        in: stats.received,
        out: stats.delivered,
        inBytes: stats.bytesReceived,
        outBytes: stats.bytesSent,
        queued: stats.queued + stats.receiveQueued + (stats.copies?.queued ?? 0),
        dropped: dropped + (stats.copies?.dropped ?? 0),
        refused: invalid,
        ...(stats.peers === undefined ? {} : { peers: stats.peers }),
      },
    ],
  };
}

/** Copies are counted apart from messages; their peer was slow or left. */
function dropsOf({ dropped, copies }: SocketStats): Readonly<Record<string, number>> {
  return { ...dropped, ...(copies?.dropped === undefined ? {} : { copies: copies.dropped }) };
}

function detailsOf(source: unknown, kind: string, stats: object): SourceDetails {
  if (isSteerable(source) && "frontend" in stats) {
    const { state } = stats as Readonly<Record<string, unknown>>;
    return {
      sides: sidesOf({ ...stats }),
      actions: actionsIn(String(state)),
      lists: peerListsOf(source),
    };
  }
  const lists = LISTS[kind]?.(source as Listed, stats as Counts);
  const node = kind === "cluster" ? nodeDetailsOf(source as Listed) : {};
  return { lists: { ...lists, ...peerListsOf(source) }, ...node };
}

function nodeDetailsOf(node: Listed): Pick<SourceDetails, "members" | "actions"> {
  try {
    const members = memberTexts(node.members?.({ gone: true, self: false }) ?? []);
    return { members, actions: node.draining === false ? ["drain"] : [] };
  } catch {
    return {}; // The node has not started, or is closed.
  }
}

function peerListsOf(source: unknown): Readonly<Record<string, SourceList>> {
  return Object.fromEntries(
    Object.entries(socketsOf(source)).map(([name, socket]) => [name, peersOf(socket)]),
  );
}

function peersOf(socket: Socket): SourceList {
  return { length: socket.stats().peers ?? 0, items: () => peerViews(socket).map(itemOfPeer) };
}

export function actionsIn(state: string): readonly DashboardAction[] {
  if (state === "running") return ["pause", "drain"];
  return state === "paused" ? ["resume", "drain"] : [];
}

/** Lists by kind; a custom source without the method has none. */
const LISTS: Readonly<
  Partial<Record<string, (source: Listed, stats: Counts) => Readonly<Record<string, SourceList>>>>
> = {
  cluster: (node, { members = 0, gone = 0 }) =>
    listOf("members", members + gone, node.members?.bind(node, { gone: true }), itemOfMember),
  majordomo: (broker, { services = 0 }) =>
    listOf("services", services, broker.services?.bind(broker), itemOfService),
  "clone-client": (client) => listOf("keys", client.size ?? 0, client.entries?.bind(client), itemOfEntry),
};

function listOf<T>(
  name: string,
  length: number,
  read: (() => Iterable<T>) | undefined,
  itemOf: (each: T) => DashboardItem,
): Readonly<Record<string, SourceList>> {
  if (read === undefined) return {};
  const items = (): DashboardItem[] => {
    const found: DashboardItem[] = [];
    for (const each of read()) {
      if (found.length === MAX_LISTED) break;
      found.push(itemOf(each));
    }
    return found;
  };
  return { [name]: { length, items } };
}

function itemOfMember({ name, state, addresses, tags }: Member): DashboardItem {
  const detail = tags.length === 0 ? undefined : tags.join(", ");
  return defined({ name, state, address: addresses[0], detail });
}

function itemOfService({ name, workers, queued, requests, failures }: MajordomoServiceStats): DashboardItem {
  const state = `${workers} worker${workers === 1 ? "" : "s"}`;
  return { name, state, detail: `${queued} queued, ${requests} requests, ${failures} failures` };
}

function itemOfEntry([name, value]: readonly [string, unknown]): DashboardItem {
  return { name, state: typeOf(value) };
}

/** Values may be secrets. */
function typeOf(value: unknown): string {
  if (Buffer.isBuffer(value)) return `${value.length} bytes`;
  return typeof value === "string" ? `${value.length} characters` : typeof value;
}

function isSteerable(source: unknown): source is Steerable {
  const { pause, resume, drain } = (source ?? {}) as Partial<Steerable>;
  return [pause, resume, drain].every((method) => typeof method === "function");
}
