/** A client that puts, and looks when its own watch has the value. */
import { type Asker, askOnSchedule } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import type { Place } from "./store.js";

/** More than are under way: nobody waits for the put of a key before. */
const KEYS = 50_000;

/** Makes the place, and removes it in the end; the server itself is a process of its own. */
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
