/** What a transport is: a way to listen, and a way to dial. One small file each, listed in transports.ts. */
import type { Socket } from "node:net";
import type { ShoalError } from "../../../core/errors.js";
import type { SendState } from "../heartbeat.js";
import type { Reader } from "./reader.js";

/** A byte stream to a peer. */
export interface Stream {
  readonly socket: Socket;
  /** Hands on what comes. */
  readonly reader: Reader;
  /** The peer's endpoint, with its port. */
  readonly remote: string;
  /** The peer's network address alone, for the `authenticate` hook. */
  readonly address: string;
  /** What became of the bytes sent, where the transport itself knows; absent: the kernel is asked (tcp-table.ts). */
  readonly sendState?: (() => SendState | undefined) | undefined;
}

export interface TransportOptions {
  readonly ipv6: boolean;
  readonly backlog: number;
  /** ms; 0: the system's. */
  readonly connectTimeout: number;
  /** -1: the system's, 0: off, 1: on. */
  readonly tcpKeepalive: number;
  /** s; -1: the system's. */
  readonly tcpKeepaliveIdle: number;
}

/** Hears of a listener's connections. */
export interface Acceptor {
  accepted(stream: Stream): void;
  failed(error: ShoalError): void;
}

/** A bound endpoint. */
export interface Listener {
  /** As resolved: wildcards filled in. */
  readonly endpoint: string;
  /** Stops listening; connections that stand are left alone. Settles when the endpoint is free. */
  close(): Promise<void>;
}

export interface Transport {
  readonly scheme: string;
  /** @throws TransportError with the system's code */
  listen(endpoint: string, options: TransportOptions, acceptor: Acceptor): Promise<Listener>;
  /** The same at once. */
  listenSync(endpoint: string, options: TransportOptions, acceptor: Acceptor): Listener;
  /**
   * Dials once: every address that the name has now, one after the other.
   *
   * @param done called once, unless cancelled
   * @returns call it to cancel
   */
  dial(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void): () => void;
}
