/** Request and reply over lists: one for requests, one for each client's replies. */
import { askInTurn, type RoundTrip } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { open, placeOf, takeOne } from "./client.js";

/** Digits of the client before a request's body: the envelope. */
const ENVELOPE = 8;

/** Echoes until it is stopped. */
export async function server(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const client = await open(place);
  let echoed = 0;
  let stopping = false;
  void side.stopped.then(async () => {
    stopping = true;
    const other = await open(place);
    await other.rPush(place.name, Buffer.alloc(0)); // Wakes it, as it may wait for a request.
    other.destroy();
  });
  await side.ready(place.endpoint);
  while (!stopping) {
    const message = await takeOne(client, place.name);
    if (message.length === 0) break;
    const from = message.toString("latin1", 0, ENVELOPE);
    // Not awaited: the next pop follows on the same connection.
    void client.rPush(`${place.name}:${from}`, message.subarray(ENVELOPE));
    echoed++;
  }
  await side.done({ messages: echoed, bytes: echoed * side.size });
  client.destroy();
}

export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const count = side.number("sockets", 1);
  const clients = await Promise.all(Array.from({ length: count }, () => open(place)));
  const roundTrips = clients.map((redis, i): RoundTrip => {
    const envelope = Buffer.from(String(side.index * count + i).padStart(ENVELOPE, "0"));
    const replies = `${place.name}:${envelope.toString()}`;
    return (body) => {
      void redis.rPush(place.name, Buffer.concat([envelope, body]));
      return takeOne(redis, replies);
    };
  });
  await askInTurn(side, roundTrips);
  for (const redis of clients) redis.destroy();
}
