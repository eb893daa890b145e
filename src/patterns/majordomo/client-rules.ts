/**
 * A client's rules (7/MDP and 18/MDP, client side), towards one broker of several.
 *
 *            answer: shoal's              silence, while something is asked
 *   asking -----------------> extended ------------------------------------> asking the next broker
 *     |  answer: a plain one
 *     +-----------------> plain: one request at a time on each connection
 *
 * Requests of the extended form carry an id, so any number is in flight on one
 * connection, and a repetition is not handled again. A plain answer says only which
 * service it is of: so each connection has one request at a time, and one whose
 * answer did not come in time is given up with its connection, else a late answer
 * would be taken for the next one's.
 */
import { InvalidStateError, NotSupportedError, TimeoutError } from "../../core/errors.js";
import { Deadlines } from "../common/deadlines.js";
import { LinkedList } from "../common/linked-list.js";
import { ServiceError, toReason } from "../common/service-error.js";
import { Call, type CallSink } from "./client-call.js";
import type { ClientEvent, ClientStats } from "./client-events.js";
import type { Frames } from "./messages-broker.js";
import { Dialect, EMPTY, failureIn } from "./protocol.js";
import {
  type ClientInput,
  cancelMessage,
  heartbeatMessage,
  idOf,
  requestMessage,
} from "./protocol-client.js";
import { negotiation } from "./protocol-worker.js";

/** How a client deals with its brokers. Times in ms. */
export interface ClientLimits {
  readonly endpoints: readonly string[];
  /** The dialect to speak; `undefined`: ask. */
  readonly dialect: Dialect | undefined;
  readonly heartbeatInterval: number;
  readonly liveness: number;
  /** Requests sent and not answered. */
  readonly maxInFlight: number;
  /** Requests that wait to be sent. */
  readonly maxPending: number;
  /** Connections to a plain broker. */
  readonly maxConnections: number;
}

/** What the rules ask of their driver. */
export interface ClientOutbox {
  open(connection: number, endpoint: string): void;
  close(connection: number): void;
  /** The driver has the message in any case. @returns `false`: no more until `writable` */
  send(connection: number, message: Frames): boolean;
  event(event: ClientEvent): void;
}

export class ClientRules {
  readonly counters = { requests: 0, answered: 0, failed: 0, timedOut: 0, cancelled: 0, late: 0, faults: 0 };
  readonly #limits: ClientLimits;
  readonly #outbox: ClientOutbox;
  readonly #clientKey: Buffer;
  readonly #calls = new Map<number, Call>();
  readonly #waiting = new LinkedList<Call>();
  readonly #sent = new LinkedList<Call>();
  readonly #deadlines = new Deadlines<Call>();
  /** Plain connections without a request. */
  readonly #idle: number[] = [];
  /** Plain connections with one. */
  readonly #busy = new Map<number, Call>();
  #mode: "asking" | "extended" | "plain" = "asking";
  #plain: Dialect = Dialect.Mdp01;
  #connections = 0;
  #main = 0;
  #endpoint = 0;
  #sequence = 0;
  #mute = false;
  #incarnation: Buffer = EMPTY;
  #lastSeen = 0;
  /** When to beat or to ask again; `undefined` while nothing is wanted of the broker. */
  #beatAt: number | undefined;
  #closed = false;

