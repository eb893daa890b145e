/**
 * The state machine of a client: its server, messages, and requests, which it repeats to the next server. Pure.
 *
 *   resting ──time──> opening ──OPENED──> open ──ENDED, disconnected──> resting
 *      ^                 └──refused, time, disconnected──┘
 *      └─ taken, gone, refused, invalid, too-large: over
 *
 *   open ──close──> closing ──DONE, the limit──> over          to remove a session, it is opened again instead
 *
 * Publications are numbered when sent. The next connection repeats unanswered ones with their numbers, so the store
 * detects repetitions; they get new numbers if another program had the session meanwhile, or it was lost.
 */

import { RingBuffer } from "../core/collections/queues.js";
import { backOff } from "../core/timers.js";
import type { PendingCall } from "../kit/calls.js";
import { EndpointChooser } from "../kit/endpoint-chooser.js";
import type { SessionClientSettings } from "./client-options.js";
import {
  type ClientMessage,
  type DeliveredMessage,
  type OpenRequest,
  type Publication,
  type ServerMessage,
  SessionError,
  type SessionFailure,
  VERSION,
} from "./protocol.js";
import { MAX_PUBLISHING, MAX_SETTLED, messageSize } from "./records.js";

/** Reasons that end a client. Others end a connection. */
const FINAL: ReadonlySet<SessionFailure> = new Set(["taken", "gone", "refused", "invalid", "too-large"]);

export type ClientCall<T> = Pick<PendingCall<T>, "resolve" | "reject">;

export interface PublishedResult {
  /** Sessions that keep it; 0 for a duplicate. */
  readonly sessions: number;
  readonly duplicate: boolean;
}

export type PublishRequest = Omit<Publication, "number">;

export type OpenedMessage = Extract<ServerMessage, { readonly kind: "opened" }>;

interface Publishing extends PublishRequest {
  number: number;
  readonly call: ClientCall<PublishedResult>;
}

interface FilterRequest {
  readonly kind: "subscribe" | "unsubscribe";
  readonly filters: readonly string[];
  /** `undefined`: the filters of a session that was lost. */
  readonly call: ClientCall<void> | undefined;
}

export interface ClientEffects {
  /** Replaces the current connection. */
  connect(server: string): void;
  disconnect(): void;
  /** @returns `false`: it is larger than the server takes, or than the socket may send */
  send(message: ClientMessage): boolean;
  opened(session: OpenedMessage): void;
  lost(reason: string, delay: number): void;
  over(error: SessionError): void;
  message(message: DeliveredMessage, life: number): void;
  dropped(count: number, old: number): void;
  closed(isDone: boolean): void;
}

export interface ClientRulesOptions
  extends Pick<
    SessionClientSettings,
    "clean" | "openTimeout" | "heartbeatInterval" | "reconnectInterval" | "reconnectMaxInterval"
  > {
  readonly open: Omit<OpenRequest, "attempt" | "clean" | "again">;
}

type State = "idle" | "resting" | "opening" | "open" | "closing" | "over";

export class SessionClientRules {
  readonly #options: ClientRulesOptions;
  readonly #effects: ClientEffects;
  readonly #random: () => number;
  #state: State = "idle";
  readonly #servers: EndpointChooser;
  #attempts = 0;
  /** Failed attempts, and connections shorter than `heartbeatInterval`, since a longer one. */
  #failures = 0;
  #wasOpen = false;
  /** Connections in a row that ended while publications were unanswered, and had brought no answer. */
  unanswered = 0;
  /** The time when resting or opening ends, or an open connection counts as lasting. */
  #due = 0;
  /** Whether `close` removes the session, and when it gives up. */
  #isEnding = false;
  #closeBy = Number.POSITIVE_INFINITY;
  published = 0;
  duplicates = 0;
  /** Changes when the session is made again. */
  #life = "";
  #lives = 0;
  #next = 1;
  /** `undefined`: given up; the next connection does not repeat it. */
  readonly #sent = new Map<number, Publishing | undefined>();
  readonly #waiting = new RingBuffer<Publishing>();
  readonly #requests = new Map<number, FilterRequest>();
  #nextRequest = 1;
  /** Those of the session. */
  readonly #filters = new Set<string>();
  /** Sizes of unacknowledged messages. */
  readonly #held = new Map<number, number>();
  #heldBytes = 0;
  /** The number after this connection's last message. */
  #from = 0;
  #high = 0;
  /** Acknowledged, and not sent to a server since. */
  #unreported: number[] = [];

