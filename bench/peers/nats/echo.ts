/** Request and reply in NATS: a reply subject for each request. */
import { type Asker, askInTurn, askPipelined, type RoundTrip } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { bufferOf, open, placeOf } from "./client.js";

const TIMEOUT = 30_000;

/** Echoes until it is stopped. */
export async function server(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const connection = await open(place);
  let echoed = 0;
  connection.subscribe(place.subject, {
    callback(_, message) {
      message.respond(message.data);
      echoed += 1;
    },
  });
  await connection.flush();
  await side.ready(place.endpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await connection.close();
}

export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const count = side.number("sockets", 1);
  const connections = await Promise.all(Array.from({ length: count }, () => open(place)));
  const roundTrips = connections.map(
    (connection): RoundTrip =>
      async (body) => {
        return (await connection.request(place.subject, body, { timeout: TIMEOUT })).data;
      },
  );
  await askInTurn(side, roundTrips);
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
