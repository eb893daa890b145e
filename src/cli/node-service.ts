/**
 * The control socket of a node, its access rules, and the node's end.
 *
 * The default socket is in a folder of the user that others cannot enter. The registry of this host's nodes lists it,
 * and removes it after the node was killed.
 *
 *   the user's folder for sockets (core/file-system.ts)                   mode 700
 *     └── 3f9a04c2b1d7.sock      the first 12 digits of the node's id     mode 600
 */
import { lookup } from "node:dns/promises";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import type { ClusterNode } from "../cluster/index.js";
import {
  type ControlAnswer,
  ControlServer,
  commandText,
  jsonOf,
  jsonReply,
  MAX_BYTES,
  parseCommand,
} from "../control/server.js";
import { makeOwnFolder, runtimeFolder } from "../core/file-system.js";
import { isLoopback } from "../core/http-server.js";
import { InvalidArgumentError, Router } from "../index.js";
import { KeyFolder } from "../sockets/security/key-folder.js";
import { asUsage, describe, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { MAX_NODE_COMMAND, NODE_COMMAND_TABLE, NODE_COMMANDS } from "./node-commands.js";
import type { NodeOperator } from "./node-operator.js";
import { type SecurityOptions, securityOptions } from "./security.js";

/** Queued replies per reader; more are dropped. */
const MAX_REPLIES = 16;
/** ms for the last replies. */
const REPLY_LINGER = 500;
const NAME_DIGITS = 12;

export interface ControlSettings {
  /** Endpoints; `false`: none. Default: a socket of the user. */
  readonly control?: readonly string[] | false;
  readonly controlCurveCertificate?: string;
  readonly controlKeys?: string;
}

/** A node and its control socket, which closes last so that a running command gets its reply. */
export class NodeService {
  readonly #node: ClusterNode;
  readonly #operator: NodeOperator;
  readonly #settings: ControlSettings;
  readonly #log: Log;
  readonly #end: () => void;
  #control: Router | undefined;
  #keys: KeyFolder | undefined;
  #bound: string[] = [];

  /** @param end called when a command ends the node */
  constructor(
    node: ClusterNode,
    operator: NodeOperator,
    settings: ControlSettings,
    log: Log,
    end: () => void,
  ) {
    this.#node = node;
    this.#operator = operator;
    this.#settings = settings;
    this.#log = log;
    this.#end = end;
  }

  /** Bound endpoints, as members of a line. */
  get endpoints(): { readonly control?: readonly string[] } {
    return this.#bound.length === 0 ? {} : { control: this.#bound };
  }

  async listen(): Promise<void> {
    const { control } = this.#settings;
    if (control === false) return;
    try {
      await this.#bind(control ?? [defaultEndpoint(this.#node.id)]);
    } catch (error) {
      if (control !== undefined) throw error;
      // The default socket is optional: its folder may be unusable or full, or its path too long.
      await this.#control?.close({ linger: 0 });
      this.#control = undefined;
      this.#log.warn(`no control socket: ${describe(error)}`);
    }
  }

  async #bind(endpoints: readonly string[]): Promise<void> {
    const socket = new Router({
      linger: 0,
      maxMessageSize: MAX_BYTES,
      sendHighWaterMark: MAX_REPLIES,
      receiveHighWaterMark: MAX_REPLIES,
      ...(await this.#security(endpoints)),
    });
    this.#control = socket;
    for (const endpoint of endpoints) {
      await asOwner(() => asUsage(() => socket.bind(endpoint)));
      const bound = socket.lastEndpoint ?? endpoint;
      this.#bound.push(bound);
      // Commands find the default socket by the registry.
      const report = this.#settings.control === undefined ? "debug" : "info";
      this.#log.write(report, `control listening at ${bound}`, { side: "control", endpoint: bound });
    }
    void new ControlServer().run(socket, (frames) => this.#answer(frames));
  }

  async #security(endpoints: readonly string[]): Promise<object> {
    const security = await controlSecurity(endpoints, this.#settings);
    if (security.curveServer !== true) return security;
    const { controlKeys } = this.#settings;
    const own = security.curvePublicKey;
    if (controlKeys !== undefined)
      this.#keys = await asUsage(() =>
        KeyFolder.open(controlKeys, ({ keys, problems }) => {
          for (const problem of problems) this.#log.warnOnce(`${controlKeys}: ${problem}`);
          this.#log.info(`${keys.size} keys may use the control socket`);
        }),
      );
    return {
      ...security,
      authenticate: ({ publicKey }: { readonly publicKey?: string }) =>
        publicKey !== undefined && (publicKey === own || this.#keys?.now.keys.has(publicKey) === true),
    };
  }

  async #answer(frames: readonly Buffer[]): Promise<ControlAnswer> {
    const value = jsonOf(commandText(frames, MAX_NODE_COMMAND));
    if (value === undefined) throw new InvalidArgumentError('expected JSON such as {"command":"status"}');
    const { name, members } = parseCommand(value, NODE_COMMAND_TABLE);
    const command = NODE_COMMANDS[name];
    const result = await command?.run(this.#operator, members);
    const reply = jsonReply({ command: name, ...(typeof result === "object" ? result : {}) });
    return command?.ends === true ? { reply, after: this.#end } : { reply };
  }

  async close(linger: number): Promise<void> {
    await this.#node.close({ linger });
    this.#operator.end();
    // Watching readers get the end in this turn.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#control?.close({ linger: Math.min(linger, REPLY_LINGER) });
    this.#keys?.close();
  }
}

/** Opens nothing. @throws UsageError for open tcp and conflicting options; Failure for an unreadable certificate */
export async function controlSecurity(
  endpoints: readonly string[],
  { controlCurveCertificate, controlKeys }: ControlSettings,
): Promise<SecurityOptions> {
  const security = await securityOptions(
    { curveCertificate: controlCurveCertificate },
    { bind: endpoints },
    "control-",
  );
  if (controlKeys !== undefined && security.curveServer !== true)
    throw new UsageError("--control-keys needs --control-curve-certificate, the keys of the control socket");
  if (security.curveServer === true) return security;
  for (const endpoint of endpoints)
    if (!(await isLocal(endpoint)))
      throw new UsageError(
        `anybody who reaches ${endpoint} could remove members; expected --control-curve-certificate FILE, an ipc:// endpoint, or a loopback address`,
      );
  return {};
}

/** Whether only this host reaches an endpoint. */
async function isLocal(endpoint: string): Promise<boolean> {
  const host = /^tcp:\/\/(.*):[^:]+$/.exec(endpoint)?.[1];
  if (host === undefined) return endpoint.startsWith("ipc:");
  const name = host.replace(/^\[(.*)\]$/, "$1");
  if (isLoopback(name) || name === "lo") return true; // An address, or the interface.
  // An unknown name counts as remote, which needs keys.
  const found = await lookup(name, { all: true }).catch(() => []);
  return found.length > 0 && found.every(({ address }) => isLoopback(address));
}

/** Creates the folder. @throws InvalidStateError `EFSM` for one that others can enter; the system's error */
function defaultEndpoint(id: string): string {
  const folder = runtimeFolder();
  makeOwnFolder(folder);
  return `ipc://${join(folder, `${id.slice(0, NAME_DIGITS)}.sock`)}`;
}

/** Number of sockets being created, and the umask to restore. */
let making = 0;
let mask = 0;

/** Creates a socket that only its owner can connect to, from the first moment. */
async function asOwner<T>(action: () => Promise<T>): Promise<T> {
  // A thread cannot set the umask.
  if (!isMainThread) return action();
  if (making++ === 0) mask = process.umask(0o177);
  try {
    return await action();
  } finally {
    if (--making === 0) process.umask(mask);
  }
}
