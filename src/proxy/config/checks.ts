/**
 * What a schema cannot say of a configuration: endpoints, types that fit each other, security options that belong
 * together, endpoints that are bound twice, and ways that lead round. Pure.
 */
import { checkEndpoint } from "../../sockets/endpoint.js";
import { checkSecurity } from "../../sockets/security/check.js";
import { directionsOf, LEGAL_PAIRS, type ProxySocketType } from "../pairs.js";
import { loopsOf } from "./loops.js";
import { type Proxies, type ProxyConfiguration, type SocketConfiguration, socketsOf } from "./model.js";
import { collides, leadsTo } from "./overlap.js";
import { type Finding, type Path, pathText } from "./problem.js";
import { KINDS } from "./schema.js";

/** What the engine has that runs the proxies. */
export interface EngineAbilities {
  readonly name: string;
  readonly transports: readonly string[];
  /** Socket options that it does not have. */
  readonly unsupportedOptions: readonly string[];
}

/** One endpoint, and where it is written. */
interface Place {
  readonly endpoint: string;
  readonly path: Path;
  readonly proxy: string;
}

/** What is known of the places of a file. */
export interface Places {
  /** Of one of several endpoints; a single text has no place in a list. */
  endpoint(path: Path, at: number): Path;
  /** Whether something within a socket is at fault already. */
  isFaulty(socket: Path): boolean;
}

/** All that is wrong with proxies that fit the schema, as far as they do. */
export function check(proxies: Proxies, engine: EngineAbilities, places: Places): readonly Finding[] {
  const findings: Finding[] = [];
  const bound: Place[] = [];
  const connected: Place[] = [];
  for (const [proxy, configuration] of Object.entries(proxies)) {
    findings.push(...checkTypes(["proxies", proxy], configuration));
    for (const [name, socket] of socketsOf(configuration)) {
      const path = ["proxies", proxy, name];
      if (!places.isFaulty(path)) findings.push(...checkSocket(path, socket, engine));
      for (const use of ["bind", "connect"] as const) {
        for (const [at, endpoint] of socket[use].entries()) {
          const place = { endpoint, path: places.endpoint([...path, use], at), proxy };
          const message = endpointFault(endpoint, use, engine.transports);
          if (message !== undefined) findings.push({ path: place.path, message });
          else (use === "bind" ? bound : connected).push(place);
        }
      }
    }
  }
  return [...findings, ...boundTwice(bound), ...ownEndpoints(bound, connected), ...loopsOf(proxies)];
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

function checkSocket(path: Path, socket: SocketConfiguration, engine: EngineAbilities): readonly Finding[] {
  const findings: Finding[] = [];
  const { options } = socket;
  const has = (name: string): boolean => options[name] !== undefined;
  const exclude = (one: string, others: readonly string[]): void => {
    const other = has(one) ? others.find(has) : undefined;
    if (other === undefined) return;
    findings.push({ path: [...path, one], atKey: true, message: `${one} and ${other} exclude each other` });
  };
  exclude("curveCertificate", ["curveSecretKey", "curvePublicKey"]);
  exclude("plainUsers", [
    "plainUsername",
    "plainPassword",
    "curveServer",
    "curveServerKey",
    "curveCertificate",
  ]);
  exclude("plainUsername", ["curveServer", "curveServerKey", "curveCertificate"]);
  for (const name of Object.keys(options)) {
    if (engine.unsupportedOptions.includes(name))
      findings.push({
        path: [...path, name],
        atKey: true,
        message: `the engine ${engine.name} does not have it`,
      });
  }
  const routingId = options.routingId;
  if (typeof routingId === "string" && routingId.startsWith("\0"))
    findings.push({ path: [...path, "routingId"], message: "must not begin with a zero byte" });
  if (findings.length > 0) return findings;
  try {
    checkSecurity(withKeys(options));
  } catch (error) {
    findings.push({ path, message: (error as Error).message });
  }
  return findings;
}

/** As it will be: a certificate has both keys, and a client without keys is given some. */
function withKeys(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const client = options.curveServerKey !== undefined;
  if (options.curveCertificate !== undefined)
    return { ...options, curveSecretKey: "", curvePublicKey: "", ...(client ? {} : { curveServer: true }) };
  return client ? { curveSecretKey: "", curvePublicKey: "", ...options } : options;
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

/** Within one proxy; the proxy itself would refuse it when it starts. */
function ownEndpoints(bound: readonly Place[], connected: readonly Place[]): readonly Finding[] {
  const findings: Finding[] = [];
  for (const { endpoint, path, proxy } of connected) {
    const own = bound.find((place) => place.proxy === proxy && leadsTo(endpoint, place.endpoint));
    if (own === undefined) continue;
    const message = `there the proxy itself listens (${pathText(own.path)}): messages would go round for ever`;
    findings.push({ path, message });
  }
  return findings;
}
