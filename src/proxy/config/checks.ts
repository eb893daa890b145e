/**
 * Checks that a schema cannot express: endpoints, unfit types, endpoints bound twice, loops through several proxies.
 * Pure.
 *
 * Forwarders and streamers record no route, so two that lead into each other pass a message forever. Replies and
 * two-way messages flow back without a loop.
 */

import { type Finding, type Path, pathText } from "../../config/problem.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import { collides, leadsTo } from "../own-endpoints.js";
import { directionsOf, LEGAL_PAIRS, type ProxySide, type ProxySocketType } from "../pairs.js";
import { type Proxies, type ProxyConfiguration, type SocketConfiguration, socketsOf } from "./model.js";
import { KINDS } from "./schema.js";
import { checkSocket, type EngineAbilities } from "./socket-checks.js";

interface Place {
  readonly endpoint: string;
  readonly path: Path;
  readonly proxy: string;
}

export interface Places {
  /** `at`: index in a list; a single text has none. */
  endpoint(path: Path, at: number): Path;
  isFaulty(socket: Path): boolean;
}

export function check(proxies: Proxies, engine: EngineAbilities, places: Places): readonly Finding[] {
  const findings: Finding[] = [];
  const bound: Place[] = [];
  const connected: Place[] = [];
  for (const [proxy, configuration] of Object.entries(proxies)) {
    findings.push(...checkTypes(["proxies", proxy], configuration));
    for (const [name, socket] of socketsOf(configuration)) {
      const path = ["proxies", proxy, name];
      findings.push(...checkSocket(path, socket, engine, !places.isFaulty(path)));
      for (const use of ["bind", "connect"] as const) {
        for (const [at, endpoint] of socket[use].entries()) {
          const place = { endpoint, path: places.endpoint([...path, use], at), proxy };
          const message =
            endpointFault(endpoint, use, engine.transports) ??
            (use === "connect" ? namedBefore(socket[use], at) : undefined);
          if (message !== undefined) findings.push({ path: place.path, message });
          else (use === "bind" ? bound : connected).push(place);
        }
      }
    }
  }
  return [
    ...findings,
    ...boundTwice(bound),
    ...ownEndpoints(bound, connected),
    ...loopsOf(proxies, places.endpoint),
  ];
}

