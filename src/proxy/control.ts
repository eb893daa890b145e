/**
 * The steering of a proxy: takes commands one after the other, answers each, and carries it out.
 *
 *   REP    every command has its answer
 *   PAIR   as in libzmq PAUSE, RESUME, TERMINATE and KILL have none; everything else has
 *   SUB    none
 */
import type { Context } from "../sockets/context.js";
import { Pair } from "../sockets/pair.js";
import { Reply } from "../sockets/request-reply.js";
import {
  type ControlCommand,
  errorReply,
  jsonReply,
  parseControl,
  type SteeringCounts,
  statisticsReply,
  wordReply,
} from "./control-protocol.js";
import type { SocketPlan } from "./options.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ControlStats } from "./stats.js";

/** ms that a reply may take to be accepted; a controller that reads none must not stop the next command. */
const REPLY_TIME = 1_000;
/** Bytes of the largest frame that the control socket takes, unless it is told otherwise. */
const MAX_BYTES = 65_536;

/** What can be done to the proxy. All but `status` and `steering` may throw, with a code. */
export interface ControlHost {
  pause(): void;
  resume(): void;
  /** Begins; what comes of it is seen in the status. */
  drain(timeout: number | undefined): void;
  /** Ends it. @param kill without waiting for messages to leave */
  stop(kill: boolean): void;
  status(): object;
  steering(): readonly [frontend: SteeringCounts, backend: SteeringCounts];
}

interface Answer {
  /** Absent: as in libzmq there is none. */
  readonly reply?: Buffer[];
  /** What is done when the reply is on its way. */
  readonly after?: () => void;
}

export class Control {
  readonly opened: ProxySocket;
  readonly #host: ControlHost;
  #commands = 0;
  #refused = 0;

  constructor(plan: SocketPlan, context: Context, host: ControlHost) {
    const options = { maxMessageSize: MAX_BYTES, ...plan.options };
    this.opened = new ProxySocket({ ...plan, options }, context);
    this.#host = host;
  }

  stats(): ControlStats {
    return { commands: this.#commands, refused: this.#refused };
  }

  /** Takes commands until the socket closes; never rejects. */
  async run(): Promise<void> {
    const { socket } = this.opened;
    const messages = socket as unknown as AsyncIterable<Buffer[]>;
    try {
      for await (const frames of messages) {
        const { reply, after } = this.#answer(frames);
        if (reply !== undefined) await this.#send(reply);
        after?.();
      }
    } catch {
      // The socket closed.
    }
  }

  #answer(frames: readonly Buffer[]): Answer {
    const command = parseControl(frames);
    if (command.action === "refuse") {
      this.#refused += 1;
      return { reply: errorReply(command.message) };
    }
    try {
      const answer = this.#carryOut(command);
      this.#commands += 1;
      return answer;
    } catch (error) {
      this.#refused += 1;
      return { reply: errorReply(error) };
    }
  }

  #carryOut(command: ControlCommand): Answer {
    const host = this.#host;
    switch (command.action) {
      case "statistics":
        return { reply: statisticsReply(...host.steering()) };
      case "status":
        return { reply: jsonReply(host.status()) };
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

  #done(command: ControlCommand): Answer {
    if (command.as === "json") return { reply: jsonReply({ command: command.action }) };
    return this.opened.socket instanceof Reply ? { reply: wordReply() } : {};
  }

  async #send(reply: Buffer[]): Promise<void> {
    const { socket } = this.opened;
    try {
      if (socket instanceof Reply) await socket.send(reply, { timeout: REPLY_TIME });
      else if (socket instanceof Pair) socket.trySend(reply);
    } catch {
      // Nobody waits for it any more, or the proxy ends.
    }
  }
}
