/** A server of sessions, and a client that publishes to its own session. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  LmdbSessionStore,
  MemorySessionStore,
  PostgresSessionStore,
  SessionClient,
  SessionServer,
  type SessionStore,
} from "shoal/sessions";
import type { Side } from "../side.js";
import { type Asker, askPipelined } from "./asking.js";
import type { Role, Roles } from "./role.js";

const TOPIC = "bench";

/** @param folder for a store on disk */
async function storeOf(side: Side, folder: string): Promise<SessionStore> {
  switch (side.option("store", "memory")) {
    case "lmdb":
      return LmdbSessionStore.open(folder);
    case "postgres":
      return PostgresSessionStore.open({ table: `bench_${process.pid}` });
    default:
      return new MemorySessionStore();
  }
}

const server: Role = async (side) => {
  const folder = await mkdtemp(join(tmpdir(), "shoal-bench-sessions-"));
  const store = await storeOf(side, folder);
  const sessions = new SessionServer({ store });
  await side.ready(await sessions.bind(side.endpoint));
  await side.stopped;
  const { acknowledged } = sessions.stats();
  await side.done({ messages: acknowledged, bytes: acknowledged * side.size });
  await sessions.close();
  await store.close();
  await rm(folder, { recursive: true });
};

const client: Role = async (side) => {
  const session = new SessionClient(side.endpoint, {
    id: "bench",
    maxUnacknowledged: 1_024,
    timeout: 60_000,
  });
  await session.subscribe(TOPIC);
  const asker: Asker = {
    ask: (_, body) => void session.publish(TOPIC, body),
    onReply: () => undefined,
    close: () => session.close(),
  };
  void (async () => {
    for await (const message of session) {
      message.acknowledge();
      asker.onReply(message.data);
    }
  })();
  await askPipelined(side, asker);
};

export const roles: Roles = { server, client };
