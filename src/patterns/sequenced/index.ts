/** Sequenced publishing: subscribers detect losses and can request replays. */
export * from "../../kit/index.js";
export { SequencedPublisher, type SequencedPublisherOptions } from "./publisher.js";
export type { SequencedPublisherEvent, SequencedPublisherStats } from "./publisher-rules.js";
export {
  type SequencedMessage,
  type SequencedReplay,
  SequencedSubscriber,
  type SequencedSubscriberOptions,
  type SequencedSubscriberStats,
} from "./subscriber.js";
export type {
  SequencedInvalidReason,
  SequencedPlace,
  SequencedRange,
  SequencedReplayOutcome,
  SequencedReplayStats,
  SequencedStreamName,
  SequencedStreamStats,
  SequencedSubscriberEvent,
} from "./subscriber-rules.js";
