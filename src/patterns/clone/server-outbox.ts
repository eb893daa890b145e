/** What a server's rules bring about, and how they run. */

import type { StarRole } from "../binary-star/rules.js";
import type { LoadedMap } from "./follower.js";
import type { Operation } from "./operation.js";
import type { CloneServerEvent } from "./server-events.js";

/** What became of a message to one peer: it left, there is no room now, or the peer is not there. */
export type SendResult = "sent" | "full" | "gone";

export interface ServerOutbox {
  publish(frames: Buffer[]): void;
  /** To a client, by its routing id. */
  reply(routingId: Buffer, frames: Buffer[]): SendResult;
  /** Bytes of replies to a client that its system has not taken; 0 where the engine cannot know. */
  queued(routingId: Buffer): number;
  /** To the server that stands by. */
  replicate(routingId: Buffer, frames: Buffer[]): SendResult;
  /** To the server that serves. */
  follow(frames: Buffer[]): void;
  /** Has to end in `committed` or `commitFailed`, later. Only with a store; one at a time, `replace` included. */
  commit(operations: readonly Operation[]): void;
  /**
   * Has to end in `replaced` or `commitFailed`, later. The table does not change meanwhile.
   *
   * @param aside what was set after this sequence is kept aside first; `undefined`: nothing
   */
  replace(
    loaded: LoadedMap,
    expires: (id: number) => number,
    wanted: () => boolean,
    aside: number | undefined,
  ): void;
  /** Has to end in `marked` or `markFailed`, later, after each commit before it. Only with a store. */
  mark(standing: Buffer): void;
  /** The peer has to know at once how new this server's map is. */
  announce(): void;
  event(event: CloneServerEvent): void;
}

export interface ServerRulesOptions {
  /** ms between two HUGZ, and between two signs of life of the servers. */
  readonly heartbeatInterval: number;
  /** Intervals of silence after which the other server counts as gone. */
  readonly liveness: number;
  readonly hasStore: boolean;
  /** One of two servers. */
  readonly role?: StarRole;
  /** It may serve though it has not met the other server, and its store does not say that it served last. */
  readonly serveAlone: boolean;
  /** Updates that may be in hand. */
  readonly maxPending: number;
  /** Bytes of keys and values. */
  readonly maxBytes: number;
  /** Snapshots under way at once, and requests that may wait beside. */
  readonly maxSnapshots: number;
  readonly maxWaiting: number;
  /** 8 random bytes: the first half of the UUIDs of this server's own updates, and its sessions. */
  readonly token: Buffer;
}
