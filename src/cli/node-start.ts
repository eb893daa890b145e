/** shoal node start: a node, its lines on standard output, its control socket, and its end. */
import {
  type ClusterEvent,
  ClusterNode,
  type ClusterNodeOptions,
  type RefusedReason,
} from "../cluster/index.js";
import { commandText, jsonOf, jsonReply, parseCommand } from "../control/protocol.js";
import { ControlServer, MAX_BYTES } from "../control/server.js";
import { InvalidArgumentError, Reply } from "../index.js";
import { asUsage, UsageError } from "./failure.js";
import { readKeyFile, readPasswordFile } from "./key-file.js";
import { Log } from "./log.js";
import { MAX_NODE_COMMAND, NODE_COMMAND_TABLE, NODE_COMMANDS, type SteeredNode } from "./node-commands.js";
import { LINE_EVENTS, NodeLines } from "./node-lines.js";
import { operate } from "./operation.js";
import { checkEndpoints, defined } from "./options.js";
import { type Service, Stop } from "./stop.js";
import { terminal } from "./terminal.js";

/** Bytes of lines that wait for a slow reader of standard output; past it lines are dropped, and that is logged. */
const MAX_UNREAD = 1_048_576;

export interface StartSettings {
  readonly name: string;
  readonly json?: boolean;
  readonly tag?: readonly string[];
  readonly prop?: readonly string[];
  readonly group?: string;
  readonly scope?: "host" | "link";
  readonly interface?: string;
  readonly ports?: string;
  readonly key?: string;
  readonly passwordFile?: string;
  readonly zre?: boolean;
  readonly control?: readonly string[];
}

/** @throws UsageError, Failure, or what the library throws */
export async function startNode(settings: StartSettings): Promise<void> {
  const { name, group, zre = false, control } = settings;
  const options = await optionsOf(settings);
  if (control !== undefined) checkEndpoints(control, "--control EP");
  const log = new Log(`node ${name}`);
  const node = await asUsage(() => new ClusterNode(options));
  const stop = new Stop().listen();
  const { stdout } = terminal();
  stdout.on("error", stop.request); // The reader is gone.
  const lines = new NodeLines(settings.json === true, (line) => {
    if (stdout.writableLength < MAX_UNREAD) stdout.write(`${line}\n`);
    else log.warnOnce("nobody reads standard output: lines are dropped");
  });
  const service = new NodeService(node, control ?? [], log);
  // Listeners, which miss nothing: a reader of events has a bound.
  for (const type of Object.keys(LINE_EVENTS) as ClusterEvent["type"][])
    node.events.on(type, (change) => lines.change(change));
  node.events.on("refused", ({ address, reason }) =>
    log.warn(refusalText(address, reason), { address, reason }),
  );
  try {
    await operate({ settings: {}, log, stop, service, sources: () => ({}) }, async () => {
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
  return {
    name,
    tags: tag,
    props: propsOf(prop),
    ...defined({ group, scope, interface: on, ports, key, password, zre }),
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

/** A node and its control socket, which closes last: a command under way has its reply. */
class NodeService implements Service {
  readonly #node: ClusterNode;
  readonly #endpoints: readonly string[];
  readonly #log: Log;
  #control: Reply | undefined;
  #bound: string[] = [];
  #closing: Promise<void> | undefined;

  constructor(node: ClusterNode, endpoints: readonly string[], log: Log) {
    this.#node = node;
    this.#endpoints = endpoints;
    this.#log = log;
  }

  /** Where the control socket listens, wildcards filled in, as a member of a line. */
  get endpoints(): { readonly control?: readonly string[] } {
    return this.#bound.length === 0 ? {} : { control: this.#bound };
  }

  /** Opens the control socket. */
  async listen(): Promise<void> {
    if (this.#endpoints.length === 0) return;
    const socket = new Reply({ linger: 0, maxMessageSize: MAX_BYTES });
    this.#control = socket;
    for (const endpoint of this.#endpoints) {
      await asUsage(() => socket.bind(endpoint));
      const bound = socket.lastEndpoint ?? endpoint;
      this.#bound.push(bound);
      this.#log.info(`control listening at ${bound}`, { side: "control", endpoint: bound });
    }
    void new ControlServer().run(socket, (frames) => answer(this.#node, frames));
  }

  /** Leaves the cluster. @param options linger 0: at once */
  close({ linger }: { readonly linger: number }): Promise<void> {
    if (linger === 0) return this.#end(0);
    this.#closing ??= this.#end(linger);
    return this.#closing;
  }

  async #end(linger: number): Promise<void> {
    await this.#node.close({ linger });
    await this.#control?.close({ linger: 0 });
  }
}

async function answer(node: SteeredNode, frames: readonly Buffer[]): Promise<{ reply: Buffer[] }> {
  const value = jsonOf(commandText(frames, MAX_NODE_COMMAND));
  if (value === undefined)
    throw new InvalidArgumentError('expected JSON such as {"command":"remove","name":"billing"}');
  const { name, members } = parseCommand(value, NODE_COMMAND_TABLE);
  const result = await NODE_COMMANDS[name]?.run(node, members as Readonly<Record<string, string>>);
  return { reply: jsonReply({ command: name, ...(typeof result === "object" ? result : {}) }) };
}
