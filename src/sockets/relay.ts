/**
 * What a proxy between two sockets uses: it takes messages of one and hands them to the other, without codecs. Nobody
 * outside this folder reaches further into a socket.
 *
 *   one by one   tryReceive, receive  ->  trySend, send
 *   in batches   move: from.engine --takeBatch--> at most one batch in flight --offerBatch--> to.engine
 *
 * A batch is not decoded, and there is no object for each of its messages. Back-pressure: while `to` has no room, nothing is
 * taken from `from`. The batch in flight is the only memory here.
 */

import type { WaitOptions } from "../core/waiter.js";
import { OfferResult } from "../engine/engine.js";
import { bodyAt, frameEnd, LONG, MORE, messageEnd, SHORT_HEADER } from "../engine/frame.js";
import { type FrameBatch, framesBetween } from "../engine/frame-batch.js";
import { Readiness } from "./readiness.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";

/** Messages of one batch at most: a turn of one peer of many. */
const MAX_BATCH_MESSAGES = 1_000;

// For those who read batches: where frames are.
export { bodyAt, type FrameBatch, frameEnd, framesBetween, LONG, MORE, messageEnd, SHORT_HEADER };

/** What a move came to. */
export interface Moved {
  /** Messages that were taken from `from`. */
  readonly taken: number;
  /** Bytes of those, as they came. */
  readonly bytes: number;
  /** Bytes of messages that were dropped, because their peer is unknown or its queue full (ROUTER). */
  readonly lostBytes: number;
  /** Why it ended: `from` has no more, `to` has no room, so many were asked for, or a batch has to be inspected. */
  readonly stopReason: "empty" | "mute" | "enough" | "inspect";
}

/** What is done with each batch before it is passed on. */
export interface RelayFilter {
  /** Whether the batch stops the move, for its messages to be looked at one by one ({@link Relay.takeDecoded}). */
  readonly needsInspection?: ((batch: FrameBatch) => boolean) | undefined;
  /** Takes out the messages that must not pass; `undefined`: nothing may pass. */
  readonly filter?: ((batch: FrameBatch) => FrameBatch | undefined) | undefined;
}

export class Relay {
  readonly #from: SocketCore;
  readonly #to: SocketCore;
  readonly #filter: RelayFilter;
  #batch: FrameBatch | undefined = undefined;
  /** Bytes of the batch in flight. */
  #batchBytes = 0;

  /** Nothing else may receive from `from` meanwhile. */
  constructor(from: Socket, to: Socket, filter: RelayFilter = {}) {
    this.#from = from[CORE];
    this.#to = to[CORE];
    this.#filter = filter;
  }

  /** Messages that were taken and not passed on yet. */
  get inFlight(): number {
    return this.#batch?.messages ?? 0;
  }

