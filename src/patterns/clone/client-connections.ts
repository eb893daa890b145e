/**
 * Sockets of a client.
 *
 *   PUB     to P + 2 of each server
 *   SUB     to P + 1 of the server in use, new for each attempt
 *   DEALER  to P of the server in use, new for each attempt
 */
import { ClosedError, type ShoalError } from "../../core/errors.js";
import type { Context } from "../../sockets/context.js";
import { readBatches } from "../../sockets/internal.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import type { FrameBatch } from "../../sockets/relay.js";
import { Dealer } from "../../sockets/request-reply.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
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
  readonly #servers = new Map<number, CloneEndpoints>();
  readonly #subtree: Buffer;
  readonly #options: CommonOptions & { readonly context?: Context };
  readonly #owner: ConnectionOwner;
  readonly #publishers = new Map<number, Publisher>();
  #used = -1;
  #subscriber: Subscriber | undefined;
  #dealer: Dealer | undefined;
  #closed = false;

  constructor(
    subtree: Buffer,
    options: CommonOptions & { readonly context?: Context },
    owner: ConnectionOwner,
  ) {
    this.#subtree = subtree;
    this.#options = options;
    this.#owner = owner;
  }

  join(server: number, endpoints: CloneEndpoints): void {
    this.#servers.set(server, endpoints);
    this.#connectCollector(server, endpoints);
  }

  leave(server: number): void {
    this.#servers.delete(server);
    void this.#publishers.get(server)?.close({ linger: 0 });
    this.#publishers.delete(server);
    if (this.#used === server) this.#closeUsed();
  }

  /** New sockets, so that messages of an earlier attempt cannot come. */
  open(attempt: number, server: number): void {
    const endpoints = this.#servers.get(server) as CloneEndpoints;
    this.#closeUsed();
    this.#used = server;
    if (!this.#publishers.has(server)) this.#connectCollector(server, endpoints);
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

  /** @returns `false` without room for another one before `writable` */
  sendSet(server: number, frames: Buffer[]): boolean {
    const publisher = this.#publishers.get(server);
    if (publisher === undefined || publisher.closed || publisher.trySend(frames)) return true;
    publisher.send(frames).then(
      () => {
        if (!this.#closed) this.#owner.act((rules) => rules.writable(server));
      },
      // The socket was closed; the rules send the updates to the next server.
      () => undefined,
    );
    return false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sockets = [this.#subscriber, this.#dealer, ...this.#publishers.values()];
    await Promise.all(sockets.map((socket) => socket?.close({ linger: 0 })));
  }

  #closeUsed(): void {
    void this.#subscriber?.close({ linger: 0 });
    void this.#dealer?.close({ linger: 0 });
    this.#subscriber = undefined;
    this.#dealer = undefined;
  }

  #optionsFor({ curveServerKey }: CloneEndpoints): CommonOptions & { readonly context?: Context } {
    return curveServerKey === undefined ? this.#options : { ...this.#options, curveServerKey };
  }

  #connectCollector(server: number, endpoints: CloneEndpoints): void {
    const { snapshot, collector } = endpoints;
    const publisher = new Publisher({ ...this.#optionsFor(endpoints), noDrop: true });
    this.#publishers.set(server, publisher);
    this.#reportHandshakes(publisher, snapshot, "collector");
    let subscriptions = 0;
    publisher.events.on("subscribe", () => {
      subscriptions += 1;
      if (subscriptions === 1) this.#owner.act((rules, now) => rules.collectorReady(server, now));
    });
    publisher.events.on("unsubscribe", () => {
      subscriptions -= 1;
      if (subscriptions === 0) this.#owner.act((rules) => rules.collectorLost(server));
    });
    try {
      publisher.connect(collector);
    } catch (error) {
      this.#publishers.delete(server);
      void publisher.close({ linger: 0 });
      throw error;
    }
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
