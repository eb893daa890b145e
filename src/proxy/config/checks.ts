/**
 * Checks that a schema cannot express: endpoints, socket types that do not fit each other, and endpoints bound twice.
 * Faults within one socket: socket-checks.ts. Pure.
 */
import { type Finding, type Path, pathText } from "../../config/problem.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import { collides, leadsTo } from "../own-endpoints.js";
import { directionsOf, LEGAL_PAIRS, type ProxySocketType } from "../pairs.js";
import { type Proxies, type ProxyConfiguration, socketsOf } from "./model.js";
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
  return [...findings, ...boundTwice(bound), ...ownEndpoints(bound, connected)];
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
