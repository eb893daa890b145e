/**
 * One way: the producer pushes to a list and the consumer pops from it, both in batches, as Redis recommends. Each
 * push returns the list's length, and the producer waits while it is too long.
 */
import { Bodies } from "../../bodies.js";
import { sumOfChecksums } from "../../sequences.js";
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
  const checker = side.checker();
  const total = side.warmup + side.count;
  const first = Math.max(1, side.warmup);
  const batch = batchOf(side.size);
  await side.ready(place.endpoint);
  for (let seen = 0; seen < total; ) {
    const max = Math.min(batch, seen < first ? first - seen : total - seen);
    const bodies = await takeMany(client, place.name, max);
    for (const body of bodies) checker.take(body);
    seen += bodies.length;
    if (seen === first) side.begin();
  }
  side.end();
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
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
    for (const end = Math.min(total, k + batch); k < end; k++) some.push(bodies.make(k));
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
    last = client.publish(place.name, bodies.make(k));
    if (k % batch === batch - 1) await last;
  }
  await last;
  await side.done({ messages: side.count, bytes: side.count * side.size });
  client.destroy();
}

export async function subscriber(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const total = side.warmup + side.count;
  const first = Math.max(1, side.warmup);
  const checkers = Array.from({ length: side.number("sockets", 1) }, () => side.checker());
  const clients: Client[] = [];
  const finished: Promise<void>[] = [];
  let warm = false;
  for (const checker of checkers) {
    const client = await open(place);
    clients.push(client);
    let seen = 0;
    let resolve: () => void = () => undefined;
    finished.push(new Promise((settle) => (resolve = settle)));
    await client.subscribe(
      place.name,
      (message) => {
        checker.take(message);
        if (++seen === first && !warm) {
          warm = true;
          side.begin();
        }
        if (seen === total) resolve();
      },
      true,
    );
  }
  await side.ready();
  await Promise.all(finished);
  side.end();
  const messages = side.count * checkers.length;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map((checker) => checker.checksum)),
    ordered: checkers.every((checker) => checker.ordered),
  });
  for (const client of clients) client.destroy();
}
