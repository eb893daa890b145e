/** What a snail is given, checked and with its defaults; what it reports. */
import { type Clock, systemClock } from "../../core/clock.js";
import { InvalidArgumentError, TimeoutError } from "../../core/errors.js";
import type { SubscriberOptions } from "../../sockets/pub-sub.js";
import { anything, checkOptions, choice, func, integer, object, type Settings } from "../kit/options.js";
import { Kind, parseMeta } from "../kit/sequence-meta.js";
import type { SuicidalSnailCause, SuicidalSnailLateness, SuicidalSnailStamp } from "./lateness-rules.js";

const POLICIES = ["event", "newest", "resubscribe", "die"] as const;

const OPTIONS = {
  policy: choice(POLICIES, "die"),
  maxLateness: integer({ default: 1_000 }),
  maxQueue: integer({ default: 0, min: 0 }),
  maxLost: integer({ default: 0, min: 0 }),
  lossWindow: integer({ default: 10_000 }),
  patience: integer({ default: 0, min: 0 }),
  holdOff: integer({ default: 1_000, min: 0 }),
  maxSources: integer({ default: 10_000 }),
  stamp: func<SuicidalSnailReadStamp>(),
  socketOptions: object<SubscriberOptions>(),
  clock: anything<Clock>(),
};

/** What a late subscriber does. */
export type SuicidalSnailPolicy = (typeof POLICIES)[number];

/** What happens in a snail. */
export type SuicidalSnailEvent =
  /** It is late, for longer than its patience. Emitted once, until it is in time again or has acted. */
  | ({ readonly type: "lateness:exceeded"; readonly policy: SuicidalSnailPolicy } & SuicidalSnailLateness)
  /** It is in time again. */
  | { readonly type: "lateness:recovered" }
  /** Messages were thrown away: all that waited here, or all but the newest of each topic. */
  | { readonly type: "messages:dropped"; readonly messages: number; readonly by: "newest" | "resubscribe" }
  /** A message without a stamp. It was dropped. */
  | { readonly type: "message:invalid"; readonly frames: number };

/** Options of {@link SuicidalSnail}. Times are in ms. */
export interface SuicidalSnailOptions {
  /** What to do when it is late. Default `"die"`. */
  readonly policy?: SuicidalSnailPolicy;
  /** Lateness above the smallest one seen. Default 1,000. */
  readonly maxLateness?: number;
  /** Messages waiting in this process, as far as the engine counts them (docs/engines.md); 0: any number. Default 0. */
  readonly maxQueue?: number;
  /** Messages lost within `lossWindow`; 0: any number. Default 0. */
  readonly maxLost?: number;
  /** Default 10,000. */
  readonly lossWindow?: number;
  /** How long it may be late before it acts. Default 0. */
  readonly patience?: number;
  /** Between two acts: it has to have time to catch up. Default 1,000. */
  readonly holdOff?: number;
  /** Publishers whose baselines are kept; past it the one heard the longest ago is learned again. Default 10,000. */
  readonly maxSources?: number;
  /** Reads source, time and sequence of a message. Default: what a SequencedPublisher writes. */
  readonly stamp?: SuicidalSnailReadStamp;
  /** Of its sockets, such as security. */
  readonly socketOptions?: SubscriberOptions;
  /** Where time comes from; for tests. */
  readonly clock?: Clock;
}

/** A message, and how late it was when it was handed over. */
export interface SuicidalSnailMessage {
  readonly frames: Buffer[];
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  readonly sequence: number | undefined;
  /** ms above the baseline. */
  readonly lateness: number;
}

/** A snail's statistics: received = delivered + dropped + waiting. */
export interface SuicidalSnailStats {
  /** Messages with a stamp and a body. */
  readonly received: number;
  readonly delivered: number;
  readonly dropped: Readonly<Record<"newest" | "resubscribe" | "died", number>>;
  readonly waiting: number;
  /** Messages that never came, by their sequences. */
  readonly lost: number;
  readonly invalid: number;
  /** Times that it was late. */
  readonly late: number;
  readonly resubscribed: number;
  /** Sources and rows of sequences that were forgotten. */
  readonly forgotten: number;
}

/** Options as the snail works with them. */
export type SnailSettings = Omit<Settings<typeof OPTIONS>, "stamp" | "socketOptions" | "clock"> & {
  readonly stamp: SuicidalSnailReadStamp;
  readonly socketOptions: SubscriberOptions;
  readonly clock: Clock;
};

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function snailSettings(options: SuicidalSnailOptions): SnailSettings {
  const settings = checkOptions("SuicidalSnail", OPTIONS, options);
  const { stamp = sequencedStamp, socketOptions = {}, clock = systemClock } = settings;
  for (const name of ["conflate", "codec"]) {
    if (name in socketOptions)
      throw new InvalidArgumentError(`Option ${name} does not fit the SUB of a SuicidalSnail`);
  }
  return { ...settings, stamp, socketOptions: { linger: 0, ...socketOptions }, clock };
}

/** Where a message says when it was published. */

/** A stamp, and whether the message is only that: nothing for the program. */
export interface SuicidalSnailStamped extends SuicidalSnailStamp {
  readonly empty?: boolean;
}

/** Reads the stamp of a message; `undefined` when there is none. */
export type SuicidalSnailReadStamp = (frames: readonly Buffer[]) => SuicidalSnailStamped | undefined;

/** The stamp of messages that a SequencedPublisher sent: `topic | meta | body…`. */
export const sequencedStamp: SuicidalSnailReadStamp = (frames) => {
  const second = frames[1];
  const meta = second === undefined ? undefined : parseMeta(second);
  if (meta === undefined) return undefined;
  const empty = meta.kind === Kind.MARK;
  if (empty !== (frames.length === 2)) return undefined;
  const source = meta.publisher;
  return { source, time: meta.time / 1_000, sequence: meta.sequence, row: `${source}${meta.stream}`, empty };
};

/** Why a snail is dead. */

/**
 * The subscriber was too late, and has closed itself, as its policy says; `lateness`, `queued`, `lost` and `lateCause` say how
 * late. Code `ETIMEDOUT`.
 */
export class SuicidalSnailError extends TimeoutError {
  /** ms. */
  readonly lateness: number;
  /** Messages that waited in this process; they are gone. */
  readonly queued: number;
  /** Messages lost shortly before. */
  readonly lost: number;
  /** What made it late. */
  readonly lateCause: SuicidalSnailCause;

  constructor({ lateness, queued, lost, cause }: SuicidalSnailLateness) {
    super(
      "ETIMEDOUT",
      `The subscriber was ${Math.round(lateness)} ms late with ${queued} messages waiting and ${lost} lost, and closed itself`,
    );
    this.lateness = lateness;
    this.queued = queued;
    this.lost = lost;
    this.lateCause = cause;
  }
}
