/**
 * A client's connections, and which of several brokers is in use.
 *
 *   state     what it has                                                  ends
 *   asking    the question what its broker is                              no answer: the next broker is asked
 *   extended  any number of requests, to shoal's broker in use             left, or lost
 *   plain     one request at a time, since a plain answer names no request  the next plain broker is used
 *   left      the requests that it had; it gets no further ones            its last answer, or lost
 *
 * A lost connection (ended, or its broker is silent while something is asked) gives its requests back: they are sent again
 * over another.
 *
 * Fail over immediately when a connection ends or cannot be made, at most once per broker per interval: a broker that
 * hangs up on everybody would otherwise be asked in a busy loop. After that the next is asked when the interval is over. A
 * broker that is asked has an interval to answer; after some silent ones in a row the next ones have longer. The client
 * returns to a broker that precedes the one in use (client-fail-back.ts).
 */

import { type Call, Connection } from "./client-calls.js";
import type { MajordomoBrokerLeaveReason, MajordomoClientEvent } from "./client-options.js";
import { beatInterval, Dialect, FORGOTTEN, type FromClient, type Negotiated } from "./wire.js";

/** Brokers that are asked for an interval each before the next ones get twice the time, and how often it doubles. */
const ASKED_SOON = 3;
const MAX_DOUBLINGS = 3;

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
  /** Bytes of requests without an answer. */
  readonly maxPendingBytes: number;
  /** Connections to a plain broker. */
  readonly maxConnections: number;
}

export interface ClientEffects {
  open(connection: number, endpoint: string): void;
  close(connection: number): void;
  /** The driver has the message in any case. @returns `false`: no more until `writable` */
  send(connection: number, message: FromClient): boolean;
  event(event: MajordomoClientEvent): void;
  /** The broker has no worker for what a call asks: it waits for one. */
  unserved?(): void;
  /** The last call has ended. */
  idle?(): void;
}

export class ClientConnections {
  mode: "asking" | "extended" | "plain" = "asking";
  /** The connection that is asked, or that has all requests of the extended form. */
  main: Connection | undefined = undefined;
  /** The main connection has no room now. */
  mute = false;
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #open = new Map<number, Connection>();
  #opened = 0;
  /** The dialect of a plain broker, and how many connections to plain brokers are open. */
  #plain: Dialect = Dialect.Mdp01;
  #plains = 0;
  /** Connections to the plain broker in use without a request. */
  readonly #idle: Connection[] = [];
  #endpoints: readonly string[];
  /** Which of them is to be used. */
  #next = 0;
  #used = "";
  /** Immediate fail-overs, and since when they count. */
  #failOvers = 0;
  #failOversSince = Number.NEGATIVE_INFINITY;
  /** Brokers in a row that did not answer. */
  #unanswered = 0;
  /** When the next broker is asked, while none is. */
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

  /** Whether there are several brokers. */
  get hasOthers(): boolean {
    return this.#endpoints.length > 1;
  }

