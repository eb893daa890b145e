/**
 * Checks a node's configuration, from a file or flags, and compares two of them.
 *
 *   file --YAML--> values --variables--> --schema--+
 *                                                  +--> --files, the library's own checks--> options
 *   flags --> values --keys that go together-------+
 *
 * Flags need neither YAML nor the schema checker, which takes 0.2 s of processor time.
 */

import { X509Certificate } from "node:crypto";
import { dirname, resolve } from "node:path";
import {
  AddressFeed,
  type ClusterListenerTls,
  ClusterNode,
  type ClusterNodeOptions,
  type ClusterTlsOptions,
  type DiscoverySelf,
  DiscoveryServer,
  type DiscoveryServerOptions,
  type DiscoverySource,
  parseDiscovery,
} from "../cluster/index.js";
import {
  ConfigurationError,
  type Environment,
  type Expanded,
  expand,
  type Finding,
  hider,
  NamedFiles,
  otherThan,
  type Path,
} from "../config/file.js";
import type { Schema, SchemaChecker } from "../config/validate.js";
import { defined } from "../core/arguments.js";
import { parseListenAddress } from "../core/http-server.js";
import { checkEndpoint, KNOWN_SCHEMES } from "../core/schemes/schemes.js";
import { ShoalError } from "../index.js";
import { Failure, UsageError } from "./failure.js";
import { LIVE_KEYS, nodeFlags, nodeSchema, valuesOfFlags } from "./node-schema.js";
import {
  type ClientsValues,
  clientsOf,
  type SessionsSettings,
  type SessionsValues,
  sessionsOf,
} from "./node-servers.js";
import { type ControlSettings, controlSecurity } from "./node-service.js";
import { keysFrom, readKeyFile, readPasswordFile } from "./security.js";

export interface NodeConfiguration {
  /** Values with variables and files filled in, for comparison. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly options: ClusterNodeOptions;
  readonly control: ControlSettings;
  readonly metrics: string | undefined;
  readonly clients: DiscoveryServerOptions | undefined;
  readonly sessions: SessionsSettings | undefined;
  /** Addresses of `static:` sources. */
  readonly fixed: readonly string[];
}

let checker: SchemaChecker | undefined;

async function schemaFindings(expanded: Expanded): Promise<readonly Finding[]> {
  const validate = await import("../config/validate.js");
  checker ??= new validate.SchemaChecker(nodeSchema, {
    anyOf: "fits none of its forms",
    pattern: "a key, 40 characters of Z85",
    key: "a key",
  });
  return checker.check(expanded);
}

/** Finds missing flags of a group. Types were checked at parsing. */
function missingKeys(
  values: Readonly<Record<string, unknown>>,
  { properties }: Schema = nodeSchema(),
  above: Path = [],
): Finding[] {
  return Object.entries((properties ?? {}) as Readonly<Record<string, Schema>>).flatMap(([key, row]) => {
    const value = values[key];
    if (row.type !== "object" || typeof value !== "object" || value === null) return [];
    const path = [...above, key];
    const required = (row.required ?? []) as readonly string[];
    return [
      ...required
        .filter((name) => !Object.hasOwn(value, name))
        .map((name) => ({ path, message: `needs the key ${name}` })),
      ...missingKeys(value as Readonly<Record<string, unknown>>, row, path),
    ];
  });
}

const CONTROL_SCHEMES = KNOWN_SCHEMES.filter((scheme) => scheme !== "udp" && scheme !== "inproc");
const STATIC = /^static:/;
/** Name of the files of `clients.tls` among the compared values. */
const CLIENTS_TLS = "clients.tls";

/** The addresses of `static:` sources, which change with the file. */
export class StaticList implements DiscoverySource {
  readonly name = "static";
  addresses: readonly string[] = [];
  #feed: AddressFeed | undefined;

  set(addresses: readonly string[]): void {
    this.addresses = addresses;
    this.#feed?.set(addresses);
  }

  discover(_self: DiscoverySelf, signal: AbortSignal): AddressFeed {
    this.#feed = new AddressFeed(signal);
    this.#feed.set(this.addresses);
    return this.#feed;
  }
}

