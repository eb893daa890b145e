/** shoal node start: a node from flags or a file, its lines, its control socket, and its end. */
import { constants } from "node:os";
import { ClusterNode, type DiscoveryServer, type RefusedReason } from "../cluster/index.js";
import { textOf } from "../config/file.js";
import { defined } from "../core/arguments.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { Log } from "./log.js";
import {
  applyChanges,
  changedKeys,
  type NodeConfiguration,
  nodeConfigurationOf,
  nodeConfigurationOfFlags,
  restartKeys,
  StaticList,
} from "./node-config.js";
import { NodeOperator } from "./node-operator.js";
import { nodeFlags } from "./node-schema.js";
import { NodeSessions, serveClients } from "./node-servers.js";
import { NodeService } from "./node-service.js";
import { LINE_EVENTS, NodeLines } from "./node-text.js";
import { checkFile, failureOf, operate, type Reload } from "./operation.js";
import { checkEndpoints } from "./options.js";
import { Stop, terminal } from "./terminal.js";

/** Unread bytes of standard output beyond which lines are dropped, with a warning. */
const MAX_UNREAD = 1_048_576;

const { EMFILE } = constants.errno;
/** Most control endpoints in the registry, and characters of each. */
const MAX_SHOWN = 8;
const MAX_SHOWN_ENDPOINT = 256;

export interface StartSettings {
  readonly config?: string;
  readonly json?: boolean;
  /** Values of flags (`nodeFlags`). */
  readonly [flag: string]: unknown;
}

interface Start {
  /** Reads the configuration, or the files of the flags, again. */
  read(): Promise<NodeConfiguration>;
  readonly configuration: NodeConfiguration;
  /** The configuration file, or the flags. */
  readonly what: string;
}

export async function startNode(settings: StartSettings): Promise<void> {
  const source = new StaticList();
  const start = await (settings.config === undefined
    ? startOfFlags(settings, source)
    : startOfFile(settings.config, settings, source));
  const { options, control, metrics, clients, sessions: sessionsSettings } = start.configuration;
  source.set(start.configuration.fixed);
  const { name = "" } = options;
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
      else log.warnOnce("no one reads standard output: lines are dropped");
    },
    (line) => operator.note(line),
  );
  const service = new NodeService(node, operator, control, log, stop.request);
  // Unlike a reader of events, listeners miss nothing.
  for (const type of LINE_EVENTS) node.events.on(type, (change) => lines.change(change));
  node.events.on("refused", ({ address, reason }) =>
    log.warn(refusalText(address, reason), { address, reason }),
  );
  node.events.on("discovery:down", ({ source, error }) =>
    log.warn(`discovery by ${source} is down: ${error.message}`, { source, code: codeOf(error) }),
  );
  node.events.on("discovery:up", ({ source: name }) => {
    // The empty list of static addresses is not a source.
    if (name !== source.name || source.addresses.length > 0)
      log.info(`discovery by ${name} is up`, { source: name });
  });
  node.events.on("registry:down", ({ error }) =>
    log.warn(`shoal node names does not show this node: ${error.message}`, { code: codeOf(error) }),
  );
  node.events.on("protocol:failed", ({ node: other, protocol, reason }) => {
    // A failure with one node concerns only that node: the next protocol is tried.
    if (other === undefined)
      log.warn(`others do not reach this node's messages by ${protocol}: ${reason}`, { protocol });
  });
  let server: DiscoveryServer | undefined;
  let sessions: NodeSessions | undefined;
  const close = async (linger: number): Promise<void> => {
    const served = sessions;
    sessions = undefined;
    try {
      await served?.close();
    } finally {
      await service.close(linger); // The node leaves, also when the store fails.
    }
  };
  const reload = reloadOf(start, (before, after) => applyChanges(node, server, source, before, after));
  try {
    const sources = () => ({ [name]: node, ...(server && { [`${name} clients`]: server }) });
    await operate({ settings: defined({ metrics }), log, stop, close, sources, reload }, async () => {
      await service.listen();
      const { control: bound = [] } = service.endpoints;
      node.showControl(bound.filter(({ length }) => length <= MAX_SHOWN_ENDPOINT).slice(0, MAX_SHOWN));
      await asUsage(() => node.start()).catch((error: unknown) => {
        throw isOutOfFiles(error)
          ? new Failure(`too many open files: this process may have no more (ulimit -n): ${describe(error)}`)
          : error;
      });
      if (clients !== undefined) server = await asUsage(() => serveClients(node, clients, log));
      if (sessionsSettings !== undefined) {
        sessions = await NodeSessions.start(node, sessionsSettings, log);
        operator.sessionsOf(sessions);
      }
      const { self, address } = node;
      lines.ready(self, node.members({ self: false }), {
        address,
        ...service.endpoints,
        ...defined({ clients: server?.endpoint, clientsHttp: server?.url, sessions: sessions?.endpoint }),
      });
    });
  } finally {
    stdout.off("error", stop.request);
  }
}

/** Reading network interfaces reports only a number. */
function isOutOfFiles(error: unknown): boolean {
  return hasCode(error, "EMFILE") || Math.abs((error as { readonly errno?: number }).errno ?? 0) === EMFILE;
}

async function startOfFlags(settings: StartSettings, source: StaticList): Promise<Start> {
  const read = (): Promise<NodeConfiguration> => nodeConfigurationOfFlags(settings, source);
  return { read, configuration: await read(), what: "the files of its options" };
}

/** @throws UsageError for flags next to --config; Failure for problems of the file */
async function startOfFile(file: string, settings: StartSettings, source: StaticList): Promise<Start> {
  const other = nodeFlags().find(({ option }) => settings[option.attributeName()] !== undefined);
  if (other !== undefined)
    throw new UsageError(`--config FILE defines everything; ${other.option.long} cannot be added to it`);
  try {
    const configuration = await nodeConfigurationOf(file, await textOf(file), source);
    const read = async (): Promise<NodeConfiguration> =>
      nodeConfigurationOf(file, await textOf(file, true), source);
    return { read, configuration, what: file };
  } catch (error) {
    throw failureOf(file, error, new Log("node start"));
  }
}

function reloadOf(
  { read, configuration, what }: Start,
  apply: (before: NodeConfiguration, after: NodeConfiguration) => void,
): Reload {
  let running = configuration;
  return {
    what,
    apply: async () => {
      const wanted = await read();
      const restart = restartKeys(running, wanted);
      if (restart.length > 0)
        throw new Failure(`${restart.join(", ")} cannot change while the node runs: restart it`);
      const changed = changedKeys(running, wanted);
      apply(running, wanted);
      running = wanted;
      return changed.length === 0 ? "" : `${changed.join(", ")} changed`;
    },
    unchanged: "the node continues",
  };
}

export async function checkNode(file: string, settings: { readonly json?: boolean }): Promise<void> {
  await checkFile(file, settings, async () => {
    const { options } = await nodeConfigurationOf(file, await textOf(file));
    const { name, cluster = "default", scope = "host" } = options;
    return `${name} (cluster ${cluster}, scope ${scope})`;
  });
}

const REFUSALS: Readonly<Record<RefusedReason, string>> = {
  password: "it has another password",
  key: "it has another key",
  unsealed: "it has no key",
  cluster: "it is of another cluster",
  certificate: "it has no certificate, or one that is not accepted",
  tls: "it speaks no TLS where this node does, or TLS where this node does not",
  replayed: "what it sent was recorded before, or made up",
  forged: "what it sent was not sealed by the key that it names",
  identity: "it did not prove a key of its own",
  denied: "its key is not allowed",
  address: "another node is linked under its address",
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
