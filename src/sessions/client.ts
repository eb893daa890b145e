/** A client of sessions: a DEALER to one server at a time (client-rules.ts). */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { checkFilter, checkTopic } from "../cluster/messaging/topics.js";
import { checkCallOptions, invalidArgument } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { RingBuffer } from "../core/collections/queues.js";
import { isObserved, MESSAGE_ACKNOWLEDGE, MESSAGE_RECEIVE, MESSAGE_SEND } from "../core/diagnostics.js";
import {
  ClosedError,
  InvalidArgumentError,
  ProtocolError,
  type ShoalError,
  TimeoutError,
} from "../core/errors.js";
import { type ObservedMessage, observeMessageSend } from "../core/message-operations.js";
import { DriverTimer } from "../core/timers.js";
import { checkWait, timeLeft, WAIT_OPTIONS, Waiter, type WaitOptions, withTimeout } from "../core/waiter.js";
import { type PendingCall, PendingCalls } from "../kit/calls.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import { EndpointList, type PatternEndpoints } from "../kit/endpoint-list.js";
import { CLOSE_LINGER, checkKeys, checkOptions } from "../kit/options.js";
import { connected, readMessages, untilClosed } from "../kit/sockets.js";
import { listen } from "../sockets/internal.js";
import { Dealer } from "../sockets/request-reply.js";
import {
  clientSettings,
  PUBLISH_OPTIONS,
  SESSION_CLIENT_EVENTS,
  type SessionClientEvent,
  type SessionClientOptions,
  type SessionClientSettings,
  type SessionClientStats,
  type SessionPublishOptions,
} from "./client-options.js";
import { type OpenedMessage, type PublishedResult, SessionClientRules } from "./client-rules.js";
import {
  type ClientMessage,
  type DeliveredMessage,
  decodeServerMessage,
  encodeClientMessage,
  SessionError,
} from "./protocol.js";
import { HIGH_WATER_MARK, MAX_MESSAGE_ID, MAX_SESSION_FILTERS } from "./records.js";

export interface SessionMessage {
  readonly topic: string;
  readonly data: Buffer;
  /** The publishing session, or "" for a node. */
  readonly publisher: string;
  /** The publisher's message id, or "". */
  readonly id: string;
  /** Time of publication, ms since 1970. */
  readonly time: number;
  readonly redelivered: boolean;
  /** Removes the message from the session. The next program that opens the session gets unacknowledged ones again. */
  acknowledge(): void;
}

const TOO_LARGE = "a kept message is larger than maxMessageSize in socketOptions; the session still has it";

/**
 * A client with a session, by its id, at any server of a store. The session keeps filters and messages while the client
 * is away. A later client with the id takes it over; the earlier one ends with `taken`.
 *
 * @example
 * ```ts
 * import { MemorySessionStore, SessionClient, SessionServer } from "shoal/sessions";
 *
 * const store = new MemorySessionStore(); // Of one process: for tests.
 * const server = new SessionServer({ store });
 * const kitchen = new SessionClient(await server.bind("tcp://127.0.0.1:*"), { id: "kitchen" });
 * await kitchen.subscribe("orders/+/new");
 * await kitchen.publish("orders/7/new", "soup"); // In the store when it settles.
 * for await (const message of kitchen) {
 *   console.log(message.topic, String(message.data)); // orders/7/new soup
 *   message.acknowledge();
 *   break;
 * }
 * await kitchen.close(); // The session stays.
 * await server.close();
 * await store.close();
 * ```
 */