/** @param source static addresses; on reload, the running node's @throws ConfigurationError with every problem */
export async function nodeConfigurationOf(
  file: string,
  text: string,
  source: StaticList = new StaticList(),
  environment: Environment = process.env,
): Promise<NodeConfiguration> {
  const { Source } = await import("../config/source.js");
  const read = Source.read(file, text);
  if (!(read instanceof Source)) throw new ConfigurationError(read);
  const expanded = expand(read.value ?? {}, environment);
  const faults = [...expanded.findings, ...otherThan(expanded.findings, await schemaFindings(expanded))];
  const folder = dirname(resolve(file));
  const { configuration, findings } = await checked(expanded.value, faults, folder, source);
  if (configuration !== undefined) return configuration;
  const hide = hider(expanded);
  const shown = findings.map((finding) => hide({ ...finding, message: keysInPlaceOfFlags(finding.message) }));
  throw new ConfigurationError(read.problems(shown));
}

/** @param flags values from commander @throws UsageError for the first problem; Failure */
export async function nodeConfigurationOfFlags(
  flags: Readonly<Record<string, unknown>>,
  source: StaticList = new StaticList(),
): Promise<NodeConfiguration> {
  const value = valuesOfFlags(flags);
  if (value.name === undefined) throw new UsageError("expected --name N or --config FILE");
  const faults = missingKeys(value);
  const clients = value.clients as ClientsValues | undefined;
  // A file may have users themselves.
  if (clients !== undefined && clients.usersFile === undefined)
    faults.push({ path: ["clients"], message: "needs the key usersFile" });
  const { configuration, findings } = await checked(value, faults, ".", source);
  if (configuration !== undefined) return configuration;
  const [{ path, message }] = findings as [Finding];
  const missing = /^needs the key (\w+)$/.exec(message)?.[1];
  const flag = flagOf(missing === undefined ? path : [...path, missing]);
  throw new UsageError(
    `${flag === undefined ? "" : `${flag}: `}${missing === undefined ? message : "it is missing; it goes with the others"}`,
  );
}

/** The flag of a key, or of the nearest key above or below. */
function flagOf(path: Path): string | undefined {
  const keys = path.filter((part) => typeof part === "string").join(".");
  const all = nodeFlags().map(({ path, option }) => ({ at: path.join("."), flag: option.long as string }));
  const found =
    all.find(({ at }) => at === keys) ??
    all.find(({ at }) => at.startsWith(`${keys}.`) || keys.startsWith(`${at}.`));
  return found?.flag;
}

/** @param faults known already @param folder of relative file names */
async function checked(
  value: unknown,
  faults: readonly Finding[],
  folder: string,
  source: StaticList,
): Promise<{
  readonly configuration?: NodeConfiguration;
  readonly findings: readonly Finding[];
}> {
  const findings = [...faults];
  // A list or a text at the top is reported already.
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  const given = (isMap ? value : {}) as Readonly<Record<string, unknown>>;
  // Values of a wrong type are reported already.
  const faulty = new Set(findings.map(({ path }) => path[0]));
  const usable = Object.fromEntries(Object.entries(given).filter(([key]) => !faulty.has(key)));
  const files = new NamedFiles(folder, findings);
  const secrets = await secretsOf(usable, files);
  const discovery = discoveryOf(usable, source, files);
  const control = await controlOf(usable, files);
  const metrics = usable.metrics as string | undefined;
  if (metrics !== undefined) await files.attempt(["metrics"], () => parseListenAddress("Metrics", metrics));
  const curve = await curveOf(usable.curve, files);
  const tls = usable.tls && (await tlsFrom(usable.tls as TlsValues, files, ["tls"]));
  const listen = await listenersOf(usable.listen, files);
  const plain = Object.fromEntries(Object.entries(usable).filter(([key]) => !OTHER_KEYS.includes(key)));
  const options = {
    ...plain,
    ...secrets,
    ...defined({ discovery: discovery.sources, curve, tls, listen }),
  } as ClusterNodeOptions;
  const clients = await discoveryServerOf(usable.clients, files);
  const sessionsGiven = usable.sessions as SessionsValues | undefined;
  const sessions =
    sessionsGiven && (await files.attempt(["sessions"], () => sessionsOf(sessionsGiven, folder)));
  findings.push(...optionFindings(plain));
  // Each value is valid: the last check is for combinations.
  const refusal = findings.length === 0 ? refusalOf(() => new ClusterNode(options)) : undefined;
  if (refusal !== undefined) files.found(pathOf(refusal, given), refusal);
  if (findings.length > 0) return { findings };
  const values = {
    ...usable,
    ...secrets,
    ...defined({ curve, tls, listen, [CLIENTS_TLS]: clients?.tls }),
    ...defined({ clients: clients && [usable.clients, { ...clients, tls: undefined }] }),
    ...defined({ sessions: sessions && [usable.sessions, sessions] }),
  };
  const { fixed } = discovery;
  return {
    configuration: { values, options, control, metrics, clients, sessions, fixed },
    findings,
  };
}

