/** Options, events and statistics of a last value cache. */

import { invalidArgument } from "../../core/arguments.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { INT32 } from "../../core/option-spec.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  anything,
  bytes,
  checkOptions,
  type Given,
  integer,
  object,
  publisherGate,
  text,
} from "../../kit/options.js";
import type { XPublisherOptions, XSubscriberOptions } from "../../sockets/pub-sub.js";
import type { LAST_VALUE_CACHE, LastValueCacheUncachedReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

/** Bytes of the longest topic kept. */
const MAX_TOPIC_BYTES = 1_024;
/** Room for live messages next to a full snapshot. */
const LIVE_ROOM = 1_000;
const OWN = ["manual", "noDrop", "verbosity", "invertMatching", "welcomeMessage"];

export const OPTIONS = {
  /** Topic prefixes to subscribe to at publishers. Default: everything. */
  topics: anything<readonly string[]>(),
  /** Topics kept. Default 100,000. */
  maxTopics: integer({ default: 100_000 }),
  /** Bytes of topics and values; each frame after a value's first adds 64. Default 268,435,456. */
  maxBytes: bytes({ default: 268_435_456, min: 1 }),
  /** Bytes of one value; larger messages are forwarded but not kept. Default 1,048,576. */
  maxValueBytes: bytes({ default: 1_048_576, min: 1 }),
  /**
   * Subscriptions waiting for values, except those of late joiners without room; at the limit reading stops. Default
   * 1,000.
   */
  maxSnapshots: integer({ default: 1_000 }),
  /** Folder of an LMDB store. Default: none. */
  store: text(),
  /** ms between commits to the store. Default 100. */
  storeInterval: integer({ default: 100 }),
  /**
   * A `BinaryStarGate` makes the cache half of a pair. It always keeps messages, but forwards them and values only
   * while active. On becoming active it publishes all values. Default: none.
   */
  gate: publisherGate(),
  /** Options of the publishers' socket, such as security. */
  frontendOptions: object<XSubscriberOptions>(),
  /**
   * Options of the subscribers' socket. Default `sendHighWaterMark`: `maxTopics` + 1,000, of which a snapshot uses
   * half.
   */
  backendOptions: object<XPublisherOptions>(OWN),
};

export type LastValueCacheOptions = Given<typeof OPTIONS>;

export const EVENTS = {
  /** A late joiner's values were sent. */
  "snapshot:sent": event<{ readonly prefix: Buffer; readonly topics: number }>(),
  /** The least recently updated topic of a full cache. */
  "topic:evicted": event<{ readonly topic: Buffer }>(),
  /** A message was forwarded but not kept. */
  "message:uncached": event<{
    readonly topic: Buffer;
    readonly reason: LastValueCacheUncachedReason;
    readonly bytes: number;
  }>(),
  /** A subscriber's message is not a subscription. */
  "message:invalid": event<{ readonly frames: number }>(),
  /** A commit failed and will be retried. */
  "store:failed": event<{ readonly error: unknown }>(),
  /** A message was dropped by an unexpected error. */
  "message:failed": event<{ readonly error: unknown }>(),
  /** Unreadable records were removed. */
  "store:damaged": event<{ readonly records: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type LastValueCacheEvent = EventsOf<typeof EVENTS>;

export type LastValueCacheStats = StatisticsOf<typeof LAST_VALUE_CACHE>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function cacheSettings(options: LastValueCacheOptions) {
  const settings = checkOptions("LastValueCache", OPTIONS, options);
  const { topics = [""], frontendOptions, backendOptions } = settings;
  if (!Array.isArray(topics) || topics.some((topic) => typeof topic !== "string"))
    throw invalidArgument("Option topics must be an array of prefixes, each a text", topics);
  const backend: XPublisherOptions = {
    sendHighWaterMark: Math.min(settings.maxTopics + LIVE_ROOM, INT32),
    ...backendOptions,
    verbosity: "allSubs",
  };
  return {
    ...settings,
    topics,
    maxTopicBytes: MAX_TOPIC_BYTES,
    frontend: { linger: 0, ...frontendOptions },
    backend,
  };
}
