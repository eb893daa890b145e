/**
 * A client's connections, and which of several brokers is in use.
 *
 *   state     has                                                          ends
 *   asking    a negotiation                                                without an answer: the next broker is asked
 *   extended  any number of requests, to shoal's broker in use             left, or lost
 *   plain     one request, since a plain answer names no request           left, lost, or its answer is late
 *   left      pending requests, and gets no new ones                       after its last answer, or lost
 *
 * Requests of a lost connection (ended, or silent while answers are pending) are sent over another. The socket's own
 * heartbeats cannot find a silent broker: inproc has none, and libzmq's thread answers them while the broker hangs.
 *
 * The next broker is asked at once when a connection ends or is refused, but each only once per interval: one that
 * hangs up would be asked in a busy loop. A broker has an interval to answer, and longer after several silent ones.
 */

import { EndpointChooser } from "../../kit/endpoint-chooser.js";
import { Connection } from "./client-calls.js";
import type { ClientSettings, MajordomoBrokerLeaveReason, MajordomoClientEvent } from "./client-options.js";
import { beatInterval, Dialect, type FromClient, type Negotiated } from "./protocol.js";

/** After so many unanswered negotiations the time for an answer doubles, and so often. */
const ASKED_SOON = 3;
const MAX_DOUBLINGS = 3;

/** Times are in ms. */
export interface ClientLimits
  extends Pick<
    ClientSettings,
    "heartbeatInterval" | "liveness" | "maxInFlight" | "maxPending" | "maxPendingBytes"
  > {
  readonly endpoints: readonly string[];
  /** `undefined`: negotiate. */
  readonly dialect: Dialect | undefined;
}

export interface ClientEffects {
  open(connection: number, endpoint: string): void;
  close(connection: number): void;
  /**
   * Queues the message if there is no room. It is valid during the call.
   *
   * @returns `false`: no room until `writable`
   */
  send(connection: number, message: FromClient): boolean;
  event(event: MajordomoClientEvent): void;
  idle?(): void;
}

export class ClientConnections {
  /** To the broker in use, or to the one asked. */
  main: Connection | undefined = undefined;
  /** `main` has no room. */
  mute = false;
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #open = new Map<number, Connection>();
  #opened = 0;
  readonly #chooser: EndpointChooser;
  #failOvers = 0;
  #failOversSince = Number.NEGATIVE_INFINITY;
  /** Negotiations in a row without an answer. */
  #unanswered = 0;
  /** When the next broker is asked. */
  #restsUntil: number | undefined = undefined;

  constructor(limits: ClientLimits, effects: ClientEffects) {
    this.#limits = limits;
    this.#effects = effects;
    this.#chooser = new EndpointChooser(limits.endpoints);
  }

  /** A broker takes requests. */
  get isReady(): boolean {
    return this.main?.dialect !== undefined;
  }

  /** @param inFlight sent requests without an answer */
  hasRoom(inFlight: number): boolean {
    const { main } = this;
    if (main?.dialect === undefined || this.mute) return false;
    return main.isExtended ? inFlight < this.#limits.maxInFlight : main.calls === 0;
  }

  /** The broker in use, or the last one. */
  get endpoint(): string {
    return this.#chooser.used;
  }

  get hasOthers(): boolean {
    return this.#chooser.list.length > 1;
  }

  /** @returns whether the list has the broker in use */
  setEndpoints(endpoints: readonly string[]): boolean {
    return this.#chooser.follow(endpoints);
  }

  find(number: number): Connection | undefined {
    return this.main?.number === number ? this.main : this.#open.get(number);
  }

