/** Servers of sessions on nodes in processes of their own, killed with -9 under load, on each store that outlives a process. */

import { afterEach, describe, expect, it } from "vitest";
import { SessionClient, type SessionMessage } from "../../src/sessions/index.js";
import { PostgresServer } from "../patterns/titanic/postgres-server.js";
import { type Child, start } from "../process/child.js";
import { removeAfterEach } from "../support/folders.js";
import { missing } from "../support/peers.js";
import { freePort } from "../support/ports.js";

/** Servers killed, for each store. */
const KILLS = 24;
/** Messages between a kill and the next one. */
const BETWEEN = 20;
/** Kills between two lines of progress. */
const REPORTED = 12;
const LIMIT = 60_000 + KILLS * 20_000;
const PORT = await freePort();

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
import { LmdbSessionStore, PostgresSessionStore, SessionServer } from "shoal/sessions";
const [kind, where, endpoint, name, cluster, port] = process.argv.slice(1);
const node = new ClusterNode({ name, cluster, multicast: { port: Number(port) }, registry: false });
await node.start();
const open = {
  lmdb: () => LmdbSessionStore.open(where),
  postgres: () => PostgresSessionStore.open({ connectionString: where }),
};
const store = await open[kind]();
const server = new SessionServer({ node, store, pollInterval: 200 });
console.log("at " + (await server.bind(endpoint)));
`;

const makeFolder = removeAfterEach();
const children = new Set<Child>();
const clients: SessionClient[] = [];
let made = 0;

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close({ linger: 0 })));
  for (const child of children) await child.kill();
  children.clear();
});

/** Where a server is, and after each kill the next one. */
interface Place {
  readonly endpoint: string;
  /** Settles when it listens. */
  child: Promise<Child>;
}

function client(places: readonly Place[], id: string): SessionClient {
  const endpoints = places.map(({ endpoint }) => endpoint);
  const result = new SessionClient(endpoints, { id, timeout: -1 });
  clients.push(result);
  return result;
}

/** A client that has the session of another one. That one may just be connecting again, and take it back: then the next one tries. */
async function takeOver(from: SessionClient, make: () => SessionClient): Promise<SessionClient> {
  const ended = (each: SessionClient): Promise<SessionClient> =>
    new Promise((resolve) => each.events.once("session:ended", () => resolve(each)));
  const over = ended(from);
  for (;;) {
    const next = make();
    if ((await Promise.race([over, ended(next)])) === from) return next;
    await next.close({ linger: 0 });
  }
}

async function run(kind: string, where: string): Promise<void> {
  const cluster = `sessions-${process.pid}-${made}`;
  const listen = async (endpoint: string): Promise<{ readonly endpoint: string; readonly child: Child }> => {
    made += 1;
    const args = [kind, where, endpoint, `server${made}`, cluster, String(PORT)];
    const child = start(PROGRAM, { args, limit: LIMIT });
    children.add(child);
    return { endpoint: (await child.line()).slice("at ".length), child };
  };
  const place = async (): Promise<Place> => {
    // Servers come back to it.
    const { endpoint, child } = await listen(`tcp://127.0.0.1:${await freePort()}`);
    return { endpoint, child: Promise.resolve(child) };
  };
  const places = await Promise.all(Array.from({ length: 3 }, place));

  const writer = client(places, "writer");
  let reader = client([...places].reverse(), "reader");
  await reader.subscribe("load/#");
  const published: string[] = [];
  let isOver = false;
  const loops = Array.from({ length: 8 }, async (_, topic) => {
    for (let i = 0; !isOver; i++) {
      const text = `${topic} ${i}`;
      await writer.publish(`load/${topic}`, text, { id: text });
      published.push(text);
    }
  });
  const received: string[] = [];
  const acknowledged = new Set<string>();
  let waits: (() => void)[] = [];
  const read = async (): Promise<void> => {
    for await (const message of reader as AsyncIterable<SessionMessage>) {
      const text = String(message.data);
      received.push(text);
      // What an earlier program of the session has acknowledged may come again: the store had not heard of it.
      if (acknowledged.has(text)) expect(message.redelivered).toBe(true);
      acknowledged.add(text);
      message.acknowledge();
      for (const wait of waits.splice(0)) wait();
    }
  };
  let reading = read();
  const after = async (count: number): Promise<void> => {
    const until = received.length + count;
    while (received.length < until) await new Promise<void>((resolve) => waits.push(resolve));
  };
  let slowest = 0;
  const report = (kills: number): void => {
    const twice = received.length - acknowledged.size;
    console.info(
      `${kind}: ${published.length} publications, ${kills} kills, ${twice} came twice, slowest ${slowest.toFixed(0)} ms`,
    );
  };
  for (let kills = 0; kills < KILLS; kills++) {
    const victim = places[kills % places.length] as Place;
    // The one killed last may not listen again yet; the one before that does, and takes over.
    const [child] = await Promise.all([victim.child, places[(kills + 1) % places.length]?.child]);
    await after(BETWEEN);
    await child.kill();
    children.delete(child);
    victim.child = listen(victim.endpoint).then((next) => next.child);
    const since = performance.now();
    await after(1);
    slowest = Math.max(slowest, performance.now() - since);
    if (kills % 2 === 1) {
      // The reader's program is killed, too: another one opens its session while that one's connection stands.
      const before = reader;
      reader = await takeOver(before, () => client(places, "reader"));
      await reading.catch((error: unknown) => expect(error).toMatchObject({ reason: "taken" }));
      await before.close({ linger: 0 });
      reading = read();
    }
    if ((kills + 1) % REPORTED === 0) report(kills + 1);
  }
  await Promise.all(places.map((each) => each.child));
  isOver = true;
  await Promise.all(loops);
  const last = await writer.publish("load/last", "last");
  expect(last.sessions).toBe(1);
  while (!acknowledged.has("last")) await new Promise<void>((resolve) => waits.push(resolve));
  waits = [];
  await reader.close();
  await reading;

  // Nothing that was acknowledged to the publisher is lost.
  expect(published.filter((text) => !acknowledged.has(text))).toEqual([]);
  // Once, but for what a program of the session had not reported when it was killed: its window at most.
  const seen = new Set<string>();
  const firsts = received.filter((text) => !seen.has(text) && seen.add(text));
  expect(received.length - firsts.length).toBeLessThanOrEqual((KILLS / 2) * 256);
  // In order.
  for (let topic = 0; topic < 8; topic++) {
    const numbers = firsts
      .filter((text) => text.startsWith(`${topic} `))
      .map((text) => Number(text.split(" ")[1]));
    expect(numbers).toEqual(numbers.map((_, i) => i));
  }
  report(KILLS);
}

describe("servers killed with -9 under load lose nothing", () => {
  it("on LMDB", { timeout: LIMIT }, () => run("lmdb", makeFolder()));

  it.skipIf(missing("postgresql"))(
    "in PostgreSQL",
    async () => {
      const server = await PostgresServer.start();
      try {
        await run("postgres", server.connectionString);
      } finally {
        await server.stop();
      }
    },
    LIMIT,
  );
});
