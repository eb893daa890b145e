/**
 * Sockets of a client.
 *
 *   DEALER  to P of the server in use
 *   SUB     to P + 1
 *   PUB     to P + 2
 *
 * Each attempt has new ones, so that messages of an earlier one cannot come.
 */
import { ClosedError, type ShoalError } from "../../core/errors.js";
import type { Context } from "../../sockets/context.js";
import { readBatches } from "../../sockets/internal.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import type { FrameBatch } from "../../sockets/relay.js";
import { Dealer } from "../../sockets/request-reply.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
import { SendQueue } from "../kit/send-queue.js";
import type { ClientRules } from "./client-rules.js";
import { type CloneEndpoints, HANDSHAKE_ERRORS } from "./endpoints.js";
import { encodeRequest, HUGZ } from "./protocol.js";

const BATCH = 1_000;
const RECEIVE_MARK = 10_000;

export interface ConnectionOwner {
  /** Sets the timer afterwards. */
  act(action: (rules: ClientRules, now: number) => void): void;
  refused(server: string, port: "snapshot" | "publisher" | "collector", error: ShoalError): void;
}

export class ClientConnections {
  readonly #subtree: Buffer;
  readonly #options: CommonOptions & { readonly context?: Context };
  readonly #owner: ConnectionOwner;
  #publisher: Publisher | undefined;
  #updates: SendQueue | undefined;
  #subscriber: Subscriber | undefined;
  #dealer: Dealer | undefined;

  constructor(
    subtree: Buffer,
    options: CommonOptions & { readonly context?: Context },
    owner: ConnectionOwner,
  ) {
    this.#subtree = subtree;
    this.#options = options;
    this.#owner = owner;
  }

  open(attempt: number, endpoints: CloneEndpoints): void {
    void this.close();
    this.#connectCollector(attempt, endpoints);
    const options = { ...this.#optionsFor(endpoints), receiveHighWaterMark: RECEIVE_MARK };
    const subscriber = new Subscriber(options);
    this.#subscriber = subscriber;
    const dealer = new Dealer(options);
    this.#dealer = dealer;
    if (this.#subtree.length > 0) subscriber.subscribe(this.#subtree, HUGZ);
    else subscriber.subscribe();
    subscriber.events.on("handshake", () => this.#owner.act((rules, now) => rules.connected(attempt, now)));
    for (const socket of [subscriber, dealer]) {
      const lost = (refused: boolean): void =>
        this.#owner.act((rules, now) => rules.disconnected(attempt, refused, now));
      socket.events.on("disconnect", () => lost(false));
      socket.events.on("connect:retry", () => lost(true));
    }
    this.#reportHandshakes(subscriber, endpoints.snapshot, "publisher");
    this.#reportHandshakes(dealer, endpoints.snapshot, "snapshot");
    subscriber.connect(endpoints.publisher);
    dealer.connect(endpoints.snapshot);
    this.#readUpdates(subscriber, attempt, endpoints.publisher);
    void this.#read(dealer, (rules, message, now) => rules.snapshot(attempt, message, now));
  }

  ask(): void {
    this.#dealer?.trySend(encodeRequest(this.#subtree));
  }

  get unsent(): number {
    return this.#updates?.length ?? 0;
  }

  sendSet(frames: Buffer[]): void {
    if (this.#publisher?.closed === false) this.#updates?.send(frames);
  }

  async close(): Promise<void> {
    const sockets = [this.#subscriber, this.#dealer, this.#publisher];
    this.#updates?.close();
    this.#updates = undefined;
    this.#subscriber = undefined;
    this.#dealer = undefined;
    this.#publisher = undefined;
    await Promise.all(sockets.map((socket) => socket?.close({ linger: 0 })));
  }

  #optionsFor({ curveServerKey }: CloneEndpoints): CommonOptions & { readonly context?: Context } {
    return curveServerKey === undefined ? this.#options : { ...this.#options, curveServerKey };
  }

  #connectCollector(attempt: number, endpoints: CloneEndpoints): void {
    const publisher = new Publisher({ ...this.#optionsFor(endpoints), noDrop: true });
    this.#publisher = publisher;
    this.#updates = new SendQueue(publisher);
    this.#reportHandshakes(publisher, endpoints.snapshot, "collector");
    let subscriptions = 0;
    const count = (change: number): void => {
      const before = subscriptions > 0;
      subscriptions += change;
      if (subscriptions > 0 !== before)
        this.#owner.act((rules, now) => rules.collector(attempt, subscriptions > 0, now));
    };
    publisher.events.on("subscribe", () => count(1));
    publisher.events.on("unsubscribe", () => count(-1));
    publisher.connect(endpoints.collector);
  }

  #reportHandshakes(
    socket: Publisher | Subscriber | Dealer,
    server: string,
    port: "snapshot" | "publisher" | "collector",
  ): void {
    for (const type of HANDSHAKE_ERRORS)
      socket.events.on(type, ({ error }) => this.#owner.refused(server, port, error));
  }

  /** Over inproc messages come as frames: as bytes they would be copied. */
  #readUpdates(socket: Subscriber, attempt: number, endpoint: string): void {
    const take = (batch: FrameBatch): void =>
      this.#owner.act((rules, now) => rules.updates(attempt, batch, now));
    const takeOne = (message: Buffer[]): void =>
      this.#owner.act((rules, now) => rules.update(attempt, message, now));
    if (!endpoint.startsWith("inproc:") && readBatches(socket, take, takeOne)) return;
    void this.#read(socket, (rules, message, now) => rules.update(attempt, message, now));
  }

  async #read(
    socket: Subscriber | Dealer,
    take: (rules: ClientRules, message: Buffer[], now: number) => void,
  ): Promise<void> {
    try {
      for (;;) {
        const messages = await socket.receiveMany({ max: BATCH, timeout: -1 });
        this.#owner.act((rules, now) => {
          for (const message of messages) take(rules, message, now);
        });
      }
    } catch (error) {
      if (!socket.closed && !(error instanceof ClosedError)) throw error;
    }
  }
}
