/** Socket events. Names up to `unknown` are those of the package `zeromq`. */
import type { HandshakeError, ProtocolError, ShoalError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";

export type DisconnectReason =
  /** `disconnect`, `unbind` or `close` on this side. */
  | "local"
  /** The peer ended it. */
  | "remote"
  /** No traffic within the heartbeat's timeout. */
  | "heartbeat"
  /** The peer broke the protocol. */
  | "protocol"
  /** The engine does not know. */
  | "unknown";

/** Why an accepted message, or a copy of it, was lost before it was sent. */
export const ENGINE_DROP_REASONS = [
  /** The peer's queue was at its high-water mark. */
  "peer-full",
  /** The peer left before the message was sent. */
  "disconnected",
  /** The program transferred the memory to a thread before the message was sent. */
  "detached",
  /** A newer message replaced it (`conflate`). */
  "conflated",
] as const;
export type EngineDropReason = (typeof ENGINE_DROP_REASONS)[number];

/** Why a message was not delivered. */
export type DropReason =
  /** No peer has the routing id, and `mandatory` is off. */
  | "unroutable"
  | EngineDropReason
  /** Discarded when the socket closed. */
  | "closed";

export function dropCounters<R extends string>(reasons: readonly R[]): Record<R, number> {
  return Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<R, number>;
}

/**
 * Why a received message was discarded. `full`: a datagram at a full receive queue, or a departed XPUB peer's
 * message. `tooLarge`: over `maxMessageSize` or 65,536 frames; its connection ended.
 */
export type InvalidReason = "frames" | "codec" | "schema" | "full" | "tooLarge";

/** Lets a program read the address of any event. */
interface Nowhere {
  readonly address?: undefined;
}

/** A failed handshake: this socket's endpoint, and the connecting peer, with its port, if known. */
export interface FailedHandshake<E> {
  readonly address: string;
  readonly peer?: string;
  readonly error: E;
}

export const SOCKET_EVENTS = {
  accept: event<{ readonly address: string }>(),
  "accept:error": event<{ readonly address: string; readonly error: ShoalError }>(),
  bind: event<{ readonly address: string }>(),
  "bind:error": event<{ readonly address: string; readonly error: ShoalError }>(),
  connect: event<{ readonly address: string }>(),
  "connect:delay": event<{ readonly address: string }>(),
  /** `interval` in ms; `error`: why the last attempt failed or the connection was lost. */
  "connect:retry": event<{
    readonly address: string;
    readonly interval: number;
    readonly error?: ShoalError;
  }>(),
  close: event<{ readonly address: string }>(),
  "close:error": event<{ readonly address: string; readonly error: ShoalError }>(),
  /** `error`: the peer's fault or the system's error, if known. */
  disconnect: event<{
    readonly address: string;
    readonly reason: DisconnectReason;
    readonly error?: ShoalError;
  }>(),
  end: event(),
  handshake: event<{ readonly address: string }>(),
  "handshake:error:protocol": event<FailedHandshake<ProtocolError>>(),
  "handshake:error:auth": event<FailedHandshake<HandshakeError & { readonly status: number }>>(),
  "handshake:error:other": event<FailedHandshake<HandshakeError>>(),
  unknown: event(),
  "peer:join": event<{ readonly address: string; readonly routingId?: Buffer }>(),
  "peer:leave": event<{
    readonly address: string;
    readonly reason: DisconnectReason;
    readonly routingId?: Buffer;
  }>(),
  "peer:refused": event<{
    readonly address: string;
    readonly mechanism: string;
    readonly error: HandshakeError;
  }>(),
  subscribe: event<Nowhere & { readonly topic: Buffer }>(),
  unsubscribe: event<Nowhere & { readonly topic: Buffer }>(),
  drop: event<
    Nowhere & { readonly reason: DropReason; readonly messages: number; readonly routingId?: Buffer }
  >(),
  invalid: event<Nowhere & { readonly reason: InvalidReason; readonly error: ShoalError }>(),
  /** `endpoints` is the complete new list. */
  "source:changed": event<Nowhere & { readonly endpoints: readonly string[] }>(),
  /** A source threw (the error's `cause`); the next read is in `interval` ms. */
  "source:failed": event<Nowhere & { readonly error: ShoalError; readonly interval: number }>(),
  /** An endpoint of a source cannot be connected to. */
  "endpoint:refused": event<{ readonly address: string; readonly error: ShoalError }>(),
};

export type SocketEvent = EventsOf<typeof SOCKET_EVENTS>;

export type EventType = SocketEvent["type"];

export type EventOfType<E extends EventType = EventType> = Extract<SocketEvent, { readonly type: E }>;
