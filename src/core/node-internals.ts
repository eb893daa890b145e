/**
 * Undocumented parts of Node.js, each with a fallback for other runtimes and later versions.
 *
 *   part                      purpose                                         fallback
 *   _handle.writeQueueSize    counts bytes that the kernel has not taken      bytes of incomplete writes
 *   _handle.useUserBuffer     reads into our own memory                       the socket's events: 17 to 39 % more CPU time
 *   _handle.onconnection      refuses a connection before it is a stream      the stream is destroyed
 *   _handle.verifyError       explains a refused client certificate           "it was not verified"
 *   _listen2                  binds synchronously (bindSync)                  NotSupportedError
 *   _writableState            sets what a link's channel takes at once        its initial amount
 *   _tlsError                 ends TLS at a malformed record or an alert      the peer, the handshake's time or a heartbeat ends it
 */
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { ignore } from "./waiter.js";

interface Handle {
  readonly writeQueueSize?: unknown;
  useUserBuffer?(memory: Uint8Array): void;
  onconnection?: ((status: number, accepted?: AcceptedHandle) => void) | null;
  verifyError?(): (Error & { readonly code?: string }) | null | undefined;
}

function handleOf(of: object): Handle | undefined {
  return (of as { readonly _handle?: Handle | null })._handle ?? undefined;
}

export function pendingOf(socket: Socket): number {
  const waiting = handleOf(socket)?.writeQueueSize;
  return typeof waiting === "number" ? waiting : socket.writableLength;
}

/** Memory for the next read, allocator of further memory, callback. */
const READ_NAMES = ["kBuffer", "kBufferGen", "kBufferCb"] as const;

/** `null` when this runtime lacks them. */
let readSymbols: readonly symbol[] | null | undefined;

function symbolsOf(socket: object): readonly symbol[] | null {
  const all = Object.getOwnPropertySymbols(socket);
  const found = READ_NAMES.map((name) => all.find(({ description }) => description === name));
  return found.every((symbol) => symbol !== undefined) ? found : null;
}

export function readsInto(socket: Duplex): boolean {
  if (typeof handleOf(socket)?.useUserBuffer !== "function") return false;
  readSymbols ??= symbolsOf(socket);
  return readSymbols !== null;
}

/** Sets `onread` of `net.Socket` on an existing socket. @param socket must satisfy {@link readsInto} */
export function readInto(
  socket: Duplex,
  { buffer, callback }: { readonly buffer: () => Uint8Array; readonly callback: unknown },
): void {
  const memory = buffer();
  const [first, next, came] = readSymbols as [symbol, symbol, symbol];
  Object.assign(socket, { [first]: memory, [next]: buffer, [came]: callback });
  handleOf(socket)?.useUserBuffer?.(memory);
}

interface AcceptedHandle extends Handle {
  getpeername?(out: { address?: string }): number;
  reset?(closed: () => void): number;
  close?(): void;
}

/**
 * Refuses addresses before Node.js creates a stream, which costs 100 µs. The reset avoids TIME_WAIT. Without
 * `onconnection` nothing is refused: the caller must check its streams. The server emits `connection` for others.
 *
 * @param server not listening yet
 * @param admits gets the address, possibly IPv4 in IPv6 form; it must not throw
 */
export function interceptAccepts(server: Server, admits: (address: string) => boolean): void {
  server.on("listening", () => {
    const handle = handleOf(server);
    const original = handle?.onconnection;
    if (handle === undefined || typeof original !== "function") return;
    handle.onconnection = function (this: unknown, status, accepted) {
      if (typeof accepted?.useUserBuffer === "function") {
        // Paths have no address, nor have peers that are gone.
        const peer: { address?: string } = {};
        accepted.getpeername?.(peer);
        if (peer.address !== undefined && !admits(peer.address)) {
          if (accepted.reset?.(ignore) !== 0) accepted.close?.();
          return;
        }
        // The server's own sockets, which it counts, take 3 % more processor time for a connection.
        const { Socket: Accepted } = process.getBuiltinModule("node:net");
        server.emit("connection", new Accepted({ handle: accepted } as object));
        return;
      }
      Reflect.apply(original, this, [status, accepted]);
    };
  });
}

/** Without `verifyError` only `authorized` is known. */
export function verifyError(socket: TLSSocket): Error | undefined {
  const handle = handleOf(socket);
  if (handle === undefined) return new Error("the connection has ended");
  if (typeof handle.verifyError === "function") return handle.verifyError() ?? undefined;
  return socket.authorized ? undefined : new Error("it was not verified");
}

/** Calls back for errors after the handshake, which Node.js does not emit as `error` at a server. */
export function onTlsError(socket: TLSSocket, listener: (error: Error) => void): void {
  socket.on("_tlsError", listener);
}

interface Bindable {
  _listen2?(address: string | null, port: number, family: number, backlog: number): void;
}

/** @returns `false` if Node.js lacks `_listen2` */
export function bindNow(
  server: Server,
  address: string,
  port: number,
  family: number,
  backlog: number,
): boolean {
  const bindable = server as unknown as Bindable;
  if (typeof bindable._listen2 !== "function") return false;
  bindable._listen2(address, port, family, backlog);
  return true;
}

/** Node.js has no call for this. */
export function setWriteAhead(stream: Duplex, bytes: number): void {
  const { _writableState: state } = stream as unknown as { _writableState?: { highWaterMark?: number } };
  if (state?.highWaterMark !== undefined) state.highWaterMark = bytes;
}
