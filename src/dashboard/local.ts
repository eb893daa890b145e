/** This program as a subject: its drivers, proxies, nodes and sockets by name. */
import { InvalidArgumentError } from "../core/errors.js";
import { type Reading, readingOf, type SourceReading } from "../metrics/readings.js";
import { samplesOf } from "../metrics/samples.js";
import { type MetricsSourcesByName, namedSources } from "../metrics/sources.js";
import type { ProxyStats } from "../proxy/stats.js";
import { endpointsOf } from "../sockets/internal.js";
import { Socket } from "../sockets/socket.js";
import { type DashboardSources, type DashboardSourcesByName, THIS_PROGRAM } from "./options.js";
import type { DashboardAction, DashboardItem } from "./state.js";
import type { SideDetails, SourceDetails, Subject, SubjectReading } from "./subject.js";

/** Members of a cluster that are kept for a list. */
const MAX_MEMBERS_LISTED = 20_000;

/** What a proxy of this process has beyond its statistics. */
interface Steerable {
  pause(): void;
  resume(): void;
  drain(): Promise<unknown>;
}

/** What a node has: the members that it knows. */
interface WithMembers {
  members(options: { readonly gone: true }): readonly {
    readonly name: string;
    readonly state: string;
    readonly addresses: readonly string[];
    readonly tags: readonly string[];
  }[];
}

export class LocalSubject implements Subject {
  readonly address = THIS_PROGRAM;
  readonly #sources: DashboardSources;

  /** @throws InvalidArgumentError `EINVAL` for what is not a socket, a driver or a source */
  constructor(sources: DashboardSources) {
    this.#sources = sources;
    if (typeof sources !== "function") partsOf(sources);
  }

  async read(): Promise<SubjectReading> {
    const { sockets, others } = partsOf(this.#given());
    const details = new Map<string, SourceDetails>();
    const named = namedSources(others);
    const failed: SourceReading[] = [];
    const samples = await Promise.all(
      named.map(async ({ name, kind, stats }) => {
        try {
          const found = await stats();
          details.set(name, detailsOf(others[name], kind, found));
          return samplesOf({ name, kind, stats: found });
        } catch (error) {
          // The others are shown all the same.
          failed.push({ name, kind, state: `not read: ${this.reasonOf(error)}`, sides: [{ side: "all" }] });
          return [];
        }
      }),
    );
    const { user, system } = process.cpuUsage();
    const reading: Reading = {
      ...readingOf(samples.flat()),
      process: { cpu: (user + system) / 1_000_000, memory: process.memoryUsage.rss() },
    };
    const read = sockets.map(([name, socket]): SourceReading => {
      const { type, ...ends } = endpointsOf(socket);
      details.set(name, { sides: { socket: { type: type.toLowerCase(), ...ends } } });
      return socketReading(name, type, socket);
    });
    return { reading: { ...reading, sources: [...reading.sources, ...failed, ...read] }, details };
  }

  async act(name: string, action: DashboardAction): Promise<void> {
    const source = this.#given()[name];
    if (!isSteerable(source)) throw new InvalidArgumentError(`${name} cannot be asked to ${action}`);
    // What comes of a drain is seen in the state.
    if (action === "drain") void source.drain().catch(() => undefined);
    else source[action]();
  }

  reasonOf(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
  }

  /** What is watched is the program's. */
  async close(): Promise<void> {}

  #given(): DashboardSourcesByName {
    return typeof this.#sources === "function" ? this.#sources() : this.#sources;
  }
}

/** @throws InvalidArgumentError `EINVAL` for what is not a socket, a driver or a source, with its name */
function partsOf(sources: DashboardSourcesByName): {
  readonly sockets: readonly (readonly [string, Socket])[];
  readonly others: MetricsSourcesByName;
} {
  const entries = Object.entries(sources);
  const sockets = entries.filter((entry): entry is [string, Socket] => entry[1] instanceof Socket);
  const others = Object.fromEntries(
    entries.filter(([, each]) => !(each instanceof Socket)),
  ) as MetricsSourcesByName;
  namedSources(others);
  return { sockets, others };
}

/** A socket's counters as one side. */
function socketReading(name: string, type: string, socket: Socket): SourceReading {
  const stats = socket.stats();
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

function detailsOf(source: unknown, kind: string, stats: object): SourceDetails {
  if (isSteerable(source) && "frontend" in stats) {
    const { frontend, backend, state } = stats as ProxyStats;
    return { sides: { frontend: sideOf(frontend), backend: sideOf(backend) }, actions: actionsIn(state) };
  }
  if (kind === "cluster" && typeof (source as WithMembers).members === "function")
    return { lists: { members: membersOf(source as WithMembers) } };
  return {};
}

function sideOf({ type, endpoints, connected }: ProxyStats["frontend"]): SideDetails {
  return { type, bound: endpoints, connected };
}

/** What a proxy in this state can be asked to do. */
export function actionsIn(state: string): readonly DashboardAction[] {
  if (state === "running") return ["pause", "drain"];
  return state === "paused" ? ["resume", "drain"] : [];
}

function membersOf(node: WithMembers): DashboardItem[] {
  return node
    .members({ gone: true })
    .slice(0, MAX_MEMBERS_LISTED)
    .map(({ name, state, addresses, tags }) => ({
      name,
      state,
      ...(addresses[0] === undefined ? {} : { address: addresses[0] }),
      ...(tags.length === 0 ? {} : { detail: tags.join(", ") }),
    }));
}

function isSteerable(source: unknown): source is Steerable {
  const { pause, resume, drain } = (source ?? {}) as Partial<Steerable>;
  return [pause, resume, drain].every((method) => typeof method === "function");
}
