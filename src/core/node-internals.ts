/**
 * Parts of Node.js that it does not document. All of shoal's uses of them are here; each has a way without it, for other runtimes and
 * for the day on which Node.js changes it. `internals` says which are there.
 *
 *   part                      what for                                        without it
 *   _handle.bytesWritten      bytes that the kernel has taken of a socket     bytes that the socket has not queued itself
 *   _handle.useUserBuffer     reading TLS and ws into memory of our own       the socket's events: 17 to 39 % more processor time
 *   _handle.onconnection      refusing a connection before it is a stream     the stream is destroyed
 *   _handle.verifyError       why a client's certificate is not accepted      "it was not verified"
 *   _listen2                  bindSync                                        NotSupportedError
 *   kHandle of a channel      inproc between threads                          inproc within one thread
 *   _writableState            how much a link's channel takes at once         what it took first
 */
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

/** What stands between a socket or server and libuv. */
interface Handle {
  readonly bytesWritten?: unknown;
  readonly writeQueueSize?: unknown;
  useUserBuffer?(memory: Uint8Array): void;
  onconnection?: ((status: number, accepted?: AcceptedHandle) => void) | null;
  verifyError?(): (Error & { readonly code?: string }) | null | undefined;
}

function handleOf(of: object): Handle | undefined {
  return (of as { readonly _handle?: Handle | null })._handle ?? undefined;
}

/** Bytes that the kernel has taken of a socket so far. */
export function takenOf(socket: Socket): number {
  const handle = handleOf(socket);
  const given = handle?.bytesWritten;
  const waiting = handle?.writeQueueSize;
  if (typeof given === "number" && typeof waiting === "number") return given - waiting;
  return socket.bytesWritten - socket.writableLength;
}

/** Properties of net.Socket: the memory for the next read, the function for further memory, and the callback. */
const READ_NAMES = ["kBuffer", "kBufferGen", "kBufferCb"] as const;

/** The symbols of these names; `null`: this runtime lacks them. */
let readSymbols: readonly symbol[] | null | undefined;

function symbolsOf(socket: object): readonly symbol[] | null {
  const all = Object.getOwnPropertySymbols(socket);
  const found = READ_NAMES.map((name) => all.find(({ description }) => description === name));
  return found.every((symbol) => symbol !== undefined) ? found : null;
}

/** Whether a socket can be read by {@link readInto}. */
export function readsInto(socket: Duplex): boolean {
  if (typeof handleOf(socket)?.useUserBuffer !== "function") return false;
  readSymbols ??= symbolsOf(socket);
  return readSymbols !== null;
}

/**
 * The option `onread` of `net.Socket` for a socket that exists: the constructor of node:tls lacks it, and `node:http` needs the events of a
 * socket before its upgrade.
 *
 * @param socket one of which {@link readsInto} is true @param buffer the memory for a read @param callback gets the bytes
 */
export function readInto(
  socket: Duplex,
  { buffer, callback }: { readonly buffer: () => Uint8Array; readonly callback: unknown },
): void {
  const memory = buffer();
  const [first, next, came] = readSymbols as [symbol, symbol, symbol];
  Object.assign(socket, { [first]: memory, [next]: buffer, [came]: callback });
  handleOf(socket)?.useUserBuffer?.(memory);
}

/** An accepted connection of which no stream was made. */
export interface AcceptedHandle {
  /** Whether a stream of it can have memory of its own to read into. */
  readonly useUserBuffer?: unknown;
  getpeername?(out: { address?: string; port?: number }): number;
  reset?(closed: () => void): number;
  close?(): void;
}

/**
 * Asks, before Node.js makes a stream of a connection, whether it may be: an address that may not connect costs some 20 µs of
 * processor time, a stream five times as much; the refused peer gets a reset, so neither side keeps the connection in TIME_WAIT.
 *
 * Asks `admits` of each connection's address while `server` listens. Where the runtime has no such place, nothing is asked:
 * the caller asks again of the streams it gets.
 *
 * @param server not listening yet
 * @param admits gets the address as the system has it, an IPv4 one maybe in the form of IPv6; it must not throw
 */
export function filterAccepts(server: Server, admits: (address: string) => boolean): void {
  interceptAccepts(server, admits, () => false);
}

/** Who has connected, as the system has it; a peer that is gone already has no address, one of a path has none either. */
export interface AcceptedPeer {
  readonly address?: string;
  readonly port?: number;
}

/**
 * The same, and gives `take` each connection that is not refused.
 *
 * @param take returns whether it has made a stream of it; else Node.js does. It must not throw
 */
export function interceptAccepts(
  server: Server,
  admits: ((address: string) => boolean) | undefined,
  take: (accepted: AcceptedHandle, peer: AcceptedPeer) => boolean,
): void {
  server.on("listening", () => {
    const handle = handleOf(server);
    const original = handle?.onconnection;
    if (handle === undefined || typeof original !== "function") return;
    handle.onconnection = function (this: unknown, status, accepted) {
      if (status === 0 && accepted !== undefined) {
        const peer: { address?: string; port?: number } = {};
        accepted.getpeername?.(peer);
        if (admits !== undefined && peer.address !== undefined && !admits(peer.address)) {
          if (accepted.reset?.(ignore) !== 0) accepted.close?.();
          return;
        }
        if (take(accepted, peer)) return;
      }
      Reflect.apply(original, this, [status, accepted]);
    };
  });
}
/** What is wrong with a client's certificate; where Node.js does not say, it is refused unless it says that it is right. */
export function verifyError(socket: TLSSocket): Error | undefined {
  const handle = handleOf(socket);
  if (handle === undefined) return new Error("the connection has ended");
  if (typeof handle.verifyError === "function") return handle.verifyError() ?? undefined;
  return socket.authorized ? undefined : new Error("it was not verified");
}

interface Bindable {
  _listen2?(address: string | null, port: number, family: number, backlog: number): void;
}

/** Binds within the call. @returns `false`: Node.js has no such call any more */
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

interface Postable {
  postMessage(message: unknown, transfer: readonly unknown[]): unknown;
}

/** The port beneath a BroadcastChannel, which can hand a MessagePort over. */
export function portBeneath(channel: object): Postable | undefined {
  for (const key of Object.getOwnPropertySymbols(channel)) {
    if (key.description !== "kHandle") continue;
    const port = (channel as Record<symbol, Partial<Postable> | undefined>)[key];
    if (typeof port?.postMessage === "function") return port as Postable;
  }
  return undefined;
}

/** Sets a stream's `writableHighWaterMark`, for which there is no call. */
export function setWriteAhead(stream: Duplex, bytes: number): void {
  const { _writableState: state } = stream as unknown as { _writableState?: { highWaterMark?: number } };
  if (state?.highWaterMark !== undefined) state.highWaterMark = bytes;
}

function ignore(): void {}