function endpointFault(
  endpoint: string,
  use: "bind" | "connect",
  transports: readonly string[],
): string | undefined {
  try {
    checkEndpoint(endpoint, use, transports);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Checks connects; an endpoint bound twice is reported with its place. */
function namedBefore(endpoints: readonly string[], at: number): string | undefined {
  const endpoint = endpoints[at] as string;
  return endpoints.indexOf(endpoint) < at ? `${endpoint} is named before in this list` : undefined;
}

function checkTypes(path: Path, { kind, frontend, backend }: ProxyConfiguration): readonly Finding[] {
  if (KINDS[kind] !== undefined) return [];
  const types = [frontend, backend].map(({ options }) => options.type as ProxySocketType) as [
    ProxySocketType,
    ProxySocketType,
  ];
  try {
    directionsOf(...types);
    return [];
  } catch {
    const message = `no proxy can stand between ${types.join(" and ")}; expected one of ${LEGAL_PAIRS.join(", ")}, either way round`;
    return [{ path, message }];
  }
}

function boundTwice(bound: readonly Place[]): readonly Finding[] {
  const findings: Finding[] = [];
  for (const [at, one] of bound.entries()) {
    const other = bound.slice(0, at).find(({ endpoint }) => collides(one.endpoint, endpoint));
    if (other === undefined) continue;
    const message = `${one.endpoint} is taken by ${pathText(other.path)} (${other.endpoint})`;
    findings.push({ path: one.path, message });
  }
  return findings;
}

/** The proxy itself would refuse these at its start. */
function ownEndpoints(bound: readonly Place[], connected: readonly Place[]): readonly Finding[] {
  const findings: Finding[] = [];
  for (const { endpoint, path, proxy } of connected) {
    const own = bound.find((place) => place.proxy === proxy && leadsTo(endpoint, place.endpoint));
    if (own === undefined) continue;
    const message = `there the proxy itself listens (${pathText(own.path)}): messages would circulate forever`;
    findings.push({ path, message });
  }
  return findings;
}

interface Hop {
  readonly proxy: string;
  readonly from: ProxySide;
  readonly to: ProxySide;
  readonly source: SocketConfiguration;
  readonly target: SocketConfiguration;
}

function loopsOf(proxies: Proxies, placeOf: (socket: Path, at: number) => Path): readonly Finding[] {
  const hops = Object.entries(proxies).flatMap(([proxy, configuration]) => hopsOf(proxy, configuration));
  const after = new Map(hops.map((hop) => [hop, hops.filter((other) => meets(hop.target, other.source))]));
  const findings: Finding[] = [];
  const reported = new Set<string>();
  for (const hop of hops) {
    const loop = loopFrom(hop, after);
    if (loop === undefined) continue;
    const names = loop.map(({ proxy }) => proxy);
    const key = [...names].sort().join("\0");
    if (reported.has(key)) continue;
    reported.add(key);
    const message = `leads back to itself (${[...names, hop.proxy].join(" -> ")}): messages would circulate forever`;
    findings.push({ path: placeOf(...connectionOf(loop)), message });
  }
  return findings;
}

function hopsOf(proxy: string, configuration: ProxyConfiguration): readonly Hop[] {
  const { kind, frontend, backend } = configuration;
  const [one, other] = KINDS[kind] ?? [frontend.options.type, backend.options.type];
  try {
    return directionsOf(one as ProxySocketType, other as ProxySocketType)
      .filter(({ carries }) => carries === "messages")
      .map(({ from, to }) => ({
        proxy,
        from,
        to,
        source: configuration[from],
        target: configuration[to],
      }));
  } catch {
    return []; // Reported elsewhere.
  }
}

function meets(target: SocketConfiguration, source: SocketConfiguration): boolean {
  return leading(target, source) >= 0 || leading(source, target) >= 0;
}

/** Index of the connect of `one` to `other`; -1: none. */
function leading(one: SocketConfiguration, other: SocketConfiguration): number {
  return one.connect.findIndex((connect) => other.bind.some((bound) => leadsTo(connect, bound)));
}

/** A connect that closes the loop: the first proxy's, else the next's. */
function connectionOf(loop: readonly Hop[]): [connects: Path, at: number] {
  const [first, second, last] = [loop[0], loop[1], loop[loop.length - 1]] as [Hop, Hop, Hop];
  const connects = [
    [first.proxy, first.to, leading(first.target, second.source)],
    [first.proxy, first.from, leading(first.source, last.target)],
    [second.proxy, second.from, leading(second.source, first.target)],
  ] as const;
  const [proxy, side, at] = connects.find(([, , index]) => index >= 0) as (typeof connects)[number];
  return [["proxies", proxy, side, "connect"], at];
}

/** The shortest path through other proxies back to a hop. */
function loopFrom(start: Hop, after: ReadonlyMap<Hop, readonly Hop[]>): readonly Hop[] | undefined {
  const seen = new Set<Hop>([start]);
  let paths: (readonly Hop[])[] = [[start]];
  while (paths.length > 0) {
    const longer: (readonly Hop[])[] = [];
    for (const path of paths) {
      const last = path[path.length - 1] as Hop;
      for (const next of after.get(last) ?? []) {
        if (next === start && path.length > 1) return path;
        // The same side would be the connection's other direction, not a loop.
        if (seen.has(next) || next.proxy === last.proxy) continue;
        seen.add(next);
        longer.push([...path, next]);
      }
    }
    paths = longer;
  }
  return undefined;
}
