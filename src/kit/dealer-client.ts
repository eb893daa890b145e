/**
 * Client with concurrent requests, and a DEALER for each server: the load balancer's, and Freelance's of models 2 and 3.
 *
 *   request ──> call ──trySend──> a DEALER that is connected and has room ──> its reply
 *                 ^                     └── none: waits
 *                 └── proceed: connected, has room, another list
 *
 * The DEALERs have `immediate`: requests of a lost connection are repeated by the client, and not by the socket.
 */

import type { ShoalError } from "../core/errors.js";
import type { EventNames, TypedEvent } from "../core/event-stream.js";
import { costOf } from "../core/memory.js";
import type { MessageLike } from "../sockets/message.js";
import { Dealer, type DealerOptions } from "../sockets/request-reply.js";
import { CORE } from "../sockets/socket.js";
import type { BodyFor, BodyOf, BodyShape } from "./body.js";
import { CALL_LIMITS, CALL_OPTIONS, type CallOptions, type PendingCall, PendingCalls } from "./calls.js";
import { Driver, type PatternWaitOptions } from "./driver.js";
import { EndpointList, type EndpointSourceEvent, type PatternEndpoints } from "./endpoint-list.js";
import { lateError } from "./errors.js";
import { checkOptions, object, type Settings } from "./options.js";
import { connected, OpenedSockets } from "./sockets.js";

export const DEALER_CLIENT_OPTIONS = {
  ...CALL_LIMITS,
  /** Options of the DEALERs, such as security. */
  socketOptions: object<DealerOptions>(["codec"]),
};

export class DealerServer {
  readonly endpoint: string;
  readonly dealer: Dealer;
  isJoined = false;
  /** Its socket has no room. */
  isFull = false;
  /** Removed from the source. */
  isLeaving = false;

  constructor(endpoint: string, dealer: Dealer) {
    this.endpoint = endpoint;
    this.dealer = dealer;
  }

  /** A removed one stays connected as long. */
  get isBusy(): boolean {
    return false;
  }
}

interface DealerClientTerms<Req, Rep, S> {
  readonly requests: BodyShape<Req>;
  readonly replies: BodyShape<Rep>;
  readonly Server: new (endpoint: string, dealer: Dealer) => S;
}

export abstract class DealerClient<
  Req,
  Rep,
  C extends { readonly pending: PendingCall<unknown> },
  S extends DealerServer,
  E extends TypedEvent,
  Stats,
