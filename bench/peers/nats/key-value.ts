/** NATS's key-value store over JetStream, in memory, with one bucket per run. */

import type { Place, Store } from "../key-value/store.js";
import type { Side } from "../node/side.js";
import { bufferOf, open, placeOf } from "./client.js";

/** Kept values of a key. A slower watch misses values; the readers' credit keeps it within three. */
const HISTORY = 10;

async function storeOf(
  place: { servers: string; subject: string; endpoint: string },
  makes: boolean,
): Promise<Store> {
  const connection = await open(place);
  const options = makes ? ({ storage: "memory", history: HISTORY } as const) : { bindOnly: true };
  const bucket = await connection.jetstream().views.kv(place.subject, options);
  return {
    put: (key, value) => bucket.put(key, value),
    async watch(prefix, changed) {
      const changes = await bucket.watch({ key: `${prefix}>` });
      void (async () => {
        for await (const { key, value } of changes) changed(key, bufferOf(value));
      })();
    },
    close: () => connection.close(),
  };
}

/**
 * The bucket of a run.
 * @param binds whether this side creates it
 */
export function bucketOf(side: Side, binds: boolean): Place {
  const place = placeOf(side, binds);
  return {
    endpoint: place.endpoint,
    open: () => storeOf(place, binds),
    async remove() {
      const connection = await open(place);
      await (await connection.jetstream().views.kv(place.subject, { bindOnly: true })).destroy();
      await connection.close();
    },
  };
}
