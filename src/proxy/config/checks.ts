/**
 * Checks that neither a schema nor the options of a proxy express: keys that only a file has, options of the engine,
 * endpoints. Pure.
 */
import { type Finding, type Path, pathText } from "../../config/file.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import { collides, leadsTo } from "../own-endpoints.js";
import { type Proxies, type SocketConfiguration, socketsOf } from "./model.js";

export interface EngineAbilities {
  readonly name: string;
  readonly transports: readonly string[];
  readonly unsupportedOptions: readonly string[];
}

interface Place {
  readonly endpoint: string;
  readonly path: Path;
  readonly proxy: string;
}

/** @param placeOf the place of an endpoint; a single text has no index */
export function check(
  proxies: Proxies,
  engine: EngineAbilities,
  placeOf: (path: Path, at: number) => Path,
): readonly Finding[] {
  const findings: Finding[] = [];
  const bound: Place[] = [];
  const connected: Place[] = [];
  for (const [proxy, configuration] of Object.entries(proxies)) {
    for (const [name, socket] of socketsOf(configuration)) {
      const path = ["proxies", proxy, name];
      findings.push(...exclusions(path, socket), ...unsupported(path, socket, engine));
      for (const use of ["bind", "connect"] as const) {
        for (const [at, endpoint] of socket[use].entries()) {
          const place = { endpoint, path: placeOf([...path, use], at), proxy };
          const message = endpointFault(endpoint, use, engine.transports);
          if (message !== undefined) findings.push({ path: place.path, message });
          else (use === "bind" ? bound : connected).push(place);
        }
      }
    }
  }
  return [...findings, ...boundTwice(bound), ...ownEndpoints(bound, connected)];
}

function exclusions(path: Path, { options, tls }: SocketConfiguration): readonly Finding[] {
  const findings: Finding[] = [];
  const given: Readonly<Record<string, unknown>> = { ...options, tls };
  const has = (name: string): boolean => given[name] !== undefined;
  const exclude = (one: string, others: readonly string[]): void => {
    const other = has(one) ? others.find(has) : undefined;
    if (other === undefined) return;
    findings.push({ path: [...path, one], atKey: true, message: `${one} and ${other} exclude each other` });
  };
  const curve = ["curveServer", "curveServerKey", "curveCertificate"];
  exclude("curveCertificate", ["curveSecretKey", "curvePublicKey"]);
  exclude("plainUsers", ["plainUsername", "plainPassword", ...curve]);
  exclude("plainUsername", curve);
  exclude("tls", ["tlsCert", "tlsKey", "tlsCa"]);
  return findings;
}

function unsupported(
  path: Path,
  { options }: SocketConfiguration,
  engine: EngineAbilities,
): readonly Finding[] {
  return Object.keys(options)
    .filter((name) => engine.unsupportedOptions.includes(name))
    .map((name) => ({
      path: [...path, name],
      atKey: true,
      message: `the engine ${engine.name} does not have it`,
    }));
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
