/**
 * Interfaces between the parts of messaging; only types.
 *
 *   ClusterBus ── Messaging (messaging.ts) ──┬── MessageLinks: streams of items to members (links.ts)
 *                                            └── MessageRoutes: subscriptions of nodes (route-driver.ts)
 */

import type { Alias } from "./addresses.js";
import type { Publication } from "./publication.js";
import type { TopicAliases } from "./topic-aliases.js";

/** Byte before an item on a link. */
export const MessageKind = {
  ROUTES: 1,
  PUBLISH: 2,
  DIRECT: 3,
  SERVICE: 4,
  RETAINED: 5,
  REQUEST: 6,
} as const;

export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

/**
 * `full`: the peer's mark is reached. `too-large`: the peer takes no item of this size; counted as dropped.
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

export interface MessageLinksEffects {
  /** The peer's next item follows the return, or the promise. */
  onItem(from: IncomingLink, kind: number, item: Buffer): void | Promise<void>;
  onPublish(from: IncomingLink, bytes: Buffer, start: number, end: number): void | Promise<void>;
  /** The link to a peer has a session. */
  onUp(id: string): void;
  /** A peer is gone or forgot the session: `count` unacknowledged items are given up. */
  onLost?(id: string, count: number): void;
  /** A publication is larger than a peer takes. @param prefix the first level of its topic */
  onTooLarge?(id: string, prefix: string): void;
}

export interface LinkMember {
  readonly id: string;
  readonly name: string;
  /** IP address. */
  readonly host: string;
  readonly address: string;
  readonly local: boolean;
  readonly hasDetails: boolean;
  /** Its prop `shoal-messages`; `undefined`: it takes no messages. */
  readonly advert: string | undefined;
}

export interface NodeLinksEffects extends MessageLinksEffects {
  member(id: string): LinkMember | undefined;
  /** For this node's details (advert.ts). */
  advertise(advert: string | undefined): void;
  /** A protocol does not reach a live member. */
  ping(id: string): void;
  /** A frame arrived. Must be cheap. */
  onHeard?(id: string): void;
  /** A stream greeted as a member but proved to be another node. @param address IP address of its other end */
  onKeyRefused?(id: string, address: string): void;
  /** A protocol failed with a peer, or a listener was not opened (`peer` is empty). */
  onProtocolFailed?(peer: string, protocol: string, reason: string): void;
}

/** The sender of an item. */
export interface IncomingLink {
  readonly id: string;
  readonly protocol: string;
  /** Of its session. */
  readonly topics: TopicAliases;
  /** The sender's own client, cached by the alias's user. */
  ownClient: Alias | undefined;
}

/** An ordered, acknowledged, bounded stream of items to each member, dialled on first use. */
export interface MessageLinks {
  /**
   * @param item from `ITEM_BY_REFERENCE` bytes on it must not change afterwards
   * @param lane of the allowed protocols (links.ts); 0: all
   * @returns `full`: the caller sends it again, or counts it by `drop`
   */
  send(to: string, kind: number, item: Uint8Array, lane?: number): SendResult;
  /**
   * @param publication may be reused after the return
   * @param full gets members whose mark is reached
   * @returns the number of links that took it
   */
  publish(to: readonly string[], publication: Publication, full: string[]): number;
  /** The program publishes in a loop: items may wait for those of its next turn. */
  publishesMore(): void;
  /** Counts a dropped item. */
  drop(to: string): void;
  hasRoom(to: string, bytes: number): boolean;
  /** @throws UnroutableError `EHOSTUNREACH` if the peer is gone */
  room(to: string): Promise<void>;
  /** Number of the session of the link to a member; -1: none. A later session has not had the items of earlier ones. */
  session(to: string): number;
  /** Calls back when the item just sent is delivered, or with `false` if it is given up. */
  onDelivered(to: string, done: (isDelivered: boolean) => void): void;
  onMember(id: string, state: "alive" | "lost" | "gone"): void;
  stats(): MessageLinksStats;
  /** Resolves when waiting items are acknowledged, or after `linger` ms; -1: no limit. */
  close(linger: number): Promise<void>;
}

export interface MessageRoutes {
  /** @returns settles when all live members know this node's filter */
  subscribe(filter: string): Promise<void>;
  /** @returns settles when all live members know it */
  unsubscribe(filter: string): Promise<void>;
  /** Appends the ids of other live nodes with a matching filter, each once. */
  targets(topic: string, into: string[]): void;
  /** Filters with the ids of live nodes, unordered, at most `most`. @param topic only matching filters */
  list(most: number, topic?: string): { readonly filter: string; readonly nodes: readonly string[] }[];
  /**
   * New members whose subscriptions `targets` may lack, by id: until they are known, the member is gone, or a timeout.
   * Always the same map.
   */
  readonly unsettled: ReadonlyMap<string, unknown>;
  /** A caller waits for members in `unsettled`. */
  askUnsettled(): void;
  /** Changes with the results of `targets` and `unsettled`. */
  readonly version: number;
  /** @returns why it was refused */
  onItem(from: string, item: Buffer): string | undefined;
  /** The link to a peer has a session, or room. */
  onUp(id: string): void;
  onMember(id: string, state: "alive" | "lost" | "gone"): void;
  stats(): MessageRoutesStats;
  close(): void;
}
