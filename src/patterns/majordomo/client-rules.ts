/**
 * A client's requests (7/MDP and 18/MDP, client side) to one of several brokers.
 *
 *              room at the broker            its answer
 *   waiting ------------------------> sent -------------> ended
 *     ^                                |  no time, no retries left, cancelled -> ended
 *     +---- the broker is lost --------+  silent, or its connection ended
 *
 * Plain answers name only the service: a plain connection has one request, and is closed if its answer is late, which
 * could be mistaken for the next one's.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { LinkedList } from "../../core/collections/queues.js";
import { ReceiveWindow } from "../../core/credit.js";
import { InvalidStateError, NotSupportedError, type ShoalError } from "../../core/errors.js";
import { Deadlines } from "../../core/timers.js";
import { decodeDetails, lateError, ServiceError, toReason } from "../../kit/errors.js";
import type { Call, Connection } from "./client-calls.js";
import { ClientConnections, type ClientEffects, type ClientLimits } from "./client-connections.js";
import type { MajordomoBrokerLeaveReason, MajordomoClientStats } from "./client-options.js";
import {
  type Addressed,
  type Answer,
  type AtClient,
  Dialect,
  type Failed,
  MAX_TIME,
  NO_BODY,
  NO_LIMIT,
  newRequest,
  numberNear,
  STREAM_WINDOW,
} from "./protocol.js";

export class ClientRules {
  readonly counters = { requests: 0, answered: 0, failed: 0, timedOut: 0, cancelled: 0, late: 0, faults: 0 };
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #request = newRequest();
  readonly #connections: ClientConnections;
  readonly #calls = new NumberTable<Call>();
  readonly #waiting = new LinkedList<Call>();
  readonly #deadlines = new Deadlines<Call>();
  #sequence = 0;
  /** Lowest number of a pending call, or less. */
  #oldest = 1;
  #bytes = 0;
  #closed = false;
  #isPumping = false;
  /** Of the last connection attempt, until a message arrives. */
  #lastFailure: ShoalError | undefined = undefined;

  /** @param key 8 random bytes */
  constructor(limits: ClientLimits, effects: ClientEffects, key: Buffer) {
    this.#limits = limits;
    this.#effects = effects;
    this.#request.clientId = { high: key.readInt32BE(0), low: key.readInt32BE(4) };
    this.#connections = new ClientConnections(limits, effects);
  }

  get hasBroker(): boolean {
    return this.#connections.isReady;
  }

  get idle(): boolean {
    return this.#calls.size === 0;
  }

  start(now: number): void {
    this.#seek(now);
  }

  setEndpoints(endpoints: readonly string[], now: number): void {
    if (this.#closed) return;
    const connections = this.#connections;
    const isListed = connections.setEndpoints(endpoints);
    if (isListed && connections.main !== undefined) return;
    connections.leave("removed", now);
    this.#seek(now);
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING` */
  submit(call: Call, now: number): void {
    const { length } = this.#waiting;
    if (length >= this.#limits.maxPending && !this.#connections.hasRoom(this.#calls.size - length)) {
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${length} requests wait to be sent already (maxPending): await some of them`,
      );
    }
    if (this.#calls.size > 0 && this.#bytes + call.bytes > this.#limits.maxPendingBytes) {
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `Requests of ${this.#bytes} bytes have no answer yet (maxPendingBytes): await some of them`,
      );
    }
    const { terms } = call;
    this.#sequence += 1;
    call.sequence = this.#sequence;
    this.#bytes += call.bytes;
    if (terms.total > 0) call.expiresAt = now + terms.total;
    this.counters.requests += 1;
    this.#calls.set(call.sequence, call);
    if (terms.timeout > 0) this.#deadlines.set(call.deadlineLink, now, terms.timeout);
    this.#connections.wanted(now);
    this.#begin(call, now);
  }

  cancel(call: Call, now: number): void {
    if (!this.#calls.has(call.sequence)) return;
    this.counters.cancelled += 1;
    this.#sendCancel(call);
    this.#end(call, now, true);
  }

  /** A kept piece was read. */
  read(call: Call, cost: number, now: number): void {
    if (!this.#calls.has(call.sequence)) return;
    // The timeout does not include the reader's time.
    if (call.terms.timeout > 0) this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
    this.#onRead(call, cost);
  }

  writable(number: number, now: number): void {
    const connections = this.#connections;
    if (connections.find(number) !== connections.main) return;
    connections.mute = false;
    this.#pump(now);
  }

  /** @param isWithoutSocket there was none, which would reconnect */
  disconnected(number: number, now: number, isWithoutSocket = false): void {
    const connections = this.#connections;
    const connection = connections.find(number);
    if (connection === undefined || this.#closed) return;
    if (connection !== connections.main) {
      this.#giveUp(connection, now);
      return;
    }
    const hurry = isWithoutSocket || connections.canFailOverNow(now);
    // The broker has its time to answer; the socket reconnects meanwhile.
    if (!hurry && !connections.isReady) return;
    this.#lose(connection, "disconnected", now);
    if (hurry) this.#seek(now);
    else connections.rest();
  }

  refused(number: number, now: number, error?: ShoalError): void {
    const connections = this.#connections;
    const connection = connections.find(number);
    if (connection === undefined || connection !== connections.main || this.#closed) return;
    this.#lastFailure = error;
    if (connections.isReady || !connections.hasOthers || !connections.canFailOverNow(now)) return;
    this.#lose(connection, "refused", now);
    this.#seek(now);
  }

  receive(number: number, input: AtClient, now: number): void {
    const connections = this.#connections;
    const connection = connections.find(number);
    if (connection === undefined || this.#closed) return;
    if (input.kind === "fault") {
      this.counters.faults += 1;
      this.#effects.event({ type: "peer:invalid", endpoint: connection.endpoint });
      return;
    }
    this.#lastFailure = undefined;
    connection.lastSeen = now;
    switch (input.kind) {
      case "answer":
        this.#answer(this.#callOf(connection, input), input, now);
        break;
      case "negotiated":
        if (connections.isReady || connection !== connections.main) break;
        connections.negotiated(connection, input);
        this.#pump(now);
        break;
      case "forgotten":
        if (!connection.isExtended) break;
        if (connection.isLeft) this.#giveUp(connection, now);
        else {
          connections.leaveEvent("forgotten");
          this.#requeue(connection, now);
          this.#pump(now);
        }
        break;
      case "failure": {
        const call = this.#callOf(connection, input);
        const isStopping = input.reason === "stopping" && connection.isExtended;
        // The call was sent to another broker since.
        if (call === undefined || call.connection !== connection) this.counters.late += 1;
        else if (input.reason === "duplicate" && connection.isExtended && !call.final) {
          // A broker that this client has left delivered it later. Sent again, this broker's delivery is the newest.
          this.#sendAgain(call, now);
          this.#pump(now);
        } else if (!isStopping || !this.#askElsewhere(call, connection, now)) this.#refused(call, input, now);
        break;
      }
    }
  }

  nextWakeUp(): number | undefined {
    if (this.#closed) return undefined;
    const infinity = Number.POSITIVE_INFINITY;
    const next = Math.min(this.#deadlines.next() ?? infinity, this.#connections.nextDue());
    return next === infinity ? undefined : next;
  }

  tick(now: number): void {
    if (this.#closed) return;
    for (const call of this.#deadlines.take(now)) this.#late(call, now);
    const connections = this.#connections;
    for (const silent of connections.tick(now, this.#calls.size > 0)) {
      if (silent.isLeft) this.#giveUp(silent, now);
      else {
        this.#lose(silent, connections.isReady ? "silent" : "no-answer", now);
        this.#seek(now);
      }
    }
    if (connections.isRested(now)) this.#seek(now);
  }

  close(fail: (call: Call) => void): void {
    this.#closed = true;
    for (const call of this.#calls.values()) {
      this.#sendCancel(call);
      fail(call);
    }
    this.counters.cancelled += this.#calls.size;
    this.#calls.clear();
    while (this.#waiting.shift() !== undefined);
  }

  stats(): MajordomoClientStats {
    return {
      ...this.counters,
      pending: this.#waiting.length,
      inFlight: this.#calls.size - this.#waiting.length,
      broker: this.#connections.isReady ? this.#connections.endpoint : undefined,
    };
  }

  #seek(now: number): void {
    // A listener may have closed the client.
    if (this.#closed) return;
    this.#connections.probe(now);
    this.#pump(now);
  }

  #lose(main: Connection, reason: MajordomoBrokerLeaveReason, now: number): void {
    this.#connections.lose(reason);
    this.#requeue(main, now);
  }

  /** A left connection is lost. */
  #giveUp(connection: Connection, now: number): void {
    this.#connections.close(connection);
    this.#requeue(connection, now);
    this.#pump(now);
  }

  /** Sends the calls of a connection again, in order, if attempts are left. */
  #requeue(connection: Connection, now: number): void {
    const sent = this.#calls.values().filter((call) => call.connection === connection);
    // Newest first, since each goes to the front.
    for (const call of sent.sort((a, b) => b.sequence - a.sequence)) {
      if (!call.final) this.#sendAgain(call, now);
      else {
        this.#detach(call, true);
        this.#fail(call, new ServiceError("broker-lost", call.service.name), now);
      }
    }
  }

  /** A stopping broker refused a request. @returns whether another broker is asked */
  #askElsewhere(call: Call, connection: Connection, now: number): boolean {
    const connections = this.#connections;
    if (call.final) return false;
    if (!connection.isLeft) {
      if (connection !== connections.main || !connections.hasOthers || !connections.canFailOverNow(now))
        return false;
      connections.leave("stopping", now);
      connections.advance();
      this.#seek(now);
      // A listener may have given it up.
      if (!this.#calls.has(call.sequence)) return true;
    }
    this.#sendAgain(call, now);
    this.#pump(now);
    return true;
  }

  #sendAgain(call: Call, now: number): void {
    this.#detach(call, true);
    call.retries -= 1;
    if (call.terms.timeout > 0) this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
    this.#waiting.unshift(call.place);
  }

  /** @param abandoned its answer may still arrive */
  #detach(call: Call, abandoned: boolean): void {
    const { connection } = call;
    if (connection === undefined) return;
    call.connection = undefined;
    this.#connections.release(connection, abandoned);
  }

  #begin(call: Call, now: number): void {
    if (this.#waiting.length === 0 && this.#connections.hasRoom(this.#calls.size - 1))
      this.#sendFirst(call, now);
    else this.#waiting.push(call.place);
  }

  #pump(now: number): void {
    // A call that cannot be sent ends, which would pump again: many must not nest.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#connections.hasRoom(this.#calls.size - this.#waiting.length)) {
      const call = this.#waiting.shift();
      if (call === undefined) break;
      this.#sendFirst(call, now);
    }
    this.#isPumping = false;
  }

  #sendFirst(call: Call, now: number): void {
    const main = this.#connections.main as Connection;
    if (main.isPlain && call.terms.headers.length > 0) {
      this.#fail(call, new NotSupportedError("A plain MDP broker has no headers"), now);
      return;
    }
    this.#connections.wanted(now);
    call.connection = main;
    main.calls += 1;
    if (main.isPlain) main.call = call;
    this.#send(call, now);
  }

  /** To the broker in use. A plain one gets the service and the body. */
  #send(call: Call, now: number): void {
    const { sequence, service, body, expiresAt, terms } = call;
    while (this.#oldest < sequence && !this.#calls.has(this.#oldest)) this.#oldest += 1;
    try {
      const request = this.#request;
      request.dialect = call.connection?.dialect as Dialect;
      request.number = sequence;
      request.sequence = sequence;
      request.oldest = this.#oldest;
      request.service = service.frame;
      request.time = expiresAt === 0 ? NO_LIMIT : Math.min(MAX_TIME, Math.max(0, Math.ceil(expiresAt - now)));
      request.headers = terms.observed ?? terms.headers;
      request.body = body;
      this.#connections.send(request);
    } catch (error) {
      this.#fail(call, error as ShoalError, now);
    }
    this.#request.body = NO_BODY;
  }

  /** An attempt timed out. */
  #late(call: Call, now: number): void {
    const { connection } = call;
    if (call.sink.unread === true) {
      this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
      return;
    }
    if (call.final) {
      this.#sendCancel(call);
      this.#end(call, now, true);
      call.sink.failed(this.#whyLate(call));
    } else if (connection === undefined) {
      call.retries -= 1;
      this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
    } else if (connection !== this.#connections.main) {
      this.#sendAgain(call, now);
      this.#pump(now);
    } else if (connection.isPlain) {
      this.#lose(connection, "silent", now);
      this.#seek(now);
    } else {
      call.retries -= 1;
      this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
      this.#send(call, now);
    }
  }

  #whyLate({ service }: Call): ShoalError {
    this.counters.timedOut += 1;
    const { endpoint, isReady } = this.#connections;
    const what = isReady ? "no answer in time" : "no broker's answer";
    return lateError(`${service.name}: ${what}`, endpoint === "" ? [] : [endpoint], this.#lastFailure);
  }

  #callOf({ call }: Connection, { dialect, number, address }: Addressed): Call | undefined {
    if (dialect === Dialect.Shoal) return this.#calls.get(numberNear(number, this.#sequence));
    return call !== undefined && address[0]?.equals(call.service.frame) ? call : undefined;
  }

  #answer(call: Call | undefined, { body, final, pieces }: Answer, now: number): void {
    if (call === undefined) {
      this.counters.late += 1;
      return;
    }
    call.service.isKnown = true;
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
    call.window ??= new ReceiveWindow(STREAM_WINDOW);
    call.window.unread += body.cost;
    // The timeout applies to each piece.
    if (call.terms.timeout > 0) this.#deadlines.set(call.deadlineLink, now, call.terms.timeout);
    const taken = call.sink.answer(body.frames as Buffer[], final);
    if (taken === "read") this.#onRead(call, body.cost);
    else if (taken === "refused") this.#breakOff(call, "too-large", now);
  }

  /** Grants read bytes in halves of the window. */
  #onRead(call: Call, cost: number): void {
    const { sequence: number, connection } = call;
    const bytes = call.window?.read(cost) ?? 0;
    if (bytes === 0 || connection?.isExtended !== true) return;
    const message = { kind: "credit", number, bytes } as const;
    if (connection === this.#connections.main) this.#connections.send(message);
    else this.#effects.send(connection.number, message);
  }

  #breakOff(call: Call, reason: "incomplete" | "too-large", now: number): void {
    this.counters.failed += 1;
    this.#sendCancel(call);
    this.#end(call, now, true);
    const text =
      reason === "too-large" ? "The answer is larger than the client's maxAnswerBytes." : undefined;
    call.sink.failed(new ServiceError(reason, call.service.name, text));
  }

  #refused(call: Call, { reason, text, details }: Failed, now: number): void {
    call.service.isKnown = true;
    const handler = decodeDetails(details);
    this.#fail(call, new ServiceError(toReason(reason), call.service.name, text, handler), now);
  }

  #fail(call: Call, error: ShoalError, now: number): void {
    this.counters.failed += 1;
    this.#end(call, now, false);
    call.sink.failed(error);
  }

  #sendCancel({ sequence: number, connection }: Call): void {
    if (connection?.isExtended === true) this.#effects.send(connection.number, { kind: "cancel", number });
  }

  /** @param abandoned its answer may still arrive */
  #end(call: Call, now: number, abandoned: boolean): void {
    this.#calls.delete(call.sequence);
    this.#bytes -= call.bytes;
    call.deadlineLink.unlink();
    call.placeLink?.unlink();
    const { connection } = call;
    if (connection !== undefined) this.#connections.release(connection, abandoned);
    if (this.#waiting.length > 0) this.#pump(now);
    if (this.#calls.size === 0) this.#effects.idle?.();
  }
}
