/** The options of a last value cache, checked and with their defaults; its events and statistics. */
import { InvalidArgumentError } from "../../core/errors.js";
import type { XPublisherOptions, XSubscriberOptions } from "../../sockets/pub-sub.js";
import { anything, bytes, checkOptions, choice, integer, object, text } from "../kit/options.js";
import { type PublisherGate, publisherGate } from "../kit/server-gate.js";
import { storeFolder } from "../kit/store/lmdb.js";
import type { DamagedFile } from "../kit/store/lmdb-check.js";
import type { LastValueCacheSnapshotStats } from "./snapshots.js";
import type { CacheBounds, LastValueCacheUncachedReason, LastValueCacheValueStats } from "./value-cache.js";

/** Bytes of the longest topic that is kept. */
const MAX_TOPIC_BYTES = 1_024;
/** Live messages that a subscriber's queue holds in addition to a snapshot of everything. */
const LIVE_ROOM = 1_000;

const OPTIONS = {
  topics: anything<readonly string[]>(),
  maxTopics: integer({ default: 100_000 }),
  maxBytes: bytes({ default: 268_435_456, min: 1 }),
  maxValueBytes: bytes({ default: 1_048_576, min: 1 }),
  maxSnapshots: integer({ default: 1_000 }),
  store: text(),
  storeInterval: integer({ default: 100 }),
  damagedFile: choice(["refuse", "set-aside"], "refuse"),
  gate: publisherGate(),
  frontendOptions: object<XSubscriberOptions>(),
  backendOptions: object<XPublisherOptions>(),
};

/** The cache decides these. */
const FIXED = ["manual", "noDrop", "verbosity", "invertMatching", "welcomeMessage"] as const;

/** What happens in a cache. */
export type LastValueCacheEvent =
  /** A newcomer's values were sent. */
  | { readonly type: "snapshot:sent"; readonly prefix: Buffer; readonly topics: number }
  /** The bounds were reached, and this topic had been updated the longest ago. */
  | { readonly type: "topic:evicted"; readonly topic: Buffer }
  /** A message passed, and is not kept. */
  | {
      readonly type: "message:uncached";
      readonly topic: Buffer;
      readonly reason: LastValueCacheUncachedReason;
      readonly bytes: number;
    }
  /** A subscriber sent what is not a subscription. It was dropped. */
  | { readonly type: "message:invalid"; readonly frames: number }
  /** A commit failed; the same is tried again. */
  | { readonly type: "store:failed"; readonly error: unknown }
  /** A message could not be passed on, for an unforeseen reason; it was dropped. */
  | { readonly type: "message:failed"; readonly error: unknown }
  /** Records of the store that could not be read were removed. */
  | { readonly type: "store:damaged"; readonly records: number }
  /** The store's file was damaged, and renamed to `file`; the cache began with no values (`damagedFile`). */
  | { readonly type: "store:set-aside"; readonly file: string; readonly reason: string };

/** Options of {@link LastValueCache}. */
export interface LastValueCacheOptions {
  /** Prefixes of the topics to subscribe to at the publishers. Default: everything. */
  readonly topics?: readonly string[];
  /** Topics kept. Default 100,000. */
  readonly maxTopics?: number;
  /** Bytes of topics and values kept, together; each frame of a value past its first counts 8 more. Default 268,435,456. */
  readonly maxBytes?: number;
  /** Bytes of one value, counted as for `maxBytes`; a larger message passes and is not kept. Default 1,048,576. */
  readonly maxValueBytes?: number;
  /**
   * Subscriptions that may wait for their values, those of newcomers without room not counted; past it no further ones are
   * read. Default 1,000.
   */
  readonly maxSnapshots?: number;
  /** A folder for LMDB, in which the values survive a restart. Default: none. */
  readonly store?: string;
  /** ms between two commits to the store. Default 100. */
  readonly storeInterval?: number;
  /**
   * What to do with a store whose file is damaged: fail with StoreError `damaged`, or rename the file and begin with none.
   * Default `refuse`.
   */
  readonly damagedFile?: "refuse" | "set-aside";
  /**
   * Makes the cache one of a pair: a `BinaryStarGate`. It keeps what publishers send, but passes messages and values on only
   * while it serves. When it begins to, every subscriber gets the values of all that it subscribed to. Default: it always
   * serves.
   */
  readonly gate?: PublisherGate | undefined;
  /** Of the socket that publishers talk to, such as security. */
  readonly frontendOptions?: XSubscriberOptions;
  /**
   * Of the socket that subscribers talk to. Its `sendHighWaterMark` is `maxTopics` + 1,000 by default; where the engine
   * sends a newcomer's values to it alone, they take half of that at most.
   */
  readonly backendOptions?: XPublisherOptions;
}

/** A cache's statistics since it was made. */
export interface LastValueCacheStats extends LastValueCacheValueStats {
  /** Messages from publishers; all but `notServing` were passed on. */
  readonly messages: number;
  /** Messages that were kept and not passed on, since the cache, one of a pair, did not serve. */
  readonly notServing: number;
  readonly subscriptions: number;
  readonly snapshots: LastValueCacheSnapshotStats;
  readonly invalid: number;
  /** Of the store; `undefined` without one. */
  readonly store:
    | {
        readonly restored: number;
        readonly damaged: number;
        /** Changes that a kill would lose now. */
        readonly pending: number;
        readonly commits: number;
        readonly failures: number;
        readonly written: number;
      }
    | undefined;
}

/** Options as the cache works with them. */
export interface LastValueCacheSettings {
  readonly topics: readonly string[];
  readonly bounds: CacheBounds;
  readonly maxSnapshots: number;
  readonly store: string | undefined;
  readonly storeInterval: number;
  readonly damagedFile: DamagedFile;
  readonly gate: PublisherGate | undefined;
  readonly frontend: XSubscriberOptions;
  readonly backend: XPublisherOptions;
}

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function cacheSettings(options: LastValueCacheOptions): LastValueCacheSettings {
  const settings = checkOptions("LastValueCache", OPTIONS, options);
  const { topics = [""], store, frontendOptions, backendOptions, maxTopics, storeInterval } = settings;
  const { maxBytes, maxValueBytes, maxSnapshots, damagedFile, gate } = settings;
  if (!Array.isArray(topics) || topics.some((topic) => typeof topic !== "string"))
    throw new InvalidArgumentError("Option topics is an array of prefixes, each a text");
  for (const name of FIXED) {
    if (backendOptions !== undefined && name in backendOptions)
      throw new InvalidArgumentError(`Option ${name} of the backend is the cache's own`);
  }
  return {
    topics,
    bounds: { maxTopics, maxBytes, maxTopicBytes: MAX_TOPIC_BYTES, maxValueBytes },
    maxSnapshots,
    store: store === undefined ? undefined : storeFolder(store),
    storeInterval,
    damagedFile,
    gate,
    frontend: { linger: 0, ...frontendOptions },
    backend: { sendHighWaterMark: maxTopics + LIVE_ROOM, ...backendOptions, verbosity: "allSubs" },
  };
}
