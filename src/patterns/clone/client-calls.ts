/**
 * A client's unacknowledged updates.
 *
 *   waiting ──> in flight ──the update comes back──> settled
 *      behind an        │  ^
 *      earlier one      └──┘ sent again: to a new server, after a lost connection, and at intervals
 *      of its key
 *
 * One update of a key is in flight, so that a repetition cannot overtake a later one.
 */

import { readUint32 } from "../../core/bytes.js";
import { KeyTable } from "../../core/collections/key-table.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { Link } from "../../core/collections/queues.js";
import { NotSupportedError, ShoalError } from "../../core/errors.js";
import { Deadlines } from "../../core/timers.js";
import type { PendingCall } from "../../kit/calls.js";
import { lateError } from "../../kit/errors.js";
import { StoreError } from "../../store/store.js";
import type { ClientEffects } from "./client-state.js";
import { encodeSet, readSequence, UUID_BYTES, uuidOf, VALUE } from "./protocol.js";

export interface ClientUpdate {
  readonly key: Buffer;
  readonly properties: Buffer;
  /** Empty: the key is deleted. */
  readonly value: Buffer;
  readonly conditional: boolean;
  /** ms; -1: no limit. */
  readonly timeout: number;
}

export interface Answer {
  readonly sequence: number;
  /** Revision of the key, if nothing changed. */
  readonly revision: number | undefined;
  readonly conflict: boolean;
  readonly value: Buffer;
}

/** The key had another revision, so nothing changed. Code `ERR_CONFLICT`. */
export class CloneConflictError extends ShoalError {
  /** The revision that the key had; 0: it did not exist. */
  readonly revision: number;

  constructor(revision: number) {
    const what = revision === 0 ? "the key is not there" : `the key has revision ${revision}`;
    super("ERR_CONFLICT", `The update was not made: ${what}`);
    this.revision = revision;
  }
}

/** The result is the sequence. */
export type UpdateResult = Pick<PendingCall<number>, "resolve" | "reject">;

export interface CloneCall {
  readonly key: Buffer;
  readonly number: number;
  readonly frames: Buffer[];
  readonly conditional: boolean;
  readonly result: UpdateResult;
  readonly link: Link<CloneCall>;
  deadline: number;
  sentAt: number;
  /** To the server in use, for the first time. */
  firstSentAt: number;
  previous: CloneCall | undefined;
  next: CloneCall | undefined;
}

export class ClientCalls {
  readonly #token: Buffer;
  readonly #tokenHigh: number;
  readonly #tokenLow: number;
  readonly #max: number;
  readonly #effects: Pick<ClientEffects, "sendSet" | "unsent" | "failure">;
  readonly #inFlight = new NumberTable<CloneCall>();
  readonly #tails = new KeyTable<CloneCall>();
  readonly #deadlines = new Deadlines<CloneCall>();
  /** Whether the server in use supports conditions; `undefined`: it takes no updates now. */
  #conditions: boolean | undefined;
  #number = 0;
  #waiting = 0;
  /** ms that the last acknowledgement took. */
  #delay = 0;
  readonly counts = { sets: 0, acknowledged: 0, conflicts: 0, timedOut: 0, aborted: 0, resent: 0 };

  constructor(token: Buffer, max: number, effects: Pick<ClientEffects, "sendSet" | "unsent" | "failure">) {
    this.#token = token;
    this.#tokenHigh = token.readInt32BE(0);
    this.#tokenLow = token.readInt32BE(4);
    this.#max = max;
    this.#effects = effects;
  }

  get count(): number {
    return this.#inFlight.size + this.#waiting;
  }