  /**
   * Applies a new list.
   *
   * @returns whether it has the broker in use, and whether it has a new broker that precedes that one
   */
  setEndpoints(endpoints: readonly string[]): { readonly isListed: boolean; readonly hasNewcomer: boolean } {
    const at = endpoints.indexOf(this.#used);
    const known = new Set(this.#endpoints);
    this.#endpoints = endpoints;
    this.#next = Math.max(0, at);
    return { isListed: at >= 0, hasNewcomer: this.preceding.some((endpoint) => !known.has(endpoint)) };
  }

  /** Brokers that precede the one in use, the preferred first; none unless that one is shoal's. */
  get preceding(): readonly string[] {
    if (this.mode !== "extended") return [];
    return this.#endpoints.slice(0, Math.max(0, this.#endpoints.indexOf(this.#used)));
  }

  find(number: number): Connection | undefined {
    return this.#open.get(number);
  }

  connect(endpoint: string): Connection {
    this.#opened += 1;
    const connection = new Connection(this.#opened, endpoint);
    this.#open.set(connection.number, connection);
    this.#effects.open(connection.number, endpoint);
    return connection;
  }

  close(connection: Connection): void {
    if (!this.#open.delete(connection.number)) return;
    if (connection.isPlain) this.#plains -= 1;
    const idle = this.#idle.indexOf(connection);
    if (idle >= 0) this.#idle.splice(idle, 1);
    this.#effects.close(connection.number);
  }

  /** Asks the next broker what it is. @param wanted there are requests for it */
  probe(now: number, wanted: boolean): void {
    this.mode = "asking";
    this.mute = false;
    this.#restsUntil = undefined;
    this.main = this.#openNext();
    if (this.main === undefined) return;
    this.#effects.send(this.main.number, { kind: "negotiation" });
    if (wanted) this.wanted(now);
  }

  /** Uses the next broker as a plain one, without asking. */
  speak(dialect: Dialect): void {
    this.mode = "plain";
    this.#plain = dialect;
    this.#addIdle(this.#openNext());
  }

  /** Something is wanted of the main connection's broker: from now on its silence counts. */
  wanted(now: number): void {
    const { main } = this;
    if (main === undefined || main.dueAt !== undefined) return;
    main.lastSeen = now;
    main.dueAt = now + (main.isExtended ? main.interval : this.#patience);
  }

  /** Sends over the main connection. */
  send(message: FromClient): void {
    if (!this.#effects.send((this.main as Connection).number, message)) this.mute = true;
  }

  /** The main connection's broker has answered what it is. */
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

  /** The broker in use is restarted, or gave this client up: it has none of its requests any more. */
  forgotten(connection: Connection, incarnation: Buffer): void {
    const gaveUp = incarnation.equals(FORGOTTEN);
    if (!gaveUp) connection.incarnation = Buffer.from(incarnation);
    this.#leaveEvent(gaveUp ? "forgotten" : "restarted");
  }

  /** The next broker is to be used. */
  advance(): void {
    this.#next += 1;
  }

  /** Whether the next broker may be asked immediately. */
  canFailOverNow(now: number): boolean {
    if (now - this.#failOversSince >= this.#limits.heartbeatInterval) {
      this.#failOversSince = now;
      this.#failOvers = 0;
    }
    if (this.#failOvers >= this.#endpoints.length) return false;
    this.#failOvers += 1;
    return true;
  }

  /** Closes the main connection; {@link probe} asks the next broker. */
  lose(reason: MajordomoBrokerLeaveReason): void {
    if (reason === "no-answer") this.#unanswered += 1;
    this.#leaveEvent(reason);
    this.close(this.main as Connection);
    this.mode = "asking";
    this.main = undefined;
    this.advance();
  }

  /** After {@link lose}: the next broker is asked when the interval is over. */
  rest(): void {
    this.#restsUntil = this.#failOversSince + this.#limits.heartbeatInterval;
  }

  /** Whether that interval is over. */
  isRested(now: number): boolean {
    return this.#restsUntil !== undefined && this.#restsUntil <= now;
  }

  /** No further request goes to the broker in use. The main connection stays open for the answers to come. */
  leave(reason: "removed" | "stopping" | "preferred", now: number): void {
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

  /** No further request goes over the connections to the plain broker in use. */
  leavePlain(): void {
    for (const connection of [...this.#idle]) this.close(connection);
    for (const connection of this.#open.values()) if (connection.isPlain) connection.isLeft = true;
  }

  /** After {@link leave}: uses the broker of this connection, which has answered. */
  moveTo(connection: Connection, negotiated: Negotiated): void {
    this.#used = connection.endpoint;
    this.#next = Math.max(0, this.#endpoints.indexOf(this.#used));
    this.main = connection;
    this.mute = false;
    this.negotiated(connection, negotiated);
  }

  /** When {@link tick} has something to do. */
  nextDue(): number {
    let next = this.#restsUntil ?? Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#open.values()) if (dueAt !== undefined && dueAt < next) next = dueAt;
    return next;
  }

  /** Sends heartbeats. @param wanted there are requests. @returns connections whose brokers are silent */
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

  /** Gives a call a connection to the plain broker. @returns `undefined`: as many as allowed have one */
  take(call: Call): Connection | undefined {
    const room = this.#plains < this.#limits.maxConnections;
    if (this.#idle.length === 0 && room) this.#addIdle(this.#openNext());
    const connection = this.#idle.pop();
    if (connection !== undefined) connection.call = call;
    return connection;
  }

  /** A call is no longer with its connection. @param abandoned its answer may still come */
  release(connection: Connection, abandoned: boolean): void {
    connection.calls -= 1;
    if (connection.isPlain) {
      connection.call = undefined;
      // A late answer would be taken for the next request's.
      if (abandoned || connection.isLeft) this.close(connection);
      else this.#idle.push(connection);
    } else if (connection.isLeft && connection.calls === 0) this.close(connection);
  }

  #openNext(): Connection | undefined {
    const { length } = this.#endpoints;
    if (length === 0) return undefined;
    this.#used = this.#endpoints[this.#next % length] as string;
    return this.connect(this.#used);
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

  /** ms for a broker's answer. Where none comes, brokers may be slow: leaving each of them is what keeps them slow. */
  get #patience(): number {
    const doublings = Math.min(MAX_DOUBLINGS, Math.floor(this.#unanswered / ASKED_SOON));
    return this.#limits.heartbeatInterval * 2 ** doublings;
  }
}
