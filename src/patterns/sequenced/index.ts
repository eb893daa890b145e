/** Sequenced publishing: subscribers know what they missed, and can have it again. */
export * from "../kit/index.js";
export { SequencedPublisher, type SequencedPublisherOptions } from "./publisher.js";
export type { SequencedPublisherEvent, SequencedPublisherStats } from "./publisher-rules.js";
export type { ReplayOutcome, ReplayStats } from "./replay-rules.js";
export type {
  InvalidSequenced,
  Sequenced,
  SequenceRange,
  StreamEvent,
  StreamName,
  StreamStats,
} from "./stream-table.js";
export {
  type Replay,
  type ReplayOptions,
  type SequencedMessage,
  SequencedSubscriber,
  type SequencedSubscriberOptions,
  type SequencedSubscriberStats,
} from "./subscriber.js";
