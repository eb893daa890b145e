/** What a clone's server is given, checked and with its defaults. */
import { randomBytes } from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import type { Context } from "../../sockets/context.js";
import type { PublisherOptions } from "../../sockets/pub-sub.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
import type { StarRole } from "../binary-star/rules.js";
import { supportedDefaults } from "../kit/engine-defaults.js";
import { checkCount, checkKeys } from "../kit/options.js";
import { endpointAt } from "./endpoints.js";
import { type CloneSocketOptions, type PairSocketOptions, pairSocketOptions } from "./pair-security.js";
import type { ServerRulesOptions } from "./server-outbox.js";
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
/** ms that a client may be silent while its system acknowledges: what waits for it is held no longer. */
const STALL_TIMEOUT = 60_000;
const MAX_TTL = 1_000_000_000_000;

/** The other of two servers. */
export interface ClonePairOptions {
  /** The primary serves when both start. */
  readonly role: StarRole;
  /** The other server's endpoint, that of its snapshots. */
  readonly peer: string;
  /**
   * With CURVE: the other server's public key, Z85 or 32 bytes. The pair's own ports let in nobody else. Default: that
   * of this server, when both have one certificate.
   */
  readonly publicKey?: string | Uint8Array;
  /**
   * The operator's word at the start: serve for a client's request though the other server is silent, was not met, and
   * the store does not say that this one served last. For when the other one does not come back. Default false.
   */
  readonly serveAlone?: boolean;
  /** For what connects to the other server, over those for all sockets: `plainUsername` and `plainPassword`. */
  readonly socketOptions?: CommonOptions;
}

/** How a clone's server runs. Times are in ms. */
export interface CloneServerOptions {
  /**
   * `tcp://HOST:PORT`: P, and P + 1 and P + 2, are bound; two more for a pair. `tcp://HOST:*` finds free ports in a
   * row. Over ipc: NAME, NAME-1, …
   */
  readonly endpoint: string;
  /** For one of two servers. */
  readonly pair?: ClonePairOptions;
  /** Where the map outlives all processes. The server closes it. Default: nowhere. */
  readonly store?: CloneStore;
  /** Between two HUGZ, and two signs of life of a pair; the same on both. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Heartbeats of silence after which the other server counts as gone; 2 or more. Default 2. */
  readonly liveness?: number;
  /** Updates in hand at most; one more is refused. Default 100,000. */
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
  /** For all sockets: security as a server above all, and `authenticate`, which judges clients. */
  readonly socketOptions?: CloneSocketOptions;
  readonly context?: Context;
}

const KEYS = [
  "endpoint",
  "pair",
  "store",
  "heartbeatInterval",
  "liveness",
  "maxPending",
  "maxBytes",
  "maxSnapshots",
  "publishHighWaterMark",
  "publishHighWaterMarkBytes",
  "socketOptions",
  "context",
] as const;

const PAIR_KEYS = ["role", "peer", "publicKey", "serveAlone", "socketOptions"] as const;

/** One of two servers. */
export interface PairSettings {
  readonly role: StarRole;
  readonly peer: string;
  readonly interval: number;
  readonly liveness: number;
  readonly context: { readonly context?: Context };
  readonly sockets: PairSocketOptions;
}

/** Options as the server works with them. */
export interface ServerSettings {
  readonly endpoint: string;
  readonly rules: ServerRulesOptions;
  /** For all of the clients' sockets. */
  readonly sockets: CloneSocketOptions & { readonly context?: Context };
  /** Of the snapshots' ROUTER and of the PUB, over those for all. */
  readonly snapshots: RouterOptions;
  readonly publisher: PublisherOptions;
  readonly pair: PairSettings | undefined;
}

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function serverSettings(options: CloneServerOptions): ServerSettings {
  checkKeys("CloneServer", options, KEYS);
  const { endpoint, pair, socketOptions } = options;
  if (!/:\*$/.test(endpoint ?? "")) endpointAt(endpoint, 0);
  const heartbeatInterval = checkCount(
    "heartbeatInterval",
    options.heartbeatInterval ?? HEARTBEAT_INTERVAL,
    1,
  );
  const liveness = checkCount("liveness", options.liveness ?? LIVENESS, 2, 1_000);
  const context = options.context === undefined ? {} : { context: options.context };
  const stall = supportedDefaults(options.context, { heartbeatStallTimeout: STALL_TIMEOUT });
  return {
    endpoint,
    rules: {
      heartbeatInterval,
      liveness,
      hasStore: options.store !== undefined,
      ...(pair === undefined ? {} : { role: pair.role }),
      serveAlone: pair?.serveAlone ?? false,
      maxPending: checkCount("maxPending", options.maxPending ?? MAX_PENDING, 1),
      maxBytes: checkCount("maxBytes", options.maxBytes ?? MAX_BYTES, 1, Number.MAX_SAFE_INTEGER),
      maxSnapshots: checkCount("maxSnapshots", options.maxSnapshots ?? MAX_SNAPSHOTS, 1),
      maxWaiting: MAX_WAITING,
      token: randomBytes(8),
    },
    sockets: { linger: 0, ...stall, ...socketOptions, ...context },
    snapshots: {
      mandatory: true,
      sendHighWaterMark: SNAPSHOT_MARK,
      ...supportedDefaults(options.context, { sendHighWaterMarkBytes: SNAPSHOT_MARK_BYTES }),
    },
    publisher: {
      sendHighWaterMark: checkCount("publishHighWaterMark", options.publishHighWaterMark ?? PUBLISH_MARK, 1),
      ...publishMarkBytes(options),
    },
    pair:
      pair === undefined
        ? undefined
        : {
            ...checkedPair(pair),
            interval: heartbeatInterval,
            liveness,
            context,
            sockets: pairSocketOptions(socketOptions ?? {}, pair),
          },
  };
}

function publishMarkBytes({
  publishHighWaterMarkBytes: bytes,
  context,
}: CloneServerOptions): PublisherOptions {
  if (bytes === undefined) return supportedDefaults(context, { sendHighWaterMarkBytes: PUBLISH_MARK_BYTES });
  return {
    sendHighWaterMarkBytes: checkCount("publishHighWaterMarkBytes", bytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

/** The ms of a `set`. @throws InvalidArgumentError `EINVAL` */
export function timeToLive(ttl: number | undefined): number {
  return checkCount("ttl", ttl ?? 0, 0, MAX_TTL);
}

function checkedPair(pair: ClonePairOptions): { readonly role: StarRole; readonly peer: string } {
  checkKeys("CloneServer's pair", pair, PAIR_KEYS);
  const { role, peer } = pair;
  if (role !== "primary" && role !== "backup")
    throw new InvalidArgumentError(`A pair's role is "primary" or "backup"; got ${String(role)}`);
  endpointAt(peer, 0);
  if (pair.serveAlone !== undefined && typeof pair.serveAlone !== "boolean")
    throw new InvalidArgumentError(`A pair's serveAlone is a boolean; got ${String(pair.serveAlone)}`);
  return { role, peer };
}
