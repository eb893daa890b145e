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
  checkOptions,
  choice,
  type Given,
  integer,
  type OptionSpec,
  object,
  type Settings,
} from "../kit/options.js";
import { endpointAt } from "./endpoints.js";
import type { CloneFault } from "./protocol.js";
import type { CloneStore } from "./store.js";

/** Requests for snapshots that wait, and those that wait for the outcome of their own vote. */
export const MAX_WAITING = 10_000;
/**
 * Messages that wait for one client of a snapshot: few, since a large value counts as one. A full queue is
 * written to the network at once, so the mark costs small values nothing.
 */
const SNAPSHOT_MARK = 256;
const SNAPSHOT_MARK_BYTES = 4_194_304;
const PUBLISH_MARK_BYTES = 16_777_216;
export const MAX_TTL = 1_000_000_000_000;

const PAIR_OPTIONS = {
  /** The primary serves when both start. */
  role: choice<BinaryStarRole>(["primary", "backup"]),
  /**
   * The other server's snapshot endpoint, or a source of that one endpoint, without this server's own. While the list of a
   * source is empty the last endpoint stays in use.
   */
  peer: anything<string | EndpointSource>(),
  /**
   * The other server's public CURVE key, Z85 or 32 bytes. The pair's own ports let in no other key. Default: that
   * of this server, where both have one certificate.
   */
  publicKey: anything<string | Uint8Array>(), // pairSocketOptions checks it.
  /**
   * Serves at a client's request although the other server was not met and the store does not show that this one served
   * last: the operator's decision for when the other one does not come back. Default false.
   */
  serveAlone: boolean(false),
  /** Options of the sockets that connect to the other server, over those of all sockets: `plainUsername`, `plainPassword`. */
  socketOptions: object<CommonOptions>(),
};

/** The other of two servers. */
export type ClonePairOptions = Given<typeof PAIR_OPTIONS> &
  Required<Pick<Given<typeof PAIR_OPTIONS>, "role" | "peer">>;

const OPTIONS = {
  /** Makes it one of two servers. */
  pair: object<ClonePairOptions>(),
  /** Keeps the map when all processes end; the server closes it. Default: none. */
  store: store(),
  /** ms between two HUGZ, and between two signs of life of a pair; the same on both. Default 1,000, as in 12/CHP. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Heartbeats of silence after which the other server counts as gone, at least 2. Default 2. */
  liveness: integer({ default: 2, min: 2, max: 1_000 }),
  /** Updates in flight; more are refused. Default 100,000. */
  maxPending: integer({ default: 100_000 }),
  /** Bytes of all keys and values; more are refused. Default 4,294,967,296. */
  maxBytes: bytes({ default: 4_294_967_296, min: 1 }),
  /** Snapshots in flight; more clients wait. Default 16. */
  maxSnapshots: integer({ default: 16 }),
  /** Updates that wait for one slow client; it misses more, and asks for a snapshot. Default 50,000. */
  publishHighWaterMark: integer({ default: 50_000 }),
  /**
   * Bytes of them; the client misses more, too. Default 16,777,216 where the engine has `sendHighWaterMarkBytes`;
   * elsewhere `NOT_SUPPORTED`, and the bytes have no bound.
   */
  publishHighWaterMarkBytes: integer({ max: Number.MAX_SAFE_INTEGER }),
  /** Options of all sockets: security as a server, and `authenticate`, which decides who may connect. */
  socketOptions: object<CloneSocketOptions>(),
  context: object<Context>(),
};

/** Options of `CloneServer`. Times are in ms. */
export type CloneServerOptions = Given<typeof OPTIONS>;

/** A store; it may be left out. */
function store(): OptionSpec<CloneStore | undefined> {
  const methods = ["load", "commit", "replace", "mark", "close"] as const;
  const isObject = object().accepts;
  return {
    default: undefined,
    expected: `a CloneStore: an object with ${methods.join(", ")}`,
    accepts: (value) =>
      isObject(value) && methods.every((name) => typeof (value as CloneStore)[name] === "function"),
  };
}

/** One of two servers. */
export interface PairSettings {
  readonly role: BinaryStarRole;
  readonly peer: string | EndpointSource;
  readonly interval: number;
  readonly liveness: number;
  readonly context: { readonly context?: Context };
  readonly sockets: PairSocketOptions;
}

/** Options of a server's rules. */
export interface ServerRulesOptions
  extends Pick<
    Settings<typeof OPTIONS>,
    "heartbeatInterval" | "liveness" | "maxPending" | "maxBytes" | "maxSnapshots"
  > {
  readonly hasStore: boolean;
  /** Of one of two servers. */
  readonly role?: BinaryStarRole;
  readonly serveAlone: boolean;
  /** Requests for snapshots that may wait. */
  readonly maxWaiting: number;
  /** 8 random bytes: the first half of the UUIDs of this server's own updates. */
  readonly token: Buffer;
  /** For jitter: from 0 up to 1. */
  readonly random: () => number;
}

/** Options as the server works with them. */
export interface ServerSettings {
  readonly rules: ServerRulesOptions;
  /** For all of the clients' sockets. */
  readonly sockets: CloneSocketOptions & { readonly context?: Context };
  /** For the ROUTER of snapshots and the PUB, over those for all. */
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
  const context = settings.context === undefined ? {} : { context: settings.context };
  const pair = settings.pair === undefined ? undefined : checkPair(settings.pair);
  const sendHighWaterMarkBytes = settings.publishHighWaterMarkBytes;
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
      ...(sendHighWaterMarkBytes === undefined
        ? supportedDefaults(settings.context, { sendHighWaterMarkBytes: PUBLISH_MARK_BYTES })
        : { sendHighWaterMarkBytes }),
    },
    pair: pair && {
      role: pair.role,
      peer: pair.peer,
      interval: heartbeatInterval,
      liveness,
      context,
      sockets: pairSocketOptions(socketOptions ?? {}, pair),
    },
  };
}

/** @throws InvalidArgumentError `EINVAL` */
function checkPair(given: ClonePairOptions): ClonePairOptions {
  const settings = checkOptions("CloneServer's pair", PAIR_OPTIONS, given);
  const { role, peer } = settings;
  if (role === undefined)
    throw new InvalidArgumentError(
      `Option role of CloneServer's pair is "primary" or "backup"; got undefined`,
    );
  if (!isEndpointSource(peer)) endpointAt(peer as string, 0);
  return settings as ClonePairOptions;
}

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

/** The options of a pair's sockets, by what they do. */
export interface PairSocketOptions {
  readonly binding: CloneSocketOptions;
  readonly connecting: CommonOptions;
}

const KEY_BYTES = 32;

/** @param shared the server's options for all sockets. @throws InvalidArgumentError `EINVAL` for an invalid key */
export function pairSocketOptions(
  shared: CloneSocketOptions,
  { publicKey, socketOptions }: Pick<ClonePairOptions, "publicKey" | "socketOptions">,
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
