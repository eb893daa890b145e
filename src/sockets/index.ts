/** The exports that `shoal` and `shoal/browser` share. */

export * from "../core/errors.js";
export { EventStream, type TypedEvent } from "../core/event-stream.js";
export { SocketType, type SocketTypeName } from "../core/socket-type.js";
export type { WaitOptions } from "../core/waiter.js";
export type { Engine, OutgoingFrame, PeerCredentials } from "../engine/engine.js";
export type {
  DisconnectReason,
  DropReason,
  EventOfType,
  EventType,
  FailedHandshake,
  InvalidReason,
  SocketEvent,
  SocketEvent as Event,
} from "../engine/events.js";
export { type Codec, json, text } from "./codec.js";
export { Context, type ContextOptions, context } from "./context.js";
export type { EndpointSource } from "./endpoint-source.js";
export { Envelope } from "./envelope.js";
export type {
  BodyIn,
  BodyOut,
  Message,
  MessageLike,
  Raw,
  RoutedIn,
  RoutedOut,
  TopicIn,
  TopicOut,
} from "./message.js";
export type { DeliveryResult } from "./outbox.js";
export { Pair, type PairOptions } from "./pair.js";
export { Pull, type PullOptions, Push, type PushOptions } from "./pipeline.js";
export {
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
  type WaitForSubscribersOptions,
  XPublisher,
  type XPublisherOptions,
  XSubscriber,
  type XSubscriberOptions,
} from "./pub-sub.js";
export type {
  BatchesOptions,
  MessageBatch,
  Readable,
  ReceiveManyOptions,
} from "./readable.js";
export * from "./request-reply.js";
export { type CloseOptions, type EventSubscriber, Observer, type ReadyOptions, Socket } from "./socket.js";
export type { CloseResult } from "./socket-core.js";
export type * from "./socket-options.js";
export type { DroppedReason, SocketStats } from "./stats.js";
export type { Writable } from "./writable.js";
