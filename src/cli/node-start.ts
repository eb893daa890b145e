/** shoal node start: a node from flags or from a file that it follows, its lines on standard output, its control socket, and its end. */
import { constants } from "node:os";
import {
  type ClusterEvent,
  ClusterNode,
  type ClusterNodeOptions,
  type DiscoveryServer,
  type DiscoveryServerOptions,
  ManualSource,
  parseDiscovery,
  type RefusedReason,
} from "../cluster/index.js";
import type { NamedFileStates } from "../config/file.js";
import { quoted } from "../core/arguments.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { readKeyFile, readPasswordFile } from "./key-file.js";
import { Log } from "./log.js";
import { type ClientsFlags, clientsOfFlags, clientsTlsOf, serveClients } from "./node-clients.js";
import type { NodeConfiguration } from "./node-config.js";
import { LINE_EVENTS, NodeLines } from "./node-lines.js";
import { NodeOperator } from "./node-operator.js";
import { type ControlSettings, NodeService } from "./node-service.js";
import { NodeSessions, type SessionsFlags, type SessionsSettings, sessionsOfFlags } from "./node-sessions.js";
import { PemFiles, renewalOf, type TlsFlags, tlsOfFlags } from "./node-tls.js";
import { type OperationSettings, operate } from "./operation.js";
import { checkEndpoints, defined } from "./options.js";
import type { Reloads } from "./reloads.js";
import { keysFrom } from "./security.js";
import { Stop } from "./stop.js";
import { terminal } from "./terminal.js";

/** Bytes of lines that wait for a slow reader of standard output; past it lines are dropped, and that is logged. */
const MAX_UNREAD = 1_048_576;

/** The system's number for too many open files. */
const { EMFILE } = constants.errno;
/** Control endpoints that the registry of this host's nodes takes, and characters of one. */
const MAX_SHOWN = 8;
const MAX_SHOWN_ENDPOINT = 256;

export interface StartSettings
  extends ControlSettings,
    OperationSettings,
    ClientsFlags,
    SessionsFlags,
    TlsFlags {
  /** Without `config`. */
  readonly name?: string;
  readonly config?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
  readonly tag?: readonly string[];
  readonly prop?: readonly string[];
  readonly advertise?: readonly string[];
  readonly group?: string;
  readonly scope?: "host" | "link";
  readonly interface?: string;
  readonly discovery?: readonly string[];
  readonly ports?: string;
  readonly key?: string;
  readonly passwordFile?: string;
  readonly zre?: boolean;
  readonly ipv6?: boolean;
  readonly curveCertificate?: string;
  readonly curveAllow?: string;
}

/** What a reload changes. */
interface Running {
  readonly node: ClusterNode;
  /** `undefined` before it serves, and without such a server. */
  clients(): DiscoveryServer | undefined;
}

/** What a node is started with, from flags or from a file. */
interface Start {
  readonly options: ClusterNodeOptions;
  readonly control: ControlSettings;
  readonly metrics?: string | undefined;
  readonly clients?: DiscoveryServerOptions | undefined;
  readonly sessions?: SessionsSettings | undefined;
  /** Of a file: the source of its own addresses. */
  readonly fixed?: ManualSource;
  /** Of a file: keeps a SIGHUP that comes before the node runs. */
  reloadsOf?(running: Running, log: Log): Reloads;
  /** Of the file, as it was read, and of the files that it names. */
  readonly text?: string;
  readonly files?: NamedFileStates;
}

