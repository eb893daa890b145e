/**
 * A socket's events, kept for `receive` and `for await` from the first use of `socket.events`, unless there are only
 * listeners.
 */

import { InvalidArgumentError } from "../core/errors.js";
import { EventStream } from "../core/event-stream.js";
import { type EventOfType, type EventType, SOCKET_EVENTS, type SocketEvent } from "../engine/events.js";
import { CORE, type HasCore } from "./socket-core.js";
import type { SocketEvents } from "./socket-events.js";

/** A socket to observe. */
export interface Observed {
  readonly events: Observer;
  readonly closed: boolean;
}

/** Takes listeners for a socket's events. */
export interface EventSubscriber {
  on<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
  off<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
}

/**
 * A socket's events, as listeners and as an async iterable. A listener keeps the process alive.
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 *
 * const pull = new Pull();
 * const push = new Push();
 * push.events.on("handshake", ({ type }) => console.log(type)); // handshake
 * push.connect(await pull.bind("tcp://127.0.0.1:*"));
 * await push.ready();
 * await Promise.all([push.close(), pull.close()]);
 * ```
 */
export class Observer extends EventStream<SocketEvent> implements EventSubscriber {
  readonly #source: SocketEvents;

  /** Makes another observer of a socket; `socket.events` is the first and usually enough. */
  constructor(socket: Observed) {
    super({ names: SOCKET_EVENTS, keepsUnread: true });
    const source = (socket as Partial<HasCore> | undefined)?.[CORE]?.events;
    if (source === undefined)
      throw new InvalidArgumentError(`An observer observes a socket; got ${typeof socket}`);
    this.#source = source;
    source.observe(this);
    if (source.closed) this.close();
  }

  /** Stops observing; the socket continues. */
  override close(): void {
    if (this.closed) return;
    super.close();
    this.#source.unobserve(this);
  }

  /** @internal */
  protected override onInterest(interested: boolean): void {
    this.#source.hold(interested ? 1 : -1);
  }
}
