/**
 * A proxy's control socket: its commands, their replies, and what they do.
 *
 *   PAUSE RESUME TERMINATE KILL      reply: one empty frame (libzmq, zmq_proxy_steerable)
 *   STATISTICS                       reply: 8 frames of 8 bytes, unsigned, in the machine's byte order
 *   {"command":"status"} …           reply: {"ok":true,…}
 *   anything else                    reply: {"ok":false,"error":{"code","message"}}
 */
import {
  type CommandTable,
  type ControlAnswer,
  ControlServer,
  commandText,
  jsonOf,
  jsonReply,
  MAX_BYTES,
  parseCommand,
} from "../control/server.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_TIMEOUT } from "../core/waiter.js";
import type { Context } from "../sockets/context.js";
import type { PeerView } from "../sockets/internal.js";
import { Reply } from "../sockets/request-reply.js";
import type { SocketPlan } from "./options.js";
import type { ProxySide } from "./pairs.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyControlStats } from "./stats.js";

/** Maximum bytes of a command. */
const MAX_COMMAND = 4_096;

const WORDS = ["PAUSE", "RESUME", "TERMINATE", "KILL", "STATISTICS"] as const;

const COMMANDS = {
  status: {},
  peers: {
    side: {
      required: true,
      expected: "frontend or backend",
      accepts: (value) => value === "frontend" || value === "backend",
    },
  },
  pause: {},
  resume: {},
  drain: {
    timeout: {
      expected: `a whole number of ms from 0 to ${MAX_TIMEOUT}`,
      accepts: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TIMEOUT,
    },
  },
  terminate: {},
  kill: {},
} as const satisfies CommandTable;

export type ControlAction = Lowercase<(typeof WORDS)[number]> | keyof typeof COMMANDS;

export interface ControlCommand {
  readonly action: ControlAction;
  readonly as: "word" | "json";
  /** ms. */
  readonly timeout?: number;
  readonly side?: ProxySide;
}

/** @throws InvalidArgumentError `EINVAL` for anything else */
export function parseControl(frames: readonly Buffer[]): ControlCommand {
  const text = commandText(frames, MAX_COMMAND);
  if (WORDS.some((word) => word === text))
    return { action: text.toLowerCase() as Lowercase<(typeof WORDS)[number]>, as: "word" };
  const value = jsonOf(text);
  if (value === undefined)
    throw new InvalidArgumentError(
      `expected ${WORDS.join(", ")} or JSON such as {"command":"status"}; got ${frames[0]?.length} bytes`,
    );
  const { name, members } = parseCommand(value, COMMANDS);
  return { action: name, as: "json", ...(members as Pick<ControlCommand, "timeout" | "side">) };
}

interface SteeringCounts {
  readonly in: { readonly messages: number; readonly bytes: number };
  readonly out: { readonly messages: number; readonly bytes: number };
}

/**
 * Frontend, then backend: received messages and bytes, then sent ones. Counts whole messages, as the manual says and
 * libzmq 4.3.4 does; later versions count frames.
 */
export function statisticsReply(frontend: SteeringCounts, backend: SteeringCounts): Buffer[] {
  const frames: Buffer[] = [];
  for (const side of [frontend, backend]) {
    for (const value of [side.in.messages, side.in.bytes, side.out.messages, side.out.bytes]) {
      frames.push(Buffer.from(BigUint64Array.of(BigInt(value)).buffer));
    }
  }
  return frames;
}

export function wordReply(): Buffer[] {
  return [Buffer.alloc(0)];
}

/** All but `status` may throw, with a code. */
export interface ControlHost {
  pause(): void;
  resume(): void;
  /** The status shows its result. */
  drain(timeout: number | undefined): void;
  /** @param kill without waiting for messages to leave */
  stop(kill: boolean): void;
  status(): Readonly<Record<ProxySide, SteeringCounts>>;
  /** Up to 10,000 peers of a side. */
  peers(side: ProxySide): readonly PeerView[];
}

export class Control {
  readonly opened: ProxySocket;
  readonly #host: ControlHost;
  readonly #server = new ControlServer();

  constructor(plan: SocketPlan, context: Context, host: ControlHost) {
    const options = { maxMessageSize: MAX_BYTES, ...plan.options };
    this.opened = new ProxySocket({ ...plan, options }, context);
    this.#host = host;
  }

  stats(): ProxyControlStats {
    return this.#server.counts();
  }

  /** Never rejects. */
  run(): Promise<void> {
    return this.#server.run(this.opened.socket, (frames) => this.#carryOut(parseControl(frames)));
  }

  #carryOut(command: ControlCommand): ControlAnswer {
    const host = this.#host;
    switch (command.action) {
      case "statistics": {
        const { frontend, backend } = host.status();
        return { reply: statisticsReply(frontend, backend) };
      }
      case "status":
        return { reply: jsonReply(host.status()) };
      case "peers": {
        const { side = "frontend" } = command;
        return { reply: jsonReply({ side, peers: host.peers(side) }) };
      }
      case "pause":
        host.pause();
        break;
      case "resume":
        host.resume();
        break;
      case "drain":
        host.drain(command.timeout);
        break;
      case "terminate":
      case "kill":
        return { ...this.#done(command), after: () => host.stop(command.action === "kill") };
    }
    return this.#done(command);
  }

  #done(command: ControlCommand): ControlAnswer {
    if (command.as === "json") return { reply: jsonReply({ command: command.action }) };
    return this.opened.socket instanceof Reply ? { reply: wordReply() } : {};
  }
}
