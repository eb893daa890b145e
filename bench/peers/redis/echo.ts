/** Request and reply over lists: one for requests, one for each client's replies. */
import { Bodies, type Checker } from "../../bodies.js";
import { sumOfChecksums } from "../../sequences.js";
import { Latencies } from "../node/histogram.js";
import type { Side } from "../node/side.js";
import { type Client, open, placeOf, takeOne } from "./client.js";

/** Digits of the client before a request's body: the envelope. */
const ENVELOPE = 8;

/** In the scenario latency the number of requests is known; in the others the server works until it is stopped. */
export async function server(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const client = await open(place);
  const total = side.scenario === "latency" ? side.warmup + side.count : Number.POSITIVE_INFINITY;
  let echoed = 0;
  let stopping = false;
  void side.stopped.then(async () => {
    stopping = true;
    const other = await open(place);
    await other.rPush(place.name, Buffer.alloc(0)); // Wakes it, as it may wait for a request.
    other.destroy();
  });
  await side.ready(place.endpoint);
  while (echoed < total && !stopping) {
    const message = await takeOne(client, place.name);
    if (message.length === 0) break;
    const from = message.toString("latin1", 0, ENVELOPE);
    // Not awaited: the next pop follows on the same connection.
    void client.rPush(`${place.name}:${from}`, message.subarray(ENVELOPE));
    echoed++;
  }
  const messages = echoed === total ? side.count : echoed;
  await side.done({ messages, bytes: messages * side.size });
  client.destroy();
}

/** Each connection has one request in flight. Count and warm-up are per connection. */
export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const count = side.number("sockets", 1);
  const clients = await Promise.all(Array.from({ length: count }, () => open(place)));
  const checkers = clients.map(() => side.checker());
  const latencies = new Latencies();
  const bodies = new Bodies(side.size);
  let warmedUp = 0;
  await side.ready();
  const ask = async (redis: Client, checker: Checker, number: number) => {
    const envelope = Buffer.from(String(number).padStart(ENVELOPE, "0"));
    const replies = `${place.name}:${envelope.toString()}`;
    for (let k = 0; k < side.warmup + side.count; k++) {
      const message = Buffer.concat([envelope, bodies.make(k)]);
      const from = process.hrtime.bigint();
      void redis.rPush(place.name, message);
      const reply = await takeOne(redis, replies);
      const nanoseconds = Number(process.hrtime.bigint() - from);
      checker.take(reply);
      if (k >= side.warmup) latencies.record(nanoseconds);
      else if (++warmedUp === count * side.warmup) side.begin();
    }
  };
  await Promise.all(clients.map((redis, i) => ask(redis, checkers[i] as Checker, side.index * count + i)));
  side.end();
  const messages = count * side.count;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map((checker) => checker.checksum)),
    ordered: checkers.every((checker) => checker.ordered),
    latency: latencies.table,
  });
  for (const redis of clients) redis.destroy();
}
