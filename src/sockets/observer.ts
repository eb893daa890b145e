/**
 * A socket's events. They are kept for `receive` and `for await` from the moment `socket.events` is first looked at,
 * unless there are listeners only.
 */

import { InvalidArgumentError } from "../core/errors.js";
import { type EventNames, EventStream } from "../core/event-stream.js";
import type { EventOfType, EventType, SocketEvent } from "../engine/events.js";

/** Every event of a socket. */
export const SOCKET_EVENTS: EventNames<SocketEvent> = {
  accept: true,
  "accept:error": true,
  bind: true,
  "bind:error": true,
  connect: true,
  "connect:delay": true,
  "connect:retry": true,
  close: true,
  "close:error": true,
  disconnect: true,
  end: true,
  handshake: true,
  "handshake:error:protocol": true,
  "handshake:error:auth": true,
  "handshake:error:other": true,
  unknown: true,
  "peer:join": true,
  "peer:leave": true,
  "peer:refused": true,
  subscribe: true,
  unsubscribe: true,
  drop: true,
  invalid: true,
  "source:changed": true,
  "source:failed": true,
  "endpoint:refused": true,
};

/** The way from an observer to what it observes. */
export const OBSERVE: unique symbol = Symbol("shoal.observe");

/** What an observer reports to the observed. */
export interface Observation {
  /** Whether there are listeners or readers, each time that this changes. */
  interested(interested: boolean): void;
  /** The observer is closed. */
  closed(): void;
}

/** What can be observed. */
export interface Observable {
  readonly closed: boolean;
  [OBSERVE](observer: Observer): Observation;
}

/** What an observer is made for: a socket. */
export interface Observed {
  readonly events: Observer;
  readonly closed: boolean;
}

/** What takes listeners for a socket's events. */
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
  readonly #observation: Observation;

  /** One more observer of a socket; `socket.events` is the first, and mostly enough. */
  constructor(socket: Observed);
  /** @internal */
  constructor(source: Observable);
  constructor(source: Partial<Observable>) {
    super({ names: SOCKET_EVENTS, keepsUnread: true });
    if (typeof source?.[OBSERVE] !== "function") {
      throw new InvalidArgumentError(`An observer observes a socket; got ${typeof source}`);
    }
    this.#observation = source[OBSERVE](this);
    if (source.closed === true) this.close();
  }

  /** Ends the observing; the socket goes on. */
  override close(): void {
    if (this.closed) return;
    super.close();
    this.#observation.closed();
  }

  /** @internal */
  protected override onInterest(interested: boolean): void {
    this.#observation.interested(interested);
  }
}
