/** Suicidal Snail: a subscriber that knows how late it is, and acts. */
export * from "../kit/index.js";
export { LateError } from "./late-error.js";
export type { LateCause, Lateness, Stamp } from "./lateness-rules.js";
export type {
  SnailEvent,
  SnailMessage,
  SnailPolicy,
  SnailStats,
  SuicidalSnailOptions,
} from "./options.js";
export { SuicidalSnail } from "./snail.js";
export { type ReadStamp, type Stamped, sequencedStamp } from "./stamps.js";
