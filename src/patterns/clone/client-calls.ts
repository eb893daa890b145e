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
import type { ClientRulesOptions, CloneClientEvent } from "./client-options.js";
import { CONFLICT, hasLine, revisionOf } from "./properties.js";
import { encodeSet, PROPERTIES, readSequence, UUID, UUID_BYTES, uuidOf, VALUE } from "./protocol.js";
import type { RawChange } from "./watch.js";

/** What a client's rules do. */
export interface ClientEffects {
  /** In place of the server before. */
  open(attempt: number, server: string): void;
  ask(attempt: number): void;
  sendSet(frames: Buffer[]): void;
  /** Updates that wait for room. */
  unsent(): number;
  /** Why no server is reached. */
  failure(): ShoalError | undefined;
  watching(): boolean;
  changed(change: RawChange): void;
  synced(): void;
  event(event: CloneClientEvent): void;
}

/** ms after which unacknowledged updates are sent again; up to half as much more, random. */
const RESEND_INTERVAL = 1_000;

export interface ClientUpdate {
  readonly key: Buffer;
  readonly properties: Buffer;
  /** Empty: the key is deleted. */
  readonly value: Buffer;
  readonly conditional: boolean;
  /** ms; -1: no limit. */
  readonly timeout: number;
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
}

/** The first one is in flight. */
interface KeyCalls {
  readonly key: Buffer;
  readonly calls: CloneCall[];
}

export class ClientCalls {
  readonly #options: ClientRulesOptions;
  readonly #tokenHigh: number;
  readonly #tokenLow: number;
  readonly #effects: ClientEffects;
  readonly #inFlight = new NumberTable<CloneCall>();
  readonly #byKey = new KeyTable<KeyCalls>();
  readonly #deadlines = new Deadlines<CloneCall>();
  /** The collector of the server in use is subscribed. */
  #collects = false;
  /** Whether the server supports conditions; `undefined` before its KTHXBAI, which shows that it serves. */
  #conditions: boolean | undefined;
  #number = 0;
  /** In flight, and behind them. */
  count = 0;
  #resendAt = 0;
  /** ms that the last acknowledgement took. */
  #delay = 0;
  readonly counts = { sets: 0, acknowledged: 0, conflicts: 0, timedOut: 0, aborted: 0, resent: 0 };

  constructor(options: ClientRulesOptions, effects: ClientEffects) {
    this.#options = options;
    this.#tokenHigh = options.token.readInt32BE(0);
    this.#tokenLow = options.token.readInt32BE(4);
    this.#effects = effects;
  }

  /** 0 for an update of another client. */
  numberOf(uuid: Buffer): number {
    return uuid.length === UUID_BYTES && this.isOwn(uuid, 0) ? readSequence(uuid, 8) : 0;
  }

  /** Whether the UUID at a position is of this client. */
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
    if (this.count === 0) this.#resendAt = this.#nextResend(now);
    const uuid = uuidOf(this.#options.token, ++this.#number);
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
    };
    (call as { link: Link<CloneCall> }).link = new Link(call);
    this.counts.sets += 1;
    if (timeout >= 0) this.#deadlines.set(call.link, now, timeout);
    this.count += 1;
    const earlier = this.#byKey.get(key);
    if (earlier !== undefined) earlier.calls.push(call);
    else {
      this.#byKey.set({ key, calls: [call] });
      this.#launch(call, now);
    }
    if (conditional && this.#conditions === false) this.#fail(call, unsupported(), now);
    return call;
  }

  /** A KVPUB, which may be of this client's update. */
  acknowledge(frames: readonly Buffer[], sequence: number, now: number): void {
    const call = this.#callOf(frames);
    if (call === undefined) return;
    const properties = frames[PROPERTIES] as Buffer;
    const revision = revisionOf(properties);
    this.#delay = now - call.firstSentAt;
    this.#end(call, now);
    if (revision !== undefined && hasLine(properties, CONFLICT)) {
      this.counts.conflicts += 1;
      call.result.reject(new CloneConflictError(revision));
      return;
    }
    this.counts.acknowledged += 1;
    // The sequence of a repeated update is unknown. With an unchanged value it is the revision of the key.
    const same = revision !== undefined && (call.frames[VALUE] as Buffer).equals(frames[VALUE] as Buffer);
    call.result.resolve(same && revision > 0 ? revision : sequence);
  }