  /** @param clientKey 8 bytes that no other client has */
  constructor(limits: ClientLimits, outbox: ClientOutbox, clientKey: Buffer) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#clientKey = clientKey;
  }

  start(now: number): void {
    const { dialect } = this.#limits;
    if (dialect === undefined) this.#ask(now);
    else {
      this.#mode = "plain";
      this.#plain = dialect;
      this.#idle.push(this.#open());
    }
  }

  /**
   * @param timeout ms of one attempt; 0: no limit
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  submit(
    service: Buffer,
    body: readonly (Buffer | string)[],
    options: { readonly all: boolean; readonly timeout: number; readonly retries: number },
    sink: CallSink,
    now: number,
  ): Call {
    if (this.#waiting.length >= this.#limits.maxPending) {
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${this.#waiting.length} requests wait to be sent already (maxPending): await some of them`,
      );
    }
    const sequence = ++this.#sequence;
    const { all, timeout, retries } = options;
    const id = idOf(this.#clientKey, sequence);
    const call = new Call(sequence, id, service, body, all, timeout, retries, sink);
    this.counters.requests += 1;
    this.#calls.set(sequence, call);
    this.#waiting.push(call.placeLink);
    if (timeout > 0) this.#deadlines.set(call.deadlineLink, now, timeout);
    if (this.#mode === "asking" && this.#beatAt === undefined) this.#wakeUp(now);
    this.#pump(now);
    return call;
  }

  /** The caller has enough. */
  cancel(call: Call, now: number): void {
    if (!this.#calls.has(call.sequence)) return;
    this.counters.cancelled += 1;
    this.#tellCancelled(call);
    this.#end(call, now, true);
  }

  /** A connection has room again. */
  writable(connection: number, now: number): void {
    if (connection !== this.#main) return;
    this.#mute = false;
    this.#pump(now);
  }

  receive(connection: number, input: ClientInput, now: number): void {
    if (input.kind === "fault") {
      this.counters.faults += 1;
      this.#outbox.event({ type: "peer:fault", endpoint: this.#endpointName });
      return;
    }
    if (connection === this.#main) this.#lastSeen = now;
    switch (input.kind) {
      case "negotiated":
        if (this.#mode === "asking" && connection === this.#main) this.#negotiated(input, now);
        break;
      case "heartbeat":
        this.#sameBroker(input.incarnation, now);
        break;
      case "answer":
        if (input.sequence < 0) this.#plainAnswer(connection, input, now);
        else this.#answer(this.#calls.get(input.sequence), input.body, input.final, now);
        break;
      case "error": {
        const call = this.#calls.get(input.sequence);
        if (call === undefined) this.counters.late += 1;
        else this.#refused(call, input.reason, input.text, now);
        break;
      }
      case "asked":
        this.#calls.get(input.sequence)?.sink.asked?.(input.workers);
        break;
      case "one":
        this.#calls.get(input.sequence)?.sink.one?.(input.worker, input.ok, input.body);
        break;
    }
  }

  nextWakeUp(): number | undefined {
    if (this.#closed) return undefined;
    const deadline = this.#deadlines.next();
    if (this.#beatAt === undefined) return deadline;
    return deadline === undefined ? this.#beatAt : Math.min(deadline, this.#beatAt);
  }

  tick(now: number): void {
    if (this.#closed) return;
    for (const call of this.#deadlines.take(now)) this.#late(call, now);
    if (this.#beatAt === undefined || this.#beatAt > now) return;
    this.#beatAt = undefined;
    if (this.#calls.size === 0) return;
    const { heartbeatInterval, liveness } = this.#limits;
    if (this.#mode === "asking") this.#lost(now);
    else if (this.#mode === "extended") {
      if (now - this.#lastSeen >= heartbeatInterval * liveness) this.#lost(now);
      else {
        this.#outbox.send(this.#main, heartbeatMessage());
        this.#beatAt = now + heartbeatInterval;
      }
    }
  }

  /** Ends all: what waits is told so. */
  close(fail: (call: Call) => void): void {
    this.#closed = true;
    for (const call of this.#calls.values()) {
      this.#tellCancelled(call);
      fail(call);
    }
    this.#calls.clear();
  }

  stats(): ClientStats {
    return {
      ...this.counters,
      pending: this.#waiting.length,
      inFlight: this.#calls.size - this.#waiting.length,
      broker: this.#mode === "asking" ? undefined : this.#endpointName,
    };
  }

  get #endpointName(): string {
    return this.#limits.endpoints[this.#endpoint % this.#limits.endpoints.length] as string;
  }

  #open(): number {
    const connection = ++this.#connections;
    this.#outbox.open(connection, this.#endpointName);
    return connection;
  }

  #ask(now: number): void {
    this.#mode = "asking";
    this.#mute = false;
    this.#main = this.#open();
    this.#outbox.send(this.#main, negotiation());
    if (this.#calls.size > 0) this.#wakeUp(now);
  }

  /** From now on the broker's silence counts. */
  #wakeUp(now: number): void {
    this.#lastSeen = now;
    this.#beatAt = now + this.#limits.heartbeatInterval;
  }

  #negotiated({ extended, incarnation }: ClientInput & { kind: "negotiated" }, now: number): void {
    this.#beatAt = undefined;
    if (extended) {
      this.#mode = "extended";
      this.#incarnation = incarnation;
    } else {
      this.#mode = "plain";
      this.#plain = Dialect.Mdp01;
      this.#idle.push(this.#main);
      this.#main = 0;
    }
    this.#outbox.event({ type: "broker:join", endpoint: this.#endpointName, extended });
    this.#pump(now);
  }

  /** A broker that began a new life behind the same endpoint knows nothing of what was asked. */
  #sameBroker(incarnation: Buffer, now: number): void {
    if (this.#mode !== "extended" || incarnation.equals(this.#incarnation)) return;
    this.#incarnation = Buffer.from(incarnation);
    this.#outbox.event({ type: "broker:leave", endpoint: this.#endpointName, reason: "restarted" });
    this.#requeue(now);
    this.#pump(now);
  }

  #lost(now: number): void {
    const reason = this.#mode === "asking" ? "no-answer" : "silent";
    this.#outbox.event({ type: "broker:leave", endpoint: this.#endpointName, reason });
    this.#outbox.close(this.#main);
    this.#endpoint += 1;
    this.#mode = "asking";
    this.#requeue(now);
    this.#ask(now);
  }

  /** What was sent is to be sent again, in its order, as often as it may be. */
  #requeue(now: number): void {
    const sent = [...this.#sent].reverse();
    for (const call of sent) {
      call.connection = 0;
      // Half an answer is not continued by another's; the asked of one broker are not another's.
      if (call.retries === 0 || call.begun || call.all) {
        this.#fail(call, new ServiceError("broker-lost", String(call.service)), now);
        continue;
      }
      call.retries -= 1;
      this.#waiting.unshift(call.placeLink);
      if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    }
  }

  #pump(now: number): void {
    if (this.#mode === "extended") this.#pumpExtended(now);
    else if (this.#mode === "plain") this.#pumpPlain(now);
  }

  #pumpExtended(now: number): void {
    const { maxInFlight } = this.#limits;
    while (!this.#mute && this.#sent.length < maxInFlight) {
      const call = this.#waiting.first;
      if (call === undefined) return;
      if (this.#beatAt === undefined) this.#wakeUp(now);
      this.#sent.push(call.placeLink);
      call.connection = this.#main;
      this.#sendCall(call, Dialect.Shoal);
    }
  }

  #pumpPlain(now: number): void {
    for (let call = this.#waiting.first; call !== undefined; call = this.#waiting.first) {
      if (call.all) {
        const what = "A plain MDP broker cannot ask all workers of a service";
        this.#fail(call, new NotSupportedError(what), now);
        continue;
      }
      const room = this.#busy.size + this.#idle.length < this.#limits.maxConnections;
      const connection = this.#idle.pop() ?? (room ? this.#open() : undefined);
      if (connection === undefined) return;
      this.#sent.push(call.placeLink);
      call.connection = connection;
      this.#busy.set(connection, call);
      this.#sendCall(call, this.#plain);
    }
  }

  #sendCall(call: Call, dialect: Dialect): void {
    const message = requestMessage(dialect, call.all, call.id, call.service, call.body);
    if (!this.#outbox.send(call.connection, message) && call.connection === this.#main) this.#mute = true;
  }

  /** An attempt has had its time. */
  #late(call: Call, now: number): void {
    if (call.retries === 0 || call.begun || call.all) {
      this.counters.timedOut += 1;
      const text = `${String(call.service)}: no answer in time`;
      this.#tellCancelled(call);
      this.#end(call, now, true);
      call.sink.failed(new TimeoutError("ETIMEDOUT", text));
      return;
    }
    call.retries -= 1;
    this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    if (call.connection === 0) return;
    if (this.#mode === "extended") {
      this.#sendCall(call, Dialect.Shoal);
      return;
    }
    // Silence is all that a plain broker's death looks like: the next attempt goes to the next one.
    this.#endpoint += 1;
    this.#giveUpConnection(call);
    this.#waiting.unshift(call.placeLink);
    this.#pump(now);
  }

  /** The late answer dies with its connection. */
  #giveUpConnection(call: Call): void {
    if (this.#busy.delete(call.connection)) this.#outbox.close(call.connection);
    call.connection = 0;
  }

  #plainAnswer(connection: number, input: ClientInput & { kind: "answer" }, now: number): void {
    const call = this.#busy.get(connection);
    if (call === undefined || !input.service.equals(call.service)) {
      this.counters.late += 1;
      return;
    }
    const failure = input.final ? failureIn(input.body) : undefined;
    if (failure !== undefined) this.#refused(call, failure.reason, failure.text, now);
    else this.#answer(call, input.body, input.final, now);
  }

  #answer(call: Call | undefined, body: Buffer[], final: boolean, now: number): void {
    if (call === undefined) {
      this.counters.late += 1;
      return;
    }
    if (final) {
      this.counters.answered += 1;
      this.#end(call, now, false);
    } else {
      call.begun = true;
      // Each piece is a sign of life: the time is for the next one.
      if (call.attemptTimeout > 0) this.#deadlines.set(call.deadlineLink, now, call.attemptTimeout);
    }
    call.sink.answer(body, final);
  }

  #refused(call: Call, reason: string, text: string, now: number): void {
    this.#fail(call, new ServiceError(toReason(reason), String(call.service), text), now);
  }

  #fail(call: Call, error: ServiceError | NotSupportedError, now: number): void {
    this.counters.failed += 1;
    this.#end(call, now, false);
    call.sink.failed(error);
  }

  #tellCancelled(call: Call): void {
    if (this.#mode === "extended" && call.connection !== 0) {
      this.#outbox.send(call.connection, cancelMessage(call.id));
    }
  }

  /** @param abandoned its answer may still come */
  #end(call: Call, now: number, abandoned: boolean): void {
    this.#calls.delete(call.sequence);
    call.deadlineLink.unlink();
    call.placeLink.unlink();
    if (this.#busy.get(call.connection) === call) {
      if (abandoned) this.#giveUpConnection(call);
      else {
        this.#busy.delete(call.connection);
        this.#idle.push(call.connection);
      }
    }
    if (this.#waiting.length > 0) this.#pump(now);
  }
}
