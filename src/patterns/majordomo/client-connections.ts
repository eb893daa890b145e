/**
 * A client's connections, and which of several brokers is in use.
 *
 *   state     has                                                          ends
 *   asking    a negotiation                                                without an answer: the next broker is asked
 *   extended  any number of requests, to shoal's broker in use             left, or lost
 *   plain     one request, since a plain answer names no request           lost: the next plain broker is used
 *   left      pending requests, and gets no new ones                       after its last answer, or lost
 *
 * Requests of a lost connection (ended, or silent while answers are pending) are sent over another.
 *
 * The next broker is asked at once when a connection ends or is refused, but each only once per interval: one that
 * hangs up would be asked in a busy loop. A broker has an interval to answer, and longer after several silent ones.
 */

import { type Call, Connection } from "./client-calls.js";
import type { ClientSettings, MajordomoBrokerLeaveReason, MajordomoClientEvent } from "./client-options.js";
import { beatInterval, Dialect, FORGOTTEN, type FromClient, type Negotiated } from "./wire.js";

/** After so many unanswered negotiations the time for an answer doubles, and so often. */
const ASKED_SOON = 3;
const MAX_DOUBLINGS = 3;

/** Times are in ms. */
export interface ClientLimits
  extends Pick<
    ClientSettings,
    "heartbeatInterval" | "liveness" | "maxInFlight" | "maxPending" | "maxPendingBytes" | "maxConnections"
  > {
  readonly endpoints: readonly string[];
  /** `undefined`: negotiate. */
  readonly dialect: Dialect | undefined;
}

export interface ClientEffects {
  open(connection: number, endpoint: string): void;
  close(connection: number): void;
  /** Queues the message if there is no room. @returns `false`: no room until `writable` */
  send(connection: number, message: FromClient): boolean;
  event(event: MajordomoClientEvent): void;
  idle?(): void;
}

export class ClientConnections {
  mode: "asking" | "extended" | "plain" = "asking";
  /** To shoal's broker in use, or to the one asked. */
  main: Connection | undefined = undefined;
  /** `main` has no room. */
  mute = false;
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #open = new Map<number, Connection>();
  #opened = 0;
  /** Dialect of the plain broker in use; connections to plain brokers. */
  #plain: Dialect = Dialect.Mdp01;
  #plains = 0;
  /** Free connections to the plain broker in use. */
  readonly #idle: Connection[] = [];
  #endpoints: readonly string[];
  #next = 0;
  #used = "";
  #failOvers = 0;
  #failOversSince = Number.NEGATIVE_INFINITY;
  /** Negotiations in a row without an answer. */
  #unanswered = 0;
  /** When the next broker is asked. */
  #restsUntil: number | undefined = undefined;

  constructor(limits: ClientLimits, effects: ClientEffects) {
    this.#limits = limits;
    this.#effects = effects;
    this.#endpoints = limits.endpoints;
  }

  /** The broker in use, or the last one. */
  get endpoint(): string {
    return this.#used;
  }

  get hasOthers(): boolean {
    return this.#endpoints.length > 1;
  }

