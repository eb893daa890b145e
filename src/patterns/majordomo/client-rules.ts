/**
 * A client's requests (7/MDP and 18/MDP, client side), towards one broker of several.
 *
 *              room at the broker            its answer
 *   waiting ------------------------> sent -------------> ended
 *     ^                                |  no time, no retries left, cancelled -> ended
 *     +---- the broker is lost --------+  silent, or its connection ended
 *
 * Requests of the extended form carry an id, so any number is in flight on one
 * connection, and a repetition is not handled again. A plain answer says only which
 * service it is of: so each connection has one request at a time, and one whose
 * answer did not come in time is given up with its connection, else a late answer
 * would be taken for the next one's.
 *
 * Brokers may come and go. One that is not in the list any more gets no further request; its connection stays for the
 * answers to those that it has, and the next broker is asked meanwhile. The same holds for one that the client has moved away from, to
 * one that precedes it.
 */

import { LinkedList } from "../../core/collections/linked-list.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { Deadlines } from "../../core/deadlines.js";
import { InvalidStateError, NotSupportedError, type ShoalError, TimeoutError } from "../../core/errors.js";
import { decodeDetails, ServiceError, toReason } from "../kit/errors.js";
import {
  type Candidate,
  ClientBroker,
  type ClientEffects,
  type ClientLimits,
  LeftBrokers,
  PlainConnections,
} from "./client-broker.js";
import { type Asked, Call } from "./client-calls.js";
import { FailBack } from "./client-fail-back.js";
import type { MajordomoClientStats } from "./client-options.js";
import {
  type Answer,
  type AtClient,
  Dialect,
  EMPTY,
  failureIn,
  MAX_TIME,
  NO_LIMIT,
  RequestId,
} from "./wire.js";

export class ClientRules {
  readonly counters = { requests: 0, answered: 0, failed: 0, timedOut: 0, cancelled: 0, late: 0, faults: 0 };
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #key: { readonly high: number; readonly low: number };
  readonly #broker: ClientBroker;
  readonly #plain: PlainConnections;
  readonly #failBack: FailBack;
  readonly #calls = new NumberTable<Call>();
  /** Calls that were not sent, or are to be sent again; the others are under way. */
  readonly #waiting = new LinkedList<Call>();
  readonly #deadlines = new Deadlines<Call>();
  #sequence = 0;
  /** No call is older. */
  #oldest = 1;
  readonly #leaving: LeftBrokers;
  /** Bytes of the requests in `#calls`. */
  #bytes = 0;
  #closed = false;
  /** Why the last attempt to connect to the broker failed; nothing was heard of it since. */
  #lastFailure: ShoalError | undefined = undefined;

  /** @param key 8 bytes that no other client has @param random for jitter, from 0 up to 1 */
  constructor(limits: ClientLimits, effects: ClientEffects, key: Buffer, random: () => number) {
    this.#limits = limits;
    this.#effects = effects;
    this.#key = { high: key.readInt32BE(0), low: key.readInt32BE(4) };
    this.#broker = new ClientBroker(limits, effects);
    this.#leaving = new LeftBrokers(limits, effects);
    this.#plain = new PlainConnections(limits.maxConnections, effects, () => this.#broker.open());
    this.#failBack = new FailBack(limits, effects, (endpoint) => this.#broker.connect(endpoint), random);
  }

  /** Whether a broker is there. */
  get hasBroker(): boolean {
    return this.#broker.mode !== "asking";
  }

  /** Whether no call is under way. */
  get idle(): boolean {
    return this.#calls.size === 0;
  }

  start(now: number): void {
    const { dialect } = this.#limits;
    if (dialect === undefined) this.#broker.probe(now, false);
    else {
      this.#broker.speak(dialect);
      this.#plain.add(this.#broker.open());
    }
  }

