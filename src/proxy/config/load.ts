/**
 * Reads a configuration and reports all its faults at once; a proxy of unknown kind is not checked further.
 *
 *   text --YAML--> values --variables--> --schema--> proxies --checks, files--> configuration
 */
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { createSecureContext } from "node:tls";
import {
  ConfigurationError,
  childOf,
  type Environment,
  expand,
  type Finding,
  hider,
  NamedFiles,
  otherThan,
  type Path,
  pathText,
  reasonOf,
  textOf,
} from "../../config/file.js";
import { Source } from "../../config/source.js";
import { SchemaChecker } from "../../config/validate.js";
import { checkAuthorities } from "../../core/arguments.js";
import { ShoalError } from "../../core/errors.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import { securityFault } from "../../sockets/check-options.js";
import { context } from "../../sockets/context.js";
import { readCertificate } from "../../sockets/security/certificate.js";
import { DRAIN, NAME_RULE, type PlanType, type ProxySocketName, planOf, UNFIT } from "../options.js";
import { collides, leadsTo } from "../own-endpoints.js";
import { SocketProxy } from "../socket-proxy.js";
import {
  type Configuration,
  optionsOf,
  type Proxies,
  type ProxyConfiguration,
  type SocketConfiguration,
  shapeOf,
  socketOptions,
  socketsOf,
  type TlsConfiguration,
  withCertificate,
} from "./model.js";
import { configurationSchema } from "./schema.js";

const SOCKET_DEPTH = ["proxies", "NAME", "frontend"].length;
const NO_ENDPOINT = "needs an endpoint: bind, connect or both";
const ELSEWHERE: Readonly<Record<string, string | undefined>> = {
  ...UNFIT,
  plainServer: "a side with plainUsers is the server",
  authenticate: "plainUsers, curveCertificate and policy decide who may come in",
};

const checker = new SchemaChecker(configurationSchema, {
  anyOf: NO_ENDPOINT,
  pattern: "a CURVE key, 40 characters of Z85",
  key: NAME_RULE,
  elsewhere: (path, key) => (path.length >= SOCKET_DEPTH ? ELSEWHERE[key] : undefined),
});

export interface LoadSettings {
  /** Default: the process's environment. */
  readonly environment?: Environment;
  /** Default: that of the process-wide context. */
  readonly engine?: EngineAbilities;
}

/** @throws ConfigurationError */
export async function loadConfiguration(file: string, settings: LoadSettings = {}): Promise<Configuration> {
  return configurationOf(file, await textOf(file), settings);
}

/** @throws ConfigurationError */
export async function configurationOf(
  file: string,
  text: string,
  settings: LoadSettings = {},
): Promise<Configuration> {
  const { environment = process.env, engine = engineInUse() } = settings;
  const source = Source.read(file, text);
  if (!(source instanceof Source)) throw new ConfigurationError(source);
  const expanded = expand(source.value, environment);
  const findings = [...expanded.findings, ...otherThan(expanded.findings, checker.check(expanded))];
  const proxies: Record<string, ProxyConfiguration> = Object.create(null);
  const usable = withoutFaults(expanded.value, findings);
  for (const [name, given] of Object.entries(proxiesIn(usable))) proxies[name] = shapeOf(given);

  const files = new NamedFiles(dirname(resolve(file)), findings);
  findings.push(...check(proxies, engine, (path, at) => placeOf(expanded.value, path, at)));
  for (const [name, proxy] of Object.entries(proxies)) proxies[name] = await withFiles(name, proxy, files);
  for (const [name, proxy] of Object.entries(proxies)) findings.push(...refusals(name, proxy, findings));

  if (findings.length > 0) throw new ConfigurationError(source.problems(findings.map(hider(expanded))));
  const { drain = DRAIN.default } = expanded.value as { drain?: number };
  return { drain: drain * 1_000, proxies: { ...proxies } };
}

function engineInUse(): EngineAbilities {
  const { name, capabilities } = context.load();
  return { name, transports: capabilities.transports, unsupportedOptions: capabilities.unsupportedOptions };
}

function proxiesIn(value: unknown): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const { proxies } = (value ?? {}) as { readonly proxies?: unknown };
  return typeof proxies === "object" && proxies !== null ? (proxies as never) : {};
}

/** The value without faulty members and proxies with unknown sockets, so that each fault is reported once. */
function withoutFaults(value: unknown, findings: readonly Finding[]): unknown {
  if (typeof proxiesIn(value) !== "object" || Array.isArray(proxiesIn(value))) return {};
  const rest = structuredClone(value) as { proxies?: Record<string, unknown> };
  for (const { path, message } of findings) {
    if (path[0] !== "proxies") continue;
    if (path.length < 2) return {};
    // Without an endpoint a socket can still be checked.
    const deep = path.length > SOCKET_DEPTH || (path.length === SOCKET_DEPTH && message === NO_ENDPOINT);
    if (!deep) delete rest.proxies?.[String(path[1])];
    else if (path.length > SOCKET_DEPTH) {
      const socket = path
        .slice(0, SOCKET_DEPTH)
        .reduce<unknown>((within, part) => childOf(within, part), rest);
      const key = String(path[SOCKET_DEPTH]);
      if (key === "type") delete rest.proxies?.[String(path[1])];
      else if (typeof socket === "object" && socket !== null) delete (socket as Record<string, unknown>)[key];
    }
  }
  return rest;
}

