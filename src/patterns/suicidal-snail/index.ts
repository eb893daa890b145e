/** Suicidal Snail: a subscriber that measures its lateness and acts on it. */
export * from "../../kit/index.js";
export type { SuicidalSnailCause, SuicidalSnailLateness, SuicidalSnailStamp } from "./lateness-rules.js";
export type {
  SuicidalSnailEvent,
  SuicidalSnailMessage,
  SuicidalSnailOptions,
  SuicidalSnailPolicy,
  SuicidalSnailStats,
} from "./options.js";
export {
  SuicidalSnailError,
  type SuicidalSnailReadStamp,
  sequencedStamp,
} from "./options.js";
export { SuicidalSnail } from "./snail.js";
