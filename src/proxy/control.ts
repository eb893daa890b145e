import { type ControlAnswer, ControlServer, jsonReply, MAX_BYTES } from "../control/server.js";
import type { Context } from "../sockets/context.js";
import type { PeerView } from "../sockets/peer-views.js";
import { Reply } from "../sockets/request-reply.js";
import {
  type ControlCommand,
  parseControl,
  type SteeringCounts,
  statisticsReply,
  wordReply,
} from "./control-protocol.js";
import type { SocketPlan } from "./options.js";
import type { ProxySide } from "./pairs.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyControlStats } from "./stats.js";

/** All but `status` and `steering` may throw, with a code. */
export interface ControlHost {
  pause(): void;
  resume(): void;
  /** The status shows its result. */
  drain(timeout: number | undefined): void;
  /** @param kill without waiting for messages to leave */
  stop(kill: boolean): void;
  status(): object;
  /** Up to 10,000 peers of a side. */
  peers(side: ProxySide): readonly PeerView[];
  steering(): readonly [frontend: SteeringCounts, backend: SteeringCounts];
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
      case "statistics":
        return { reply: statisticsReply(...host.steering()) };
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
