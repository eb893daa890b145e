/** Connections that pass bytes unchanged: tcp and ipc. */
import type { Socket } from "node:net";
import { pendingOf } from "../../../core/node-internals.js";
import type { Reader } from "./reader.js";
import type { Framing, Stream } from "./transport.js";

/** Bun and Deno hand bytes to the system later. */
const IS_PROMPT = process.versions.bun === undefined && process.versions.deno === undefined;

export class KernelStream implements Stream {
  readonly prompt = IS_PROMPT;
  /** Set by an upgrade to WebSocket. */
  framing: Framing | undefined = undefined;
  readonly socket: Socket;
  readonly reader: Reader;
  readonly #remote: string;
  readonly address: string;

  constructor(socket: Socket, reader: Reader, remote: string, address: string) {
    this.socket = socket;
    this.reader = reader;
    this.#remote = remote;
    this.address = address;
  }

  get remote(): string {
    return this.#remote;
  }

  pending(): number {
    return pendingOf(this.socket);
  }
}
