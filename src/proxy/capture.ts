/**
 * Sends a copy of each message to a PUB or PUSH. Never waits: copies without room are missed and counted.
 *
 *   message --trySend--> taken: captured
 *                   +--> no room (PUSH), dropped for a slow subscriber (PUB): missed
 */
import type { Context } from "../sockets/context.js";
import { engineStats, listen } from "../sockets/internal.js";
import type { Socket } from "../sockets/socket.js";
import type { Writable } from "../sockets/writable.js";
import type { ProxyEvents } from "./events.js";
import type { SocketPlan } from "./options.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyCaptureStats } from "./stats.js";

export class Capture {
  readonly opened: ProxySocket;
  /** Called for each passed message. Never throws. */
  readonly take: (frames: Buffer[]) => void;
  #captured = 0;
  #missed = 0;

  constructor(plan: SocketPlan, context: Context, events: ProxyEvents) {
    this.opened = new ProxySocket(countable(plan, context), context);
    const socket = this.opened.socket as Socket & Writable<Buffer[]>;
    const missed = (count: number): void => {
      this.#missed += count;
      events.captureMissed(count);
    };
    // A PUB accepts everything and reports dropped copies.
    listen(socket, (event) => {
      if (event.type === "drop" && event.reason !== "closed") missed(event.messages);
    });
    this.take = (frames) => {
      if (socket.closed) return;
      let taken = false;
      try {
        taken = socket.trySend(frames);
      } catch {
        // The message must pass despite a capture's fault.
      }
      if (taken) this.#captured += 1;
      else missed(1);
    };
  }

  stats(): ProxyCaptureStats {
    const { queued, socket } = this.opened;
    return { captured: this.#captured, missed: this.#missed, queued, peers: engineStats(socket).peers };
  }
}

/**
 * If an engine's PUB does not report drops, it refuses a message when one subscriber has no room, so all miss it,
 * countably.
 */
function countable(plan: SocketPlan, context: Context): SocketPlan {
  if (plan.type !== "pub" || context.load().capabilities.publisherDrops) return plan;
  return { ...plan, options: { ...plan.options, noDrop: true } };
}