  /** 0 for an update of another client. */
  numberOf(uuid: Buffer): number {
    if (uuid.length !== UUID_BYTES) return 0;
    if (uuid.readInt32BE(0) !== this.#tokenHigh || uuid.readInt32BE(4) !== this.#tokenLow) return 0;
    return readSequence(uuid, 8);
  }

  isOwn(bytes: Uint8Array, at: number): boolean {
    return (
      (readUint32(bytes, at) | 0) === this.#tokenHigh && (readUint32(bytes, at + 4) | 0) === this.#tokenLow
    );
  }

  add(
    { key, properties, value, conditional, timeout }: ClientUpdate,
    result: UpdateResult,
    now: number,
  ): CloneCall {
    const uuid = uuidOf(this.#token, ++this.#number);
    const call: CloneCall = {
      key,
      number: this.#number,
      frames: encodeSet(key, uuid, properties, value),
      conditional,
      result,
      link: undefined as unknown as Link<CloneCall>,
      deadline: Number.POSITIVE_INFINITY,
      sentAt: now,
      firstSentAt: now,
      previous: undefined,
      next: undefined,
    };
    (call as { link: Link<CloneCall> }).link = new Link(call);
    this.counts.sets += 1;
    if (timeout >= 0) this.#deadlines.set(call.link, now, timeout);
    const tail = this.#tails.get(key);
    this.#tails.set(call);
    if (tail !== undefined) {
      tail.next = call;
      call.previous = tail;
      this.#waiting += 1;
    } else this.#launch(call, now);
    if (conditional && this.#conditions === false) this.#fail(call, unsupported(), now);
    return call;
  }

  acknowledge(number: number, { sequence, revision, conflict, value }: Answer, now: number): void {
    const call = this.#inFlight.get(number);
    if (call === undefined) return;
    this.#delay = now - call.firstSentAt;
    this.#end(call, now);
    if (conflict) {
      this.counts.conflicts += 1;
      call.result.reject(new CloneConflictError(revision ?? 0));
      return;
    }
    this.counts.acknowledged += 1;
    // The sequence of a repeated update is unknown. With an unchanged value it is the revision of the key.
    const same = revision !== undefined && (call.frames[VALUE] as Buffer).equals(value);
    call.result.resolve(same && revision > 0 ? revision : sequence);
  }

  abort(call: CloneCall, now: number): void {
    this.counts.aborted += 1;
    this.#end(call, now);
  }

  refuse(number: number, now: number): void {
    const call = this.#inFlight.get(number);
    if (call !== undefined)
      this.#fail(call, new StoreError("full", "The server has no room for the update"), now);
  }

  /**
   * Sends all updates in flight to a server, which may lack them.
   *
   * @param conditions whether it supports them. Another one would make the update whatever the key is
   */
  open(conditions: boolean, now: number): void {
    const refused: CloneCall[] = [];
    if (!conditions) {
      for (const call of this.#inOrder())
        for (let each: CloneCall | undefined = call; each !== undefined; each = each.next)
          if (each.conditional) refused.push(each);
    }
    for (const call of refused) this.#fail(call, unsupported(), now);
    this.#conditions = conditions;
    for (const call of this.#inFlight.values()) call.firstSentAt = now;
    this.resend(now);
  }

  /** Updates stay in flight. */
  shut(): void {
    this.#conditions = undefined;
  }

  /** Repeats updates older than `age` ms, and than a slow server needs: repetitions would make it slower. */
  resend(now: number, age = 0): void {
    if (this.#conditions === undefined || this.#effects.unsent() > 0) return;
    const least = age === 0 ? 0 : Math.max(age, 2 * this.#delay);
    for (const call of this.#inOrder()) {
      if (now - call.sentAt < least) continue;
      if (now > call.sentAt) this.counts.resent += 1;
      call.sentAt = now;
      this.#send(call, now);
    }
  }

  next(): number | undefined {
    return this.#deadlines.next();
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      this.counts.timedOut += 1;
      this.#end(call, now);
      const message = "No server has put the update in order in time; it may still take effect";
      call.result.reject(lateError(message, [], this.#effects.failure()));
    }
  }

  /** The owner of the results rejects them. */
  close(): void {
    this.counts.aborted += this.count;
    this.#inFlight.clear();
    this.#tails.clear();
    this.#waiting = 0;
  }

  /** Updates in flight, the oldest first. */
  #inOrder(): CloneCall[] {
    return this.#inFlight.values().sort((one, other) => one.number - other.number);
  }

  #fail(call: CloneCall, error: ShoalError, now: number): void {
    this.abort(call, now);
    call.result.reject(error);
  }

  #launch(call: CloneCall, now: number): void {
    call.sentAt = now;
    call.firstSentAt = now;
    this.#inFlight.set(call.number, call);
    if (this.#conditions === undefined || (call.conditional && !this.#conditions)) return;
    this.#send(call, now);
  }

  /** Calls that were given up may wait still; beyond the bound a call is sent with the next repetition. */
  #send(call: CloneCall, now: number): void {
    if (this.#effects.unsent() >= this.#max) return;
    try {
      this.#effects.sendSet(call.frames);
    } catch (error) {
      // It is larger than the context allows. The key's next call may be, too, and follows at the end of this one.
      queueMicrotask(() => {
        if (this.#inFlight.get(call.number) === call) this.#fail(call, error as ShoalError, now);
      });
    }
  }

  #end(call: CloneCall, now: number): void {
    call.link.unlink();
    const { previous, next } = call;
    if (previous !== undefined) previous.next = next;
    if (next !== undefined) next.previous = previous;
    else if (previous !== undefined) this.#tails.set(previous);
    else this.#tails.delete(call.key);
    // Else an old call would retain all later ones.
    call.previous = undefined;
    call.next = undefined;
    if (!this.#inFlight.delete(call.number)) this.#waiting -= 1;
    else if (next !== undefined) {
      this.#waiting -= 1;
      this.#launch(next, now);
    }
  }
}

function unsupported(): NotSupportedError {
  return new NotSupportedError(
    "The server does not compare and set: it would make the update whatever the key is",
  );
}