async function controlOf(
  given: Readonly<Record<string, unknown>>,
  files: NamedFiles,
): Promise<ControlSettings> {
  const { control = true, controlCurveCertificate, controlKeys } = given;
  const fileOf = (name: unknown): string | undefined =>
    typeof name === "string" ? files.resolve(name) : undefined;
  const endpoints = typeof control === "boolean" ? [] : [control as string | string[]].flat();
  const settings: ControlSettings = defined({
    control: control === true ? undefined : control === false ? false : endpoints,
    controlCurveCertificate: fileOf(controlCurveCertificate),
    controlKeys: fileOf(controlKeys),
  });
  const faults = endpoints.flatMap((endpoint, at) => {
    const message = refusalOf(() => checkEndpoint(endpoint, "bind", CONTROL_SCHEMES));
    return message === undefined
      ? []
      : [{ path: Array.isArray(control) ? ["control", at] : ["control"], message }];
  });
  files.findings.push(...faults);
  if (faults.length > 0 || control === false) return settings;
  try {
    await controlSecurity(endpoints, settings);
  } catch (error) {
    const { message } = error as Error;
    const key = ["controlKeys", "controlCurveCertificate"].find((name) =>
      keysInPlaceOfFlags(message).startsWith(name),
    );
    const read = error instanceof Failure ? "controlCurveCertificate" : "control";
    files.found([key ?? read], message);
  }
  return settings;
}

/** Replaces names of flags by keys of the file. */
function keysInPlaceOfFlags(message: string): string {
  return message.replace(/--([a-z]+(?:-[a-z]+)*)(?: FILE)?/g, (_, flag: string) =>
    flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()),
  );
}

interface Secrets {
  readonly key?: readonly string[];
  readonly password?: readonly string[];
}

async function secretsOf(given: Readonly<Record<string, unknown>>, files: NamedFiles): Promise<Secrets> {
  const named = ["key", "keyFile", "password", "passwordFile"].filter((key) => given[key] !== undefined);
  const [first, second] = named;
  if (first === undefined) return {};
  if (second !== undefined) {
    files.findings.push({ path: [second], atKey: true, message: `expected ${first} or ${second}, not both` });
    return {};
  }
  const list = [given[first] as string | string[]].flat();
  const what = first.startsWith("key") ? "key" : "password";
  if (!first.endsWith("File")) return { [what]: list };
  const found: string[] = [];
  const read = what === "key" ? readKeyFile : readPasswordFile;
  for (const [at, name] of list.entries()) {
    const path: Path = Array.isArray(given[first]) ? [first, at] : [first];
    const secret = await files.attempt(path, () => read(files.resolve(name)));
    if (secret !== undefined) found.push(secret);
  }
  return { [what]: found };
}

/** The node's keys and the allowed keys; a text is a folder. */
async function curveOf(given: unknown, files: NamedFiles): Promise<ClusterNodeOptions["curve"]> {
  if (given === undefined) return undefined;
  const { certificate, allow } = given as { readonly certificate: string; readonly allow: string | string[] };
  const path = ["curve", "certificate"];
  const pair = await files.attempt(path, () => keysFrom(files.resolve(certificate)));
  return pair && { ...pair, allow: typeof allow === "string" ? files.resolve(allow) : allow };
}

