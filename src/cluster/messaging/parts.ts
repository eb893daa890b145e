/**
 * Interfaces between the parts of messaging; only types.
 *
 *   ClusterNamespace ── Messaging (messaging.ts) ──┬── NodeLinks: streams of items to members (links.ts)
 *                                            └── RouteDriver: subscriptions of nodes (route-driver.ts)
 */

import type { MessagingSettings } from "./options.js";
import type { DialTarget } from "./protocols.js";
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

export interface LinkMember extends DialTarget {
  readonly name: string;
  readonly hasDetails: boolean;
  /** Its prop `shoal-messages`; `undefined`: it takes no messages. */
  readonly advert: string | undefined;
}

export interface NodeLinksEffects {
  /** Of this node. */
  readonly id: string;
  readonly settings: MessagingSettings;
  /** The peer's next item follows the return, or the promise. */
  onItem(from: IncomingLink, item: PlacedItem): void | Promise<void>;
  /** The link to a peer has a connection. */
  onUp(id: string): void;
  /** A peer is gone or forgot the session: `count` unacknowledged items are given up. */
  onLost(id: string, count: number): void;
  /** A publication is larger than a peer takes. @param prefix the first level of its topic */
  onTooLarge(id: string, prefix: string): void;
  /** A live member. */
  linkMember(id: string): LinkMember | undefined;
  /** For this node's details (wire.ts). */
  advertise(advert: string | undefined): void;
  /** A protocol does not reach a live member. */
  ping(id: string): void;
  /** A frame arrived. Must be cheap. */
  onHeard(id: string): void;
  /** A stream greeted as a member but proved to be another node. @param address IP address of its other end */
  onKeyRefused(address: string): void;
  /** A protocol failed with a peer, or a listener was not opened (`peer` is empty). */
  onProtocolFailed(peer: string, protocol: string, reason: string): void;
}

/** The sender of an item. */
export interface IncomingLink {
  readonly id: string;
  readonly protocol: string;
  /** Of its session, by alias; `undefined`: not defined, or not as a topic. */
  readonly topics: (TopicPlan | undefined)[];
}
