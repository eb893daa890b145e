/** What a clone's server is given, checked and with its defaults. */

import crypto from "node:crypto";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";
import type { Context } from "../../sockets/context.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import type { PublisherOptions } from "../../sockets/pub-sub.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import type { CommonOptions, ConstructionOptions } from "../../sockets/socket-options.js";
import type { BinaryStarEvent, BinaryStarRole } from "../binary-star/index.js";
import type { EndpointSourceEvent } from "../kit/endpoint-list.js";
import { supportedDefaults } from "../kit/engine-defaults.js";
import {
  anything,
  boolean,
  bytes,
  checkCount,
  checkOptions,
  choice,
  integer,
  type OptionSpec,
  object,
  orDefault,
} from "../kit/options.js";
import { endpointAt } from "./endpoints.js";
import type { CloneFault } from "./protocol.js";
import type { CloneStore } from "./store.js";

/** ms between two HUGZ, as 12/CHP has it. */
const HEARTBEAT_INTERVAL = 1_000;
const LIVENESS = 2;
const MAX_PENDING = 100_000;
const MAX_BYTES = 4_294_967_296;
const MAX_SNAPSHOTS = 16;
/** Requests for snapshots that wait, and those that wait for the outcome of their own vote. */
export const MAX_WAITING = 10_000;
/**
 * Messages that wait for one client of a snapshot: small, since a large value counts as one. A full queue is
 * written to the network at once, so the mark costs small values nothing.
 */
const SNAPSHOT_MARK = 256;
/** Updates that wait for one slow client; past it, it misses some. */
const PUBLISH_MARK = 50_000;
/** Bytes of them. */
const PUBLISH_MARK_BYTES = 16_777_216;
/** Bytes that wait for one client of a snapshot. */
const SNAPSHOT_MARK_BYTES = 4_194_304;
const MAX_TTL = 1_000_000_000_000;

/** The other of two servers. */
export interface ClonePairOptions {
  /** The primary serves when both start. */
  readonly role: BinaryStarRole;
  /**
   * The other server's endpoint, that of its snapshots. Or a source of that one endpoint, which must not have this server's own: it stays
   * in use until the source has another one in its place, however long its list is empty.
   */
  readonly peer: string | EndpointSource;
  /**
   * With CURVE: the other server's public key, Z85 or 32 bytes. The pair's own ports let in nobody else. Default: that
   * of this server, when both have one certificate.
   */
  readonly publicKey?: string | Uint8Array;
  /**
   * The operator's word at the start: serve for a client's request though the other server is silent, was not met, and
   * the store does not show that this one served last. For when the other one does not come back. Default false.
   */
  readonly serveAlone?: boolean;
  /** For what connects to the other server, over those for all sockets: `plainUsername` and `plainPassword`. */
  readonly socketOptions?: CommonOptions;
}

/** How a clone's server runs. Times are in ms. */
export interface CloneServerOptions {
  /** For one of two servers. */
  readonly pair?: ClonePairOptions;
  /** Where the map outlives all processes. The server closes it. Default: nowhere. */
  readonly store?: CloneStore;
  /** Between two HUGZ, and two signs of life of a pair; the same on both. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Heartbeats of silence after which the other server counts as gone; 2 or more. Default 2. */
  readonly liveness?: number;
  /** Updates in flight at most; one more is refused. Default 100,000. */
  readonly maxPending?: number;
  /** Bytes of keys and values at most; past it nothing is set. Default 4,294,967,296. */
  readonly maxBytes?: number;
  /** Snapshots under way at once; others wait for their turn. Default 16. */
  readonly maxSnapshots?: number;
  /** Updates that wait for a client that is slow; past it, it misses some, and asks for a snapshot. Default 50,000. */
  readonly publishHighWaterMark?: number;
  /**
   * Bytes of them; past it the client misses some, too. Default 16,777,216 where the engine has `sendHighWaterMarkBytes`;
   * elsewhere `NOT_SUPPORTED`, and the bytes have no bound.
   */
  readonly publishHighWaterMarkBytes?: number;
  /** For all sockets: security as a server above all, and `authenticate`, which decides who may connect. */
  readonly socketOptions?: CloneSocketOptions;
  readonly context?: Context;
}

const STORE_METHODS = ["load", "commit", "replace", "mark", "close"] as const;

/** A store; it may be left out. */
function store(): OptionSpec<CloneStore | undefined> {
  const isObject = object().accepts;
  return {
    default: undefined,
    expected: `a CloneStore: an object with ${STORE_METHODS.join(", ")}`,
    accepts: (value) =>
      isObject(value) &&
      STORE_METHODS.every((name) => typeof (value as Record<string, unknown>)[name] === "function"),
  };
}

