/** Options, events and statistics of a snail. */

import { type Clock, systemClock } from "../../core/driver-timer.js";
import { TimeoutError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { anything, checkOptions, choice, func, type Given, integer, object } from "../../kit/options.js";
import { parseMeta } from "../../kit/sequence-meta.js";
import type { SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SuicidalSnailCause, SuicidalSnailLateness, SuicidalSnailStamp } from "./lateness-rules.js";

const POLICIES = ["event", "newest", "resubscribe", "die"] as const;

const OPTIONS = {
  /** Action when late. Default `"die"`. */
  policy: choice(POLICIES, "die"),
  /** ms above the smallest lateness seen. Default 1,000. */
  maxLateness: integer({ default: 1_000 }),
  /** Messages queued in this process (docs/engines.md); 0: any number. Default 0. */
  maxQueue: integer({ default: 0, min: 0 }),
  /** Lateness before it acts. Default 0. */
  patience: integer({ default: 0, min: 0 }),
  /** Between actions, to catch up. Default 1,000. */
  holdOff: integer({ default: 1_000, min: 0 }),
  /** Publishers with a baseline; the least recently heard is evicted. Default 10,000. */
  maxSources: integer({ default: 10_000 }),
  /** Reads a message's stamp. Default: that of a SequencedPublisher. */
  stamp: func<SuicidalSnailReadStamp>(),
  /** Options of its sockets, such as security. */
  socketOptions: object<SubscriberOptions>(["conflate", "codec"]),
  /** Clock for tests. */
  clock: anything<Clock>(),
};

/** Times in ms. */
export type SuicidalSnailOptions = Given<typeof OPTIONS>;

export type SuicidalSnailPolicy = (typeof POLICIES)[number];

export const EVENTS = {
  /** Late for `patience`. Emitted once until it recovers or has acted. */
  "lateness:exceeded": event<{ readonly policy: SuicidalSnailPolicy } & SuicidalSnailLateness>(),
  /** In time again. */
  "lateness:recovered": event(),
  /** All queued messages, or all but the newest of each topic. */
  "messages:dropped": event<{ readonly messages: number; readonly by: "newest" | "resubscribe" }>(),
  /** A message without a stamp. */
  "message:invalid": event<{ readonly frames: number }>(),
};

export type SuicidalSnailEvent = EventsOf<typeof EVENTS>;

export interface SuicidalSnailMessage {
  readonly frames: Buffer[];
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  readonly sequence: number | undefined;
  /** ms above the baseline. */
  readonly lateness: number;
}

/** received = delivered + dropped + waiting. */
export interface SuicidalSnailStats {
  /** With a stamp and a body. */
  readonly received: number;
  readonly delivered: number;
  readonly dropped: Readonly<Record<"newest" | "resubscribe" | "died", number>>;
  readonly waiting: number;
  readonly invalid: number;
  readonly late: number;
  readonly resubscribed: number;
  readonly forgotten: number;
}

export type SnailSettings = ReturnType<typeof snailSettings>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function snailSettings(options: SuicidalSnailOptions) {
  const settings = checkOptions("SuicidalSnail", OPTIONS, options);
  const { stamp = sequencedStamp, socketOptions, clock = systemClock } = settings;
  return { ...settings, stamp, socketOptions: { linger: 0, ...socketOptions }, clock };
}

export type SuicidalSnailReadStamp = (frames: readonly Buffer[]) => SuicidalSnailStamp | undefined;

/** Reads the stamp of a SequencedPublisher's message: `topic | meta | body…`. */
export const sequencedStamp: SuicidalSnailReadStamp = (frames) => {
  const second = frames[1];
  const meta = second === undefined ? undefined : parseMeta(second);
  if (meta === undefined || frames.length < 3) return undefined;
  return { source: meta.publisher, time: meta.time / 1_000, sequence: meta.sequence };
};

/** The subscriber was too late and closed itself, as its policy says. Code `ETIMEDOUT`. */
export class SuicidalSnailError extends TimeoutError {
  /** ms. */
  readonly lateness: number;
  /** Dropped messages of this process. */
  readonly queued: number;
  readonly lateCause: SuicidalSnailCause;

  constructor({ lateness, queued, cause }: SuicidalSnailLateness) {
    super(
      "ETIMEDOUT",
      `The subscriber was ${Math.round(lateness)} ms late with ${queued} messages waiting, and closed itself`,
    );
    this.lateness = lateness;
    this.queued = queued;
    this.lateCause = cause;
  }

  override get retryable(): boolean {
    return false;
  }
}
