/**
 * Sockets to clients, workers and other sites around rules.ts.
 *
 * Messages between sites (the Guide's chapter 3, peering):
 *
 *   state   PUB -> SUB        site | free workers, decimal
 *   cloud   ROUTER -> ROUTER  site | address | "" | body…     a request; the asking site comes first at the receiver
 *                             site | address | "" | body…     its reply, the same way back
 *
 * The requesting site chooses the address. The Guide's is the client's routing id; shoal's is a number used once, so
 * that a late reply can only end its own request.
 */
import crypto from "node:crypto";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import {
  BROKER_OPTIONS,
  BrokerDriver,
  type BrokerEndpoints,
  type BrokerSide,
} from "../../kit/broker-driver.js";
import { relaySourceEvents } from "../../kit/endpoint-list.js";
import { checkEndpoint, checkOptions, type Given, integer, object } from "../../kit/options.js";
import { RouterReader } from "../../kit/router-reader.js";
import { OpenedSockets } from "../../kit/sockets.js";
import { addressedFrames, parseFromClient, replyFrames } from "../../kit/worker-protocol.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { forwards } from "../../sockets/internal.js";
import {
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
} from "../../sockets/pub-sub.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import {
  CLOUD,
  EVENTS,
  type FederationEffects,
  type FederationEvent,
  FederationRules,
  type FederationStats,
} from "./rules.js";

interface StateSocketOptions extends PublisherOptions, SubscriberOptions {}

const OPTIONS = {
  ...BROKER_OPTIONS,
  /** ms between state messages if nothing changes. Default 1,000. */
  stateInterval: integer({ default: 1_000 }),
  /**
   * Intervals of silence before a site is lost. 0: only when its connection ends, as the Guide's sites need. Default
   * 3.
   */
  liveness: integer({ default: 3, min: 0 }),
  /**
   * Queued requests of clients, as many of other sites, and as many at each site; at the limit reading stops. Default
   * 1,000.
   */
  maxQueue: BROKER_OPTIONS.maxQueue,
  /** Options of the ROUTERs to other sites. */
  cloudOptions: object<RouterOptions>(["codec"]),
  /** Options of the state flow's PUB and SUB. */
  stateOptions: object<StateSocketOptions>(["codec"]),
};

export type FederatedBrokerOptions = Given<typeof OPTIONS>;

/** ms for replies to other sites at close. */
const CLOUD_LINGER = 1_000;

/** Wildcards filled in. */
export interface FederationEndpoints extends BrokerEndpoints {
  /** Endpoints for other sites' requests. */
  readonly cloud: readonly string[];
  /** Endpoints of the state flow. */
  readonly state: readonly string[];
}

export interface SiteEndpoints {
  readonly name: string;
  /** Its bound `cloud` endpoint. */
  readonly cloud: string;
  /** Its bound `state` endpoint. */
  readonly state: string;
}

/** Each site sends its name. */
export interface SiteSources {
  /** Source of `cloud` endpoints. `{ not: ["self"] }` excludes this site from a cluster's resolver. */
  readonly cloud: EndpointSource;
  readonly state: EndpointSource;
}

/**
 * Load-balancing broker that shares idle workers with other sites. Clients' requests go to local workers first, then
 * to a site that has published idle workers. No request is lost with a site: it stays where it was accepted until its
 * reply arrives, and may be handled twice.
 *
 * Clients and workers as in `LoadBalancer`; other sites may be the Guide's peering brokers.
 *
 * A site can be a pair (`gate`) of two brokers with different names, and workers connected to both. Other sites join
 * both, and send requests to the active one, which alone publishes idle workers.
 *
 * @example
 * ```ts
 * import { Request } from "shoal";
 * import { FederatedBroker } from "shoal/federation";
 * import { PirateWorker } from "shoal/pirate";
 *
 * const any = "tcp://127.0.0.1:*";
 * const [a, b] = [new FederatedBroker("A"), new FederatedBroker("B")];
 * a.join({ name: "B", cloud: await b.bind("cloud", any), state: await b.bind("state", any) });
 * b.join({ name: "A", cloud: await a.bind("cloud", any), state: await a.bind("state", any) });
 * const worker = new PirateWorker(await b.bind("backend", any), () => "done at B", { dialect: "simple" });
 * const client = new Request();
 * client.connect(await a.bind("frontend", any)); // A has no worker of its own.
 * console.log(String(await client.request("x"))); // done at B
 * await client.close();
 * await Promise.all([worker.close(), a.close(), b.close()]);
 * ```
 */
export class FederatedBroker extends BrokerDriver<FederationEvent, FederationStats, FederationEndpoints> {
  readonly name: string;
  readonly #cloud: Cloud;
  readonly #rules: FederationRules;
  readonly #asking: RouterReader;
  readonly #asked: RouterReader;

