/** The used parts of the package nats, which is installed only where NATS is measured. */
import { randomUUID } from "node:crypto";
import { requirePackage } from "../../places.js";
import type { Side } from "../node/side.js";

export interface Message {
  readonly data: Uint8Array;
  respond(data: Uint8Array): boolean;
}

export interface Connection {
  publish(subject: string, data: Uint8Array): void;
  subscribe(subject: string, options: { callback: (error: Error | null, message: Message) => void }): unknown;
  request(subject: string, data: Uint8Array, options: { timeout: number }): Promise<Message>;
  /** Settles when the server has all messages. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

interface Package {
  connect(options: { servers: string; noEcho?: boolean }): Promise<Connection>;
}

const { connect } = requirePackage<Package>("nats");

/** Server and subject of a run. */
export interface Place {
  readonly servers: string;
  readonly subject: string;
  readonly endpoint: string;
}

/** A new place for a side that would bind elsewhere; the given one for a side that connects. */
export function placeOf(side: Side, binds: boolean): Place {
  const endpoint = binds ? `${side.option("server", "")}/bench-${randomUUID()}` : side.endpoint;
  const { host, pathname } = new URL(endpoint);
  return { servers: host, subject: pathname.slice(1), endpoint };
}

export function open({ servers }: Place): Promise<Connection> {
  return connect({ servers });
}

/** Converts to a Buffer for the checkers, without a copy. */
export function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