/** @throws UsageError, Failure, or what the library throws */
export async function startNode(settings: StartSettings): Promise<void> {
  const {
    options,
    control,
    metrics,
    clients,
    sessions: sessionsSettings,
    reloadsOf,
    fixed,
    text = "",
    files = {},
  }: Start = settings.config === undefined
    ? await startOfFlags(settings)
    : await startOf(settings.config, settings);
  const { name = "", group, zre = false } = options;
  if (Array.isArray(control.control)) checkEndpoints(control.control, "--control EP");
  const log = new Log(`node ${name}`);
  const node = await asUsage(() => new ClusterNode(options));
  const stop = new Stop().listen();
  const { stdout } = terminal();
  stdout.on("error", stop.request); // The reader is gone.
  const operator = new NodeOperator(node);
  const lines = new NodeLines(
    settings.json === true,
    (line) => {
      if (stdout.writableLength < MAX_UNREAD) stdout.write(`${line}\n`);
      else log.warnOnce("nobody reads standard output: lines are dropped");
    },
    (line) => operator.note(line),
  );
  const service = new NodeService(node, operator, control, log, stop.request);
  // Listeners, which miss nothing: a reader of events has a bound.
  for (const type of Object.keys(LINE_EVENTS) as ClusterEvent["type"][])
    node.events.on(type, (change) => lines.change(change));
  node.events.on("refused", ({ address, reason }) =>
    log.warn(refusalText(address, reason), { address, reason }),
  );
  node.events.on("discovery:down", ({ source, error }) =>
    log.warn(`discovery by ${source} is down: ${error.message}`, { source, code: codeOf(error) }),
  );
  node.events.on("discovery:up", ({ source }) => {
    // The list of a file, which is there to be filled by a reload, is no source while it is empty.
    if (source !== fixed?.name || fixed.addresses.length > 0)
      log.info(`discovery by ${source} is up`, { source });
  });
  node.events.on("registry:down", ({ error }) =>
    log.warn(`shoal node names does not show this node: ${error.message}`, { code: codeOf(error) }),
  );
  node.events.on("protocol:failed", ({ node: other, protocol, reason }) => {
    // With another node it is that node's, or the way there: the next protocol is tried.
    if (other === undefined)
      log.warn(`others do not reach this node's messages by ${protocol}: ${reason}`, { protocol });
  });
  node.events.on("files:exhausted", ({ error }) =>
    log.warn(
      `${error.message}: connections are closed as they come, and none can be made; the limit is that of ulimit -n, or LimitNOFILE= of systemd`,
      { code: error.code },
    ),
  );
  node.events.on("files:available", () => log.info("files can be opened again"));
  node.events.on("registry:up", () => log.info("shoal node names shows this node"));
  let server: DiscoveryServer | undefined;
  let sessions: NodeSessions | undefined;
  const reloads = reloadsOf?.({ node, clients: () => server }, log);
  try {
    const sources = () => ({ [name]: node, ...(server && { [`${name} clients`]: server }) });
    await operate({ settings: defined({ metrics }), log, stop, service, sources }, async () => {
      await service.listen();
      await asUsage(() => node.start()).catch((error: unknown) => {
        throw isOutOfFiles(error)
          ? new Failure(`too many open files: this process may have no more (ulimit -n): ${describe(error)}`)
          : error;
      });
      if (zre !== false && group !== undefined) node.joinGroup(group);
      if (clients !== undefined) server = await asUsage(() => serveClients(node, clients, log));
      if (sessionsSettings !== undefined) {
        sessions = await NodeSessions.start(node, sessionsSettings, log);
        operator.sessionsOf(sessions);
      }
      const { self, address } = node;
      showControl(node, service);
      lines.ready(self, node.members({ self: false }), {
        address,
        ...service.endpoints,
        ...defined({ clients: server?.endpoint, clientsHttp: server?.url, sessions: sessions?.endpoint }),
      });
      if (zre !== false) log.warnOnce("ZRE goes to the link, and is not encrypted");
      await reloads?.follow(text, settings.watch !== false, files);
    });
  } finally {
    reloads?.close();
    await sessions?.close();
    stdout.off("error", stop.request);
  }
}

/** The system names it where it opens sockets, and has a number only where it reads the network interfaces. */
function isOutOfFiles(error: unknown): boolean {
  return hasCode(error, "EMFILE") || Math.abs((error as { readonly errno?: number }).errno ?? 0) === EMFILE;
}

/** Shows the control endpoints to those who list this host's nodes, as many as there is room for. */
function showControl(node: ClusterNode, { endpoints: { control = [] } }: NodeService): void {
  node.showControl(control.filter((endpoint) => endpoint.length <= MAX_SHOWN_ENDPOINT).slice(0, MAX_SHOWN));
}

/** @throws UsageError */
async function startOfFlags(settings: StartSettings): Promise<Start> {
  const files = new PemFiles(".");
  const tls = await tlsOfFlags(settings, files);
  const options = { ...(await optionsOf(settings)), ...defined({ tls }) };
  const clients = await clientsOfFlags(settings, files);
  const sessions = sessionsOfFlags(settings);
  const start = { options, control: settings, metrics: settings.metrics, clients, sessions };
  const file = settings.tlsCert ?? settings.clientsTlsCert;
  if (file === undefined) return start;
  return {
    ...start,
    text: await files.read(file),
    files: files.states,
    reloadsOf: (running, log) =>
      renewalOf(file, log, async (now) => {
        const renewed = await tlsOfFlags(settings, now);
        const ofClients = await clientsTlsOf(settings, now);
        if (renewed !== undefined) running.node.setTls(renewed);
        if (ofClients !== undefined) running.clients()?.setTls(ofClients);
      }).listen(),
  };
}

/** Options of the command line that go with `--config`. */
const WITH_CONFIG: readonly string[] = [
  "config",
  "watch",
  "json",
  "quiet",
  "verbose",
  "logLevel",
  "logFormat",
];