  /** Other brokers are there now. */
  setEndpoints(endpoints: readonly string[], now: number): void {
    if (this.#closed) return;
    const broker = this.#broker;
    const { isListed, hasNewcomer } = broker.setEndpoints(endpoints);
    if (isListed && (broker.mode !== "asking" || broker.main !== 0)) {
      if (broker.mode === "extended") this.#failBack.watch(broker.preceding, now, hasNewcomer);
      return;
    }
    // A plain broker's connections end with the request that each has.
    if (broker.mode === "plain") {
      this.#plain.moveOn();
      if (this.#limits.dialect !== undefined) {
        this.#pump(now);
        return;
      }
    }
    const left = broker.leave("removed");
    if (left !== 0) this.#awaitLeft(left, now);
    this.#seek(now);
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING` */
  submit(asked: Asked, now: number): Call {
    if (this.#waiting.length >= this.#limits.maxPending) {
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${this.#waiting.length} requests wait to be sent already (maxPending): await some of them`,
      );
    }
    const { high, low } = this.#key;
    const id = new RequestId(high, low, this.#sequence + 1);
    const call = new Call(id, asked);
    const { terms } = asked;
    if (this.#calls.size > 0 && this.#bytes + call.bytes > this.#limits.maxPendingBytes) {
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `Requests of ${this.#bytes} bytes have no answer yet (maxPendingBytes): await some of them`,
      );
    }
    this.#sequence += 1;
    this.#bytes += call.bytes;
    if (terms.total > 0) call.expiresAt = now + terms.total;
    this.counters.requests += 1;
    this.#calls.set(call.id.sequence, call);
    if (terms.timeout > 0) this.#deadlines.set(call.deadlineLink, now, terms.timeout);
    if (this.#broker.mode === "asking") this.#broker.wanted(now);
    this.#begin(call, now);
    return call;
  }

