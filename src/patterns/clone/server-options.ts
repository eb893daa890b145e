/** The options, events and statistics of a server. */

import crypto from "node:crypto";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { encodeZ85 } from "../../core/z85.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  anything,
  bytes,
  checkOptions,
  choice,
  type Given,
  type GivenWith,
  integer,
  methods,
  object,
  type Settings,
} from "../../kit/options.js";
import type { Context } from "../../sockets/context.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import type { CommonOptions, ConstructionOptions } from "../../sockets/socket-options.js";
import type { CLONE_SERVER, CloneRefusalReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { BinaryStarEvent, BinaryStarRole } from "../binary-star/index.js";
import type { CloneFault } from "./protocol.js";
import type { CloneStore } from "./store.js";

/**
 * Messages of a snapshot in a client's queue: few, since a large value counts as one. A full queue is written at once,
 * so small values lose no speed.
 */
const SNAPSHOT_MARK = 256;

const PAIR_OPTIONS = {
  /** The primary serves when both start. */
  role: choice<BinaryStarRole>(["primary", "backup"]),
  /**
   * The other server's snapshot endpoint, or a source of it without this server's own. An empty list keeps the last
   * endpoint.
   */
  peer: anything<string | EndpointSource>(),
  /** Options of the sockets to the other server, over those of all sockets: `plainUsername`, `plainPassword`. */
  socketOptions: object<CommonOptions>(),
};

export type ClonePairOptions = GivenWith<typeof PAIR_OPTIONS, "role" | "peer">;

export const OPTIONS = {
  /** Makes it one of two servers. */
  pair: object<ClonePairOptions>(),
  /** Keeps the map on a disk; the server closes it. Default: none. */
  store: methods<CloneStore>("a CloneStore: an object", ["load", "commit", "replace", "mark", "close"]),
  /** ms between two HUGZ, and two states of a pair; the same on both servers. Default 1,000, as in 12/CHP. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Missing heartbeats after which the other server counts as gone, at least 2. Default 2. */
  liveness: integer({ default: 2, min: 2, max: 1_000 }),
  /** Updates in flight; more are refused. Default 100,000. */
  maxPending: integer({ default: 100_000 }),
  /** Bytes of all keys and values, with the updates in flight; more are refused. Default 4,294,967,296. */
  maxBytes: bytes({ default: 4_294_967_296, min: 1 }),
  /** Snapshots in flight; further clients wait. Default 16. */
  maxSnapshots: integer({ default: 16 }),
  /** Updates in a client's queue. A slow client misses further ones, and asks for a snapshot. Default 50,000. */
  publishHighWaterMark: integer({ default: 50_000 }),
  /**
   * Bytes of these updates. Default 16,777,216; no bound, and `NOT_SUPPORTED`, on an engine without
   * `sendHighWaterMarkBytes`.
   */
  publishHighWaterMarkBytes: integer({ max: Number.MAX_SAFE_INTEGER }),
  /** Options of all sockets: security as a server, and `authenticate`. */
  socketOptions: object<CloneSocketOptions>(["context"]),
  context: object<Context>(),
};

/** Options of `CloneServer`. Times are in ms. */
export type CloneServerOptions = Given<typeof OPTIONS>;

export type PairSettings = NonNullable<ReturnType<typeof serverSettings>["pair"]>;

export interface ServerRulesOptions
  extends Pick<
    Settings<typeof OPTIONS>,
    "heartbeatInterval" | "liveness" | "maxPending" | "maxBytes" | "maxSnapshots"
  > {
  readonly hasStore: boolean;
  /** Only in a pair. */
  readonly role?: BinaryStarRole | undefined;
  /** 8 random bytes: the first half of the UUIDs of the server's own updates, and the name of a map that begins here. */
  readonly token: Buffer;
  /** For jitter: from 0 up to 1. */
  readonly random: () => number;
}

/** @throws InvalidArgumentError `EINVAL` */
export function serverSettings(options: CloneServerOptions) {
  const settings = checkOptions("CloneServer", OPTIONS, options);
  const { heartbeatInterval, liveness, socketOptions } = settings;
  const context = settings.context === undefined ? {} : { context: settings.context };
  const pair =
    settings.pair && (checkOptions("CloneServer's pair", PAIR_OPTIONS, settings.pair) as ClonePairOptions);
  const sendHighWaterMarkBytes = settings.publishHighWaterMarkBytes;
  return {
    rules: {
      ...settings,
      hasStore: settings.store !== undefined,
      role: pair?.role,
      token: crypto.randomBytes(8),
      random: Math.random,
    },
    sockets: { linger: 0, ...socketOptions, ...context },
    snapshots: { mandatory: true, sendHighWaterMark: SNAPSHOT_MARK },
    publisher: {
      sendHighWaterMark: settings.publishHighWaterMark,
      ...(sendHighWaterMarkBytes === undefined ? {} : { sendHighWaterMarkBytes }),
    },
    pair: pair && {
      ...pair,
      interval: heartbeatInterval,
      liveness,
      sockets: pairSocketOptions({ ...socketOptions, ...context }, pair),
    },
  };
}

/** Why a snapshot ended early. */
export type CloneSnapshotLoss =
  | "gone"
  /** Too many bytes of entries that changed meanwhile. */
  | "overrun"
  | "too-many"
  | "not-serving";

export const EVENTS = {
  /** With a source as `peer`. */
  ...ENDPOINT_SOURCE_EVENTS,
  /** An invalid message was dropped. */
  "message:invalid": event<{
    readonly port: "snapshot" | "collector" | "replication";
    readonly reason: CloneFault;
  }>(),
  "update:refused": event<{ readonly reason: CloneRefusalReason; readonly count: number }>(),
  /** A client has its snapshot. `duration` in ms. */
  "snapshot:sent": event<{
    readonly subtree: Buffer;
    readonly entries: number;
    readonly sequence: number;
    readonly duration: number;
  }>(),
  /** The snapshot of a client was given up. */
  "snapshot:lost": event<{ readonly subtree: Buffer; readonly reason: CloneSnapshotLoss }>(),
  /** A write of the store failed; the updates of a commit are refused. */
  "store:failed": event<{ readonly error: ShoalError }>(),
  /** Unreadable entries of the store were left out. */
  "store:damaged": event<{ readonly entries: number }>(),
  /** The other server has the whole map, and gets every update before its acknowledgement. */
  "replica:joined": event<{ readonly sequence: number }>(),
  /** The other server is gone or too slow; this one acknowledges alone. */
  "replica:left": event<{ readonly reason: "gone" | "silent" | "slow" | "left" }>(),
  /** The other server's newer map replaces this one, and may lack updates that this server acknowledged alone. */
  "map:diverged": event(),
  /**
   * A client asked, but this server has not met the other one, nor has "alone" in its store. It waits for the other
   * one or for `star.resolve("active")`. Emitted once.
   */
  "peer:unmet": event(),
  /** The other server runs an incompatible version of shoal; neither follows. */
  "peer:incompatible": event(),
  /** A handshake with the other server failed; it is repeated. */
  "handshake:failed": event<{ readonly error: ShoalError }>(),
  /** The server that stands by has the whole map. */
  "map:replicated": event<{ readonly entries: number; readonly sequence: number }>(),
  /** Slow clients miss copies of updates, notice the gap, and ask for a snapshot. */
  "update:dropped": event<{ readonly copies: number }>(),
};

/** Events of a server. Those of BinaryStar come in a pair only. */
export type CloneServerEvent = EventsOf<typeof EVENTS> | BinaryStarEvent;

/** Counters since the start, and the present state. */
export type CloneServerStats = StatisticsOf<typeof CLONE_SERVER>;

/** Options of a server's sockets. `authenticate` decides about clients. */
export type CloneSocketOptions = CommonOptions & Pick<ConstructionOptions, "authenticate">;

/**
 * Security of a pair's ports P + 3 and P + 4, which bind as a security server and connect as a client.
 *
 *   NULL   anyone may connect
 *   PLAIN  `authenticate` decides; the user name is in the pair's `socketOptions`
 *   CURVE  only the servers' own key, which both have: a follower gets the whole map and holds up acknowledgements
 *
 * @param shared the server's options for all sockets
 * @throws InvalidArgumentError `EINVAL` for an invalid key
 */
function pairSocketOptions(
  shared: CloneSocketOptions,
  { socketOptions }: ClonePairOptions,
): { readonly binding: CloneSocketOptions; readonly connecting: CommonOptions } {
  const { authenticate, plainServer, curveServer, zapDomain, zapEnforceDomain, ...plain } = shared;
  if (curveServer !== true) return { binding: shared, connecting: { ...plain, ...socketOptions } };
  const { curveSecretKey: given } = plain;
  if (given === undefined || given === null)
    throw new InvalidArgumentError("A CURVE server needs the option curveSecretKey");
  const curveSecretKey = typeof given === "string" ? given : encodeZ85(given);
  const own = curvePublicKey(curveSecretKey);
  const keys = { curveServerKey: own, curvePublicKey: own, curveSecretKey };
  const ownHandler = authenticate === undefined && typeof zapDomain === "string" && zapDomain !== "";
  return {
    binding: ownHandler ? shared : { ...shared, authenticate: (peer) => peer.publicKey === own },
    connecting: { ...plain, ...keys, ...socketOptions },
  };
}
