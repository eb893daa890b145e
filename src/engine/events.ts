/**
 * What happens to a socket. The names up to `unknown` are those of the package
 * `zeromq`, so that existing handlers work; the rest are shoal's.
 */
import type { HandshakeError, ProtocolError, ShoalError } from "../core/errors.js";

/** Why a connection ended. */
export type DisconnectReason =
  /** `disconnect`, `unbind` or `close` on this side. */
  | "local"
  /** The peer ended it. */
  | "remote"
  /** No traffic within the heartbeat's time-out. */
  | "heartbeat"
  /** The peer broke the protocol. */
  | "protocol"
  /** The engine does not know. */
  | "unknown";

/** Why a message that the engine had accepted, or a copy of it, did not go out. The one list: all counters are made from it. */
export const ENGINE_DROP_REASONS = [
  /** The peer's queue was at its high-water mark. */
  "peer-full",
  /** The peer left before it went out. */
  "disconnected",
  /** Accepted by reference, but the program transferred its memory to a thread before it went out. */
  "detached",
  /** A newer message took its place, with `conflate`. */
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

/** A counter for each reason, at 0. */
export function dropCounters<R extends string>(reasons: readonly R[]): Record<R, number> {
  return Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<R, number>;
}

/**
 * Why a received message was not handed over. `full`: a datagram for which the receive queue had no room, or a message of a peer that
 * has left an XPUB. `tooLarge`: it is past `maxMessageSize`, or has more than 65,536 frames; the peer's connection ended with it.
 */
export type InvalidReason = "frames" | "codec" | "schema" | "full" | "tooLarge";

/** For events that concern no address: a program that asks every event for its address gets none. */
interface Nowhere {
  readonly address?: undefined;
}

/**
 * A handshake that failed: the socket's own endpoint, and the address of the peer that had connected to it. `peer` is absent of
 * a socket that connects, and where the engine does not know it.
 */
export interface FailedHandshake<E> {
  readonly address: string;
  readonly peer?: string;
  readonly error: E;
}

interface Details {
  accept: { readonly address: string };
  "accept:error": { readonly address: string; readonly error: ShoalError };
  bind: { readonly address: string };
  "bind:error": { readonly address: string; readonly error: ShoalError };
  connect: { readonly address: string };
  "connect:delay": { readonly address: string };
  /** `error`: why the last attempt, or the last connection, ended. */
  "connect:retry": { readonly address: string; readonly interval: number; readonly error?: ShoalError };
  close: { readonly address: string };
  "close:error": { readonly address: string; readonly error: ShoalError };
  /** `error` where the engine knows more than the reason: what the peer did wrong, or what the system said. */
  disconnect: { readonly address: string; readonly reason: DisconnectReason; readonly error?: ShoalError };
  end: object;
  handshake: { readonly address: string };
  "handshake:error:protocol": FailedHandshake<ProtocolError>;
  "handshake:error:auth": FailedHandshake<HandshakeError & { readonly status: number }>;
  "handshake:error:other": FailedHandshake<HandshakeError>;
  unknown: object;
  "peer:join": { readonly address: string; readonly routingId?: Buffer };
  "peer:leave": { readonly address: string; readonly reason: DisconnectReason; readonly routingId?: Buffer };
  "peer:refused": { readonly address: string; readonly mechanism: string; readonly error: HandshakeError };
  subscribe: Nowhere & { readonly topic: Buffer };
  unsubscribe: Nowhere & { readonly topic: Buffer };
  drop: Nowhere & { readonly reason: DropReason; readonly messages: number; readonly routingId?: Buffer };
  invalid: Nowhere & { readonly reason: InvalidReason; readonly error: ShoalError };
  /** A source that the socket is connected to has another list; `endpoints`: all of them now. */
  "source:changed": Nowhere & { readonly endpoints: readonly string[] };
  /** A source threw, which is the error's `cause`; it is read again in `interval` ms. */
  "source:failed": Nowhere & { readonly error: ShoalError; readonly interval: number };
  /** An endpoint that a source has cannot be connected to. */
  "endpoint:refused": { readonly address: string; readonly error: ShoalError };
}

/** The name of a socket event. */
export type EventType = keyof Details;

/** Any socket event. */
export type SocketEvent = { [K in EventType]: { readonly type: K } & Details[K] }[EventType];

/** The event of one name: `type`, and what belongs to it. */
export type EventOfType<E extends EventType = EventType> = Extract<SocketEvent, { readonly type: E }>;