const OPTIONS = {
  pair: object<ClonePairOptions>(),
  store: store(),
  heartbeatInterval: integer({ default: HEARTBEAT_INTERVAL }),
  liveness: integer({ default: LIVENESS, min: 2, max: 1_000 }),
  maxPending: integer({ default: MAX_PENDING }),
  maxBytes: bytes({ default: MAX_BYTES, min: 1 }),
  maxSnapshots: integer({ default: MAX_SNAPSHOTS }),
  publishHighWaterMark: integer({ default: PUBLISH_MARK }),
  publishHighWaterMarkBytes: integer({ max: Number.MAX_SAFE_INTEGER }),
  socketOptions: object<CloneSocketOptions>(),
  context: object<Context>(),
};

const PAIR_OPTIONS = {
  role: choice<BinaryStarRole>(["primary", "backup"]),
  peer: anything<string | EndpointSource>(), // checkPeer checks it.
  publicKey: anything<string | Uint8Array>(), // pairSocketOptions checks it.
  serveAlone: boolean(false),
  socketOptions: object<CommonOptions>(),
};

/** One of two servers. */
export interface PairSettings {
  readonly role: BinaryStarRole;
  readonly peer: string | EndpointSource;
  readonly interval: number;
  readonly liveness: number;
  readonly context: { readonly context?: Context };
  readonly sockets: PairSocketOptions;
}

/** How the rules of a server run. */
export interface ServerRulesOptions {
  /** ms between two HUGZ, and between two signs of life of the servers. */
  readonly heartbeatInterval: number;
  /** Intervals of silence after which the other server counts as gone. */
  readonly liveness: number;
  readonly hasStore: boolean;
  /** One of two servers. */
  readonly role?: BinaryStarRole;
  /** It may serve though it has not met the other server, and its store does not show that it served last. */
  readonly serveAlone: boolean;
  /** Updates that may be in flight. */
  readonly maxPending: number;
  /** Bytes of keys and values. */
  readonly maxBytes: number;
  /** Snapshots under way at once, and requests that may wait as well. */
  readonly maxSnapshots: number;
  readonly maxWaiting: number;
  /** 8 random bytes: the first half of the UUIDs of this server's own updates, and its sessions. */
  readonly token: Buffer;
  /** For jitter: from 0 up to 1. */
  readonly random: () => number;
}

/** Options as the server works with them. */
export interface ServerSettings {
  readonly rules: ServerRulesOptions;
  /** For all of the clients' sockets. */
  readonly sockets: CloneSocketOptions & { readonly context?: Context };
  /** Of the snapshots' ROUTER and of the PUB, over those for all. */
  readonly snapshots: RouterOptions;
  readonly publisher: PublisherOptions;
  readonly pair: PairSettings | undefined;
}

/** @throws InvalidArgumentError `EINVAL` unless a clone can be bound there */
export function checkBind(endpoint: string): void {
  if (typeof endpoint !== "string" || !endpoint.endsWith(":*")) endpointAt(endpoint, 0);
}

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function serverSettings(options: CloneServerOptions): ServerSettings {
  const settings = checkOptions("CloneServer", OPTIONS, options);
  const { heartbeatInterval, liveness, maxPending, maxBytes, maxSnapshots, socketOptions } = settings;
  const pair = settings.pair === undefined ? undefined : pairSettings(settings.pair);
  const context = settings.context === undefined ? {} : { context: settings.context };
  const markBytes = settings.publishHighWaterMarkBytes;
  return {
    rules: {
      heartbeatInterval,
      liveness,
      hasStore: settings.store !== undefined,
      ...(pair === undefined ? {} : { role: pair.role }),
      serveAlone: pair?.serveAlone ?? false,
      maxPending,
      maxBytes,
      maxSnapshots,
      maxWaiting: MAX_WAITING,
      token: crypto.randomBytes(8),
      random: Math.random,
    },
    sockets: { linger: 0, ...socketOptions, ...context },
    snapshots: {
      mandatory: true,
      sendHighWaterMark: SNAPSHOT_MARK,
      ...supportedDefaults(settings.context, { sendHighWaterMarkBytes: SNAPSHOT_MARK_BYTES }),
    },
    publisher: {
      sendHighWaterMark: settings.publishHighWaterMark,
      ...(markBytes === undefined
        ? supportedDefaults(settings.context, { sendHighWaterMarkBytes: PUBLISH_MARK_BYTES })
        : { sendHighWaterMarkBytes: markBytes }),
    },
    pair:
      pair === undefined
        ? undefined
        : {
            role: pair.role,
            peer: pair.peer,
            interval: heartbeatInterval,
            liveness,
            context,
            sockets: pairSocketOptions(socketOptions ?? {}, pair),
          },
  };
}