/** Whether a path is at this place, within it, or above it. */
function meets(path: Path, place: Path): boolean {
  return place.every((part, at) => at >= path.length || String(path[at]) === part);
}

/** A single text has no index. */
function placeOf(value: unknown, path: Path, at: number): Path {
  const within = path.reduce<unknown>(childOf, value);
  return Array.isArray(within) ? [...path, at] : path;
}

async function withFiles(
  name: string,
  proxy: ProxyConfiguration,
  files: NamedFiles,
): Promise<ProxyConfiguration> {
  const sockets: Partial<Record<string, SocketConfiguration>> = {};
  for (const [socketName, socket] of socketsOf(proxy)) {
    const path = ["proxies", name, socketName];
    let { options, policy, tls } = socket;
    if (typeof options.curveCertificate === "string") {
      const keys = await keysOf(files, [...path, "curveCertificate"], options.curveCertificate);
      if (keys !== undefined) options = withCertificate(options, keys);
    }
    if (typeof policy?.keys === "string") {
      const keys = await folderOf(files, [...path, "policy", "keys"], policy.keys);
      policy = { ...policy, keys };
    }
    if (tls !== undefined) tls = await tlsOf(files, [...path, "tls"], tls);
    sockets[socketName] = {
      ...socket,
      options,
      ...(policy === undefined ? {} : { policy }),
      ...(tls === undefined ? {} : { tls }),
    };
  }
  return { ...proxy, ...sockets } as ProxyConfiguration;
}

/** What the library refuses: of each socket the first fault, and of sockets without one their proxy's. */
function refusals(name: string, proxy: ProxyConfiguration, known: readonly Finding[]): readonly Finding[] {
  const findings: Finding[] = [];
  const isFaulty = (place: Path): boolean => [...known, ...findings].some(({ path }) => meets(path, place));
  for (const [socketName, socket] of socketsOf(proxy)) {
    const path = ["proxies", name, socketName];
    if (isFaulty(path)) continue;
    const finding = refusal(path, () => checkSocket(path, socketName, socket));
    if (finding !== undefined) findings.push(finding);
  }
  const path = ["proxies", name];
  const finding = isFaulty(path) ? undefined : refusal(path, () => void new SocketProxy(optionsOf(proxy)));
  return finding === undefined ? findings : [finding];
}

function checkSocket(path: Path, name: ProxySocketName, socket: SocketConfiguration): Finding | undefined {
  const options = socketOptions(socket);
  const { type } = options as { readonly type: PlanType };
  planOf(name, [type], undefined, options);
  const bare = socket.bind.find((endpoint) => /^(?:tls|wss):/.test(endpoint));
  if (bare !== undefined && (options.tlsCert ?? null) === null)
    return {
      path: [...path, "bind"],
      message: `${bare} needs a certificate: tls: { cert: FILE, key: FILE }`,
    };
  const fault = securityFault(options);
  return fault && { path: [...path, fault.option], atKey: true, message: fault.message };
}

function refusal(path: Path, make: () => Finding | undefined): Finding | undefined {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
    return { path, message: error.message };
  }
}

/** Keys of a secret certificate; `undefined` when it cannot be read. */
async function keysOf(
  files: NamedFiles,
  path: Path,
  name: string,
): Promise<{ publicKey: string; secretKey: string } | undefined> {
  const file = files.resolve(name);
  try {
    const { publicKey, secretKey } = await readCertificate(file);
    if (secretKey !== undefined) return { publicKey, secretKey };
    files.found(path, `the certificate ${file} has no secret key; expected the secret file of the pair`);
  } catch (error) {
    files.found(path, `cannot read the certificate ${file}: ${reasonOf(error)}`);
  }
  return undefined;
}

/** Contents of a socket's certificate files; nothing after a finding. */
async function tlsOf(files: NamedFiles, path: Path, tls: TlsConfiguration): Promise<TlsConfiguration> {
  const found = files.findings.length;
  const own = await files.pems(path, tls, ["cert", "key", "ca"]);
  if (files.findings.length > found) return {};
  try {
    createSecureContext(own);
    if (own.ca !== undefined) checkAuthorities("ca", own.ca);
  } catch (error) {
    files.found(path, `these files cannot be used: ${reasonOf(error)}`);
  }
  return own;
}

async function folderOf(files: NamedFiles, path: Path, name: string): Promise<string> {
  const folder = files.resolve(name);
  try {
    if (!(await stat(folder)).isDirectory()) files.found(path, `${folder} is not a folder`);
  } catch (error) {
    files.found(path, `cannot read the folder ${folder}: ${reasonOf(error)}`);
  }
  return folder;
}

// --- Checks ----------------------------------------------------------------------------------------------------------

interface EngineAbilities {
  readonly name: string;
  readonly transports: readonly string[];
  readonly unsupportedOptions: readonly string[];
}

interface Place {
  readonly endpoint: string;
  readonly path: Path;
  readonly proxy: string;
}

/**
 * What neither a schema nor the options of a proxy express: keys that only a file has, options of the engine, endpoints.
 *
 * @param placeOf the place of an endpoint; a single text has no index
 */
function check(
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