/** @throws UsageError for flags that the file has; Failure for its problems */
async function startOf(file: string, settings: StartSettings): Promise<Start> {
  const other = Object.entries(settings).find(
    ([key, value]) => value !== undefined && !WITH_CONFIG.includes(key),
  );
  if (other !== undefined)
    throw new UsageError(`--config FILE defines everything; --${kebab(other[0])} cannot be added to it`);
  const [
    { applyChanges, changedKeys, nodeConfigurationOf, restartKeys },
    { failureOf, NotApplied, Reloads },
    { textOf },
  ] = await Promise.all([import("./node-config.js"), import("./reloads.js"), import("../config/file.js")]);
  const source = new ManualSource([], { name: "static" });
  let text: string;
  let running: NodeConfiguration;
  try {
    text = await textOf(file);
    running = await nodeConfigurationOf(file, text, source);
  } catch (error) {
    throw failureOf(file, error, new Log("node start"));
  }
  source.set([...running.fixed]);
  const { options, control, metrics, clients, sessions } = running;
  return {
    options,
    control,
    metrics,
    clients,
    sessions,
    fixed: source,
    text,
    files: running.files,
    reloadsOf: (started, log) =>
      new Reloads(file, log, {
        apply: async (now) => {
          const wanted = await nodeConfigurationOf(file, now, source);
          const restart = restartKeys(running, wanted);
          if (restart.length > 0) {
            const what = `${restart.join(", ")} cannot change while the node runs: restart it`;
            throw new NotApplied(what, wanted.files);
          }
          const changed = changedKeys(running, wanted);
          applyChanges(started.node, started.clients(), source, running, wanted);
          running = wanted;
          return {
            changed: changed.length === 0 ? "nothing changed" : `${changed.join(", ")} changed`,
            files: wanted.files,
          };
        },
        unchanged: "the node continues",
      }).listen(),
  };
}

/** Prints the problems of a file. @throws Failure when there is one */
export async function checkNode(file: string, settings: { readonly json?: boolean }): Promise<void> {
  const [{ nodeConfigurationOf }, { checkFile }, { textOf }] = await Promise.all([
    import("./node-config.js"),
    import("./reloads.js"),
    import("../config/file.js"),
  ]);
  await checkFile(file, settings, async () => {
    const { options } = await nodeConfigurationOf(file, await textOf(file));
    const { name, group = "default", scope = "host" } = options;
    return `${name} (cluster ${group}, scope ${scope})`;
  });
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** @throws UsageError */
async function optionsOf(settings: StartSettings): Promise<ClusterNodeOptions> {
  const { name, group, scope, zre, ports, interface: on, tag = [], prop = [] } = settings;
  if (name === undefined) throw new UsageError("expected --name N or --config FILE");
  const key = settings.key === undefined ? undefined : await readKeyFile(settings.key);
  if (settings.key !== undefined && settings.passwordFile !== undefined)
    throw new UsageError("expected --key or --password-file, not both");
  const password =
    settings.passwordFile === undefined ? undefined : await readPasswordFile(settings.passwordFile);
  if (scope === "link" && key === undefined && password === undefined)
    throw new UsageError("--scope link needs a key: --key FILE or --password-file FILE");
  if (scope === "host" && zre === true)
    throw new UsageError("--zre goes to the link; expected --scope link, or no --scope");
  const discovery = await asUsage(() => settings.discovery?.map(parseDiscovery));
  const { ipv6, curveCertificate: certificate, curveAllow: allow } = settings;
  if ((certificate === undefined) !== (allow === undefined))
    throw new UsageError("--curve-certificate and --curve-allow go together");
  const curve =
    certificate === undefined || allow === undefined
      ? undefined
      : { ...(await keysFrom(certificate)), allow };
  return {
    name,
    tags: tag,
    props: propsOf(prop),
    advertise: advertisedOf(settings.advertise ?? []),
    ...defined({ group, scope, interface: on, ports, key, password, zre, discovery, ipv6, curve }),
  };
}

const REFUSALS: Readonly<Record<RefusedReason, string>> = {
  password: "it has another password",
  key: "it has another key",
  unsealed: "it has no key",
  bus: "it is of another cluster",
  certificate: "it has no certificate, or one that is not accepted",
  tls: "it speaks no TLS where this node does, or TLS where this node does not",
  replayed: "what it sent was recorded before, or made up",
  forged: "what it sent was not sealed by the key that it names",
  identity: "it did not prove a key of its own",
  denied: "its key is not allowed",
  peer: "",
};

function refusalText(address: string, reason: RefusedReason): string {
  if (reason === "peer") return `${address} refuses this node; its log has the reason`;
  return `refused ${address}: ${REFUSALS[reason]}`;
}

function codeOf(error: Error): string | undefined {
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" ? code : undefined;
}

/** @throws UsageError */
function advertisedOf(pairs: readonly string[]): Record<string, string[]> {
  const advertised = new Map<string, string[]>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--advertise expects NAME=ENDPOINT; got ${quoted(pair)}`);
    const name = pair.slice(0, at);
    advertised.set(name, [...(advertised.get(name) ?? []), pair.slice(at + 1)]);
  }
  return Object.fromEntries(advertised);
}

function propsOf(pairs: readonly string[]): Record<string, string> {
  const props = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--prop expects KEY=VALUE; got ${quoted(pair)}`);
    const key = pair.slice(0, at);
    if (props.has(key)) throw new UsageError(`--prop ${key} is given twice`);
    props.set(key, pair.slice(at + 1));
  }
  return Object.fromEntries(props);
}
