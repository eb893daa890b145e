/** Access of patterns and proxies to a socket beyond its public methods. */
import { TurnBudget } from "../core/turn-budget.js";
import { type EnginePeer, type EngineSubscriber, OfferResult, type RelaySource } from "../engine/engine.js";
import { SOCKET_EVENTS, type SocketEvent } from "../engine/events.js";
import type { FrameBatch } from "../engine/frame-batch.js";
import { FRAMES } from "./message.js";
import type { DeliveryResult } from "./outbox.js";
import type { Subscriber, XPublisher } from "./pub-sub.js";
import type { Readable } from "./readable.js";
import type { Dealer, Router } from "./request-reply.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";

export { bodyAt, frameEnd, LONG, MORE, messageEnd, SHORT_HEADER } from "../engine/frame.js";
export { encodeMessage, type FrameBatch, framesBetween } from "../engine/frame-batch.js";
export { type EngineSubscriber, SOCKET_EVENTS, type SocketEvent };

const MAX_READ = 1_000;

export function takesMessage(socket: Socket, bytes: number): boolean {
  const core = socket[CORE];
  const { maxMessageSize: own } = core.options;
  const { maxMessageSize: largest = bytes } = core.context.socketDefaults();
  return largest >= bytes && (own < 0 || own >= bytes);
}

/** Counts messages for the socket that it did not get before it closed. */
export function countLost(socket: Socket, messages: number): void {
  const { counters } = socket[CORE];
  counters.sent += messages;
  counters.dropped.closed += messages;
}

/** Lifts limits on sent messages for sockets that wrap peers' messages in an envelope; receipt has limited those. */
export function forwards(...sockets: Socket[]): void {
  for (const socket of sockets) socket[CORE].forward();
}

/** Includes sources' endpoints. */
export function endpointsOf(socket: Socket): {
  readonly type: string;
  readonly bound: readonly string[];
  readonly connected: readonly string[];
} {
  const core = socket[CORE];
  return { type: core.typeName, ...core.endpoints.all };
}

/** Unlike a listener of `socket.events`, this one does not keep the process alive. */
export function listen(socket: Socket, listener: (event: SocketEvent) => void): void {
  socket[CORE].events.listen(listener);
}

/**
 * Cost (core/memory.ts) of a Router's messages for a peer, until the kernel takes them.
 *
 * @returns 0 over inproc, for an unknown peer, and on `libzmq`
 */
export function queuedBytesFor(socket: Socket, routingId: Uint8Array): number {
  const core = socket[CORE];
  return core.closed ? 0 : (core.engine.queuedBytes?.(routingId) ?? 0);
}

/**
 * Sends if there is room: of a Router, or of a Dealer with one peer, also before its connection.
 *
 * @param message unchecked frames that the socket then owns, for a Router with the routing id first
 */
export function deliverNow(socket: Dealer | Router, message: (Buffer | string)[]): DeliveryResult {
  const core = socket[CORE];
  return core.closed ? "gone" : core.outbox.tryDeliver(message);
}

/**
 * Passes a Subscriber's messages in undecoded batches: `receive` would cost a promise, a waiter and an array for each.
 *
 * @param reader must not throw, or keep an unpinned batch, because its memory is reused
 * @returns `false` if the engine cannot
 */
export function readBatches(socket: Subscriber, reader: (batch: FrameBatch) => void): boolean {
  const core = socket[CORE];
  const source = core.closed ? undefined : core.engine.relaySource;
  if (source === undefined) return false;
  void readAll(core, source, reader);
  return true;
}

async function readAll(
  core: SocketCore,
  source: RelaySource,
  reader: (batch: FrameBatch) => void,
): Promise<void> {
  const { counters } = core;
  const budget = new TurnBudget();
  await undefined; // The caller gets its result first.
  while (!core.closed) {
    const batch = source.takeBatch(MAX_READ);
    if (batch === undefined) {
      await core.whenReadable();
      continue;
    }
    const { messages } = batch;
    counters.received += messages;
    counters.bytesReceived += batch.tally.bodyBytes;
    reader(batch);
    batch.release();
    if (budget.spend(messages)) await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * Sends to one subscriber, in order with broadcasts. Not for `noDrop`, whose sends may wait.
 *
 * @param message frames, which the socket then owns
 * @returns `full` once half of the subscriber's high-water mark is queued; `wantWritable` reports room
 */
export function trySendTo(
  socket: XPublisher,
  subscriber: EngineSubscriber,
  message: readonly Buffer[],
): DeliveryResult {
  const core = socket[CORE];
  if (core.closed) return "gone";
  const result = subscriber.offer(message);
  if (result === OfferResult.Mute) return "full";
  if (result !== OfferResult.Accepted) return "gone";
  const { counters } = core;
  counters.sent += 1;
  counters.delivered += 1;
  for (let i = 0; i < message.length; i++) counters.bytesSent += (message[i] as Buffer).length;
  return "sent";
}

export type Received<M> = Pick<Readable<M>, "receive" | "receiveMany">;

/**
 * Calls of a Subscriber get what `decode` makes of a message. It is called when a call takes the message.
 *
 * @param decode must not throw; it may close the socket. `undefined`: the call gets the next message
 */
export function receiveAs<M>(socket: Subscriber, decode: (message: Buffer[]) => M | undefined): Received<M> {
  const core = socket[CORE];
  core.shape = {
    ...FRAMES,
    decode(message) {
      const decoded = core.closed ? undefined : decode(message);
      return core.closed ? undefined : decoded;
    },
  };
  return socket as Pick<Socket, never> as Received<M>;
}

// --- Peers as plain data, for the dashboard and a proxy's control socket ---------------------------------------------

export const MAX_PEERS_LISTED = 10_000;

export interface PeerView {
  /** Routing id as text or hexadecimal, else the address. */
  readonly name: string;
  /** Socket type, such as "pull", or "" if unknown. */
  readonly type: string;
  readonly address: string;
  /** Messages queued for the peer, and waiting from it. */
  readonly queuedOut: number;
  readonly queuedIn: number;
}

/** Up to 10,000 peers; empty if the engine does not report them. */
export function peerViews(socket: Socket): PeerView[] {
  const { closed, engine } = socket[CORE];
  return closed ? [] : (engine.listPeers?.(MAX_PEERS_LISTED).map(viewOf) ?? []);
}

function viewOf({ socketType, address, routingId, queuedOut, queuedIn }: EnginePeer): PeerView {
  return {
    name: routingId === undefined ? address : textOfId(routingId),
    type: socketType.toLowerCase(),
    address,
    queuedOut,
    queuedIn,
  };
}

/** Text if printable, else hexadecimal. */
function textOfId(id: Uint8Array): string {
  const text = Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
  return /^[ -~]+$/.test(text) ? text : `0x${Buffer.from(text, "latin1").toString("hex")}`;
}

/** Sockets of one owner by the kind of peers, such as "clients" and "workers". */
type OwnedSockets = Readonly<Record<string, Socket | undefined>>;

const owned = new WeakMap<object, () => OwnedSockets>();

/** @param sockets called at each listing */
export function ownSockets(owner: object, sockets: () => OwnedSockets): void {
  owned.set(owner, sockets);
}

/** An owner's sockets by the kind of their peers; empty for anything else. */
export function socketsOf(owner: unknown): Readonly<Record<string, Socket>> {
  const sockets = Object.entries(owned.get(owner as object)?.() ?? {});
  return Object.fromEntries(sockets.filter((each): each is [string, Socket] => each[1] !== undefined));
}
