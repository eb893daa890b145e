/**
 * The option `onread` of `net.Socket` for a socket of node:tls, whose constructor has none where it wraps a socket that is there
 * already. What net.Socket does with the option is done to the socket afterwards, by properties that Node.js does not document.
 * Without it each record of TLS, 16 KiB at most, is memory of its own that goes through a stream's buffer and an event.
 */
import type { TLSSocket } from "node:tls";
import type { Reader } from "./reader.js";

/** What stands behind a socket; it is not documented, and absent in other runtimes. */
interface WithHandle {
  readonly _handle: { useUserBuffer?(memory: Uint8Array): void } | null;
}

/** Of net.Socket: the memory that is read into, what gives the next, and what hears of it. */
const NAMES = ["kBuffer", "kBufferGen", "kBufferCb"] as const;

/** Those symbols; `null`: this runtime has none. */
let known: readonly symbol[] | null | undefined;

function symbolsOf(socket: object): readonly symbol[] | null {
  const all = Object.getOwnPropertySymbols(socket);
  const found = NAMES.map((name) => all.find(({ description }) => description === name));
  return found.every((symbol) => symbol !== undefined) ? found : null;
}

/** Has `reader` read it. @param socket just made: nothing has been read from it */
export function readTls(socket: TLSSocket, reader: Reader): void {
  const handle = (socket as unknown as WithHandle)._handle;
  known ??= symbolsOf(socket);
  if (known === null || typeof handle?.useUserBuffer !== "function") {
    reader.follow(socket);
    return;
  }
  const { buffer, callback } = reader.onrecord();
  const memory = buffer();
  const [first, next, came] = known as [symbol, symbol, symbol];
  Object.assign(socket, { [first]: memory, [next]: buffer, [came]: callback });
  handle.useUserBuffer(memory);
  socket.resume();
}