interface ListenerValues {
  readonly host?: string;
  readonly port?: number;
  readonly ports?: string;
  readonly tls?: false | TlsValues;
}

async function listenersOf(given: unknown, files: NamedFiles): Promise<ClusterNodeOptions["listen"]> {
  if (given === undefined) return undefined;
  const listeners: NonNullable<ClusterNodeOptions["listen"]>[number][] = [];
  for (const [at, { tls, ...where }] of (given as readonly ListenerValues[]).entries()) {
    const own =
      tls === undefined || tls === false
        ? tls
        : await tlsFrom<ClusterListenerTls>(tls, files, ["listen", at, "tls"]);
    listeners.push({ ...where, ...defined({ tls: own }) });
  }
  return listeners;
}

async function discoveryServerOf(
  given: unknown,
  files: NamedFiles,
): Promise<DiscoveryServerOptions | undefined> {
  if (given === undefined) return undefined;
  const { tls: named, ...values } = given as ClientsValues & { readonly tls?: TlsValues };
  const tls = named && (await tlsFrom<ClusterListenerTls>(named, files, ["clients", "tls"]));
  if (named !== undefined && tls === undefined) return undefined;
  return files.attempt(["clients"], async () => {
    const options = await clientsOf(values, files.resolve("."), tls);
    new DiscoveryServer(new ClusterNode({ name: "check" }), options); // Opens nothing.
    return options;
  });
}

function discoveryOf(
  { discovery }: Readonly<Record<string, unknown>>,
  source: StaticList,
  files: NamedFiles,
): { readonly sources: ClusterNodeOptions["discovery"]; readonly fixed: readonly string[] } {
  if (discovery === undefined) return { sources: undefined, fixed: [] };
  const fixed: string[] = [];
  const sources: NonNullable<ClusterNodeOptions["discovery"]>[number][] = [source];
  for (const [at, text] of (discovery as string[]).entries()) {
    try {
      const parsed = parseDiscovery(text);
      if (STATIC.test(text)) fixed.push(...text.replace(STATIC, "").split(","));
      else sources.push(parsed);
    } catch (error) {
      files.found(["discovery", at], (error as Error).message);
    }
  }
  return { sources, fixed };
}

/** Keys read by other rules. Any other key is an option of the node. */
const OTHER_KEYS: readonly string[] = [
  ...["key", "keyFile", "password", "passwordFile", "discovery", "curve", "tls", "listen"],
  ...["clients", "sessions", "control", "controlCurveCertificate", "controlKeys", "metrics"],
];

/** A node that allows everything, to check one option. */
const ANY_NODE = { name: "any", key: "0".repeat(40), scope: "link", ipv6: true } as const;

function optionFindings(options: Readonly<Record<string, unknown>>): Finding[] {
  return Object.entries(options).flatMap(([key, value]) => {
    if (key === "scope") return [];
    const message = refusalOf(() => new ClusterNode({ ...ANY_NODE, [key]: value }));
    return message === undefined ? [] : [{ path: [key], message }];
  });
}

/** Why the library refuses; `undefined`: it does not. */
function refusalOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof ShoalError) return error.message;
    throw error;
  }
}

/** The key that an error message begins with. */
function pathOf(message: string, given: Readonly<Record<string, unknown>>): Path {
  const found = Object.keys(given).find((key) => {
    const one = key.endsWith("s") ? key.slice(0, -1) : key;
    return new RegExp(`^(?:the |a |an )?(?:${key}|${one})\\b`, "i").test(message);
  });
  return found === undefined ? [] : [found];
}

export function changedKeys(before: NodeConfiguration, after: NodeConfiguration): readonly string[] {
  const keys = new Set([...Object.keys(before.values), ...Object.keys(after.values)]);
  return [...keys].filter((key) => JSON.stringify(before.values[key]) !== JSON.stringify(after.values[key]));
}