  /** The caller has enough. */
  cancel(call: Call, now: number): void {
    if (!this.#calls.has(call.id.sequence)) return;
    this.counters.cancelled += 1;
    this.#sendCancel(call);
    this.#end(call, now, true);
  }

  /** The reader of an answer has read a piece that was kept. @param cost of the piece */
  read(call: Call, cost: number, now: number): void {
    if (!this.#calls.has(call.id.sequence)) return;
    // The time was not for the reader.
    if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    this.#onRead(call, cost);
  }

  /** A connection has room again. */
  writable(connection: number, now: number): void {
    if (connection !== this.#broker.main) return;
    this.#broker.mute = false;
    this.#pump(now);
  }

  /** A connection has ended: nobody knows what became of what was sent over it. */
  disconnected(connection: number, now: number): void {
    if (this.#closed) return;
    if (this.#leaving.has(connection)) {
      this.#giveUpLeft(connection, now);
      return;
    }
    if (this.#broker.mode === "plain" || this.#plain.of(connection) !== undefined) {
      this.#plainLost(connection, now);
      return;
    }
    if (this.#failBack.has(connection)) this.#failBack.failed(now);
    if (connection !== this.#broker.main) return;
    const hurry = this.#broker.canFailOverNow(now);
    // One that has not answered yet has its time; the connection is made again meanwhile.
    if (!hurry && this.#broker.mode === "asking") return;
    this.#broker.lose("disconnected");
    this.#requeue(now);
    if (hurry) this.#seek(now);
    else {
      this.#failBack.stop();
      this.#broker.backOff();
    }
  }

  /** A connection could not be made: there may be a broker elsewhere. */
  refused(connection: number, now: number, error?: ShoalError): void {
    if (this.#closed) return;
    if (connection === this.#broker.main) this.#lastFailure = error;
    if (this.#failBack.has(connection)) this.#failBack.failed(now);
    if (this.#broker.mode !== "asking" || connection !== this.#broker.main) return;
    if (!this.#broker.hasOthers || !this.#broker.canFailOverNow(now)) return;
    this.#broker.lose("refused");
    this.#seek(now);
  }

  receive(connection: number, input: AtClient, now: number): void {
    const isAsked = this.#failBack.has(connection);
    if (input.kind === "fault") {
      this.counters.faults += 1;
      const { endpoint } = isAsked ? this.#failBack : this.#broker;
      this.#effects.event({ type: "peer:invalid", endpoint });
    }
    if (isAsked) {
      const candidate = this.#failBack.receive(input, now);
      if (candidate !== undefined) this.#moveTo(candidate, now);
      return;
    }
    if (input.kind === "fault") return;
    this.#lastFailure = undefined;
    this.#broker.heard(connection, now);
    this.#leaving.heard(connection, now);
    switch (input.kind) {
      case "answer":
        if (input.id === undefined) this.#plainAnswer(connection, input, now);
        else this.#answer(this.#calls.get(input.id.sequence), input, now);
        break;
      case "negotiated":
        if (this.#broker.mode !== "asking" || connection !== this.#broker.main) break;
        this.#plain.add(this.#broker.negotiated(input));
        this.#failBack.watch(this.#broker.preceding, now);
        this.#pump(now);
        break;
      case "broker-heartbeat":
        if (this.#leaving.hasForgotten(connection, input.incarnation)) this.#giveUpLeft(connection, now);
        if (connection !== this.#broker.main || !this.#broker.hasForgotten(input.incarnation)) break;
        this.#requeue(now);
        this.#pump(now);
        break;
      case "error": {
        const call = this.#calls.get((input.id as RequestId).sequence);
        const isStopping = input.reason === "stopping";
        // Another broker is asked already: its answer counts.
        if (call === undefined || call.connection !== connection) this.counters.late += 1;
        else if (!isStopping || !this.#askElsewhere(call, connection, now)) this.#refused(call, input, now);
        break;
      }
      case "waiting": {
        const call = this.#calls.get(input.id.sequence);
        if (call === undefined) break;
        call.noWorkers = input.noWorkers;
        if (input.noWorkers) this.#effects.unserved?.();
        break;
      }
    }
  }

  /** The services that requests wait for, and that no worker of the broker serves. */
  unserved(): Set<string> {
    const names = new Set<string>();
    for (const { noWorkers, service } of this.#calls.values()) if (noWorkers) names.add(service.name);
    return names;
  }

  nextWakeUp(): number | undefined {
    if (this.#closed) return undefined;
    const infinity = Number.POSITIVE_INFINITY;
    const [deadline = infinity, beat = infinity] = [this.#deadlines.next(), this.#broker.nextBeat];
    const { nextWakeUp: question = infinity } = this.#failBack;
    const next = Math.min(deadline, beat, question, this.#leaving.nextBeat ?? infinity);
    return next === infinity ? undefined : next;
  }

  tick(now: number): void {
    if (this.#closed) return;
    for (const call of this.#deadlines.take(now)) this.#late(call, now);
    for (const silent of this.#leaving.tick(now)) this.#giveUpLeft(silent, now);
    this.#failBack.tick(now);
    if (!this.#broker.tick(now, this.#calls.size > 0)) return;
    this.#requeue(now);
    this.#seek(now);
  }

  /** Ends all calls. */
  close(fail: (call: Call) => void): void {
    this.#closed = true;
    for (const call of this.#calls.values()) {
      this.#sendCancel(call);
      fail(call);
    }
    this.#calls.clear();
    while (this.#waiting.shift() !== undefined);
  }

  stats(): MajordomoClientStats {
    return {
      ...this.counters,
      pending: this.#waiting.length,
      inFlight: this.#calls.size - this.#waiting.length,
      broker: this.#broker.mode === "asking" ? undefined : this.#broker.endpoint,
    };
  }

  /** No broker is in use: the one that is to be is asked what it is. */
  #seek(now: number): void {
    this.#failBack.stop();
    this.#broker.probe(now, this.#calls.size > 0);
  }

  /** New requests go to this broker; what the one in use was asked is awaited over its connection. */
  #moveTo(candidate: Candidate, now: number): void {
    const broker = this.#broker;
    const left = broker.leave("preferred");
    this.#awaitLeft(left, now);
    broker.moveTo(candidate);
    this.#failBack.watch(broker.preceding, now);
    this.#pump(now);
  }

  /** What was sent is to be sent again, in its order, as often as it may be. @param over that connection; default: to the broker in use */
  #requeue(now: number, over?: number): void {
    const sent = this.#calls.values().filter(({ connection }) => connection !== 0);
    // Each goes before all that waits: so the newest first.
    for (const call of sent.sort((a, b) => b.id.sequence - a.id.sequence)) {
      const { connection } = call;
      // Another broker has it: one that was left, or a plain one.
      const isElsewhere = this.#leaving.has(connection) || this.#plain.of(connection) === call;
      if (over === undefined ? isElsewhere : connection !== over) continue;
      if (call.final) {
        call.connection = 0;
        call.noWorkers = false;
        this.#fail(call, new ServiceError("broker-lost", call.service.name), now);
        continue;
      }
      this.#sendAgain(call);
      if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    }
  }

  /**
   * A broker that stops has refused a request: another one is asked, where there is one and an attempt is left. What this broker has
   * taken is still awaited over its connection.
   *
   * @returns whether another one is asked
   */
  #askElsewhere(call: Call, connection: number, now: number): boolean {
    const broker = this.#broker;
    if (call.final) return false;
    if (!this.#leaving.has(connection)) {
      if (connection !== broker.main || !broker.hasOthers || !broker.canFailOverNow(now)) return false;
      this.#awaitLeft(broker.leave("stopping"), now);
      broker.advance();
      this.#seek(now);
    }
    this.#sendAgain(call);
    if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    this.#release(connection);
    this.#pump(now);
    return true;
  }

  /** Before all that waits. */
  #sendAgain(call: Call): void {
    call.connection = 0;
    call.noWorkers = false;
    call.retries -= 1;
    this.#waiting.unshift(call.place);
  }

  /** A call that is new. */
  #begin(call: Call, now: number): void {
    const isNext = this.#waiting.length === 0 && this.#broker.mode === "extended";
    if (isNext && !this.#broker.mute && this.#calls.size <= this.#limits.maxInFlight)
      this.#sendFirst(call, now);
    else {
      this.#waiting.push(call.place);
      this.#pump(now);
    }
  }

  #pump(now: number): void {
    if (this.#broker.mode === "extended") this.#pumpExtended(now);
    else if (this.#broker.mode === "plain") this.#pumpPlain(now);
  }

  #pumpExtended(now: number): void {
    const { maxInFlight } = this.#limits;
    while (!this.#broker.mute && this.#calls.size - this.#waiting.length < maxInFlight) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      this.#sendFirst(call, now);
    }
  }

  /** To the broker in use, of which it is not asked yet. */
  #sendFirst(call: Call, now: number): void {
    this.#broker.wanted(now);
    call.connection = this.#broker.main;
    this.#sendExtended(call, now);
  }

  #pumpPlain(now: number): void {
    for (let call = this.#waiting.first; call !== undefined; call = this.#waiting.first) {
      if (call.headers.length > 0) {
        this.#fail(call, new NotSupportedError("A plain MDP broker has no headers"), now);
        continue;
      }
      if (!this.#plain.take(call)) return;
      this.#waiting.shift();
      const dialect = this.#broker.plain;
      const { connection, service, body } = call;
      call.extended = false;
      const fixed = { kind: "request", id: undefined, oldest: 0, time: NO_LIMIT, headers: EMPTY } as const;
      try {
        this.#effects.send(connection, { ...fixed, dialect, service: service.frame, body });
      } catch (error) {
        this.#fail(call, error as ShoalError, now);
      }
    }
  }

  #sendExtended(call: Call, now: number): void {
    const { id, service, body, expiresAt, headers, observed } = call;
    while (this.#oldest < id.sequence && !this.#calls.has(this.#oldest)) this.#oldest += 1;
    call.extended = true;
    try {
      this.#broker.send({
        kind: "request",
        dialect: Dialect.Shoal,
        id,
        oldest: this.#oldest,
        service: service.frame,
        time: expiresAt === 0 ? NO_LIMIT : Math.min(MAX_TIME, Math.max(0, Math.ceil(expiresAt - now))),
        headers: observed.length > 0 ? observed : headers,
        body,
      });
    } catch (error) {
      this.#fail(call, error as ShoalError, now);
    }
  }

  /** An attempt has had its time. */
  #late(call: Call, now: number): void {
    if (call.sink.unread === true) {
      this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
      return;
    }
    if (call.final) {
      this.#sendCancel(call);
      this.#end(call, now, true);
      call.sink.failed(this.#whyLate(call));
      return;
    }
    call.retries -= 1;
    this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    if (call.connection === 0) return;
    const { connection } = call;
    if (this.#broker.mode === "extended") {
      // Its broker may be in the list no more, and silent, or a plain one: the one in use is asked.
      if (this.#leaving.has(connection) || this.#plain.of(connection) === call) {
        this.#plain.giveUp(call);
        call.connection = this.#broker.main;
      }
      this.#sendExtended(call, now);
      this.#release(connection);
      return;
    }
    if (this.#leaving.has(connection)) {
      call.connection = 0;
      this.#waiting.unshift(call.place);
      this.#release(connection);
      this.#pump(now);
      return;
    }
    // A plain broker that hangs is silent, and no more: the next attempt goes to the next one.
    this.#leavePlain(call.connection);
    this.#plain.giveUp(call);
    this.#waiting.unshift(call.place);
    this.#pump(now);
  }

  /** A plain broker's connection has ended: its request goes over another, to the next broker. */
  #plainLost(connection: number, now: number): void {
    const call = this.#plain.lost(connection);
    this.#leavePlain(connection);
    if (call === undefined) return;
    if (call.final) {
      this.#fail(call, new ServiceError("broker-lost", call.service.name), now);
      return;
    }
    call.retries -= 1;
    if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    this.#waiting.unshift(call.place);
    this.#pump(now);
  }

  /** The next plain broker is to be used; once, for all connections to this one. */
  #leavePlain(connection: number): void {
    if (!this.#broker.hasOthers || !this.#plain.isCurrent(connection)) return;
    this.#broker.advance();
    this.#plain.moveOn();
  }

  /** The broker may have said what the request waits for. */
  #whyLate(call: Call): ShoalError {
    const { name } = call.service;
    if (call.noWorkers) {
      this.counters.failed += 1;
      return new ServiceError("no-service", name);
    }
    this.counters.timedOut += 1;
    const { endpoint, mode } = this.#broker;
    const cause = this.#lastFailure;
    const what =
      mode === "asking"
        ? `no broker has answered at ${endpoint}`
        : `no answer in time from the broker at ${endpoint}`;
    const why = cause === undefined ? "" : `; last: ${cause.message}`;
    return new TimeoutError("ETIMEDOUT", `${name}: ${what}${why}`, { cause, endpoint });
  }

  #plainAnswer(connection: number, input: Answer, now: number): void {
    const call = this.#plain.of(connection);
    if (call === undefined || !input.service.equals(call.service.frame)) {
      this.counters.late += 1;
      return;
    }
    const failure = input.final ? failureIn(input.body) : undefined;
    if (failure !== undefined) this.#refused(call, failure, now);
    else this.#answer(call, input, now);
  }

  #answer(call: Call | undefined, { body, final, pieces }: Answer, now: number): void {
    if (call === undefined) {
      this.counters.late += 1;
      return;
    }
    if (pieces >= 0 && pieces !== call.pieces) {
      this.#breakOff(call, "incomplete", now);
      return;
    }
    if (final) {
      this.counters.answered += 1;
      this.#end(call, now, false);
      call.sink.answer(body.frames as Buffer[], final);
      return;
    }
    call.pieces = (call.pieces + 1) >>> 0;
    // Each piece is a sign of life: the time is for the next one.
    if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    const taken = call.sink.answer(body.frames as Buffer[], final);
    if (taken === "read") this.#onRead(call, body.cost);
    else if (taken === "refused") this.#breakOff(call, "too-large", now);
  }

  /** Its worker may send as much as was read; sent in halves of the window, not for each piece. */
  #onRead(call: Call, cost: number): void {
    const bytes = call.window.read(cost);
    if (bytes === 0 || call.connection === 0 || !call.extended) return;
    const message = { kind: "credit", id: call.id, bytes } as const;
    if (this.#leaving.has(call.connection)) this.#effects.send(call.connection, message);
    else if (this.#broker.mode === "extended") this.#broker.send(message);
  }

  /** A broker that was left answers nothing more: what it was asked is to be asked again. */
  #giveUpLeft(connection: number, now: number): void {
    this.#leaving.delete(connection);
    this.#effects.close(connection);
    this.#requeue(now, connection);
    this.#pump(now);
  }

  /** A request less is with a broker that was left: its connection ends with the last one. */
  #release(connection: number): void {
    if (this.#leaving.release(connection)) this.#effects.close(connection);
  }

  /** The broker in use was left: what it was asked is awaited over its connection, which ends if that is nothing. */
  #awaitLeft(connection: number, now: number): void {
    const calls = this.#calls.values().filter((call) => call.connection === connection).length;
    if (calls === 0) this.#effects.close(connection);
    else this.#leaving.add(connection, this.#broker, calls, now);
  }

  /** What comes of the answer from now on is of no use. */
  #breakOff(call: Call, reason: "incomplete" | "too-large", now: number): void {
    this.counters.failed += 1;
    this.#sendCancel(call);
    this.#end(call, now, true);
    const text =
      reason === "too-large" ? "The answer is larger than the client's maxAnswerBytes." : undefined;
    call.sink.failed(new ServiceError(reason, call.service.name, text));
  }

  #refused(
    call: Call,
    {
      reason,
      text,
      details,
    }: { readonly reason: string; readonly text: string; readonly details?: Buffer | undefined },
    now: number,
  ): void {
    const handler = decodeDetails(details);
    this.#fail(call, new ServiceError(toReason(reason), call.service.name, text, handler), now);
  }

  #fail(call: Call, error: ShoalError, now: number): void {
    this.counters.failed += 1;
    this.#end(call, now, false);
    call.sink.failed(error);
  }

  #sendCancel(call: Call): void {
    const hasIds = this.#broker.mode === "extended" || this.#leaving.has(call.connection);
    if (hasIds && call.connection !== 0 && call.extended)
      this.#effects.send(call.connection, { kind: "cancel", id: call.id });
  }

  /** @param abandoned its answer may still come */
  #end(call: Call, now: number, abandoned: boolean): void {
    this.#calls.delete(call.id.sequence);
    this.#bytes -= call.bytes;
    call.deadlineLink.unlink();
    call.placeLink?.unlink();
    if (abandoned) this.#plain.giveUp(call);
    else this.#plain.release(call);
    this.#release(call.connection);
    if (this.#waiting.length > 0) this.#pump(now);
    if (this.#calls.size === 0) this.#effects.idle?.();
  }
}
