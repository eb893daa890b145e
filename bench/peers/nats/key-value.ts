/** NATS's key-value store, in memory: a set is over when the client's own watch has its value. */

import { type Asker, askOnSchedule } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { bufferOf, open, placeOf, type Store } from "./client.js";

/** More than are under way: of a key, a watch that lags behind sees the last value only. */
const KEYS = 50_000;

/** Makes the bucket, and removes it in the end. */
export async function server(side: Side): Promise<void> {
  const place = placeOf(side, true);
  const connection = await open(place);
  const store = await connection.jetstream().views.kv(place.subject, { storage: "memory" });
  await side.ready(place.endpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await store.destroy();
  await connection.close();
}

async function hear(store: Store, asker: Asker): Promise<void> {
  for await (const { value } of await store.watch()) asker.onReply(bufferOf(value));
}

export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const connection = await open(place);
  const store = await connection.jetstream().views.kv(place.subject, { bindOnly: true });
  const asker: Asker = {
    ask: (k, body) => void store.put(`bench.${k % KEYS}`, body),
    onReply: () => undefined,
    close: () => connection.close(),
  };
  void hear(store, asker);
  await askOnSchedule(side, asker);
}