/** Changed keys that need a restart. */
export function restartKeys(before: NodeConfiguration, after: NodeConfiguration): readonly string[] {
  const others = (of: NodeConfiguration): string =>
    JSON.stringify(
      ((of.values.discovery as string[] | undefined) ?? []).filter((each) => !STATIC.test(each)),
    );
  const secretOf = ({ values: { key, password } }: NodeConfiguration): string =>
    key !== undefined ? "key" : password !== undefined ? "password" : "none";
  return changedKeys(before, after).filter((key) => {
    if (key !== CLIENTS_TLS && !LIVE_KEYS.includes(key as (typeof LIVE_KEYS)[number])) return true;
    if (key === "discovery")
      return (
        others(before) !== others(after) ||
        (before.values.discovery === undefined) !== (after.values.discovery === undefined)
      );
    if (/\btls$/.test(key)) return before.values[key] === undefined || after.values[key] === undefined;
    return /^(?:key|password)/.test(key) && secretOf(before) !== secretOf(after);
  });
}

export function applyChanges(
  node: ClusterNode,
  clients: DiscoveryServer | undefined,
  source: StaticList,
  before: NodeConfiguration,
  after: NodeConfiguration,
): void {
  const changed = new Set(changedKeys(before, after));
  const { tags: oldTags = [], props: oldProps = {}, seeds: oldSeeds = [] } = before.options;
  const { tags = [], props = {}, seeds = [] } = after.options;
  // Keys first: they encrypt everything that follows.
  if (changed.has("key")) node.setKeys(...(after.values.key as string[]));
  if (changed.has("password")) node.setPasswords(...(after.values.password as string[]));
  if (changed.has("tls")) node.setTls(after.values.tls as ClusterTlsOptions);
  if (changed.has(CLIENTS_TLS)) clients?.setTls(after.values[CLIENTS_TLS] as ClusterListenerTls);
  if (changed.has("tags"))
    node.tags({ remove: oldTags.filter((tag) => !tags.includes(tag)) }, { append: tags });
  if (changed.has("props")) {
    const gone = Object.keys(oldProps).filter((key) => !Object.hasOwn(props, key));
    node.props({ ...Object.fromEntries(gone.map((key) => [key, undefined])), ...props });
  }
  if (changed.has("seeds")) {
    node.forget(...oldSeeds.filter((seed) => !seeds.includes(seed)));
    node.join(...seeds.filter((seed) => !oldSeeds.includes(seed)));
  }
  if (changed.has("discovery")) source.set(after.fixed);
}

// --- Certificates ----------------------------------------------------------------------------------------------------

interface TlsValues {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly ca?: string;
  readonly dialling?: TlsValues;
  readonly checkAddress?: boolean;
}

/** Why a certificate is unusable now; `undefined`: it is valid. */
function certificateFault(pem: string, now: number = Date.now()): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return "it is not a certificate in PEM";
  }
  const { validFrom, validTo } = certificate;
  if (Date.parse(validTo) < now) return `the certificate has expired: it was valid until ${validTo}`;
  if (Date.parse(validFrom) > now) return `the certificate is not valid before ${validFrom}`;
  return undefined;
}

/** Reads certificates; each unusable file becomes a finding. @returns `undefined` after one */
async function tlsFrom<T extends ClusterListenerTls = ClusterTlsOptions>(
  { dialling, checkAddress, ...own }: TlsValues,
  files: NamedFiles,
  path: Path,
): Promise<T | undefined> {
  const before = files.findings.length;
  const pair = async ({ passphrase, ...names }: TlsValues, at: Path): Promise<object> => {
    const pems = await files.pems(at, names, ["cert", "key", "ca"]);
    const fault = pems.cert === undefined ? undefined : certificateFault(pems.cert);
    if (fault !== undefined) files.found([...at, "cert"], fault);
    return { ...pems, ...defined({ passphrase }) };
  };
  const options = {
    ...(await pair(own, path)),
    ...defined({ dialling: dialling && (await pair(dialling, [...path, "dialling"])), checkAddress }),
  };
  return files.findings.length > before ? undefined : (options as unknown as T);
}
