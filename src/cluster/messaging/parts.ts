/**
 * What the parts of messaging are to each other: types only.
 *
 *   ClusterBus ── Messaging (messaging.ts) ──┬── MessageLinks: streams of items to members (links.ts)
 *                                            └── MessageRoutes: who is interested in a topic (route-driver.ts)
 */

import type { Alias } from "./addresses.js";
import type { Publication } from "./publication.js";
import type { TopicAliases } from "./topic-aliases.js";

/** What an item on a link is: one byte before it. */
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
 * `sent`: the link has it. `full`: the peer's mark is reached. `too-large`: the peer takes none of this size; it is counted as
 * dropped. `unreachable`: no such live member, or one that does not take messages.
 */
export type SendResult = "sent" | "full" | "too-large" | "unreachable";

/** `up`: a session began. `lost`: it cannot be reached, and may come back. `gone`: left, removed, or another life of it began. */
export type PeerState = "up" | "lost" | "gone";

/** A link, as statistics show it. Each item that was given to it is in one of `delivered`, `waiting`, `dropped` and `lost`. */
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
  /** Given up, and not acknowledged. An upper bound: what was sent and not acknowledged may have come. */
  readonly lost: number;
  readonly resent: number;
}

export interface MessageLinksStats {
  readonly peers: readonly MessageLinkStats[];
  /** Items that were dropped since a peer's mark was reached, by prefix. */
  readonly droppedByPrefix: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
}

/** What is known of who is interested in what, as statistics show it. */
export interface MessageRoutesStats {
  /** Of this node: filters, bytes of them, the number of their changes, and bytes of changes that are kept for others. */
  readonly own: {
    readonly filters: number;
    readonly bytes: number;
    readonly version: number;
    readonly logBytes: number;
  };
  /** Filters of other nodes, a filter of three nodes three times. */
  readonly routes: number;
  /** Bytes of these filters. */
  readonly bytes: number;
  /** Other nodes that take part, the lost ones whose interest is kept included. */
  readonly nodes: number;
  /** Nodes that are getting this one's as a snapshot. */
  readonly snapshots: number;
  /** Live members that have not acknowledged the last change. */
  readonly missing: number;
  /** Items that were given to links for all this, and their bytes. */
  readonly sentItems: number;
  readonly sentBytes: number;
  /** What came and was refused, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** What links bring. */
export interface MessageLinksEffects {
  /** In order for each peer. It is acknowledged after this returned, or after the promise settled; the peer's next item waits for that. */
  onItem(from: string, kind: number, item: Buffer): void | Promise<void>;
  /** The same of the kind PUBLISH, which has most items: without an object for each. Absent: `onItem` has these, too. */
  onPublish?(from: IncomingLink, bytes: Buffer, start: number, end: number): void | Promise<void>;
  onPeer(id: string, state: PeerState): void;
  /** A peer is gone, or has forgotten the session: so many items that it has not acknowledged are given up. It may have had some of them. */
  onLost?(id: string, count: number): void;
  /** An item was dropped that is larger than the peer takes. */
  onTooLarge?(id: string, kind: number, prefix: string): void;
}

/** The peer that sent an item, as its link knows it. */
export interface IncomingLink {
  readonly id: string;
  /** What the aliases of its session stand for. */
  readonly topics: TopicAliases;
  /** The alias of its own client, kept by who asks for it. */
  ownClient: Alias | undefined;
}

/** An ordered, acknowledged, bounded stream of items to each member, dialled on first use. */
export interface MessageLinks {
  /**
   * @param item complete. One below `ITEM_BY_REFERENCE` bytes is copied before this returns; a larger one is never changed afterwards
   * @param prefix counted under, such as a topic's first level
   * @param uncounted the caller waits for room and sends it again: a `full` is not counted as dropped
   * @param protocols by which alone it goes; `undefined`: all. The list is not changed afterwards
   */
  send(
    to: string,
    kind: number,
    item: Uint8Array,
    prefix: string,
    uncounted?: boolean,
    protocols?: readonly string[] | undefined,
  ): SendResult;
  /**
   * Encoded once.
   *
   * @param full where it is given, those whose mark is reached are pushed there, and are not counted as dropped
   * @returns how many took it
   */
  sendToMany(to: readonly string[], kind: number, item: Uint8Array, prefix: string, full?: string[]): number;
  /**
   * A publication, which may be used again when this returns.
   *
   * @param full those whose mark is reached are pushed there, and are not counted as dropped
   * @returns how many took it
   */
  publish(to: readonly string[], publication: Publication, full: string[]): number;
  /** The program that publishes has to let the event loop turn, and probably publishes more then: what was published may wait for it. */
  publishesMore(): void;
  /** Whether a member takes contexts of traces, and an item of so many bytes that has one. */
  takesContext(to: string, bytes: number): boolean;
  /** Counts an item that the caller drops since the peer's mark is reached. */
  drop(to: string, prefix: string): void;
  /** Whether the mark of a member leaves room for an item of so many bytes. */
  hasRoom(to: string, bytes: number): boolean;
  /** Resolves when there is room again. @throws UnroutableError `EHOSTUNREACH` when the peer is gone */
  room(to: string): Promise<void>;
  /** Calls back when a member's program has had the item that `send` just gave to its link, or with `false` when that is given up. */
  onDelivered(to: string, done: (isDelivered: boolean) => void): void;
  /** Something about a member changed, or it was started again. `lost` may come back; `gone` left, or was removed or forgotten. */
  onMember(id: string, state: "alive" | "restarted" | "lost" | "gone"): void;
  stats(): MessageLinksStats;
  /** Resolves when what waits was acknowledged, or after `linger` ms; -1: no limit. */
  close(linger: number): Promise<void>;
}

/** What routes report. */
export interface MessageRoutesEffects {
  /** A member is no longer in `unsettled`. */
  onSettled(id: string): void;
  /** `targets` may answer otherwise than before. */
  onChanged(): void;
}

/** Who is interested in what, as the facade asks for it. */
export interface MessageRoutes {
  /** This node's own interest in a filter begins. @returns settles when all live members know it */
  subscribe(filter: string): Promise<void>;
  /** It ends. @returns settles when all live members know it; it need not be awaited */
  unsubscribe(filter: string): Promise<void>;
  /** Pushes the ids of the live members with interest in a topic, without this node, each once. @returns how many */
  targets(topic: string, into: string[]): number;
  /** Filters with the ids of live nodes, in no order, so many at most. @param topic only those that match it */
  list(most: number, topic?: string): { readonly filter: string; readonly nodes: readonly string[] }[];
  /**
   * Members that were just met, by id, whose interest is not known yet: `targets` may lack them. One leaves when it is known or the member is
   * gone, and after some time; then `onSettled` has it. The same map for the life of the routes.
   */
  readonly unsettled: ReadonlyMap<string, unknown>;
  /** Somebody waits for those in `unsettled`. */
  askUnsettled(): void;
  /** Another number whenever `targets` may answer otherwise than before. */
  readonly version: number;
  /** @returns why it was refused; `undefined`: it was taken */
  onItem(from: string, item: Buffer): string | undefined;
  onPeer(id: string, state: PeerState): void;
  /** Something about a member changed. */
  onMember(id: string, state: "alive" | "lost" | "gone"): void;
  stats(): MessageRoutesStats;
  close(): void;
}