function pairSettings(given: ClonePairOptions): ClonePairOptions & { readonly serveAlone: boolean } {
  const { role, peer, publicKey, serveAlone, socketOptions } = checkOptions(
    "CloneServer's pair",
    PAIR_OPTIONS,
    given,
  );
  if (role === undefined)
    throw new InvalidArgumentError(
      `Option role of CloneServer's pair is "primary" or "backup"; got undefined`,
    );
  const place = checkPeer(peer);
  return {
    role,
    peer: place,
    serveAlone,
    ...(publicKey === undefined ? {} : { publicKey }),
    ...(socketOptions === undefined ? {} : { socketOptions }),
  };
}

/** @throws InvalidArgumentError `EINVAL` for what is neither an endpoint of a clone nor a source */
function checkPeer(peer: unknown): string | EndpointSource {
  if (isEndpointSource(peer)) return peer;
  endpointAt(peer as string, 0);
  return peer as string;
}

/** The ms of a `set`. @throws InvalidArgumentError `EINVAL` */
export function timeToLive(ttl: number | undefined): number {
  return checkCount("ttl", orDefault(ttl, 0), 0, MAX_TTL);
}

/** What a clone's server reports: its events and its statistics. */

/** Why an update of a client was not taken. Its client sends it again, and gives up by its time-out. */
export type CloneRefusalReason =
  /** More updates wait for the store, or for the other server, than may. */
  | "overloaded"
  /** The map has as many bytes as it may. */
  | "full"
  /** The store refused or failed. */
  | "store"
  /** It has no UUID, and this server stands by: whether the other had it cannot be known. */
  | "no-uuid"
  /** The other server did not apply it in all the time: it refused it. */
  | "stale";

/** Why a snapshot ended early. */
export type CloneSnapshotLoss =
  /** The client is gone. */
  | "gone"
  /** So much changed under it that it would take too much memory. */
  | "overrun"
  /** Too many wait already. */
  | "too-many"
  /** This server does not serve any more. */
  | "not-serving";

/** What happens to a clone's server; with a pair, what happens to its Binary Star, too. */
export type CloneServerEvent =
  | BinaryStarEvent
  /** Of a pair whose `peer` is a source. */
  | EndpointSourceEvent
  /** A message that 12/CHP does not allow; it was dropped. */
  | {
      readonly type: "message:invalid";
      readonly port: "snapshot" | "collector" | "replication";
      readonly reason: CloneFault;
    }
  /** Updates that were not taken. */
  | { readonly type: "update:refused"; readonly reason: CloneRefusalReason; readonly count: number }
  /** A client has its snapshot. `duration` in ms. */
  | {
      readonly type: "snapshot:sent";
      readonly subtree: Buffer;
      readonly entries: number;
      readonly sequence: number;
      readonly duration: number;
    }
  /** A client will not have its snapshot. */
  | { readonly type: "snapshot:lost"; readonly subtree: Buffer; readonly reason: CloneSnapshotLoss }
  /** The store refused or failed: what was in the commit was not taken. */
  | { readonly type: "store:failed"; readonly error: ShoalError }
  /** Entries of the store that cannot be read were left out. */
  | { readonly type: "store:damaged"; readonly entries: number }
  /** The other server has the whole map: from now on nothing is acknowledged that it has not. */
  | { readonly type: "replica:joined"; readonly sequence: number }
  /** The other server is gone or too slow: this one acknowledges alone. */
  | { readonly type: "replica:left"; readonly reason: "gone" | "silent" | "slow" | "left" }
  /**
   * The map is the other server's from now on, and has not what this one acknowledged alone: they served apart, cut from
   * each other or by the operator's word. `updates`: how many of them, at most. `entries`: the keys that they set, which
   * the store keeps at `aside`; `undefined`: it is kept nowhere, and lost.
   */
  | {
      readonly type: "map:diverged";
      /** The sequence up to which the two maps were one. */
      readonly after: number;
      readonly updates: number;
      readonly entries: number;
      readonly aside: string | undefined;
    }
  /**
   * A client asks, and this server does not serve: it has not met the other one, and its store does not show that it
   * served last. It waits for the other server, or the operator's `star.resolve("active")`. Emitted once.
   */
  | { readonly type: "peer:unmet" }
  /** The other server is of a version of shoal that this one does not understand; neither follows. */
  | { readonly type: "peer:incompatible" }
  /** The other server does not let this one in, or is not the one whose key was given. It is tried again. */
  | { readonly type: "handshake:failed"; readonly error: ShoalError }
  /** This server, which stands by, has the whole map of the one that serves. */
  | { readonly type: "map:replicated"; readonly entries: number; readonly sequence: number }
  /** Copies of updates that slow clients miss; each sees the gap, and asks for a snapshot. */
  | { readonly type: "update:dropped"; readonly copies: number };