  constructor(
    options: ClientRulesOptions,
    servers: readonly string[],
    effects: ClientEffects,
    random: () => number = Math.random,
  ) {
    this.#options = options;
    this.#servers = new EndpointChooser(servers);
    this.#effects = effects;
    this.#random = random;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  get isSteady(): boolean {
    return this.#failures === 0;
  }

  get publishing(): number {
    return this.#sent.size + this.#waiting.length;
  }

  get held(): number {
    return this.#held.size;
  }

  start(now: number): void {
    if (this.#state === "idle") this.#connect(now);
  }

  serversChanged(servers: readonly string[], now: number): void {
    const isListed = this.#servers.follow(servers);
    if (this.#state === "idle" || this.#state === "over") return;
    if (!isListed && this.#state !== "resting") this.#lose("the server is gone", now);
    if (this.#state === "resting") this.#due = Math.min(this.#due, now);
  }

  nextWakeUp(): number | undefined {
    return this.#state === "idle" || this.#state === "over" ? undefined : Math.min(this.#due, this.#closeBy);
  }

  tick(now: number): void {
    if (now >= this.#closeBy) this.#finish(false);
    if (now < this.#due) return;
    switch (this.#state) {
      case "resting":
        this.#connect(now);
        break;
      case "opening":
        this.#lose("the server did not open the session in time", now);
        break;
      case "open":
        this.#failures = 0;
        this.#due = Number.POSITIVE_INFINITY;
        break;
    }
  }

  disconnected(now: number): void {
    if (this.#state === "closing" && !this.#isEnding) this.#finish(false);
    else if (this.#isConnected) this.#lose("the connection has ended", now);
  }

  publish(request: PublishRequest, call: ClientCall<PublishedResult>): void {
    this.#waiting.push({ ...request, number: 0, call });
    this.#sendWaiting();
  }

  /** A call was given up: what it asked for is not repeated. */
  withdraw(call: ClientCall<never>): void {
    this.#waiting.retain((publication) => publication.call !== call);
    for (const [number, publication] of this.#sent)
      if (publication?.call === call) this.#sent.set(number, undefined);
    for (const [number, request] of this.#requests) if (request.call === call) this.#requests.delete(number);
  }

  changeFilters(
    kind: FilterRequest["kind"],
    filters: readonly string[],
    call: ClientCall<void>,
    now: number,
  ) {
    this.#request({ kind, filters, call }, now);
  }

  /** @param life that the message came with @returns whether it was unacknowledged */
  acknowledge(number: number, life: number): boolean {
    const size = this.#held.get(number);
    if (life !== this.#lives || size === undefined) return false;
    this.#held.delete(number);
    this.#heldBytes -= size;
    this.#unreported.push(number);
    return true;
  }

  flush(): void {
    if (this.#unreported.length === 0 || this.#state !== "open") return;
    const low = this.#low();
    const above = this.#unreported.filter((number) => number >= low);
    this.#unreported = [];
    this.#settle(low, above);
  }

  /** In as many messages as the server needs. */
  #settle(low: number, numbers: readonly number[]): void {
    if (numbers.length <= MAX_SETTLED && this.#effects.send({ kind: "settle", low, numbers })) return;
    const half = numbers.length >> 1;
    if (half > 0) for (const part of [numbers.slice(0, half), numbers.slice(half)]) this.#settle(low, part);
  }

  /**
   * Leaves the session; to remove it, servers are asked until one has done so.
   *
   * @param end removes the session @param limit ms; -1: no limit
   */
  close(end: boolean, limit: number, now: number): void {
    this.flush();
    this.#isEnding = end;
    if (limit >= 0) this.#closeBy = now + limit;
    if (this.#state === "open") this.#sendClose();
    else if (!end) this.#finish(false);
  }

  receive(message: ServerMessage, now: number): void {
    switch (message.kind) {
      case "opened":
        if (this.#state === "opening") this.#opened(message, now);
        break;
      case "ended":
        this.#ended(message.reason, message.text, now);
        break;
      case "done":
        if (message.request === 0 && this.#state === "closing") this.#finish(true);
        else {
          const request = this.#requests.get(message.request);
          this.#requests.delete(message.request);
          if (request !== undefined) this.#changed(request);
        }
        break;
      case "published": {
        const { number, isDuplicate, sessions } = message;
        this.published += 1;
        if (isDuplicate) this.duplicates += 1;
        this.#answered(number)?.call.resolve({ sessions, duplicate: isDuplicate });
        break;
      }
      case "refused": {
        const { isPublication, number, reason, text } = message;
        const error = new SessionError(reason, text);
        if (isPublication) this.#answered(number)?.call.reject(error);
        else this.#requestRefused(number, error, now);
        break;
      }
      case "message":
        if (this.#state === "open") this.#message(message, now);
        break;
      case "dropped":
        this.#effects.send({ kind: "reported", drops: message.drops });
        this.#effects.dropped(message.unreported, message.old);
        break;
    }
  }

  #connect(now: number): void {
    const server = this.#servers.next();
    if (server === undefined) {
      this.#state = "resting";
      this.#due = Number.POSITIVE_INFINITY;
      return;
    }
    this.#state = "opening";
    this.#due = now + this.#options.openTimeout;
    this.#attempts += 1;
    this.#effects.connect(server);
    const clean = this.#options.clean && !this.#wasOpen;
    const { open } = this.#options;
    const [attempt, again] = [this.#attempts, this.#wasOpen];
    this.#effects.send({ kind: "open", version: VERSION, ...open, attempt, clean, again });
  }

  #lose(reason: string, now: number): void {
    if (this.#state === "open" && this.#sent.size > 0) this.unanswered += 1;
    this.#effects.disconnect();
    this.#servers.failed();
    // Each server is tried once without a delay.
    const { length } = this.#servers.list;
    const rounds = Math.floor(this.#failures / Math.max(1, length));
    this.#failures += 1;
    const { reconnectInterval, reconnectMaxInterval } = this.#options;
    const delay =
      this.#failures <= length
        ? 0
        : backOff(Math.max(0, rounds - 1), reconnectInterval, reconnectMaxInterval, this.#random);
    this.#state = "resting";
    this.#due = now + delay;
    this.#effects.lost(reason, delay);
  }

  #ended(reason: SessionFailure, text: string, now: number): void {
    if (this.#state === "closing" && !this.#isEnding) this.#finish(false);
    else if (!this.#isConnected) return;
    else if (this.#isEnding && reason === "gone") this.#finish(true);
    else if (FINAL.has(reason)) {
      this.#state = "over";
      this.#sent.clear();
      this.#waiting.clear();
      this.#requests.clear();
      this.#effects.disconnect();
      this.#effects.over(new SessionError(reason, text));
    } else this.#lose(text === "" ? reason : text, now);
  }

  get #isConnected(): boolean {
    return this.#state === "opening" || this.#state === "open" || this.#state === "closing";
  }

  #sendClose(): void {
    this.#state = "closing";
    this.#due = Number.POSITIVE_INFINITY;
    this.#effects.send({ kind: "close", end: this.#isEnding });
  }

  #finish(isDone: boolean): void {
    this.#state = "over";
    this.#effects.disconnect();
    this.#effects.closed(isDone);
  }

  #opened(message: OpenedMessage, now: number): void {
    const { isPresent, isContinued, published, life } = message;
    this.#state = "open";
    this.#due = now + this.#options.heartbeatInterval;
    if (life !== this.#life) {
      this.#life = life;
      this.#lives += 1;
      this.#held.clear();
      this.#heldBytes = 0;
      this.#unreported = [];
      this.#high = 0;
    }
    this.#from = 0;
    this.#effects.opened(message);
    if (this.#isEnding) {
      this.#sendClose();
      return;
    }
    this.#repeatRequests(isPresent, now);
    if (!this.isOpen) return;
    this.#repeatPublications(published, isContinued);
    this.#wasOpen = true;
    this.flush();
    this.#sendWaiting();
  }

  #repeatRequests(isPresent: boolean, now: number): void {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    const isLost = !isPresent && this.#wasOpen && this.#filters.size > 0;
    if (isLost) this.#request({ kind: "subscribe", filters: [...this.#filters], call: undefined }, now);
    for (const request of requests) if (!isLost || request.call !== undefined) this.#request(request, now);
  }

  #changed({ kind, filters, call }: FilterRequest): void {
    for (const filter of filters) {
      if (kind === "subscribe") this.#filters.add(filter);
      else this.#filters.delete(filter);
    }
    call?.resolve();
  }

  #repeatPublications(published: number, isContinued: boolean): void {
    const again = [...this.#sent.values()];
    this.#sent.clear();
    this.#next = published + 1;
    for (const publication of again) {
      if (publication === undefined) continue;
      const { number } = publication;
      // A server that knows it by its number does not read its data.
      if (isContinued && number <= published) this.#sendPublication(publication, number, Buffer.alloc(0));
      else this.#sendPublication(publication, this.#next);
    }
  }

  #request(request: FilterRequest, now: number): void {
    const number = this.#nextRequest;
    this.#nextRequest = number === 0xffff_ffff ? 1 : number + 1;
    this.#requests.set(number, request);
    const { kind, filters, call } = request;
    if (this.#state !== "open" || this.#effects.send({ kind, request: number, filters })) return;
    const half = filters.length >> 1;
    if (call !== undefined || half === 0) {
      this.#requestRefused(number, new SessionError("too-large"), now);
      return;
    }
    // Those of a lost session came in several calls.
    this.#requests.delete(number);
    for (const part of [filters.slice(0, half), filters.slice(half)])
      this.#request({ kind, filters: part, call }, now);
  }

  #requestRefused(number: number, error: SessionError, now: number): void {
    const request = this.#requests.get(number);
    if (request?.call !== undefined) {
      this.#requests.delete(number);
      request.call.reject(error);
    } else if (request !== undefined) this.#lose(error.message, now); // The next connection repeats it.
  }

  #sendWaiting(): void {
    if (this.#state !== "open") return;
    while (this.#waiting.length > 0 && this.#sent.size < MAX_PUBLISHING)
      this.#sendPublication(this.#waiting.shift() as Publishing, this.#next);
  }

  #sendPublication(publication: Publishing, number: number, data: Buffer = publication.data): void {
    const { id, topic, context, call } = publication;
    if (!this.#effects.send({ kind: "publish", number, id, topic, data, context })) {
      call.reject(new SessionError("too-large"));
      return;
    }
    if (number === this.#next) this.#next += 1;
    publication.number = number;
    this.#sent.set(number, publication);
  }

  #answered(number: number): Publishing | undefined {
    this.unanswered = 0;
    const publication = this.#sent.get(number);
    this.#sent.delete(number);
    this.#sendWaiting();
    return publication;
  }

  #message(message: DeliveredMessage, now: number): void {
    const { number } = message;
    if (number > this.#from && this.#from < this.#high) this.#forget(this.#from, number);
    this.#from = number + 1;
    if (this.#held.has(number)) return;
    if (number < this.#high) {
      // Its acknowledgement did not reach the store.
      this.#unreported.push(number);
      this.flush();
      return;
    }
    const { window, windowBytes } = this.#options.open;
    if (this.#held.size >= window || this.#heldBytes >= windowBytes) {
      this.#lose("the server sent more than the window", now);
      return;
    }
    this.#high = number + 1;
    const size = messageSize(message) + (message.context?.length ?? 0);
    this.#held.set(number, size);
    this.#heldBytes += size;
    this.#effects.message(message, this.#lives);
  }

  /** Messages arrive in order, from the session's first on: it has dropped those between two of a connection. */
  #forget(from: number, to: number): void {
    for (const [number, size] of this.#held) {
      if (number >= to) return;
      if (number < from) continue;
      this.#held.delete(number);
      this.#heldBytes -= size;
    }
  }

  /** All lower numbers are acknowledged. Messages arrive in order, so the first held one is the least. */
  #low(): number {
    for (const number of this.#held.keys()) return number;
    return this.#high;
  }
}
