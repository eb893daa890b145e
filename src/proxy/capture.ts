/**
 * Sends a copy of each message to a PUB or PUSH. Never waits: copies without room are missed and counted.
 *
 *   message --trySend--> taken: captured
 *                   +--> no room (PUSH), dropped for a slow subscriber (PUB): missed
 */
import { systemClock } from "../core/clock.js";
import type { Context } from "../sockets/context.js";
import { engineStats, listen } from "../sockets/internal.js";
import type { Socket } from "../sockets/socket.js";
import type { Writable } from "../sockets/writable.js";
import { EventThrottle } from "./events.js";
import type { SocketPlan } from "./options.js";
import type { ProxySide } from "./pairs.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyCaptureStats } from "./stats.js";

export class Capture {
  readonly opened: ProxySocket;
  /** Called for each passed message. Never throws. */
  readonly take: (from: ProxySide, frames: Buffer[]) => void;
  readonly #throttle = new EventThrottle();
  #captured = 0;

  /** @param onMissed called at the start of a burst of misses */
  constructor(plan: SocketPlan, context: Context, onMissed: (missed: number) => void) {
    this.opened = new ProxySocket(countable(plan, context), context);
    const socket = this.opened.socket as Socket & Writable<Buffer[]>;
    const missed = (count: number): void => {
      if (this.#throttle.note(systemClock.now(), count)) onMissed(this.#throttle.total);
    };
    // A PUB accepts everything and reports dropped copies.
    listen(socket, (event) => {
      if (event.type === "drop" && event.reason !== "closed") missed(event.messages);
    });
    this.take = (_, frames) => {
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
    const { queued } = this.opened;
    const { peers } = engineStats(this.opened.socket);
    return { captured: this.#captured, missed: this.#throttle.total, queued, peers };
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
