/** A clone's server, and a client that sets keys and then checks its own map. */
import { CloneClient, CloneServer } from "shoal/patterns";
import type { Side } from "../side.js";
import { type Asker, askOnSchedule } from "./asking.js";
import type { Role, Roles } from "./role.js";

/** More than are in flight: sets of one key would wait for each other. */
const KEYS = 50_000;

const server: Role = async (side) => {
  const clone = new CloneServer();
  const endpoint = await clone.bind(side.endpoint);
  await side.ready(endpoint);
  await side.stopped;
  const { applied } = clone.stats();
  await side.done({ messages: applied, bytes: applied * side.size });
  await clone.close();
};

function asker(clone: CloneClient): Asker {
  // Prepared, since V8 caches the texts of recent numbers: new texts would survive a collection and lengthen it.
  const keys = Array.from({ length: KEYS }, (_, i) => `/bench/${i}`);
  const self: Asker = {
    ask(k, body) {
      const key = keys[k % KEYS] as string;
      void clone.set(key, body).then(() => self.onReply(clone.get(key) as Buffer));
    },
    onReply: () => undefined,
    close: () => clone.close(),
  };
  return self;
}

const client: Role = async (side: Side) => {
  const clone = new CloneClient(side.endpoint, { maxPending: KEYS });
  await clone.ready();
  await askOnSchedule(side, asker(clone));
};

export const roles: Roles = { server, client };