/** Counts since the server was made, and what it holds now. */
export interface CloneServerStats {
  /** Keys, and the bytes of keys and values. */
  readonly entries: number;
  readonly bytes: number;
  /** Bytes that the map takes in memory, about. */
  readonly memory: number;
  readonly sequence: number;
  /** Of a pair: rises each time one of the servers begins to serve. 0: none yet, or no pair. */
  readonly term: number;
  readonly serving: boolean;
  /** Keys that end by themselves. */
  readonly ephemeral: number;
  /** Updates that came from clients. */
  readonly received: number;
  /** Put in order, applied and published. */
  readonly applied: number;
  /** That had been applied before; they were acknowledged again. */
  readonly repeated: number;
  /** Refused by their condition: the key had another revision. */
  readonly conflicts: number;
  readonly refused: Readonly<Record<CloneRefusalReason, number>>;
  readonly faults: Readonly<Record<CloneFault, number>>;
  /** Kept while standing by, until the server that serves has them applied. */
  readonly pending: number;
  /** That were kept, or came, while standing by, and came from the server that serves, too. */
  readonly paired: number;
  /** On their way to the store or to the other server. */
  readonly inFlight: number;
  readonly published: number;
  readonly expired: number;
  readonly snapshots: {
    readonly active: number;
    readonly waiting: number;
    readonly done: number;
    readonly lost: number;
  };
  readonly commits: number;
  /** Whether the other server has all that is acknowledged. */
  readonly replicated: boolean;
}

/**
 * How the two servers of a pair know each other. What binds (P + 3, P + 4) is a
 * security server, what connects to the other one's is its client:
 *
 *   NULL   nobody knows anybody
 *   PLAIN  the pair's ports ask the hook that clients are asked by; the user name is in the pair's `socketOptions`
 *   CURVE  each has its key pair and the other's public key, or both have the same pair. Any client may come to the
 *          clients' ports: the pair's let in the other server's key alone, since who comes there has the whole map,
 *          and holds up what it does not acknowledge.
 */

/** Options of a clone's sockets; `authenticate` decides who may connect. */
export type CloneSocketOptions = CommonOptions & Pick<ConstructionOptions, "authenticate">;

/** What of a pair's options is about security. */
export interface PairCredentials {
  readonly publicKey?: string | Uint8Array;
  readonly socketOptions?: CommonOptions;
}

/** The options of a pair's sockets, by what they do. */
export interface PairSocketOptions {
  readonly binding: CloneSocketOptions;
  readonly connecting: CommonOptions;
}

const KEY_BYTES = 32;

/** @param shared the server's options for all sockets. @throws InvalidArgumentError `EINVAL` for an invalid key */
export function pairSocketOptions(
  shared: CloneSocketOptions,
  { publicKey, socketOptions }: PairCredentials,
): PairSocketOptions {
  const { authenticate, plainServer, curveServer, zapDomain, zapEnforceDomain, ...plain } = shared;
  if (curveServer !== true) {
    if (publicKey !== undefined)
      throw new InvalidArgumentError("A pair's publicKey is for CURVE: socketOptions has no curveServer");
    return { binding: shared, connecting: { ...plain, ...socketOptions } };
  }
  if (plain.curveSecretKey === undefined || plain.curveSecretKey === null)
    throw new InvalidArgumentError("A CURVE server needs the option curveSecretKey");
  const secret = keyOf("curveSecretKey", plain.curveSecretKey);
  const own = curvePublicKey(secret);
  const other = publicKey === undefined ? own : keyOf("publicKey of a pair", publicKey);
  const keys = { curveServerKey: other, curvePublicKey: own, curveSecretKey: secret };
  // A ZAP handler of the program's own is asked about everybody who comes to any port.
  const ownHandler = authenticate === undefined && typeof zapDomain === "string" && zapDomain !== "";
  return {
    binding: ownHandler ? shared : { ...shared, authenticate: (peer) => peer.publicKey === other },
    connecting: { ...plain, ...keys, ...socketOptions },
  };
}

/** A key as Z85. */
function keyOf(name: string, key: string | Uint8Array): string {
  const bytes = typeof key === "string" ? decodeZ85(key) : key;
  if (bytes.length !== KEY_BYTES)
    throw new InvalidArgumentError(`Option ${name} is a key: 40 characters of Z85, or ${KEY_BYTES} bytes`);
  return encodeZ85(bytes);
}
