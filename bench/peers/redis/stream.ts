/**
 * One way: the producer pushes to a list and the consumer pops from it, both in batches, as Redis recommends. Each
 * push returns the list's length, and the producer waits while it is too long.
 */
import { Bodies } from "../../bodies.js";
import { Receiving } from "../node/receiving.js";
import type { Side } from "../node/side.js";
import { type Client, open, placeOf, takeMany } from "./client.js";

/** Maximum messages in the list: as many as two high-water marks hold elsewhere, at most 32 MiB. */
const limitOf = (size: number) => Math.max(2, Math.min(2_000, Math.floor(2 ** 25 / size)));
const batchOf = (size: number) => Math.max(1, Math.floor(limitOf(size) / 20));
/** Pushes in flight. */
const PIPELINE = 4;

export async function consumer(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const client = await open(place);
  const { receiving, stream } = Receiving.one(side);
  await side.ready(place.endpoint);
  for (let isOver = false; !isOver; ) {
    const max = Math.min(batchOf(side.size), stream.room);
    for (const body of await takeMany(client, place.name, max)) isOver = stream.take(body);
  }
  await receiving.done();
  client.destroy();
}

export async function producer(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const client = await open(place);
  const bodies = new Bodies(side.size);
  const limit = limitOf(side.size);
  const batch = batchOf(side.size);
  const total = side.warmup + side.count;
  const pushes: Promise<number>[] = [];
  await side.ready();
  for (let k = 0; k < total; ) {
    const some: Buffer[] = [];
    for (const end = Math.min(total, k + batch); k < end; k++) {
      if (k === side.warmup) side.begin();
      some.push(bodies.make(k));
    }
    pushes.push(client.rPush(place.name, some));
    if (pushes.length < PIPELINE) continue;
    let length = (await pushes.shift()) as number;
    while (length > limit) length = await client.lLen(place.name);
  }
  await Promise.all(pushes);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  client.destroy();
}

/** The server holds unread messages of subscribers, without a limit here. */
export async function publisher(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const client = await open(place);
  const bodies = new Bodies(side.size);
  const batch = batchOf(side.size);
  await side.ready(place.endpoint);
  let last: Promise<number> | undefined;
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    last = client.publish(place.name, bodies.make(k));
    if (k % batch === batch - 1) await last;
  }
  await last;
  await side.done({ messages: side.count, bytes: side.count * side.size });
  client.destroy();
}

export async function subscriber(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const checkers = Array.from({ length: side.number("sockets", 1) }, () => side.checker());
  const receiving = new Receiving(side, checkers);
  const clients: Client[] = [];
  for (const stream of receiving.streams) {
    const client = await open(place);
    clients.push(client);
    await client.subscribe(place.name, (message) => void stream.take(message), true);
  }
  await side.ready();
  await receiving.done();
  for (const client of clients) client.destroy();
}