  /** @returns whether the list has the broker in use */
  setEndpoints(endpoints: readonly string[]): boolean {
    const at = endpoints.indexOf(this.#used);
    this.#endpoints = endpoints;
    this.#next = Math.max(0, at);
    return at >= 0;
  }

  find(number: number): Connection | undefined {
    return this.#open.get(number);
  }

  close(connection: Connection): void {
    if (!this.#open.delete(connection.number)) return;
    if (connection.isPlain) this.#plains -= 1;
    const idle = this.#idle.indexOf(connection);
    if (idle >= 0) this.#idle.splice(idle, 1);
    this.#effects.close(connection.number);
  }

  /** Asks the next broker. @param wanted requests are pending */
  probe(now: number, wanted: boolean): void {
    this.mode = "asking";
    this.mute = false;
    this.#restsUntil = undefined;
    this.main = this.#openNext();
    if (this.main === undefined) return;
    this.#effects.send(this.main.number, { kind: "negotiation" });
    if (wanted) this.wanted(now);
  }

  /** Uses the next broker as a plain one. */
  speak(dialect: Dialect): void {
    this.mode = "plain";
    this.#plain = dialect;
    this.#addIdle(this.#openNext());
  }

  /** The broker's silence counts from now on. */
  wanted(now: number): void {
    const { main } = this;
    if (main === undefined || main.dueAt !== undefined) return;
    main.lastSeen = now;
    main.dueAt = now + (main.isExtended ? main.interval : this.#patience);
  }

  send(message: FromClient): void {
    if (!this.#effects.send((this.main as Connection).number, message)) this.mute = true;
  }

  /** The broker answered the negotiation. */
  negotiated(connection: Connection, { extended, incarnation, heartbeatInterval }: Negotiated): void {
    connection.dueAt = undefined;
    this.#unanswered = 0;
    if (extended) {
      this.mode = "extended";
      connection.dialect = Dialect.Shoal;
      connection.incarnation = incarnation;
      connection.interval = beatInterval(this.#limits.heartbeatInterval, heartbeatInterval);
    } else {
      this.mode = "plain";
      this.#plain = Dialect.Mdp01;
      this.main = undefined;
      this.#addIdle(connection);
    }
    this.#effects.event({ type: "broker:joined", endpoint: this.#used, extended });
  }

  /** The broker has none of this client's requests any more. */
  forgotten(connection: Connection, incarnation: Buffer): void {
    const gaveUp = incarnation.equals(FORGOTTEN);
    if (!gaveUp) connection.incarnation = Buffer.from(incarnation);
    this.#leaveEvent(gaveUp ? "forgotten" : "restarted");
  }

  advance(): void {
    this.#next += 1;
  }

  canFailOverNow(now: number): boolean {
    if (now - this.#failOversSince >= this.#limits.heartbeatInterval) {
      this.#failOversSince = now;
      this.#failOvers = 0;
    }
    if (this.#failOvers >= this.#endpoints.length) return false;
    this.#failOvers += 1;
    return true;
  }

  /** {@link probe} or {@link rest} must follow. */
  lose(reason: MajordomoBrokerLeaveReason): void {
    if (reason === "no-answer") this.#unanswered += 1;
    this.#leaveEvent(reason);
    this.close(this.main as Connection);
    this.mode = "asking";
    this.main = undefined;
    this.advance();
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
    const { main } = this;
    if (this.mode !== "asking") this.#leaveEvent(reason);
    this.mode = "asking";
    this.main = undefined;
    if (main === undefined) return;
    if (main.calls === 0) {
      this.close(main);
      return;
    }
    main.isLeft = true;
    main.lastSeen = now;
    main.dueAt = now + main.interval;
  }

  leavePlain(): void {
    for (const connection of [...this.#idle]) this.close(connection);
    for (const connection of this.#open.values()) if (connection.isPlain) connection.isLeft = true;
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
      if (!wanted) continue;
      if (!connection.isExtended || now - connection.lastSeen >= heartbeatInterval * liveness) {
        silent.push(connection);
        continue;
      }
      this.#effects.send(connection.number, { kind: "client-heartbeat" });
      connection.dueAt = now + connection.interval;
    }
    return silent;
  }

  /** A plain connection; `undefined` at `maxConnections`. */
  take(call: Call): Connection | undefined {
    const room = this.#plains < this.#limits.maxConnections;
    if (this.#idle.length === 0 && room) this.#addIdle(this.#openNext());
    const connection = this.#idle.pop();
    if (connection !== undefined) connection.call = call;
    return connection;
  }

  /** A call left its connection. @param abandoned its answer may still arrive */
  release(connection: Connection, abandoned: boolean): void {
    connection.calls -= 1;
    if (connection.isPlain) {
      connection.call = undefined;
      // A late answer could be mistaken for the next request's.
      if (abandoned || connection.isLeft) this.close(connection);
      else this.#idle.push(connection);
    } else if (connection.isLeft && connection.calls === 0) this.close(connection);
  }

  #openNext(): Connection | undefined {
    const { length } = this.#endpoints;
    if (length === 0) return undefined;
    this.#used = this.#endpoints[this.#next % length] as string;
    this.#opened += 1;
    const connection = new Connection(this.#opened, this.#used);
    this.#open.set(connection.number, connection);
    this.#effects.open(connection.number, this.#used);
    return connection;
  }

  #addIdle(connection: Connection | undefined): void {
    if (connection === undefined) return;
    connection.dialect = this.#plain;
    this.#plains += 1;
    this.#idle.push(connection);
  }

  #leaveEvent(reason: MajordomoBrokerLeaveReason): void {
    this.#effects.event({ type: "broker:left", endpoint: this.#used, reason });
  }

  /** ms for an answer: new connections would keep slow brokers slow. */
  get #patience(): number {
    const doublings = Math.min(MAX_DOUBLINGS, Math.floor(this.#unanswered / ASKED_SOON));
    return this.#limits.heartbeatInterval * 2 ** doublings;
  }
}
