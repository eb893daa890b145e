/**
 * Simultaneous connections that begin as in ZMTP, in two writes per side: greeting and READY, then a message or its
 * reply.
 *
 *     client  greeting 64 | READY 43 | flags 1, length 1, body
 *     server  the same, with the client's message
 *
 * Each end answers a part when it is complete. All parts have known lengths, so no parsing is needed.
 */
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Bodies } from "../../bodies.js";
import type { Side } from "../node/side.js";
import { addressOf, listen, onError } from "./endpoints.js";
import { end } from "./stream.js";

const GREETING = Buffer.alloc(64);
GREETING.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1, ...Buffer.from("NULL")]);

const HEADER = 2;

/** A frame with a short header. */
function frame(flags: number, body: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(flags, body.length), body]);
}

function property(name: string, value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([Uint8Array.of(name.length), Buffer.from(name), length, Buffer.from(value)]);
}

function ready(type: string): Buffer {
  const properties = [property("Socket-Type", type), property("Identity", "")];
  return frame(0x04, Buffer.concat([Uint8Array.of(5), Buffer.from("READY"), ...properties]));
}

const DEALER = Buffer.concat([GREETING, ready("DEALER")]);
const ROUTER = Buffer.concat([GREETING, ready("ROUTER")]);

/** One end of a connection: receives the peer's parts in order. */
class Exchange {
  readonly #bytes: Buffer;
  #seen = 0;
  readonly #onReady: () => void;
  readonly #onMessage: (body: Buffer) => void;

  constructor(size: number, onReady: () => void, onMessage: (body: Buffer) => void) {
    this.#bytes = Buffer.allocUnsafe(DEALER.length + HEADER + size);
    this.#onReady = onReady;
    this.#onMessage = onMessage;
  }

  /** Receives `length` bytes at the beginning of `chunk`. */
  take(chunk: Uint8Array, length: number): void {
    const before = this.#seen;
    const bytes = this.#bytes;
    bytes.set(chunk.length === length ? chunk : chunk.subarray(0, length), before);
    const after = before + length;
    this.#seen = after;
    const opened = DEALER.length;
    if (before < opened && after >= opened) this.#onReady();
    if (after === bytes.length) this.#onMessage(bytes.subarray(opened + HEADER));
  }
}

/** Returns each connection's message until it is stopped. */
export async function stormServer(side: Side): Promise<void> {
  const sockets = new Set<Socket>();
  let echoed = 0;
  const { server, endpoint } = await listen(side, side.number("backlog", 511), (socket) => {
    sockets.add(socket);
    const exchange = new Exchange(
      side.size,
      () => socket.write(ROUTER),
      (body) => {
        socket.write(frame(0, body));
        echoed += 1;
      },
    );
    socket.on("data", (chunk: Buffer) => exchange.take(chunk, chunk.length));
  });
  await side.ready(endpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await end(server, sockets);
}

/** Connects, sends `body`, and returns the reply. */
function talk(side: Side, memory: Buffer, body: Buffer, sockets: Socket[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connectSocket({
      ...addressOf(side.endpoint),
      noDelay: true,
      onread: {
        buffer: memory,
        callback: (length, bytes) => {
          exchange.take(bytes, length);
          return true;
        },
      },
    });
    const exchange = new Exchange(side.size, () => socket.write(frame(0, body)), resolve);
    sockets.push(socket);
    socket.once("error", reject);
    socket.on("connect", () => socket.write(DEALER));
  });
}

/**
 * Connections before the counted ones, opened at once and closed, since no implementation has room for all as
 * sockets.
 */
const WARM_AT_ONCE = 250;
/** ms after which the server has closed these. */
const SETTLED_AFTER = 200;

export async function stormClient(side: Side): Promise<void> {
  const bodies = new Bodies(side.size);
  const checker = side.checker();
  const sockets: Socket[] = [];
  // Shared by all connections: data is copied before the next read.
  const memory = Buffer.allocUnsafeSlow(65_536);
  const connectMany = async (first: number, count: number) => {
    const replies = Array.from({ length: count }, (_, i) =>
      talk(side, memory, bodies.make(first + i), sockets),
    );
    for (const reply of await Promise.all(replies)) checker.take(reply);
  };
  await side.ready();
  for (let first = 0; first < side.warmup; first += WARM_AT_ONCE) {
    await connectMany(first, Math.min(WARM_AT_ONCE, side.warmup - first));
    await endAll(sockets.splice(0));
  }
  if (side.warmup > WARM_AT_ONCE) await setTimeout(SETTLED_AFTER);
  side.begin();
  await connectMany(side.warmup, side.count);
  side.end();
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  await endAll(sockets);
}

async function endAll(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.on("error", onError).destroy();
  await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
}
