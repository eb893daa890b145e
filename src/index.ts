/**
 * The front door: sockets, envelopes, codecs, security, errors.
 *
 * @module
 */

export * from "./core/errors.js";
export { EventStream, type TypedEvent } from "./core/event-stream.js";
export {
  registerTransport,
  type Transport,
  type TransportAcceptor,
  type TransportListener,
  type TransportStream,
} from "./core/schemes/custom-transport.js";
export type { HttpServerEndpoint } from "./core/schemes/http-server.js";
export { SocketType, type SocketTypeName } from "./core/socket-type.js";
export type { WaitOptions } from "./core/waiter.js";
export type { Engine, OutgoingFrame, PeerCredentials } from "./engine/engine.js";
export type {
  DisconnectReason,
  DropReason,
  EventOfType,
  EventType,
  FailedHandshake,
  InvalidReason,
  SocketEvent,
  SocketEvent as Event,
} from "./engine/events.js";
export { ENGINE_NAMES } from "./engine/select.js";
export {
  FAILURES,
  type FailureReason,
  type HandlerErrorDetails,
  ServiceError,
} from "./patterns/kit/errors.js";
export { Proxy } from "./proxy/proxy.js";
export { type Capability, capability, version } from "./sockets/capability.js";
export { type Codec, json, msgpack, text } from "./sockets/codec.js";
export { Context, type ContextOptions, context } from "./sockets/context.js";
export type { EndpointSource } from "./sockets/endpoint-source.js";
export { Envelope } from "./sockets/envelope.js";
export type { Message, MessageLike } from "./sockets/message.js";
export { type EventSubscriber, Observer } from "./sockets/observer.js";
export type { DeliveryResult, SendOptions } from "./sockets/outbox.js";
export { Pair, type PairOptions } from "./sockets/pair.js";
export { Pull, type PullOptions, Push, type PushOptions } from "./sockets/pipeline.js";
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
} from "./sockets/pub-sub.js";
export type {
  BatchesOptions,
  MessageBatch,
  Readable,
  ReceiveManyOptions,
} from "./sockets/readable.js";
export {
  Dealer,
  type DealerOptions,
  Reply,
  type ReplyOptions,
  Request,
  type RequestCallOptions,
  type RequestOptions,
  Router,
  type RouterConnectOptions,
  type RouterOptions,
} from "./sockets/request-reply.js";
export {
  type Certificate,
  formatCertificate,
  parseCertificate,
  readCertificate,
  writeCertificate,
} from "./sockets/security/certificate.js";
export { type CurveKeyPair, curveKeyPair, curvePublicKey } from "./sockets/security/curve-keys.js";
export type { BodyIn, BodyOut, Raw, RoutedIn, RoutedOut, TopicIn, TopicOut } from "./sockets/shape.js";
export { type CloseOptions, type ReadyOptions, Socket } from "./sockets/socket.js";
export type { CloseResult } from "./sockets/socket-core.js";
export type {
  Authenticate,
  CodecOptions,
  CommonOptions,
  ConflateOptions,
  ConstructionOptions,
  KeyProperties,
  Properties,
  ReadableOptions,
  RoutingIdOptions,
  RoutingIdProperty,
  SocketOptions,
  WritableOptions,
} from "./sockets/socket-options.js";
export type { DroppedReason, SocketStats } from "./sockets/stats.js";
export { Stream, type StreamConnectOptions, type StreamOptions } from "./sockets/stream.js";
export type { Writable } from "./sockets/writable.js";
