/**
 * Sockets between the servers of a pair.
 *
 *   PUB, SUB  P + 3, and to the other's     a Binary Star: which of them serves
 *   ROUTER    P + 4                         the other one follows this one
 *   DEALER    to the other's P + 4          this one follows the other
 */

import type { ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { forwards } from "../../sockets/internal.js";
import { Dealer, Router } from "../../sockets/request-reply.js";
import { BinaryStar, type BinaryStarEvent, type BinaryStarReplica } from "../binary-star/index.js";
import { EndpointList, type EndpointSourceEvent } from "../kit/endpoint-list.js";
import { endpointAt, HANDSHAKE_ERRORS } from "./endpoints.js";
import type { PairSettings } from "./server-options.js";

const REPLICATION_MARK = 10_000;

/** Events of the Binary Star, which the server emits as well. */
export const STAR_EVENTS: EventNames<BinaryStarEvent> = {
  "state:changed": true,
  "votes:dropped": true,
  "peer:misconfigured": true,
  "peer:invalid": true,
};

export interface PairListener {
  star(event: BinaryStarEvent): void;
  source(event: EndpointSourceEvent): void;
  refused(error: ShoalError): void;
  checkHandOver(): void;
  readonly replica: BinaryStarReplica;
}

/** Invalid endpoints are left out; the list of places reports them. */
function statesOf(source: EndpointSource): EndpointSource {
  return {
    async *endpoints(signal) {
      for await (const list of source.endpoints(signal)) yield list.flatMap(stateAt);
    },
  };
}

function stateAt(endpoint: string): string[] {
  try {
    return [endpointAt(endpoint, 3)];
  } catch {
    return []; // No port that far above.
  }
}

export class ServerPair {
  readonly replicas: Router;
  readonly link: Dealer;
  readonly #settings: PairSettings;
  readonly #listener: PairListener;
  #star: BinaryStar | undefined;
  /** `undefined` for a fixed endpoint. */
  readonly #places: EndpointList | undefined;
  #place = "";

  constructor(settings: PairSettings, handler: PairListener) {
    const { interval, sockets, context } = settings;
    this.#settings = settings;
    this.#listener = handler;
    this.replicas = new Router({
      linger: 0,
      ...sockets.binding,
      ...context,
      mandatory: true,
      sendHighWaterMark: REPLICATION_MARK,
    });
    this.link = new Dealer({
      linger: 0,
      ...sockets.connecting,
      ...context,
      reconnectInterval: Math.min(100, interval),
      reconnectMaxInterval: Math.min(1_000, interval),
    });
    forwards(this.replicas);
    const { peer } = settings;
    if (isEndpointSource(peer))
      this.#places = new EndpointList("CloneServer", peer, { check: (endpoint) => endpointAt(endpoint, 4) });
    for (const type of HANDSHAKE_ERRORS) this.link.events.on(type, ({ error }) => handler.refused(error));
  }

  get star(): BinaryStar | undefined {
    return this.#star;
  }

  /** @param endpoint this server's first */
  async start(endpoint: string): Promise<void> {
    const { role, peer, interval, liveness, sockets, context } = this.#settings;
    if (isEndpointSource(peer))
      this.#places?.start({
        changed: (list) => this.#follow(list),
        event: (event) => this.#listener.source(event),
      });
    else this.link.connect(endpointAt(peer, 4));
    this.#star = new BinaryStar({
      role,
      peer: isEndpointSource(peer) ? statesOf(peer) : endpointAt(peer, 3),
      heartbeatInterval: interval,
      liveness,
      publisherOptions: sockets.binding,
      subscriberOptions: sockets.connecting,
      checkHandOver: () => this.#listener.checkHandOver(),
      replica: this.#listener.replica,
      ...context,
    });
    for (const type of Object.keys(STAR_EVENTS) as BinaryStarEvent["type"][])
      this.#star.events.on(type, (event) => this.#listener.star(event));
    await this.#star.bind(endpointAt(endpoint, 3));
  }

  /** An empty list, or one with the current place, changes nothing. */
  #follow(list: readonly string[]): void {
    const before = this.#place;
    const [first] = list;
    if (first === undefined || list.includes(before) || this.link.closed) return;
    if (this.#places?.connect(first, (place) => this.link.connect(endpointAt(place, 4))) !== true) return;
    this.#place = first;
    if (before !== "") this.link.disconnect(endpointAt(before, 4));
  }

  async closeLinks(): Promise<void> {
    this.#places?.stop();
    await Promise.all([this.replicas, this.link].map((socket) => socket.close({ linger: 0 })));
  }
}
