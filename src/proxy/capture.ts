/**
 * The tap of a proxy: what passes, given to a PUB or a PUSH of its own. It never waits: what the socket has no room for
 * is missed, and counted.
 *
 *   message --trySend--> taken: captured
 *                   +--> no room (PUSH), dropped for a slow subscriber (PUB): missed
 */
import { systemClock } from "../core/clock.js";
import type { Context } from "../sockets/context.js";
import { CORE } from "../sockets/socket.js";
import { EventThrottle } from "./events.js";
import type { SocketPlan } from "./options.js";
import { ProxySocket } from "./proxy-socket.js";
import type { CaptureStats } from "./stats.js";

export class Capture {
  readonly opened: ProxySocket;
  /** For the ways: a message is about to be passed. Never throws. */
  readonly take: (frames: Buffer[]) => void;
  readonly #bursts = new EventThrottle();
  #captured = 0;

  /** @param onMissed a burst of misses begins; told how many there were, this one with them */
  constructor(plan: SocketPlan, context: Context, onMissed: (missed: number) => void) {
    this.opened = new ProxySocket(countable(plan, context), context);
    const { socket } = this.opened;
    const { outbox } = socket[CORE];
    const missed = (count: number): void => {
      if (this.#bursts.note(systemClock.now(), count)) onMissed(this.#bursts.total);
    };
    // A PUB takes everything, and tells of each copy that it drops.
    socket[CORE].events.listen((event) => {
      if (event.type === "drop" && event.reason !== "closed") missed(event.messages);
    });
    this.take = (frames) => {
      if (socket.closed) return;
      let taken = false;
      try {
        taken = outbox.trySend(frames);
      } catch {
        // Whatever is wrong with it for the tap, it passes.
      }
      if (taken) this.#captured += 1;
      else missed(1);
    };
  }

  stats(): CaptureStats {
    const { queued } = this.opened;
    const { peers } = this.opened.socket[CORE].engine.stats();
    return { captured: this.#captured, missed: this.#bursts.total, queued, peers };
  }
}

/**
 * Where the engine does not tell what a publisher drops, the publisher refuses what one subscriber has no room for:
 * then all of them miss it, and it is counted.
 */
function countable(plan: SocketPlan, context: Context): SocketPlan {
  if (plan.type !== "pub" || context.load().capabilities.publisherDrops) return plan;
  return { ...plan, options: { ...plan.options, noDrop: true } };
}
