/** What the parts of messaging share: the cluster, links, routes, clients, queues and counts. */
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { MACHINE } from "../../engine/zmtp/transport/transports.js";
import type { NodeSockets } from "../node/node-sockets.js";
import type { NamespaceSettings } from "../node/options.js";
import type { Requests } from "../requests/requests.js";
import type { LocalClient } from "./client.js";
import { DropReports } from "./events.js";
import { NodeLinks } from "./links.js";
import type { MemberMessages } from "./member-messages.js";
import type { MessagingSettings } from "./options.js";
import { type LinkProtocol, PairStreams } from "./pair-streams.js";
import type { LinksNamespace } from "./parts.js";
import { ipcProtocol, wsProtocol } from "./protocols.js";
import { prefixOf } from "./publication.js";
import { RetainedValues } from "./retained.js";
import { RouteDriver } from "./route-driver.js";
import { Deliveries, type Subscription } from "./subscription.js";
import { SubscriptionTable } from "./subscription-table.js";
import { TopicPlans } from "./topic-plans.js";
import type { WindowLimits } from "./window.js";

/** The cluster on this node. */
export interface MessagingNamespace extends LinksNamespace {
  /** Class name, for errors. */
  readonly what: string;
  readonly sockets: NodeSockets;
  readonly settings: Pick<NamespaceSettings, "hasMessages" | "messaging">;
  readonly memberMessages: Pick<MemberMessages, "hooks" | "onBytes">;
  readonly requests: Pick<Requests, "onItem" | "onForgotten" | "onRoutes">;
}

export class MessagingState {
  /** Of this node. */
  readonly id: string;
  readonly settings: MessagingSettings;
  readonly namespace: MessagingNamespace;
  readonly links: NodeLinks;
  readonly routes: RouteDriver;
  /** Of this node, by id. */
  readonly clients = new Map<number, LocalClient>();
  readonly plans: TopicPlans;
  readonly deliveries = new Deliveries();
  /** What may wait at a link beyond its mark. */
  readonly pending: WindowLimits;
  readonly retained: RetainedValues;
  readonly drops: DropReports;
  /** `undefined`: without messages. */
  readonly streams: PairStreams | undefined;
  protected readonly table: SubscriptionTable<Subscription>;
  readonly refused: Record<string, number> = {};
  closed = false;
  droppedFull = 0;
  droppedSlow = 0;
  unclaimed = 0;
  /** Handlers' errors. */
  failed = 0;

  constructor(namespace: MessagingNamespace) {
    const { identity, sockets, settings, codec } = namespace;
    const { id } = identity;
    const { messaging } = settings;
    this.id = id;
    this.settings = messaging;
    this.namespace = namespace;
    const streams = new PairStreams(sockets.streams, codec, messaging.maxItem, {
      cluster: codec.name,
      id,
      host: hostToBind(sockets.settings),
      ports: sockets.settings.ports,
    });
    this.streams = settings.hasMessages ? streams : undefined;
    this.links = new NodeLinks(namespace, streams, this.#protocols(streams));
    this.routes = new RouteDriver(id, messaging.settle, this.links, {
      onChanged: () => namespace.requests.onRoutes(),
      onWanted: (peer, filters) => this.retained.answer(peer, filters),
    });
    this.table = new SubscriptionTable((filter) => {
      if (!this.closed) void this.routes.unsubscribe(filter);
    });
    this.plans = new TopicPlans(this.routes, this.table);
    this.pending = { items: messaging.maxPending, bytes: messaging.maxPendingBytes };
    this.retained = new RetainedValues(this);
    this.drops = new DropReports((event) => namespace.report(event));
  }

  #protocols(streams: PairStreams): LinkProtocol[] {
    const { platform, tls } = this.namespace.sockets;
    return (this.settings.protocols ?? ["tcp"]).flatMap((each) => {
      if (each === "tcp" || each === "tls") return [streams.ownProtocol()];
      if (typeof each === "object") return [each];
      // A simulation has only tcp.
      if (platform !== MACHINE) return [];
      return [each === "ipc" ? ipcProtocol() : wsProtocol(platform.transports, tls)];
    });
  }

  // --- For its parts ---------------------------------------------------------------------------------------------------

  /** An item was not given to a link, whose mark is reached. */
  dropFull(id: string, prefix: string): void {
    this.links.drop(id);
    this.droppedFull += 1;
    this.drops.dropped("full", id, prefix);
  }

  /** A subscription, or all of this node's own, had no room for a message. @param of its filter, or the topic */
  dropSlow(of: string, topic: string): void {
    this.droppedSlow += 1;
    this.drops.dropped("slow", of, prefixOf(topic));
  }

  /** @throws InvalidArgumentError `EINVAL` */
  checkSize(length: number): void {
    const { maxItem } = this.settings;
    if (length > maxItem)
      throw new InvalidArgumentError(
        `a message with its topic has ${maxItem} bytes at most (messaging.maxItem); got ${length}`,
      );
  }

  refuse(reason: string): undefined {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  assertOpen({ closed }: LocalClient): void {
    if (closed || this.closed) throw new ClosedError("EBADF", "the client is closed");
  }
}

function hostToBind({ scope, interface: wanted, ipv6 }: NodeSockets["settings"]): string {
  if (scope === "host") return "127.0.0.1";
  return wanted ?? (ipv6 ? "::" : "*");
}
