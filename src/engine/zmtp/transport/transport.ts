/** What a transport is: a way to listen, and a way to dial. One small file each, listed in transports.ts. */
import type { Socket } from "node:net";
import type { ShoalError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
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

/** All options of the socket; each transport reads its own. */
export type TransportOptions = Readonly<OptionValues>;

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
