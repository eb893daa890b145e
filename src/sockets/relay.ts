/**
 * A proxy's access to two sockets, without codecs.
 *
 *   one by one   take  ->  trySend, send
 *   in batches   move: from.engine --takeBatch--> at most one batch in flight --offerBatch--> to.engine
 *
 * Batches need no object per message. Without room at `to` nothing is taken, so only one batch is held.
 */

import { IdleWaits } from "../core/idle-waits.js";
import { OfferResult } from "../engine/engine.js";
import { bodyAt, frameEnd, LONG, MORE, messageEnd, SHORT_HEADER } from "../engine/frame.js";
import { type FrameBatch, framesBetween } from "../engine/frame-batch.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";

/** Lets many peers take turns. */
const MAX_BATCH_MESSAGES = 1_000;
const FOREVER = { timeout: -1 } as const;

export { bodyAt, type FrameBatch, frameEnd, framesBetween, LONG, MORE, messageEnd, SHORT_HEADER };

export interface Moved {
  readonly taken: number;
  /** Before `filter`. */
  readonly bytes: number;
  /** Bytes for unknown or full peers (ROUTER). */
  readonly lostBytes: number;
  /**
   * "empty": `from` has no message; "mute": `to` has no room; "enough": the limit is reached; "inspect": the batch
   * needs inspection.
   */
  readonly stopReason: "empty" | "mute" | "enough" | "inspect";
}

export interface RelayFilter {
  /** Whether {@link Relay.takeDecoded} must inspect this batch. */
  readonly needsInspection?: ((batch: FrameBatch) => boolean) | undefined;
  /** Removes messages that must not pass; `undefined`: all. */
  readonly filter?: ((batch: FrameBatch) => FrameBatch | undefined) | undefined;
}

export class Relay {
  readonly #from: SocketCore;
  readonly #to: SocketCore;
  readonly #filter: RelayFilter;
  #batch: FrameBatch | undefined = undefined;
  #batchBytes = 0;

  /** Requires that nothing else receives from `from`. */
  constructor(from: Socket, to: Socket, filter: RelayFilter = {}) {
    this.#from = from[CORE];
    this.#to = to[CORE];
    this.#filter = filter;
  }

  get inFlight(): number {
    return this.#batch?.messages ?? 0;
  }

  /**
   * Passes on at most `most` messages, none after `mostBytes`.
   *
   * @throws ClosedError `EBADF`
   */
  move(most: number, mostBytes = Number.POSITIVE_INFINITY): Moved {
    const { needsInspection, filter } = this.#filter;
    let taken = 0;
    let bytes = 0;
    let lostBytes = 0;
    for (;;) {
      this.#to.assertOpen(); // A closed socket never has room.
      let batch = this.#batch;
      if (batch === undefined) {
        if (taken >= most || bytes >= mostBytes) return { taken, bytes, lostBytes, stopReason: "enough" };
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
        if (batch !== whole) whole.release();
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

  /** Whether both engines and socket types support {@link move}. */
  get batches(): boolean {
    return this.#from.engine.relaySource !== undefined && this.#to.engine.relaySink !== undefined;
  }

  get hasMessages(): boolean {
    return this.#from.engine.readable;
  }

  /** Messages for unknown or full peers (ROUTER). */
  get undeliverable(): number {
    const { dropped } = this.#to.counters;
    return dropped.unroutable + dropped["peer-full"];
  }

  take(): Buffer[] | undefined {
    return this.#from.inbox.next() as Buffer[] | undefined;
  }

  /** @throws ClosedError `EBADF`; otherwise as `trySend` */
  trySend(message: Buffer[]): boolean {
    this.#to.assertOpen(); // A closed PUB or ROUTER would accept it.
    return this.#to.outbox.trySend(message);
  }

  /** @throws ClosedError `EBADF`; otherwise as `send` */
  async send(message: Buffer[]): Promise<void> {
    this.#to.assertOpen(); // A closed socket would let the message wait forever.
    await this.#to.outbox.send(message, FOREVER, false);
  }

  takeDecoded(): Buffer[][] {
    const messages = this.#batch?.decode() ?? [];
    this.#batch = undefined;
    return messages;
  }

  /** Settles when `from` may have messages again, after none, or at `endReadable`. @throws ClosedError `EBADF` */
  readable(): Promise<void> {
    const core = this.#from;
    core.assertOpen();
    core.readable ??= new IdleWaits();
    const isReadable = core.readable.wait(false);
    core.engine.wantReadable(1);
    return isReadable;
  }

  /** Settles when `to` may have room, after "mute". */
  writable(): Promise<void> {
    return this.#to.whenWritable();
  }

  endReadable(): void {
    this.#from.readable?.end();
  }

  #taken(batch: FrameBatch, messages: number): number {
    const bytes = batch.takenBytes + (batch.first?.length ?? 0) * messages;
    batch.takenBytes = 0;
    return bytes;
  }

  /** @returns the bytes of the dropped message */
  #refused(result: OfferResult, batch: FrameBatch): number {
    const reason = result === OfferResult.PeerFull ? "peer-full" : "unroutable";
    const message = batch.refused();
    this.#to.counters.dropped[reason] += 1;
    this.#to.dropped(reason, message);
    return message.reduce((sum, { length }) => sum + length, 0);
  }
}

function bytesOf({ tally, first, messages }: FrameBatch): number {
  return tally.bodyBytes + (first === undefined ? 0 : first.length * messages);
}
