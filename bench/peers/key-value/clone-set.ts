/** A client that puts values, and measures when its watch has them. */
import { type Asker, askOnSchedule } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import type { Place } from "./store.js";

/** More than are in flight, so that no put waits for an earlier one of its key. */
const KEYS = 50_000;

/** Creates the place, and removes it at the end; the server itself is a separate process. */
export async function server(side: Side, place: Place): Promise<void> {
  const store = await place.open();
  await side.ready(place.endpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await store.close();
  await place.remove();
}

export async function client(side: Side, place: Place): Promise<void> {
  const store = await place.open();
  const asker: Asker = {
    ask: (k, body) => void store.put(`set.${k % KEYS}`, body),
    onReply: () => undefined,
    close: () => store.close(),
  };
  await store.watch("set.", (_, value) => asker.onReply(value));
  await askOnSchedule(side, asker);
}
