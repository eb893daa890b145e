/**
 * One way. NATS does not slow a publisher down for a slow subscriber. So producers ask the consumer for credit once
 * per window, and continue while the answer is in flight: at most two windows are between them.
 */
import { Bodies } from "../../bodies.js";
import { StrideChecker } from "../../sequences.js";
import { Receiving, type Stream } from "../node/receiving.js";
import type { Side } from "../node/side.js";
import { bufferOf, type Connection, open, placeOf } from "./client.js";

const CREDIT_TIMEOUT = 30_000;
const NOTHING = new Uint8Array(0);

/** Messages of a window: as many as two high-water marks hold elsewhere, at most 8 MiB. */
const windowOf = (size: number) => Math.max(1, Math.min(1_000, Math.floor(2 ** 23 / size)));

/** Checks what comes of a subject. An error of the server ends the side. */
function receive(connection: Connection, subject: string, stream: Stream): void {
  connection.subscribe(subject, {
    callback(error, message) {
      if (error !== null) throw error;
      stream.take(bufferOf(message.data));
    },
  });
}

export async function consumer(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const connection = await open(place);
  const peers = side.number("peers", 1);
  const checker = peers === 1 ? side.checker() : new StrideChecker(side.size, side.warmup, side.count, peers);
  const { receiving, stream } = Receiving.one(side, checker);
  receive(connection, place.subject, stream);
  // The server keeps the order of one connection, so the answer shows that earlier messages were received.
  connection.subscribe(`${place.subject}.credit`, {
    callback: (_, message) => void message.respond(NOTHING),
  });
  await connection.flush();
  await side.ready(place.endpoint);
  await receiving.done();
  await connection.close();
}

export async function producer(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const count = side.number("sockets", 1);
  const peers = side.number("peers", 1);
  const connections = await Promise.all(Array.from({ length: count }, () => open(place)));
  const bodies = new Bodies(side.size);
  // The client keeps messages until its turn ends, so several clients have more in flight than are prepared.
  const make = (k: number): Buffer => (count === 1 ? bodies.make(k) : bodies.makeOwn(k));
  const window = windowOf(side.size);
  await side.ready();
  let sent = 0;
  const work = async (connection: Connection, sender: number) => {
    let credit: Promise<unknown> = Promise.resolve();
    for (let k = sender, n = 1; k < side.warmup + side.count; k += peers, n++) {
      if (k >= side.warmup && sent++ === 0) side.begin();
      connection.publish(place.subject, make(k));
      if (n % window !== 0) continue;
      await credit;
      credit = connection.request(`${place.subject}.credit`, NOTHING, { timeout: CREDIT_TIMEOUT });
    }
    await credit;
    await connection.flush();
  };
  await Promise.all(connections.map((connection, i) => work(connection, side.index * count + i)));
  await side.done({ messages: sent, bytes: sent * side.size });
  await Promise.all(connections.map((connection) => connection.close()));
}

/** Subscribers give no credit: the server holds unread messages, up to 1 GB each. */
export async function publisher(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const connection = await open(place);
  const bodies = new Bodies(side.size);
  const window = windowOf(side.size);
  await side.ready(place.endpoint);
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    connection.publish(place.subject, bodies.make(k));
    if (k % window === window - 1) await connection.flush();
  }
  await connection.flush();
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await connection.close();
}

export async function subscriber(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const checkers = Array.from({ length: side.number("sockets", 1) }, () => side.checker());
  const receiving = new Receiving(side, checkers);
  const connections: Connection[] = [];
  for (const stream of receiving.streams) {
    const connection = await open(place);
    receive(connection, place.subject, stream);
    await connection.flush();
    connections.push(connection);
  }
  await side.ready();
  await receiving.done();
  await Promise.all(connections.map((connection) => connection.close()));
}