  /**
   * @param name unique among the sites; 1 to 255 bytes
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(name: string, options: FederatedBrokerOptions = {}) {
    const settings = checkOptions("FederatedBroker", OPTIONS, options);
    const { gate, socketOptions, cloudOptions, stateOptions } = settings;
    checkName(name);
    const sockets = new OpenedSockets();
    const cloud = openCloud(sockets, name, { ...socketOptions, ...cloudOptions }, stateOptions ?? {});
    let rules: FederationRules | undefined;
    super(
      "FederatedBroker",
      EVENTS,
      settings,
      settings.stateInterval,
      (effects, now) => {
        const outside: FederationEffects = {
          toWorker: (frames) => effects.toWorker(frames),
          reply: (envelope, body) => effects.toClient(replyFrames(envelope, body)),
          siteRequest: (site, address, body) =>
            cloud.asked.tryDeliver([Buffer.from(site), ...addressedFrames("paranoid", address, body)]) ===
            "sent",
          siteReply: (envelope, body) => this.reply(cloud.asking, replyFrames(envelope, body)),
          publish: (capacity) => {
            // Without room (noDrop) a state is skipped.
            if (!cloud.publisher.closed) cloud.publisher.trySend(stateFrames({ site: name, capacity }));
          },
          isServing: () => gate === undefined || gate.isServing(),
          event: (event) => effects.event(event),
        };
        rules = new FederationRules(settings, outside, now, crypto.randomBytes(8));
        return rules;
      },
      sockets,
    );
    this.name = name;
    this.#cloud = cloud;
    this.#rules = rules as FederationRules;
    this.#asking = new RouterReader(cloud.asking, {
      room: () => this.#rules.cloudRoom,
      message: (frames) => {
        const command = parseFromClient(frames);
        if (command.kind === "request") this.#rules.request(command.envelope, command.body, CLOUD);
        else this.#rules.invalid("site");
      },
      left: (routingId) => this.#rules.askingSiteLeft(routingId),
      afterBatch: () => this.changed(),
    });
    this.#asked = new RouterReader(cloud.asked, {
      room: () => Number.POSITIVE_INFINITY,
      message: ([site, ...frames]) => {
        const command = parseFromClient(frames);
        if (command.kind === "request")
          this.#rules.siteReplied(String(site), command.envelope[0] as Buffer, command.body);
        else this.#rules.invalid("site");
      },
      left: (site) => this.#rules.siteLeft(String(site)),
      afterBatch: () => this.changed(),
    });
    for (const socket of [cloud.asked, cloud.subscriber])
      relaySourceEvents(socket, (event) => this.events.emit(event));
    void this.#readStates();
  }

  /**
   * Connects to another site, or to all of a source. They must join this one, too.
   * @throws InvalidArgumentError `EINVAL` for a bad name or endpoint
   */
  join(site: SiteEndpoints | SiteSources): void {
    this.assertOpen();
    if (typeof site !== "object" || site === null)
      throw invalidArgument("A site must have a name, cloud and state", site);
    if (isSources(site)) {
      // A site's routing id is its name, known after the handshake.
      this.#cloud.asked.connect(site.cloud);
      this.#cloud.subscriber.connect(site.state);
      return;
    }
    checkName(site.name);
    checkEndpoint("cloud", site.cloud);
    checkEndpoint("state", site.state);
    if (site.name === this.name)
      throw new InvalidArgumentError(`Another site must have another name than this one; got ${site.name}`);
    this.#cloud.asked.connect(site.cloud, { routingId: site.name });
    this.#cloud.subscriber.connect(site.state);
  }

  /** @internal */
  protected override get sides(): Readonly<Record<string, BrokerSide>> {
    return { ...super.sides, cloud: this.#cloud.asking, state: this.#cloud.publisher };
  }

  protected override changed(): void {
    super.changed();
    if (this.#rules?.cloudRoom > 0) this.#asking?.resume();
  }

  protected override async closeOthers(): Promise<void> {
    this.#asking.stop();
    this.#asked.stop();
    const { asking, asked, publisher, subscriber } = this.#cloud;
    await Promise.all([
      ...[asking, publisher].map((socket) => socket.close({ linger: CLOUD_LINGER })),
      ...[asked, subscriber].map((socket) => socket.close({ linger: 0 })),
    ]);
  }

  async #readStates(): Promise<void> {
    for await (const frames of this.#cloud.subscriber) {
      const state = parseState(frames);
      if (state === undefined) this.#rules.invalid("site");
      else if (state.site !== this.name) this.#rules.siteState(state.site, state.capacity, this.now());
      this.changed();
    }
  }
}

type Cloud = ReturnType<typeof openCloud>;

/** Sockets to other sites. */
function openCloud(sockets: OpenedSockets, name: string, options: RouterOptions, state: StateSocketOptions) {
  // A restarted site takes over its name.
  const named = { ...options, routingId: name, handover: true, mandatory: true };
  const asking = sockets.open(() => new Router(named));
  // Without `immediate`, an endpoint of a stopped broker would keep the name: the broker would be refused at its new
  // endpoint.
  const asked = sockets.open(() => new Router({ ...named, immediate: true }));
  forwards(asking, asked);
  const subscriber = sockets.open(() => new Subscriber(state));
  subscriber.subscribe();
  const publisher = sockets.open(() => new Publisher(state));
  return { asking, asked, publisher, subscriber };
}

function isSources(site: SiteEndpoints | SiteSources): site is SiteSources {
  return isEndpointSource(site.cloud) && isEndpointSource(site.state);
}

function checkName(name: unknown): void {
  const size = typeof name === "string" ? Buffer.byteLength(name) : 0;
  if (size === 0 || size > MAX_NAME || (name as string).startsWith("\0"))
    throw invalidArgument(
      `A site's name must be a text of 1 to ${MAX_NAME} bytes that does not begin with a zero byte`,
      name,
    );
}

/** Bytes of a site name, which is a routing id (37/ZMTP, The Identity Property). */
export const MAX_NAME = 255;
const MAX_DIGITS = 9;

export interface SiteState {
  readonly site: string;
  readonly capacity: number;
}

/** @returns `undefined` if it is not a state message */
export function parseState(frames: readonly Buffer[]): SiteState | undefined {
  const [site, capacity] = frames;
  if (frames.length !== 2 || site === undefined || capacity === undefined) return undefined;
  if (site.length === 0 || site.length > MAX_NAME) return undefined;
  const digits = capacity.toString("latin1");
  if (digits.length > MAX_DIGITS || !/^[0-9]+$/.test(digits)) return undefined;
  return { site: site.toString(), capacity: Number(digits) };
}

export function stateFrames({ site, capacity }: SiteState): string[] {
  return [site, String(capacity)];
}
