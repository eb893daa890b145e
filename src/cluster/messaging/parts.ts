/**
 * Interfaces between the parts of messaging; only types.
 *
 *   ClusterBus ── Messaging (messaging.ts) ──┬── MessageLinks: streams of items to members (links.ts)
 *                                            └── MessageRoutes: subscriptions of nodes (route-driver.ts)
 */

import type { Alias } from "./addresses.js";
import type { Publication } from "./publication.js";
import type { TopicAliases } from "./topic-aliases.js";

/** Kind of an item on a link, in the byte before it. */
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
 * `sent`: accepted by the link. `full`: the peer's mark is reached. `too-large`: the peer does not accept this size;
 * counted as dropped. `unreachable`: no such live member, or one without messaging.
 */
export type SendResult = "sent" | "full" | "too-large" | "unreachable";

/** `up`: a session began. `lost`: unreachable, may return. `gone`: left, removed, or replaced by another life. */
export type PeerState = "up" | "lost" | "gone";

/** Statistics of a link. Each item is in one of `delivered`, `waiting`, `dropped` and `lost`. */
export interface MessageLinkStats {
  readonly id: string;
  readonly name: string;
  /** "tcp", "ipc" … */
  readonly protocol: string;
  readonly state: string;
  readonly sent: number;
  readonly delivered: number;
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly dropped: number;
  /** Unacknowledged items that were dropped. An upper bound, since some may have arrived. */
  readonly lost: number;
  readonly resent: number;
}

export interface MessageLinksStats {
  readonly peers: readonly MessageLinkStats[];
  /** Items dropped because a peer's mark was reached, by prefix. */
  readonly droppedByPrefix: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
}

/** Statistics of the nodes' subscriptions. */
export interface MessageRoutesStats {
  /** This node's filters, and their bytes. */
  readonly own: { readonly filters: number; readonly bytes: number };
  /** Filters of other nodes; a filter of three nodes counts three times. */
  readonly routes: number;
  /** Bytes of these filters. */
  readonly bytes: number;
  /** Other nodes with messaging, including lost ones whose subscriptions are kept. */
  readonly nodes: number;
  /** Nodes that are getting this node's filters as a snapshot. */
  readonly snapshots: number;
  /** Refused items by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export interface MessageLinksEffects {
  /**
   * Called in order for each peer. The item is acknowledged, and the next one passed, after the return or the promise.
   */
  onItem(from: string, kind: number, item: Buffer): void | Promise<void>;
  /** For PUBLISH, the most frequent kind, without an object per item. */
  onPublish(from: IncomingLink, bytes: Buffer, start: number, end: number): void | Promise<void>;
  onPeer(id: string, state: PeerState): void;
  /**
   * A peer is gone, or has forgotten the session: this many unacknowledged items are dropped. It may have received
   * some.
   */
  onLost?(id: string, count: number): void;
  /** An item was dropped because it is larger than the peer accepts. */
  onTooLarge?(id: string, kind: number, prefix: string): void;
}

/** The sender of an item, as its link knows it. */
export interface IncomingLink {
  readonly id: string;
  /** Aliases of its session. */
  readonly topics: TopicAliases;
  /** Alias of its own client, cached by its user. */
  ownClient: Alias | undefined;
}

/** An ordered, acknowledged, bounded stream of items to each member, dialled on first use. */
export interface MessageLinks {
  /**
   * @param item complete. Below `ITEM_BY_REFERENCE` bytes it is copied before the return; a larger one must not change
   * afterwards
   * @param prefix for counters, such as a topic's first level
   * @param lane of the protocols that the item may go by (links.ts); 0: all
   * @returns `full`: the caller sends it again, or counts it by `drop`
   */
  send(to: string, kind: number, item: Uint8Array, prefix: string, lane?: number): SendResult;
  /**
   * Sends a publication, which may be reused after the return.
   *
   * @param full gets members whose mark is reached, for which the caller waits, or calls `drop`
   * @returns the number of links that accepted it
   */
  publish(to: readonly string[], publication: Publication, full: string[]): number;
  /**
   * The publishing program must yield to the event loop and probably publishes more then, so published items may wait.
   */
  publishesMore(): void;
  /** Counts an item that the caller drops because the peer's mark is reached. */
  drop(to: string, prefix: string): void;
  /** Whether a member's mark leaves room for an item of this size. */
  hasRoom(to: string, bytes: number): boolean;
  /** Resolves when there is room again. @throws UnroutableError `EHOSTUNREACH` if the peer is gone */
  room(to: string): Promise<void>;
  /**
   * Calls back when a member's program has received the item just given to `send`, or with `false` if it is dropped.
   */
  onDelivered(to: string, done: (isDelivered: boolean) => void): void;
  /** `alive`: changed. `lost`: may return. `gone`: left, or was removed or forgotten. */
  onMember(id: string, state: "alive" | "restarted" | "lost" | "gone"): void;
  stats(): MessageLinksStats;
  /** Resolves when waiting items are acknowledged, or after `linger` ms; -1: no limit. */
  close(linger: number): Promise<void>;
}

export interface MessageRoutesEffects {
  onSettled(id: string): void;
  /** Results of `targets` may have changed. */
  onChanged(): void;
}

export interface MessageRoutes {
  /** Adds this node's filter. @returns settles when all live members know it */
  subscribe(filter: string): Promise<void>;
  /** Removes this node's filter. @returns settles when all live members know it; need not be awaited */
  unsubscribe(filter: string): Promise<void>;
  /** Appends the ids of other live nodes with a matching filter, each once. @returns their number */
  targets(topic: string, into: string[]): number;
  /** Filters with the ids of live nodes, unordered. @param most limit of filters @param topic only matching filters */
  list(most: number, topic?: string): { readonly filter: string; readonly nodes: readonly string[] }[];
  /**
   * Newly met members by id, whose subscriptions are not known yet, so `targets` may lack them. A member is removed
   * when they are known, when it is gone, or after a timeout; then `onSettled` is called. Always the same map.
   */
  readonly unsettled: ReadonlyMap<string, unknown>;
  /** A caller waits for members in `unsettled`. */
  askUnsettled(): void;
  /** Changes whenever results of `targets` may have changed. */
  readonly version: number;
  /** @returns why it was refused; `undefined` if it was accepted */
  onItem(from: string, item: Buffer): string | undefined;
  onPeer(id: string, state: PeerState): void;
  onMember(id: string, state: "alive" | "lost" | "gone"): void;
  stats(): MessageRoutesStats;
  close(): void;
}
