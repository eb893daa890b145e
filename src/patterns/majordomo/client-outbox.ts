/** What bounds a client's rules, and what they ask of their driver. */
import type { ClientEvent } from "./client-events.js";
import type { Frames } from "./messages-broker.js";
import type { Dialect } from "./protocol.js";

/** How a client deals with its brokers. Times in ms. */
export interface ClientLimits {
  readonly endpoints: readonly string[];
  /** The dialect to speak; `undefined`: ask. */
  readonly dialect: Dialect | undefined;
  readonly heartbeatInterval: number;
  readonly liveness: number;
  /** Requests sent and not answered. */
  readonly maxInFlight: number;
  /** Requests that wait to be sent. */
  readonly maxPending: number;
  /** Connections to a plain broker. */
  readonly maxConnections: number;
  /** Bytes that the worker of an answer in pieces may send ahead of its reader. */
  readonly streamWindow: number;
  /** Those of all such answers together, beyond INITIAL_CREDIT for each. */
  readonly maxStreamBytes: number;
}

export interface ClientOutbox {
  open(connection: number, endpoint: string): void;
  close(connection: number): void;
  /** The driver has the message in any case. @returns `false`: no more until `writable` */
  send(connection: number, message: Frames): boolean;
  event(event: ClientEvent): void;
}
