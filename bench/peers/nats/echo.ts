/** Request and reply in NATS: a reply subject for each request. */
import { Bodies, type Checker } from "../../bodies.js";
import { sumOfChecksums } from "../../sequences.js";
import { Latencies } from "../node/histogram.js";
import { type Asker, askPipelined } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { bufferOf, type Connection, open, placeOf } from "./client.js";

const TIMEOUT = 30_000;

/** In the scenario latency the number of requests is known; in the others the server works until it is stopped. */
export async function server(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const connection = await open(place);
  const total = side.scenario === "latency" ? side.warmup + side.count : Number.POSITIVE_INFINITY;
  let echoed = 0;
  let all: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => (all = resolve));
  connection.subscribe(place.subject, {
    callback(_, message) {
      message.respond(message.data);
      if (++echoed === total) all();
    },
  });
  await connection.flush();
  await side.ready(place.endpoint);
  await Promise.race([side.stopped, answered]);
  const messages = echoed === total ? side.count : echoed;
  await side.done({ messages, bytes: messages * side.size });
  await connection.close();
}

/** Each connection has one request in flight. Count and warm-up are per connection. */
export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const count = side.number("sockets", 1);
  const connections = await Promise.all(Array.from({ length: count }, () => open(place)));
  const checkers = connections.map(() => side.checker());
  const latencies = new Latencies();
  const bodies = new Bodies(side.size);
  let warmedUp = 0;
  await side.ready();
  const ask = async (connection: Connection, checker: Checker) => {
    for (let k = 0; k < side.warmup + side.count; k++) {
      const body = bodies.make(k);
      const from = process.hrtime.bigint();
      const reply = await connection.request(place.subject, body, { timeout: TIMEOUT });
      const nanoseconds = Number(process.hrtime.bigint() - from);
      checker.take(reply.data);
      if (k >= side.warmup) latencies.record(nanoseconds);
      else if (++warmedUp === count * side.warmup) side.begin();
    }
  };
  await Promise.all(connections.map((connection, i) => ask(connection, checkers[i] as Checker)));
  side.end();
  const messages = count * side.count;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map((checker) => checker.checksum)),
    ordered: checkers.every((checker) => checker.ordered),
    latency: latencies.table,
  });
  await Promise.all(connections.map((connection) => connection.close()));
}

/** One connection with several requests in flight. */
export async function asker(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const connection = await open(place);
  const asking: Asker = {
    ask(_, body) {
      void connection
        .request(place.subject, body, { timeout: TIMEOUT })
        .then(({ data }) => asking.onReply(bufferOf(data)));
    },
    onReply: () => undefined,
    close: () => connection.close(),
  };
  await askPipelined(side, asking);
}
