/** The requesting side of commands for a running node. */

import { type ClusterNodeEntry, clusterNames } from "../cluster/index.js";
import { ControlClient } from "./control-client.js";
import { Failure, hasCode, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { MAX_NODE_COMMAND, type Members, type NodeCommand, TIMEOUT } from "./node-commands.js";
import { namesText } from "./node-text.js";
import type { Exchange } from "./node-transfer.js";
import { LINES, printing, printText } from "./output.js";
import {
  certificateOf,
  clientSecurityOptions,
  type SecurityOptions,
  type SecuritySettings,
} from "./security.js";
import { callFailure } from "./service.js";

/** ms for the reply after `wait`. */
const AFTER_WAIT = 1_000;
const MAX_NAMED = 8;

export interface SteerSettings extends SecuritySettings {
  readonly control?: string;
  readonly node?: string;
  readonly timeout?: number;
  readonly json?: boolean;
}

export async function steer(
  name: string,
  command: NodeCommand,
  members: Members,
  settings: SteerSettings,
): Promise<void> {
  // Wrong types need no node to be reported.
  for (const [member, { accepts, expected }] of Object.entries(command.members))
    if (members[member] !== undefined && !accepts(members[member]))
      throw new UsageError(`${member} must be ${expected}`);
  const { wait = TIMEOUT } = members as { readonly wait?: number };
  const expected = command.waits === true ? wait + AFTER_WAIT : TIMEOUT;
  const { timeout = expected, json } = settings;
  const security = await securityOf(settings);
  await printing(LINES, async (output, stop) => {
    const endpoint = await endpointOf(settings);
    const client = await ControlClient.open(endpoint, security);
    const { connection } = client;
    try {
      const ask: Exchange["ask"] = async (asked, longer = 0, signal = stop.requested) => {
        // A restarted node has lost the session.
        connection.throwIfAborted();
        const request = { command: name, ...asked };
        // The node drops connections with longer commands.
        const bytes = Buffer.byteLength(JSON.stringify(request));
        if (bytes > MAX_NODE_COMMAND)
          throw new Failure(`a command has at most ${MAX_NODE_COMMAND} bytes as JSON; this one has ${bytes}`);
        const reply = await client.command(request, { timeout: timeout + longer, signal });
        if (reply.command === name) return reply;
        throw new Failure(`${endpoint} is not a node's control socket, but perhaps a proxy's`);
      };
      const log = new Log(`node ${name}`);
      const exchange: Exchange = { members, json: json === true, stop, log, connection, output, ask };
      if (command.exchange !== undefined) await command.exchange(exchange);
      else if (command.lines === true && members.text === undefined) {
        const { askLines } = await import("./node-transfer.js");
        await askLines(exchange, command.text);
      } else {
        const reply = await ask(members);
        const lines = json === true ? [JSON.stringify(reply)] : command.text?.(reply);
        if (lines !== undefined) await output.write(linesOf(lines));
        else log.info(command.done?.(members, reply) ?? "done");
      }
    } catch (error) {
      // The reader of standard output has left.
      if (!output.gone || !hasCode(error, "ABORT_ERR"))
        throw explain(callFailure(error, timeout), name, endpoint);
    } finally {
      await client.close();
    }
  });
}

/** Proxies have other commands, and one of the same name with a side. */
function explain(error: unknown, name: string, endpoint: string): unknown {
  if (error instanceof Error && /^(?:line \d+: )?(?:expected a command of|side must be)/.test(error.message))
    return new Failure(
      `the control socket at ${endpoint} has no command ${name}: it is a proxy's, or of another version of shoal`,
    );
  return error;
}

async function securityOf(settings: SteerSettings): Promise<SecurityOptions> {
  const { curveCertificate: file, curveServerKey } = settings;
  if (file === undefined || curveServerKey !== undefined) return clientSecurityOptions(settings);
  // The operator has the node's own certificate: its public half is the server's key.
  const { publicKey } = await certificateOf(file);
  return clientSecurityOptions({ ...settings, curveServerKey: publicKey });
}

/** The endpoint of `--control`, or of the only matching node of this user on this host. */
async function endpointOf({ control, node }: SteerSettings): Promise<string> {
  if (control !== undefined) {
    if (node !== undefined) throw new UsageError("--node finds a node by its name: not with --control");
    return control;
  }
  const registered = await clusterNames();
  const there = registered.filter((each) => each.control.length > 0);
  if (there.length === 0)
    throw new Failure(
      `no node of this user on this host takes commands${registered.length === 0 ? "" : `; there are ${namesOf(registered)}`}; ` +
        '"shoal node start" starts one, and --control EP names another\'s',
    );
  const meant =
    node === undefined ? there : there.filter(({ name }) => name === node || name.startsWith(`${node}@`));
  const [only] = meant;
  if (only !== undefined && meant.length === 1) return only.control[0] as string;
  throw new Failure(
    only === undefined
      ? `no node of this user on this host is called ${node}; there are ${namesOf(there)}`
      : `${meant.length} nodes run on this host: ${namesOf(meant)}; choose one with --node NAME or --control EP`,
  );
}

function namesOf(nodes: readonly ClusterNodeEntry[]): string {
  const names = nodes
    .slice(0, MAX_NAMED)
    .map(({ name, control: [endpoint] }) => `${name} (${endpoint ?? "takes no commands"})`);
  return `${names.join(", ")}${nodes.length > MAX_NAMED ? `, and ${nodes.length - MAX_NAMED} more` : ""}`;
}

export async function printNames(json: boolean): Promise<void> {
  const names = await clusterNames();
  const lines = json ? [JSON.stringify({ ok: true, names })] : namesText(names);
  if (lines.length > 0) await printText(linesOf(lines));
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
