/** Suicidal Snail: a subscriber that measures its lateness and acts on it. */
export * from "../../kit/index.js";
export type { SuicidalSnailCause, SuicidalSnailLateness, SuicidalSnailStamp } from "./lateness-rules.js";
export type {
  SuicidalSnailEvent,
  SuicidalSnailMessage,
  SuicidalSnailOptions,
  SuicidalSnailPolicy,
  SuicidalSnailStats,
} from "./snail.js";
export { SuicidalSnail, SuicidalSnailError, type SuicidalSnailReadStamp, sequencedStamp } from "./snail.js";
