/**
 * Which of several brokers a client uses, what it speaks, and whether it lives.
 *
 *            answer: shoal's              its connection ends; silence, while something is asked
 *   asking -----------------> extended ------------------------------------> asking the next broker
 *     |  answer: a plain one
 *     +-----------------> plain
 *
 * Fail over immediately when a connection ends or cannot be made, at most once per broker per interval: a broker that
 * hangs up on everybody would otherwise be asked in a busy loop. After that the next is asked when the interval is over. A broker that says nothing
 * has an interval to answer; after some in a row the next ones have longer. From one that others precede in the list, the client
 * goes back to them (client-fail-back.ts).
 */

import type { Call } from "./client-calls.js";
import type { MajordomoBrokerLeaveReason, MajordomoClientEvent } from "./client-options.js";
import { beatInterval, Dialect, EMPTY, FORGOTTEN, type FromClient, type Negotiated } from "./wire.js";

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

/** A broker that was asked in the background, and that the client may move to. */
export interface Candidate {
  readonly connection: number;
  readonly endpoint: string;
  readonly negotiated: Negotiated;
}

export class ClientBroker {
  mode: "asking" | "extended" | "plain" = "asking";
  /** The dialect of a plain broker. */
  plain: Dialect = Dialect.Mdp01;
  /** The connection to be asked on, or for all requests of the extended form; 0: a plain broker's are many. */
  main = 0;
  /** The main connection has no room now. */
  mute = false;
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  #connections = 0;
  #endpoints: readonly string[];
  /** Which of them is to be used. */
  #endpoint = 0;
  /** The one that was connected to last. */
  #used = "";
  /** Which life of the broker in use has answered. */
  incarnation: Buffer = EMPTY;
  /** ms between heartbeats to the broker in use. */
  interval: number;
  #lastSeen = 0;
  /** Times that a broker was left at once, and since when they count. */
  #fastFailOvers = 0;
  #fastFailOversSince = Number.NEGATIVE_INFINITY;
  /** Brokers in a row that were asked and left without an answer. */
  #unanswered = 0;
  /** When to beat or to ask again; `undefined` while nothing is wanted of the broker. */
  #beatAt: number | undefined;

  constructor(limits: ClientLimits, effects: ClientEffects) {
    this.#limits = limits;
    this.#effects = effects;
    this.#endpoints = limits.endpoints;
    this.interval = limits.heartbeatInterval;
  }

  /** The broker in use, or that was. */
  get endpoint(): string {
    return this.#used;
  }

  /** Whether there are others to be asked. */
  get hasOthers(): boolean {
    return this.#endpoints.length > 1;
  }