export class SessionClient
  extends Driver<SessionClientEvent, SessionClientStats>
  implements AsyncIterable<SessionMessage>
{
  readonly #settings: SessionClientSettings;
  readonly #list: EndpointList;
  readonly #rules: SessionClientRules;
  readonly #timer: DriverTimer;
  readonly #calls: PendingCalls;
  readonly #ready = new RingBuffer<SessionMessage>();
  #readyBytes = 0;
  readonly #receivers = new Set<Waiter<SessionMessage>>();
  readonly #contexts = new WeakMap<SessionMessage, Buffer>();
  #endpoint = "";
  #socket: Dealer | undefined;
  #over: SessionError | undefined;
  #loss = "";
  /** Why the last attempt failed; `undefined` once a session is open. */
  #failure: ShoalError | undefined = undefined;
  /** Bytes of a message that the server takes; -1: no limit. */
  #maxMessage = -1;
  #isFlushing = false;
  #leaving: Promise<boolean> | undefined;
  #whenClosed: ((isDone: boolean) => void) | undefined;
  readonly #counts = {
    received: 0,
    acknowledged: 0,
    dropped: 0,
    connections: 0,
  };

  /**
   * @param endpoints servers of one store, by preference, or a source such as a node's `resolver`
   * @throws InvalidArgumentError `EINVAL` for an invalid option, or without an `id`
   */
  constructor(endpoints: PatternEndpoints, options: SessionClientOptions) {
    super("SessionClient", SESSION_CLIENT_EVENTS);
    const settings = clientSettings(options);
    this.#settings = settings;
    this.#list = new EndpointList("SessionClient", endpoints, { socket: () => this.#makeSocket() });
    this.#calls = new PendingCalls(settings);
    // Messages of a stall are read first.
    this.#timer = new DriverTimer(250);
    const { maxUnacknowledged: window, maxUnacknowledgedBytes: windowBytes } = settings;
    const instance = randomBytes(8).toString("hex");
    this.#rules = new SessionClientRules(
      { ...settings, open: { ...settings, instance, window, windowBytes } },
      this.#list.current,
      {
        connect: (endpoint) => this.#connect(endpoint),
        disconnect: () => this.#disconnect(),
        send: (message) => this.#send(message),
        opened: (message) => this.#opened(message),
        lost: (reason, delay) => {
          this.#loss = reason;
          if (!this.closed)
            this.events.emit({ type: "session:lost", endpoint: this.#endpoint, reason, delay });
        },
        over: (error) => this.#end(error),
        message: (message, life) => this.#message(message, life),
        dropped: (count, old) => {
          this.#counts.dropped += count;
          this.events.emit({ type: "messages:dropped", count, old });
        },
        closed: (isDone) => this.#whenClosed?.(isDone),
      },
    );
    this.#rules.start(this.#timer.now());
    this.#timer.start(this.#rules);
    this.#list.start((list) => {
      this.#rules.serversChanged(list, this.#timer.now());
      this.#timer.update();
    }, this.events);
  }

  get id(): string {
    return this.#settings.id;
  }

  /** The current or last server's; "" before the first. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /**
   * Waits until a server has opened the session.
   *
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; SessionError `ERR_SESSION`; ClosedError `EBADF`,
   *   `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    const isReady = this.#counts.connections > 0;
    if (this.#over !== undefined && !isReady)
      return Promise.reject(new SessionError(this.#over.reason, this.#over.message));
    return this.whenReached(isReady, options, () =>
      this.#late(`No server opened the session within ${options.timeout} ms`),
    );
  }

  /**
   * Adds filters: the session keeps messages of matching topics until `unsubscribe`.
   *
   * @param filters as in MQTT 5: `orders/+/new`, `orders/#`; at most 1,000
   * @returns settles when the store has them
   * @throws SessionError `ERR_SESSION`; TimeoutError `ETIMEDOUT`; InvalidArgumentError `EINVAL`; ClosedError `EBADF`,
   *   `EAGAIN`
   */
  subscribe(...filters: string[]): Promise<void> {
    return this.#changeFilters("subscribe", filters);
  }

  /** Removes filters, but no messages. @throws as `subscribe` */
  unsubscribe(...filters: string[]): Promise<void> {
    return this.#changeFilters("unsubscribe", filters);
  }

  /**
   * Publishes to all sessions with a matching filter, repeatedly until a server answers; each keeps the message once.
   *
   * @param data copied; with topic and `id` at most the server's `maxMessageSize`, less 135 bytes
   * @returns settles when their store has it
   * @throws SessionError `ERR_SESSION`, with the reason `full` if a full session refuses it, `too-large` for the server;
   *   TimeoutError `ETIMEDOUT` and AbortedError `ABORT_ERR`, though it may be published; InvalidArgumentError `EINVAL`;
   *   InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`, `EAGAIN`
   */
  publish(
    topic: string,
    data: string | Uint8Array,
    options: SessionPublishOptions = {},
  ): Promise<PublishedResult> {
    if (!isObserved(MESSAGE_SEND)) return this.#publish(topic, data, options, undefined);
    return observeMessageSend(
      "publish",
      topic,
      data,
      (context) => this.#publish(topic, data, options, context),
      ({ sessions }) => sessions,
      "sessions",
    );
  }

  #publish(
    topic: string,
    data: string | Uint8Array,
    options: SessionPublishOptions,
    context: Buffer | undefined,
  ): Promise<PublishedResult> {
    try {
      this.#assertUsable();
      checkTopic(topic);
      const { id, timeout, signal } = checkOptions("publish", PUBLISH_OPTIONS, options);
      if (id !== undefined && Buffer.byteLength(id) > MAX_MESSAGE_ID)
        throw new InvalidArgumentError(
          `Option id of publish must have at most ${MAX_MESSAGE_ID} bytes; got ${Buffer.byteLength(id)}`,
        );
      if (typeof data !== "string" && !isBytes(data))
        throw invalidArgument("data must be a text or bytes", data);
      const bytes = Buffer.from(data as string);
      const limit = timeout ?? this.#settings.timeout;
      const pending: PendingCall<PublishedResult> = this.#calls.add(
        bytes.length,
        { timeout: limit, signal, onGivenUp: () => this.#rules.withdraw(pending) },
        () => this.#late(`No server has answered within ${limit} ms; the message may be published`),
      );
      this.#rules.publish({ id: id ?? "", topic, data: bytes, context }, pending);
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The next message, without repetitions after a reconnection.
   *
   * @throws TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`; SessionError `ERR_SESSION`; ClosedError `EBADF`, `EAGAIN`
   */
  receive(options: WaitOptions = {}): Promise<SessionMessage> {
    try {
      checkCallOptions("receive", options, WAIT_OPTIONS);
      checkWait(options);
      this.#assertUsable();
      const message = this.#takeReady();
      if (message !== undefined) {
        this.#observeReceive(message);
        return Promise.resolve(message);
      }
      const { timeout = -1, signal } = options;
      const late = (): ShoalError => new TimeoutError("EAGAIN", "No message came in time");
      const waiter: Waiter<SessionMessage> = new Waiter<SessionMessage>(timeout, signal, late, () =>
        this.#receivers.delete(waiter),
      );
      this.#receivers.add(waiter);
      return waiter.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Messages until the client closes. @throws SessionError `ERR_SESSION` */
  [Symbol.asyncIterator](): AsyncIterator<SessionMessage, undefined> {
    return untilClosed(() => this.receive());
  }

  /**
   * Removes the session with filters and messages, and closes. Servers are asked until one answers.
   *
   * @throws InvalidArgumentError `EINVAL`: the client stays open; TimeoutError `ETIMEDOUT` after `timeout` ms, ClosedError
   *   `EAGAIN` if the client closed meanwhile: the session may stay; SessionError `ERR_SESSION` if another program has it
   */
  async end(options: { readonly timeout?: number | undefined } = {}): Promise<void> {
    checkKeys("SessionClient.end", options, ["timeout"]);
    const { timeout = this.#settings.timeout } = options;
    checkWait({ timeout });
    const begun = performance.now();
    try {
      await this.ready({ timeout });
      const isDone = await this.#leave(true, timeLeft(timeout, begun));
      if (isDone || this.#over?.reason === "gone") return;
      this.#assertNotOver();
      if (this.closed)
        throw new ClosedError("EAGAIN", "The client closed before a server had removed the session");
      throw new TimeoutError("ETIMEDOUT", `No server removed the session within ${timeout} ms`);
    } finally {
      await this.close({ linger: 0 });
    }
  }

  stats(): SessionClientStats {
    return {
      isOpen: this.#rules.isOpen,
      ...this.#counts,
      published: this.#rules.published,
      duplicates: this.#rules.duplicates,
      publishing: this.#rules.publishing,
      unacknowledged: this.#rules.held,
      waiting: this.#ready.length,
    };
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#calls.idle();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    if (linger !== 0) {
      const begun = performance.now();
      await withTimeout(this.#calls.idle(), linger);
      if (this.#rules.isOpen) await this.#leave(false, timeLeft(linger, begun));
    }
    this.#list.stop();
    this.#timer.stop();
    this.#disconnect();
    this.#whenClosed?.(false);
    this.#calls.close();
    this.#endReceivers(new ClosedError("EAGAIN", "The client closed while the call waited"));
    this.#ready.clear();
  }

  /** @returns whether a server has confirmed it */
  #leave(isEnd: boolean, limit: number): Promise<boolean> {
    if (this.#rules.isOver) return Promise.resolve(false);
    this.#leaving ??= new Promise((resolve) => {
      this.#whenClosed = resolve;
      this.#rules.close(isEnd, limit, this.#timer.now());
      this.#timer.update();
    });
    return this.#leaving;
  }

  #changeFilters(kind: "subscribe" | "unsubscribe", filters: readonly string[]): Promise<void> {
    try {
      this.#assertUsable();
      for (const filter of filters) checkFilter(filter);
      if (filters.length === 0) return Promise.resolve();
      if (filters.length > MAX_SESSION_FILTERS)
        throw new InvalidArgumentError(
          `${kind} must have at most ${MAX_SESSION_FILTERS} filters; got ${filters.length}`,
        );
      const { timeout } = this.#settings;
      const pending: PendingCall<void> = this.#calls.add(
        0,
        { timeout, onGivenUp: () => this.#rules.withdraw(pending) },
        () => this.#late(`No server has answered within ${timeout} ms`),
      );
      this.#rules.changeFilters(kind, filters, pending, this.#timer.now());
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #late(text: string): TimeoutError {
    const cause = this.#failure;
    const loss = this.#rules.isSteady ? "" : `; the last connection ended: ${cause?.message ?? this.#loss}`;
    return new TimeoutError("ETIMEDOUT", text + loss, { endpoint: this.#endpoint, cause });
  }

  #assertUsable(): void {
    this.assertOpen();
    this.#assertNotOver();
  }

  /** Throws with this call's stack. */
  #assertNotOver(): void {
    if (this.#over !== undefined) throw new SessionError(this.#over.reason, this.#over.message);
  }

  #makeSocket(heartbeatTimeout = this.#settings.heartbeatTimeout): Dealer {
    const { heartbeatInterval, socketOptions } = this.#settings;
    return new Dealer({
      linger: CLOSE_LINGER,
      heartbeatInterval,
      heartbeatTimeout,
      sendHighWaterMark: HIGH_WATER_MARK,
      receiveHighWaterMark: HIGH_WATER_MARK,
      ...socketOptions,
    });
  }

  #connect(endpoint: string): void {
    this.#disconnect();
    this.#maxMessage = -1;
    this.#endpoint = endpoint;
    // A PING waits behind a publication, for which a slow link may need longer than the timeout.
    const { heartbeatTimeout } = this.#settings;
    const longer = Math.min(30_000, heartbeatTimeout * 2 ** this.#rules.unanswered);
    const isMade = this.#list.connect(endpoint, () => {
      const socket = this.#makeSocket(Math.max(heartbeatTimeout, longer));
      socket.events.on("disconnect", () => this.#lost(socket));
      listen(socket, (event) => {
        if (event.type !== "connect:retry") return;
        this.#failure = event.error;
        this.#lost(socket);
      });
      this.#socket = connected(socket, endpoint);
      void readMessages(socket, (batch) => this.#read(socket, batch));
    });
    if (!isMade) this.#lostSoon(undefined);
  }

  #lost(socket: Dealer | undefined): void {
    if (this.#socket !== socket) return;
    const now = this.#timer.now();
    // Each further connection would end by the same message.
    const isTooLarge = socket !== undefined && socket.stats().invalid.tooLarge > 0;
    if (isTooLarge) this.#rules.receive({ kind: "ended", reason: "too-large", text: TOO_LARGE }, now);
    else this.#rules.disconnected(now);
    this.#timer.update();
  }

  #lostSoon(socket: Dealer | undefined): void {
    queueMicrotask(() => this.#lost(socket));
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    // The next connection repeats unanswered requests.
    socket.close({ linger: 0 }).catch(() => undefined);
  }

  #read(socket: Dealer, batch: readonly Buffer[][]): void {
    for (const frames of batch) {
      if (this.#socket !== socket) break; // The timer learns when to connect again.
      try {
        this.#rules.receive(decodeServerMessage(frames), this.#timer.now());
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.events.emit({ type: "message:invalid", reason: error.message });
      }
    }
    this.#timer.update();
  }

  /** A full queue ends the connection; the next one repeats unanswered requests. */
  #send(message: ClientMessage): boolean {
    const frames = encodeClientMessage(message);
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    if (this.#maxMessage >= 0 && bytes > this.#maxMessage) return false;
    const socket = this.#socket;
    try {
      if (socket !== undefined && !socket.trySend(frames)) this.#lostSoon(socket);
      return true;
    } catch (error) {
      if (error instanceof InvalidArgumentError) return false; // Its context's `maxMessageSize` is smaller.
      throw error;
    }
  }

  #opened({ isPresent, count: queued, maxMessage }: OpenedMessage): void {
    this.#maxMessage = maxMessage;
    this.#counts.connections += 1;
    this.#failure = undefined;
    this.events.emit({ type: "session:opened", endpoint: this.#endpoint, isPresent, queued });
    this.reached();
  }

  #message(message: DeliveredMessage, life: number): void {
    const { number, topic, data, publisher, id, time, redelivered, context } = message;
    this.#counts.received += 1;
    const acknowledge = (): void => this.#acknowledge(received, number, life);
    const received: SessionMessage = { topic, data, publisher, id, time, redelivered, acknowledge };
    if (context !== undefined && isAnyObserved()) this.#contexts.set(received, context);
    for (const waiter of this.#receivers) {
      this.#receivers.delete(waiter);
      this.#observeReceive(received);
      waiter.resolve(received);
      return;
    }
    this.#ready.push(received);
    this.#readyBytes += data.length;
    // The session has dropped the oldest, or was lost: it has no more than a window, whose last message may exceed it.
    const { maxUnacknowledged, maxUnacknowledgedBytes } = this.#settings;
    while (this.#ready.length > maxUnacknowledged || this.#readyBytes - data.length > maxUnacknowledgedBytes)
      this.#takeReady();
  }

  #takeReady(): SessionMessage | undefined {
    const message = this.#ready.shift();
    if (message !== undefined) this.#readyBytes -= message.data.length;
    return message;
  }

  #observeReceive(message: SessionMessage): void {
    if (MESSAGE_RECEIVE.hasSubscribers) MESSAGE_RECEIVE.publish(this.#observed(message));
  }

  #observed(message: SessionMessage): ObservedMessage {
    const { topic: destination, publisher: sender, data } = message;
    const context = this.#contexts.get(message);
    return { system: "sessions", destination, filter: "", sender, bytes: data.length, message, context };
  }

  #acknowledge(message: SessionMessage, number: number, life: number): void {
    if (!this.#rules.acknowledge(number, life)) return;
    if (MESSAGE_ACKNOWLEDGE.hasSubscribers) MESSAGE_ACKNOWLEDGE.publish(this.#observed(message));
    this.#counts.acknowledged += 1;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#rules.flush();
    });
  }

  #end(error: SessionError): void {
    this.#over = error;
    this.#timer.stop();
    this.#ready.clear();
    this.events.emit({ type: "session:ended", reason: error.reason, text: error.message });
    this.reached(error);
    this.#calls.close(error);
    this.#endReceivers(error);
    this.#whenClosed?.(false);
  }

  #endReceivers(error: ShoalError): void {
    for (const waiter of this.#receivers) waiter.abandon(error);
    this.#receivers.clear();
  }
}

function isAnyObserved(): boolean {
  return MESSAGE_RECEIVE.hasSubscribers || MESSAGE_ACKNOWLEDGE.hasSubscribers;
}
