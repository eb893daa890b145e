/**
 * The option `onread` of `net.Socket` for an existing socket. The constructor of node:tls lacks the option, and `node:http`
 * needs the events of a socket before its upgrade. This file sets the properties behind the option later. Node.js does not
 * document them; without them the reader uses the socket's events.
 *
 * With events, each read or record of TLS allocates memory and passes a stream's buffer. A receiver over ws then needs 17 % more
 * processor time for messages of 64 bytes, and 39 % more for 1 KiB.
 */
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Reader } from "./reader.js";

/** The handle behind a socket; undocumented, and absent in other runtimes. */
interface WithHandle {
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
}

/** Properties of net.Socket: the memory for the next read, the function for further memory, and the callback. */
const NAMES = ["kBuffer", "kBufferGen", "kBufferCb"] as const;

/** The symbols of these names; `null`: this runtime lacks them. */
let known: readonly symbol[] | null | undefined;

function symbolsOf(socket: object): readonly symbol[] | null {
  const all = Object.getOwnPropertySymbols(socket);
  const found = NAMES.map((name) => all.find(({ description }) => description === name));
  return found.every((symbol) => symbol !== undefined) ? found : null;
}

/** Whether a socket is encrypted. Its class does not show it: Bun has another one. */
export function isEncrypted(socket: object): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

/** Starts reading. @param socket without other readers */
export function readSocket(socket: Duplex, reader: Reader): void {
  const handle = (socket as unknown as WithHandle)._handle;
  if (typeof handle?.useUserBuffer === "function") known ??= symbolsOf(socket);
  if (typeof handle?.useUserBuffer !== "function" || !known) {
    reader.follow(socket);
    return;
  }
  // Bytes may have arrived between an upgrade and this call.
  const waiting: Buffer | null = socket.read();
  if (waiting !== null) reader.giveBack(waiting);
  const { buffer, callback } = isEncrypted(socket) ? reader.onrecord() : reader.onread;
  const memory = buffer();
  const [first, next, came] = known as [symbol, symbol, symbol];
  Object.assign(socket, { [first]: memory, [next]: buffer, [came]: callback });
  handle.useUserBuffer(memory);
  socket.resume();
}
