/** shoal node start: a node, its lines on standard output, its control socket, and its end. */
import {
  type ClusterEvent,
  ClusterNode,
  type ClusterNodeOptions,
  parseDiscovery,
  type RefusedReason,
} from "../cluster/index.js";
import { asUsage, UsageError } from "./failure.js";
import { readKeyFile, readPasswordFile } from "./key-file.js";
import { Log } from "./log.js";
import { LINE_EVENTS, NodeLines } from "./node-lines.js";
import { NodeOperator } from "./node-operator.js";
import { type ControlSettings, NodeService } from "./node-service.js";
import { type OperationSettings, operate } from "./operation.js";
import { checkEndpoints, defined } from "./options.js";
import { Stop } from "./stop.js";
import { terminal } from "./terminal.js";

/** Bytes of lines that wait for a slow reader of standard output; past it lines are dropped, and that is logged. */
const MAX_UNREAD = 1_048_576;

export interface StartSettings extends ControlSettings, OperationSettings {
  readonly name: string;
  readonly json?: boolean;
  readonly tag?: readonly string[];
  readonly prop?: readonly string[];
  readonly group?: string;
  readonly scope?: "host" | "link";
  readonly interface?: string;
  readonly discovery?: readonly string[];
  readonly ports?: string;
  readonly key?: string;
  readonly passwordFile?: string;
  readonly zre?: boolean;
}

/** @throws UsageError, Failure, or what the library throws */
export async function startNode(settings: StartSettings): Promise<void> {
  const { name, group, zre = false, control } = settings;
  const options = await optionsOf(settings);
  if (Array.isArray(control)) checkEndpoints(control, "--control EP");
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
  const service = new NodeService(node, operator, settings, log, stop.request);
  // Listeners, which miss nothing: a reader of events has a bound.
  for (const type of Object.keys(LINE_EVENTS) as ClusterEvent["type"][])
    node.events.on(type, (change) => lines.change(change));
  node.events.on("refused", ({ address, reason }) =>
    log.warn(refusalText(address, reason), { address, reason }),
  );
  node.events.on("discovery:down", ({ source, error }) =>
    log.warn(`discovery by ${source} is down: ${error.message}`, { source, code: codeOf(error) }),
  );
  node.events.on("discovery:up", ({ source }) => log.info(`discovery by ${source} is up`, { source }));
  try {
    await operate({ settings, log, stop, service, sources: () => ({ [name]: node }) }, async () => {
      await service.listen();
      await asUsage(() => node.start());
      if (zre && group !== undefined) node.joinGroup(group);
      const { self, address } = node;
      lines.ready(self, node.members({ self: false }), { address, ...service.endpoints });
      if (zre) log.warnOnce("ZRE goes to the link, and is not encrypted");
    });
  } finally {
    stdout.off("error", stop.request);
  }
}

/** @throws UsageError */
async function optionsOf(settings: StartSettings): Promise<ClusterNodeOptions> {
  const { name, group, scope, zre, ports, interface: on, tag = [], prop = [] } = settings;
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
  return {
    name,
    tags: tag,
    props: propsOf(prop),
    ...defined({ group, scope, interface: on, ports, key, password, zre, discovery }),
  };
}

const REFUSALS: Readonly<Record<RefusedReason, string>> = {
  password: "it has another password",
  key: "it has another key",
  unsealed: "it has no key",
  bus: "it is of another cluster",
  replayed: "what it sent was recorded before, or made up",
  forged: "what it sent was not sealed by the key that it names",
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

function propsOf(pairs: readonly string[]): Record<string, string> {
  const props = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--prop expects KEY=VALUE; got ${JSON.stringify(pair)}`);
    const key = pair.slice(0, at);
    if (props.has(key)) throw new UsageError(`--prop ${key} is given twice`);
    props.set(key, pair.slice(at + 1));
  }
  return Object.fromEntries(props);
}