  /**
   * Other brokers are there now.
   *
   * @returns whether the one in use is among them, and whether one of those that precede it is a newcomer
   */
  setEndpoints(endpoints: readonly string[]): { readonly isListed: boolean; readonly hasNewcomer: boolean } {
    const at = endpoints.indexOf(this.#used);
    const known = new Set(this.#endpoints);
    this.#endpoints = endpoints;
    this.#endpoint = Math.max(0, at);
    return { isListed: at >= 0, hasNewcomer: this.preceding.some((endpoint) => !known.has(endpoint)) };
  }

  /** Those that precede the broker in use, the preferred first; none while there is no broker, or it is a plain one. */
  get preceding(): readonly string[] {
    if (this.mode !== "extended") return [];
    return this.#endpoints.slice(0, Math.max(0, this.#endpoints.indexOf(this.#used)));
  }

  get nextBeat(): number | undefined {
    return this.#beatAt;
  }

  /** A new connection to the broker that is to be used; 0: there is none. */
  open(): number {
    const { length } = this.#endpoints;
    if (length === 0) return 0;
    this.#used = this.#endpoints[this.#endpoint % length] as string;
    return this.connect(this.#used);
  }

  /** A new connection, of a higher number than those before. */
  connect(endpoint: string): number {
    const connection = ++this.#connections;
    this.#effects.open(connection, endpoint);
    return connection;
  }

  /** Asks the broker in use what it is. @param wanted there are requests for it */
  probe(now: number, wanted: boolean): void {
    this.mode = "asking";
    this.mute = false;
    this.main = this.open();
    if (this.main === 0) return;
    this.#effects.send(this.main, { kind: "negotiation" });
    if (wanted) this.#wakeUp(now);
  }

  /** Something is wanted of the broker: from now on its silence counts, if it did not yet. */
  wanted(now: number): void {
    if (this.#beatAt === undefined) this.#wakeUp(now);
  }

  /** Something came over this connection. */
  heard(connection: number, now: number): void {
    if (connection === this.main) this.#lastSeen = now;
  }

  /** Sends over the main connection. */
  send(message: FromClient): boolean {
    if (this.#effects.send(this.main, message)) return true;
    this.mute = true;
    return false;
  }

  /** The broker says what it is. @returns the connection that is free for a plain broker's requests; 0: none */
  negotiated({ extended, incarnation, heartbeatInterval }: Negotiated): number {
    const { main } = this;
    this.#beatAt = undefined;
    this.#unanswered = 0;
    if (extended) {
      this.mode = "extended";
      this.incarnation = incarnation;
      this.interval = beatInterval(this.#limits.heartbeatInterval, heartbeatInterval);
    } else {
      this.speak(Dialect.Mdp01);
      this.main = 0;
    }
    this.#effects.event({ type: "broker:joined", endpoint: this.endpoint, extended });
    return extended ? 0 : main;
  }

  /** The broker is a plain one. */
  speak(dialect: Dialect): void {
    this.mode = "plain";
    this.plain = dialect;
  }

  /**
   * Whether a broker's beat says that it knows nothing of what it was asked: it is another life behind the same endpoint, or it gave this
   * client up, which stood still for too long.
   */
  hasForgotten(incarnation: Buffer): boolean {
    if (this.mode !== "extended" || incarnation.equals(this.incarnation)) return false;
    const gaveUp = incarnation.equals(FORGOTTEN);
    if (!gaveUp) this.incarnation = Buffer.from(incarnation);
    const reason = gaveUp ? "forgotten" : "restarted";
    this.#effects.event({ type: "broker:left", endpoint: this.endpoint, reason });
    return true;
  }

  /** The next one is to be used. */
  advance(): void {
    this.#endpoint += 1;
  }

  /** Whether the next broker may be asked at once. */
  canFailOverNow(now: number): boolean {
    const { heartbeatInterval } = this.#limits;
    if (now - this.#fastFailOversSince >= heartbeatInterval) {
      this.#fastFailOversSince = now;
      this.#fastFailOvers = 0;
    }
    if (this.#fastFailOvers >= this.#endpoints.length) return false;
    this.#fastFailOvers += 1;
    return true;
  }

  /** The broker in use is lost: {@link probe} asks the next one. */
  lose(reason: MajordomoBrokerLeaveReason): void {
    this.#effects.event({ type: "broker:left", endpoint: this.endpoint, reason });
    this.#effects.close(this.main);
    this.mode = "asking";
    this.main = 0;
    this.advance();
  }

  /** The broker in use is to be left: its connection stays, for the answers that are still to come. @returns that connection */
  leave(reason: "removed" | "stopping" | "preferred"): number {
    const { main } = this;
    if (this.mode !== "asking") this.#effects.event({ type: "broker:left", endpoint: this.endpoint, reason });
    this.mode = "asking";
    this.main = 0;
    this.#beatAt = undefined;
    return main;
  }

  /** After {@link leave}: another broker is in use, which has answered. */
  moveTo({ connection, endpoint, negotiated }: Candidate): void {
    this.#used = endpoint;
    this.#endpoint = Math.max(0, this.#endpoints.indexOf(endpoint));
    this.main = connection;
    this.mute = false;
    this.negotiated(negotiated);
  }

  /** After {@link lose}: the next one is asked when the interval is over. */
  backOff(): void {
    this.#beatAt = this.#fastFailOversSince + this.#limits.heartbeatInterval;
  }

  /** @param wanted there are requests for it. @returns whether to ask the next broker; the one in use is lost then */
  tick(now: number, wanted: boolean): boolean {
    if (this.#beatAt === undefined || this.#beatAt > now) return false;
    this.#beatAt = undefined;
    if (this.mode === "plain") return false;
    if (this.mode === "asking" && this.main === 0) return true; // It has rested.
    if (!wanted) return false;
    const { heartbeatInterval, liveness } = this.#limits;
    const asking = this.mode === "asking";
    if (asking || now - this.#lastSeen >= heartbeatInterval * liveness) {
      if (asking) this.#unanswered += 1;
      this.lose(asking ? "no-answer" : "silent");
      return true;
    }
    this.#effects.send(this.main, { kind: "client-heartbeat" });
    this.#beatAt = now + this.interval;
    return false;
  }

  #wakeUp(now: number): void {
    this.#lastSeen = now;
    this.#beatAt = now + (this.mode === "extended" ? this.interval : this.#patience);
  }

  /**
   * ms in which a broker answers that is asked what it is. Where none does, they may be slow and not gone: leaving each of them, for a connection to
   * the next one, is what keeps them slow.
   */
  get #patience(): number {
    const doublings = Math.min(MAX_DOUBLINGS, Math.floor(this.#unanswered / ASKED_SOON));
    return this.#limits.heartbeatInterval * 2 ** doublings;
  }
}

/** A broker that gets no further request. */
interface LeftBroker {
  readonly incarnation: Buffer;
  /** ms between heartbeats to it. */
  readonly interval: number;
  /** Calls that it has not answered. */
  calls: number;
  lastSeen: number;
  beatAt: number;
}

/**
 * Connections to brokers that are left while requests of theirs are in flight. Heartbeats go on over each until the last
 * request is answered: a broker drops the requests of a silent client, and a silent broker answers nothing more.
 */
export class LeftBrokers {
  readonly #limits: ClientLimits;
  readonly #effects: ClientEffects;
  readonly #byConnection = new Map<number, LeftBroker>();

  constructor(limits: ClientLimits, effects: ClientEffects) {
    this.#limits = limits;
    this.#effects = effects;
  }

  /** When the next heartbeat is due; `undefined`: no connection needs one. */
  get nextBeat(): number | undefined {
    let next: number | undefined;
    for (const { beatAt } of this.#byConnection.values())
      if (next === undefined || beatAt < next) next = beatAt;
    return next;
  }

  /**
   * @param connection what {@link ClientBroker.leave} has returned
   * @param broker that was left
   * @param calls that it has not answered, 1 or more
   */
  add(connection: number, { incarnation, interval }: ClientBroker, calls: number, now: number): void {
    const beatAt = now + interval;
    this.#byConnection.set(connection, { incarnation, interval, calls, lastSeen: now, beatAt });
  }

  has(connection: number): boolean {
    return this.#byConnection.has(connection);
  }

  /** One answer less is awaited over it. @returns whether that was the last one, and the connection is forgotten */
  release(connection: number): boolean {
    const broker = this.#byConnection.get(connection);
    if (broker === undefined || --broker.calls > 0) return false;
    return this.#byConnection.delete(connection);
  }

  delete(connection: number): void {
    this.#byConnection.delete(connection);
  }

  /** Something came over this connection. */
  heard(connection: number, now: number): void {
    const broker = this.#byConnection.get(connection);
    if (broker !== undefined) broker.lastSeen = now;
  }

  /** Whether a heartbeat says that this connection's broker has lost its requests. */
  hasForgotten(connection: number, incarnation: Buffer): boolean {
    const broker = this.#byConnection.get(connection);
    return broker !== undefined && !incarnation.equals(broker.incarnation);
  }

  /** Sends the heartbeats that are due. @returns connections whose broker has been silent for too long */
  tick(now: number): readonly number[] {
    const { heartbeatInterval, liveness } = this.#limits;
    const silent: number[] = [];
    for (const [connection, broker] of this.#byConnection) {
      if (broker.beatAt > now) continue;
      if (now - broker.lastSeen >= heartbeatInterval * liveness) silent.push(connection);
      else this.#effects.send(connection, { kind: "client-heartbeat" });
      broker.beatAt = now + broker.interval;
    }
    return silent;
  }
}

/** The connections to a plain broker: each has one request at a time, since an answer does not say which it is of. */
export class PlainConnections {
  readonly #max: number;
  readonly #effects: ClientEffects;
  readonly #open: () => number;
  readonly #idle: number[] = [];
  readonly #busy = new Map<number, Call>();
  #newest = 0;
  /** Connections below are to a broker that is not in use any more. */
  #since = 0;

  /** @param most connections; @param open makes one to the broker in use, of a higher number than those before */
  constructor(most: number, effects: ClientEffects, open: () => number) {
    this.#max = most;
    this.#effects = effects;
    this.#open = open;
  }

  /** One that is there already; 0: none. */
  add(connection: number): void {
    if (connection === 0) return;
    this.#newest = connection;
    this.#idle.push(connection);
  }

  /** Whether it is to the broker in use. */
  isCurrent(connection: number): boolean {
    return connection >= this.#since;
  }

  /** Another broker is to be used: no request goes over a connection to the former. */
  moveOn(): void {
    this.#since = this.#newest + 1;
    for (const connection of this.#idle.splice(0)) this.#effects.close(connection);
  }

  /** The request that a connection has. */
  of(connection: number): Call | undefined {
    return this.#busy.get(connection);
  }

  /** Gives a request a connection. @returns whether there was one, or room for one more */
  take(call: Call): boolean {
    const room = this.#busy.size + this.#idle.length < this.#max;
    const connection = this.#idle.pop() ?? (room ? this.#open() : 0);
    if (connection === 0) return false;
    this.#newest = Math.max(this.#newest, connection);
    call.connection = connection;
    this.#busy.set(connection, call);
    return true;
  }

  /** The request is answered: its connection has room. */
  release(call: Call): void {
    if (this.#busy.size === 0 || this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    if (this.isCurrent(call.connection)) this.#idle.push(call.connection);
    else this.#effects.close(call.connection);
  }

  /**
   * A connection has ended. The socket would make it again, and under a routing id of the program's own the answer to
   * the request before could still come: so it goes.
   *
   * @returns the request that it had, which is on none now
   */
  lost(connection: number): Call | undefined {
    const call = this.#busy.get(connection);
    const idle = this.#idle.indexOf(connection);
    if (call !== undefined) this.giveUp(call);
    else if (idle >= 0) {
      this.#idle.splice(idle, 1);
      this.#effects.close(connection);
    }
    return call;
  }

  /** The late answer dies with its connection. */
  giveUp(call: Call): void {
    if (this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    this.#effects.close(call.connection);
    call.connection = 0;
  }
}