> extends Driver<E | EndpointSourceEvent, Stats> {
  /** @internal */
  protected peers: readonly S[] = [];
  /** @internal */
  protected readonly calls: PendingCalls;
  readonly #settings: Settings<typeof DEALER_CLIENT_OPTIONS> & { readonly timeout: number };
  readonly #terms: DealerClientTerms<Req, Rep, S>;
  readonly #endpoints: EndpointList;

  /** @internal */
  protected constructor(
    name: string,
    events: EventNames<E | EndpointSourceEvent>,
    endpoints: PatternEndpoints,
    settings: Settings<typeof DEALER_CLIENT_OPTIONS> & { readonly timeout: number },
    terms: DealerClientTerms<Req, Rep, S>,
  ) {
    super(name, events);
    this.#settings = settings;
    this.#terms = terms;
    this.#endpoints = new EndpointList(name, endpoints, { socket: () => new Dealer(settings.socketOptions) });
    this.calls = new PendingCalls(settings);
  }

  /**
   * Sends a request. Calls run concurrently.
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ServiceError `ERR_SERVICE` when it failed at the servers;
   *   InvalidMessageError `ERR_INVALID_MESSAGE` when a codec refuses the request or reply; InvalidStateError
   *   `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`; `EAGAIN` while draining or when it closes
   */
  request(body: BodyFor<Req>, options: CallOptions = {}): Promise<BodyOf<Rep>> {
    try {
      const given = checkOptions(`${this.driverName}.request`, CALL_OPTIONS, options);
      const { timeout = this.#settings.timeout, signal } = given;
      const frames = this.#terms.requests.encode(body);
      this.assertOpen();
      const pending = this.calls.add<BodyOf<Rep>>(
        costOf(frames),
        { timeout, signal, onGivenUp: (why) => this.givenUp(call, why) },
        () => this.#late(`No reply came within ${timeout} ms`),
      );
      const call = this.prepare(frames, pending as PendingCall<unknown>);
      this.begin(call);
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Settles when a server is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    const isReady = this.peers.some(({ isJoined }) => isJoined);
    const late = (): ShoalError => this.#late(`No server was connected within ${options.timeout} ms`);
    return this.whenReached(isReady, options, late);
  }

  /** @internal Ends a constructor: servers in this process join at once. */
  protected start(): void {
    const sockets = new OpenedSockets();
    for (const endpoint of this.#endpoints.current) sockets.open(() => this.#connect(endpoint));
    this.#endpoints.start((list) => this.#follow(list), this.events);
  }

  /** @internal */
  protected abstract prepare(frames: Buffer[], pending: PendingCall<unknown>): C;
  /** @internal */
  protected abstract begin(call: C): void;
  /** @internal */
  protected abstract givenUp(call: C, why: "timeout" | "aborted"): void;
  /** @internal */
  protected abstract receive(server: S, frames: Buffer[]): void;
  /** @internal `proceed` follows. */
  protected abstract joined(server: S): void;
  /** @internal */
  protected abstract left(server: S): void;
  /** @internal @param server that has room; `undefined`: another list */
  protected abstract proceed(server: S | undefined): void;

  /**
   * @internal
   * @returns `false`: there is no room; `proceed` follows
   * @throws InvalidArgumentError `EINVAL` for a message above the context's byte limit
   */
  protected trySend(server: S, message: MessageLike[]): boolean {
    const { dealer } = server;
    if (!dealer.closed && dealer.trySend(message)) return true;
    server.isFull = true;
    void dealer[CORE].whenWritable().then(() => {
      server.isFull = false;
      if (!dealer.closed) this.proceed(server);
    });
    return false;
  }

  /** @internal @returns whether the codec took the reply */
  protected settle({ pending }: C, reply: Buffer[]): boolean {
    try {
      pending.resolve(this.#terms.replies.decode(reply));
      return true;
    } catch (error) {
      pending.reject(error as ShoalError);
      return false;
    }
  }

  /** @internal Closes removed servers that are not busy. */
  protected closeLeft(): void {
    for (const server of this.peers) {
      if (!server.isLeaving || server.isBusy) continue;
      this.peers = this.peers.filter((each) => each !== server);
      server.dealer.events.close();
      void server.dealer.close({ linger: 0 });
      this.#left(server);
    }
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.calls.idle();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#endpoints.stop();
    this.calls.close();
    for (const { dealer } of this.peers) dealer.events.close();
    await Promise.all(this.peers.map(({ dealer }) => dealer.close({ linger: 0 })));
  }

  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const wanted = new Set(list);
    for (const server of this.peers) server.isLeaving = !wanted.delete(server.endpoint);
    for (const endpoint of wanted) this.#endpoints.connect(endpoint, () => this.#connect(endpoint));
    this.closeLeft();
    this.proceed(undefined);
  }

  #connect(endpoint: string): Dealer {
    const { socketOptions } = this.#settings;
    const dealer = new Dealer({ linger: 0, ...socketOptions, immediate: true, receiveTimeout: -1 });
    const server = new this.#terms.Server(endpoint, dealer);
    dealer.events.on("peer:join", () => {
      server.isJoined = true;
      this.reached();
      this.joined(server);
      this.proceed(server);
    });
    dealer.events.on("peer:leave", () => this.#left(server));
    connected(dealer, endpoint);
    this.peers = [...this.peers, server];
    void this.#read(server);
    return dealer;
  }

  #left(server: S): void {
    if (!server.isJoined) return;
    server.isJoined = false;
    this.left(server);
  }

  async #read(server: S): Promise<void> {
    for await (const frames of server.dealer) this.receive(server, frames);
  }

  #late(text: string): ShoalError {
    const endpoints = this.peers.map(({ endpoint }) => endpoint);
    const failures = this.peers.map(({ dealer }) => dealer[CORE].events.lastFailure);
    return lateError(text, endpoints, failures.find(Boolean));
  }
}