  close(connection: Connection): void {
    if (this.#open.delete(connection.number)) this.#effects.close(connection.number);
  }

  /** Asks the next broker, or speaks the given dialect. */
  probe(now: number): void {
    this.#restsUntil = undefined;
    if (this.#chooser.next() === undefined) return;
    const main = this.#openUsed(this.#limits.dialect);
    if (main.isPlain) return;
    this.#effects.send(main.number, { kind: "negotiation" });
    this.wanted(now);
  }

  /** The broker's silence counts from now on. */
  wanted(now: number): void {
    const { main } = this;
    if (main === undefined || main.isPlain || main.dueAt !== undefined) return;
    main.lastSeen = now;
    main.dueAt = now + (main.isExtended ? main.interval : this.#answerTimeout);
  }

  send(message: FromClient): void {
    if (!this.#effects.send((this.main as Connection).number, message)) this.mute = true;
  }

  /** The broker answered the negotiation. */
  negotiated(connection: Connection, { extended, heartbeatInterval }: Negotiated): void {
    connection.dueAt = undefined;
    this.#unanswered = 0;
    connection.dialect = extended ? Dialect.Shoal : Dialect.Mdp01;
    connection.interval = beatInterval(this.#limits.heartbeatInterval, heartbeatInterval);
    this.#effects.event({ type: "broker:joined", endpoint: this.endpoint, extended });
  }

  advance(): void {
    this.#chooser.failed();
  }

  canFailOverNow(now: number): boolean {
    if (now - this.#failOversSince >= this.#limits.heartbeatInterval) {
      this.#failOversSince = now;
      this.#failOvers = 0;
    }
    if (this.#failOvers >= this.#chooser.list.length) return false;
    this.#failOvers += 1;
    return true;
  }

  /** {@link probe} or {@link rest} must follow. */
  lose(reason: MajordomoBrokerLeaveReason): void {
    if (reason === "no-answer") this.#unanswered += 1;
    this.close(this.main as Connection);
    this.main = undefined;
    this.advance();
    this.leaveEvent(reason);
  }

  /** Asks the next broker when the interval is over. */
  rest(): void {
    this.#restsUntil = this.#failOversSince + this.#limits.heartbeatInterval;
  }

  isRested(now: number): boolean {
    return this.#restsUntil !== undefined && this.#restsUntil <= now;
  }

  /** The connection stays open for pending answers. */
  leave(reason: "removed" | "stopping", now: number): void {
    const { main, isReady } = this;
    this.main = undefined;
    if (main?.calls === 0) this.close(main);
    else if (main !== undefined) {
      main.isLeft = true;
      main.lastSeen = now;
      if (!main.isPlain) main.dueAt = now + main.interval;
    }
    if (isReady) this.leaveEvent(reason);
  }

  nextDue(): number {
    let next = this.#restsUntil ?? Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#open.values()) if (dueAt !== undefined && dueAt < next) next = dueAt;
    return next;
  }

  /** @param wanted requests are pending. @returns connections to silent brokers */
  tick(now: number, wanted: boolean): readonly Connection[] {
    const { heartbeatInterval, liveness } = this.#limits;
    const silent: Connection[] = [];
    for (const connection of this.#open.values()) {
      if (connection.dueAt === undefined || connection.dueAt > now) continue;
      connection.dueAt = undefined;
      if (!wanted && connection.isExtended) continue;
      if (!connection.isExtended || now - connection.lastSeen >= heartbeatInterval * liveness) {
        silent.push(connection);
        continue;
      }
      this.#effects.send(connection.number, { kind: "client-heartbeat" });
      connection.dueAt = now + connection.interval;
    }
    return silent;
  }

  /** A call left its connection. @param abandoned its answer may still arrive */
  release(connection: Connection, abandoned: boolean): void {
    connection.calls -= 1;
    connection.call = undefined;
    // A late answer could be mistaken for the next request's.
    const isSpent = connection.isPlain && abandoned;
    if (isSpent || (connection.isLeft && connection.calls === 0)) this.close(connection);
    if (isSpent && connection === this.main) this.#openUsed(connection.dialect);
  }

  #openUsed(dialect: Dialect | undefined): Connection {
    this.#opened += 1;
    const connection = new Connection(this.#opened, this.endpoint);
    connection.dialect = dialect;
    this.#open.set(connection.number, connection);
    this.main = connection;
    this.mute = false;
    this.#effects.open(connection.number, this.endpoint);
    return connection;
  }

  leaveEvent(reason: MajordomoBrokerLeaveReason): void {
    this.#effects.event({ type: "broker:left", endpoint: this.endpoint, reason });
  }

  /** ms for an answer: new connections would keep slow brokers slow. */
  get #answerTimeout(): number {
    const doublings = Math.min(MAX_DOUBLINGS, Math.floor(this.#unanswered / ASKED_SOON));
    return this.#limits.heartbeatInterval * 2 ** doublings;
  }
}
