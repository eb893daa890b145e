/** A connection whose bytes go to the kernel as they are: tcp and ipc. */
import type { Socket } from "node:net";
import type { Reader } from "./reader.js";
import type { Stream } from "./transport.js";

/** What stands between a socket and libuv: Node.js has it, and does not document it. */
interface WithHandle {
  readonly _handle: { readonly bytesWritten?: unknown; readonly writeQueueSize?: unknown } | null;
}

export class KernelStream implements Stream {
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

  taken(): number {
    return takenOf(this.socket);
  }

  received(): number {
    return this.socket.bytesRead;
  }
}

/** Bytes that the kernel has taken of a socket so far. */
export function takenOf(socket: Socket): number {
  const handle = (socket as unknown as WithHandle)._handle;
  const given = handle?.bytesWritten;
  const waiting = handle?.writeQueueSize;
  if (typeof given === "number" && typeof waiting === "number") return given - waiting;
  return socket.bytesWritten - socket.writableLength;
}