  /**
   * Passes on the batch in flight, and what `from` has; takes `most` messages at most, and no more once they have `mostBytes`.
   *
   * @throws ClosedError `EBADF` when `to` is closed
   */
  move(most: number, mostBytes = Number.POSITIVE_INFINITY): Moved {
    const { needsInspection, filter } = this.#filter;
    let taken = 0;
    let bytes = 0;
    let lostBytes = 0;
    for (;;) {
      let batch = this.#batch;
      if (batch === undefined) {
        if (taken >= most || bytes >= mostBytes) return { taken, bytes, lostBytes, stopReason: "enough" };
        this.#to.assertOpen(); // A closed socket would have no room forever.
        if (!this.#to.engine.writable) return { taken, bytes, lostBytes, stopReason: "mute" };
        batch = this.#from.engine.relaySource?.takeBatch(Math.min(MAX_BATCH_MESSAGES, most - taken));
        if (batch === undefined) return { taken, bytes, lostBytes, stopReason: "empty" };
        const came = bytesOf(batch);
        taken += batch.messages;
        bytes += came;
        this.#from.counters.received += batch.messages;
        this.#from.counters.bytesReceived += came;
        const whole = batch;
        if (filter !== undefined) batch = filter(batch);
        if (batch !== whole) whole.release(); // What is left of it is a copy.
        if (batch === undefined) continue;
        this.#batch = batch;
        this.#batchBytes = batch === whole ? came : bytesOf(batch);
        if (needsInspection?.(batch) === true) return { taken, bytes, lostBytes, stopReason: "inspect" };
      }
      const before = batch.messages;
      const result = this.#to.engine.relaySink?.offerBatch(batch) ?? OfferResult.Mute;
      const refused = result === OfferResult.Unroutable || result === OfferResult.PeerFull ? 1 : 0;
      const gone = batch.messages === 0 ? this.#batchBytes : this.#taken(batch, before - batch.messages);
      this.#batchBytes -= gone;
      const { counters } = this.#to;
      counters.sent += before - batch.messages;
      counters.bytesSent += gone;
      counters.delivered += before - batch.messages - refused;
      if (refused > 0) lostBytes += this.#refused(result, batch);
      if (batch.messages === 0) {
        this.#batch = undefined;
        batch.release();
      }
      if (result === OfferResult.Mute) return { taken, bytes, lostBytes, stopReason: "mute" };
    }
  }

  /** Whether {@link move} works: both engines can, and so does the socket type. Else messages are relayed one by one. */
  get batches(): boolean {
    return this.#from.engine.relaySource !== undefined && this.#to.engine.relaySink !== undefined;
  }

  /** Whether `from` has a message. */
  get hasMessages(): boolean {
    return this.#from.engine.readable;
  }

  /** Calls of {@link receive} that have no message yet. */
  get receiving(): number {
    return this.#from.inbox.waiting;
  }

  /** Messages that `to` dropped because no peer has their routing id, or that peer's queue is full (ROUTER). */
  get undeliverable(): number {
    const { dropped } = this.#to.counters;
    return dropped.unroutable + dropped["peer-full"];
  }

  /** The next message of `from`; `undefined` when there is no message, or the event loop has to turn first. */
  tryReceive(): Buffer[] | undefined {
    return this.#from.inbox.tryReceive() as Buffer[] | undefined;
  }

  /** The next message of `from`. @throws ClosedError `EAGAIN` when `abandon` ends the wait, or the socket closes */
  receive(options: WaitOptions): Promise<Buffer[]> {
    return this.#from.inbox.receive(options) as Promise<Buffer[]>;
  }

  /** Sends a message if `to` has room. @throws ClosedError `EBADF` when it is closed; otherwise as `trySend` of a socket, for a `mandatory` ROUTER */
  trySend(message: Buffer[]): boolean {
    this.#to.assertOpen(); // A closed PUB or ROUTER would take it.
    return this.#to.outbox.trySend(message);
  }

  /** Sends a message when `to` has room. @throws ClosedError `EBADF` when it is closed; otherwise as a socket's `send` */
  async send(message: Buffer[], options: WaitOptions): Promise<void> {
    this.#to.assertOpen(); // A closed socket would let it wait forever.
    await this.#to.outbox.send(message, options, false);
  }

  /** Gives up the batch in flight. @returns its messages, decoded */
  takeDecoded(): Buffer[][] {
    const messages = this.#batch?.decode() ?? [];
    this.#batch = undefined;
    return messages;
  }

  /** Settles when `from` has something. */
  readable(options: WaitOptions): Promise<void> {
    return readable(this.#from).wait(options);
  }

  /** Settles when `to` may have room again; right after a move that ended `mute`. */
  writable(options: WaitOptions): Promise<void> {
    return writable(this.#to).wait(options);
  }

  /** Ends all waits for messages of `from` with ClosedError `EAGAIN`, as the socket's closing does. */
  abandon(): void {
    this.#from.inbox.abandon();
    this.#from.readable?.abandon();
  }

  /** Bytes of `messages` that were taken off the front. */
  #taken(batch: FrameBatch, messages: number): number {
    const bytes = batch.takenBytes + (batch.first?.length ?? 0) * messages;
    batch.takenBytes = 0;
    return bytes;
  }

  /** One message was dropped. @returns its bytes */
  #refused(result: OfferResult, batch: FrameBatch): number {
    const reason = result === OfferResult.PeerFull ? "peer-full" : "unroutable";
    const message = batch.refused();
    this.#to.counters.dropped[reason] += 1;
    this.#to.dropped(reason, message);
    return message.reduce((sum, { length }) => sum + length, 0);
  }
}

/** Of all messages of a new batch. */
function bytesOf({ tally, first, messages }: FrameBatch): number {
  return tally.bodyBytes + (first === undefined ? 0 : first.length * messages);
}

function readable(core: SocketCore): Readiness {
  const { engine } = core;
  core.readable ??= new Readiness(
    () => engine.readable,
    (on) => engine.wantReadable(on ? 1 : 0),
  );
  return core.readable;
}

function writable(core: SocketCore): Readiness {
  const { engine } = core;
  core.writable ??= new Readiness(
    () => false, // Asked only when the engine has just refused.
    (on) => engine.wantWritable(on || core.outbox.waiting > 0),
  );
  return core.writable;
}