  abort(call: CloneCall, now: number): void {
    this.counts.aborted += 1;
    this.#end(call, now);
  }

  /** A KVPUB with the property `refused`. */
  refuse(frames: readonly Buffer[], now: number): void {
    const call = this.#callOf(frames);
    if (call !== undefined)
      this.#fail(call, new StoreError("full", "The server has no room for the update"), now);
  }

  /** The server's collector can take updates, or not any more. */
  collector(collects: boolean, now: number): void {
    if (collects === this.#collects) return;
    this.#collects = collects;
    this.#open(now);
  }

  /** @param conditions whether the server supports them. Another one would make the update whatever the key is */
  serves(conditions: boolean, now: number): void {
    if (!conditions) {
      const calls = this.#inOrder().flatMap(({ key }) => this.#byKey.get(key)?.calls ?? []);
      for (const call of calls) if (call.conditional) this.#fail(call, unsupported(), now);
    }
    this.#conditions = conditions;
    this.#open(now);
  }

  /** Another server is tried; updates stay in flight. */
  shut(): void {
    this.#collects = false;
    this.#conditions = undefined;
  }

  /** Infinite without a call. */
  next(): number {
    if (this.count === 0) return Number.POSITIVE_INFINITY;
    return Math.min(this.#resendAt, this.#deadlines.next() ?? Number.POSITIVE_INFINITY);
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      this.counts.timedOut += 1;
      this.#end(call, now);
      const message = "No server has put the update in order in time; it may still take effect";
      call.result.reject(lateError(message, [], this.#effects.failure()));
    }
    if (now < this.#resendAt) return;
    this.#resendAt = this.#nextResend(now);
    this.#resend(now, RESEND_INTERVAL);
  }

  /** The owner of the results rejects them. */
  close(): void {
    this.counts.aborted += this.count;
    this.#inFlight.clear();
    this.#byKey.clear();
    this.count = 0;
  }

  get #isOpen(): boolean {
    return this.#collects && this.#conditions !== undefined;
  }

  /** Sends all updates in flight to a server, which may lack them. */
  #open(now: number): void {
    if (!this.#isOpen) return;
    for (const call of this.#inFlight.values()) call.firstSentAt = now;
    this.#resend(now);
  }

  /** Repeats updates older than `age` ms, and than a slow server needs: repetitions would make it slower. */
  #resend(now: number, age = 0): void {
    if (!this.#isOpen || this.#effects.unsent() > 0) return;
    const least = age === 0 ? 0 : Math.max(age, 2 * this.#delay);
    for (const call of this.#inOrder()) {
      if (now - call.sentAt < least) continue;
      if (now > call.sentAt) this.counts.resent += 1;
      call.sentAt = now;
      this.#send(call, now);
    }
  }

  /** Random: clients of a restarted server do not send at once. */
  #nextResend(now: number): number {
    return now + RESEND_INTERVAL * (1 + this.#options.random() / 2);
  }

  #callOf(frames: readonly Buffer[]): CloneCall | undefined {
    return this.#inFlight.get(this.numberOf(frames[UUID] as Buffer));
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
    if (this.#isOpen && (!call.conditional || this.#conditions === true)) this.#send(call, now);
  }

  /** Calls that were given up may wait still; beyond the bound a call is sent with the next repetition. */
  #send(call: CloneCall, now: number): void {
    if (this.#effects.unsent() >= this.#options.maxPending) return;
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
    this.count -= 1;
    const calls = this.#byKey.get(call.key)?.calls ?? [];
    calls.splice(calls.indexOf(call), 1);
    if (calls.length === 0) this.#byKey.delete(call.key);
    const wasInFlight = this.#inFlight.delete(call.number);
    if (wasInFlight && calls[0] !== undefined) this.#launch(calls[0], now);
  }
}

function unsupported(): NotSupportedError {
  return new NotSupportedError(
    "The server does not compare and set: it would make the update whatever the key is",
  );
}
