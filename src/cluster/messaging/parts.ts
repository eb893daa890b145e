/**
 * Interfaces between the parts of messaging; only types.
 *
 *   ClusterNamespace ── Messaging (messaging.ts) ──┬── NodeLinks: streams of items to members (links.ts)
 *                                            └── RouteDriver: subscriptions of nodes (route-driver.ts)
 */

import type { Membership } from "../membership/membership.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import type { NodeSockets } from "../node/node-sockets.js";
import type { NamespaceSettings } from "../node/options.js";
import type { OwnDetails } from "../node/own-details.js";
import type { DropReports, MessagingEvent } from "./events.js";
import type { TopicPlan } from "./publication.js";
import type { PlacedItem } from "./wire.js";

/** Byte before an item on a link. */
export const MessageKind = {
  ROUTES: 1,
  PUBLISH: 2,
  DIRECT: 3,
  MEMBER: 4,
  RETAINED: 5,
  REQUEST: 6,
} as const;

export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

/**
 * `full`: the peer's mark is reached. `too-large`: this node or the peer takes no such item; counted as dropped.
 * `unreachable`: not a live member with messaging.
 */
export type SendResult = "sent" | "full" | "too-large" | "unreachable";

/** Statistics of a link. Each item is in one of `delivered`, `waiting`, `dropped` and `lost`. */
export interface MessageLinkStats {
  readonly id: string;
  readonly name: string;
  readonly protocol: string;
  readonly state: string;
  readonly sent: number;
  readonly delivered: number;
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly dropped: number;
  /** An upper bound: unacknowledged items may have arrived. */
  readonly lost: number;
  readonly resent: number;
}

export interface MessageLinksStats {
  readonly peers: readonly MessageLinkStats[];
  readonly refused: Readonly<Record<string, number>>;
}

/** Statistics of the nodes' subscriptions. */
export interface MessageRoutesStats {
  /** This node's filters. */
  readonly own: { readonly filters: number; readonly bytes: number };
  /** Filters of other nodes, counted for each node. */
  readonly routes: number;
  readonly bytes: number;
  /** Other nodes with messaging, also lost ones whose filters are kept. */
  readonly nodes: number;
  /** Nodes that are getting all of this node's filters. */
  readonly snapshots: number;
  /** Items by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** The cluster on this node, as links use it. */
export interface LinksNamespace {
  readonly identity: { readonly id: string; readonly name: string };
  readonly settings: Pick<NamespaceSettings, "messaging">;
  readonly sockets: Pick<NodeSockets, "count" | "refuseIdentity">;
  readonly codec: NamespaceCodec;
  readonly details: Pick<OwnDetails, "setAdvert">;
  readonly membership: Membership | undefined;
  readonly messages: {
    readonly drops: DropReports;
    /** `onUp`: the link to a peer has a connection. */
    readonly routes: { onUp(id: string): void };
    /** The peer's next item follows the return, or the promise. */
    onItem(from: IncomingLink, item: PlacedItem): void | Promise<void>;
    /** A peer is gone or forgot the session: `count` unacknowledged items are given up. */
    onLost(id: string, count: number): void;
  };
  run(call: (rules: Membership, now: number) => void): void;
  report(event: MessagingEvent): void;
}

/** The sender of an item. */
export interface IncomingLink {
  readonly id: string;
  readonly protocol: string;
  /** Of its session, by alias; `undefined`: not defined, or not as a topic. */
  readonly topics: (TopicPlan | undefined)[];
}
