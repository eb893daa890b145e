/** Real processes, killed under load and started again: nothing that was acknowledged is lost or applied twice. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CloneClient } from "../../../src/patterns/index.js";
import { until, within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";

const KILLS = 60;
const KILLS_OF_ALL = 20;
const LIMIT = 1_200_000;
const HEARTBEAT = 250;
/** ms until a fail-over or a start must be through, on a busy machine. */
const PATIENCE = 20_000;

const SERVER = `
import { CloneLmdbStore, CloneServer } from "shoal/patterns";
const [role, endpoint, peer, store] = process.argv.slice(1);
const server = new CloneServer({
  pair: { role, peer },
  heartbeatInterval: ${HEARTBEAT},
  ...(store === undefined ? {} : { store: CloneLmdbStore.open(store) }),
});
server.events.on("peer:unmet", () => console.log("unmet"));
await server.bind(endpoint);
process.stdin.setEncoding("utf8").on("data", async (word) => {
  while (!(server.stats().serving && server.stats().replicated)) await new Promise((resolve) => setTimeout(resolve, 10));
  console.log("in step " + word.trim());
});
`;

const children = new Set<Child>();
/** What each of them said. */
const told = new Map<Child, Set<string>>();
const clients: CloneClient[] = [];
let folder = "";

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all([...children].map((child) => child.kill()));
  children.clear();
  told.clear();
  rmSync(folder, { recursive: true, force: true });
});

interface Pair {
  readonly endpoints: readonly [string, string];
  readonly servers: [Child, Child];
  begin(index: 0 | 1): void;
}

async function pair(stores: boolean): Promise<Pair> {
  folder = mkdtempSync(join(tmpdir(), "shoal-clone-chaos-"));
  const endpoints = ["p", "b"].map((name) => `ipc://${join(folder, name)}`) as unknown as [string, string];
  const begin = (index: 0 | 1): void => {
    const role = index === 0 ? "primary" : "backup";
    const args = [role, endpoints[index], endpoints[index === 0 ? 1 : 0] as string];
    if (stores) args.push(join(folder, `store-${role}`));
    const child = start(SERVER, { args: args as string[], limit: LIMIT });
    children.add(child);
    const lines = new Set<string>();
    told.set(child, lines);
    void (async () => {
      for (;;) lines.add(await child.line());
    })().catch(() => undefined); // Until it is killed.
    servers[index] = child;
  };
  const servers = [] as unknown as [Child, Child];
  begin(0);
  begin(1);
  await inStep(servers);
  return { endpoints, servers, begin };
}

async function kill(child: Child): Promise<void> {
  await child.kill();
  children.delete(child);
}

let asked = 0;

/** Waits until one of the servers serves and the other has everything. @returns which of them serves */
async function inStep(servers: readonly Child[]): Promise<0 | 1> {
  const answer = `in step ${++asked}`;
  for (const server of servers) server.tell(String(asked));
  const index = (): number => servers.findIndex((server) => told.get(server)?.has(answer));
  await until(() => index() >= 0, "a pair in step", PATIENCE);
  return index() as 0 | 1;
}

/** Sets keys of its own with growing numbers; knows what was acknowledged. */
class Load {
  readonly acknowledged = new Map<string, number>();
  count = 0;
  #stopped = false;
  readonly #running: Promise<unknown>;

  constructor(client: CloneClient, keys: number) {
    this.#running = Promise.all(Array.from({ length: keys }, (_, n) => this.#go(client, `/load/${n}`)));
    this.#running.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await within(this.#running, "the last sets", PATIENCE);
  }

  async #go(client: CloneClient, key: string): Promise<void> {
    for (let n = 1; !this.#stopped; n++) {
      await client.set(key, String(n), { timeout: PATIENCE });
      this.acknowledged.set(key, n);
      this.count += 1;
    }
  }
}

function connect(servers: readonly string[]): CloneClient {
  const client = new CloneClient(servers, { heartbeatInterval: HEARTBEAT });
  clients.push(client);
  return client;
}

/** Numbers never go back, at anybody's. */
function watch(client: CloneClient, faults: string[]): void {
  const numbers = new Map<string, number>();
  void (async () => {
    for await (const { key, value } of client.watch("/load/", { maxQueue: 1_000_000 })) {
      const number = Number(value ?? 0);
      const before = numbers.get(key) ?? 0;
      if (number < before) faults.push(`${key} from ${before} to ${number}`);
      numbers.set(key, number);
    }
  })();
}

test(
  "the server that serves is killed again and again under load",
  async () => {
    const { endpoints, servers, begin } = await pair(false);
    const [writer, reader] = [connect(endpoints), connect([...endpoints].reverse())];
    const faults: string[] = [];
    watch(reader, faults);
    await within(writer.ready(), "the map", PATIENCE);
    const load = new Load(writer, 8);
    for (let round = 0; round < KILLS; round++) {
      const before = load.count;
      await until(() => load.count > before + 50, "some sets", PATIENCE);
      const active = await inStep(servers);
      const other = active === 0 ? 1 : 0;
      await kill(servers[active]);
      await until(
        () => writer.stats().server === endpoints[other] && writer.state === "live",
        "the other serves",
        PATIENCE,
      );
      begin(active);
    }
    await load.stop();
    await until(
      () => reader.state === "live" && reader.sequence >= writer.sequence,
      "the reader has it all",
      PATIENCE,
    );
    for (const [key, number] of load.acknowledged) {
      expect(Number(writer.get(key))).toBe(number);
      expect(Number(reader.get(key))).toBe(number);
    }
    expect(faults).toEqual([]);
    expect(load.count).toBeGreaterThan(KILLS * 50);
  },
  LIMIT,
);

test(
  "both servers are killed at once, and their stores have everything",
  async () => {
    const { endpoints, servers, begin } = await pair(true);
    const client = connect(endpoints);
    await within(client.ready(), "the map", PATIENCE);
    const load = new Load(client, 8);
    for (let round = 0; round < KILLS_OF_ALL; round++) {
      const before = load.count;
      await until(() => load.count > before + 50, "some sets", PATIENCE);
      await Promise.all(servers.map(kill));
      begin(0);
      begin(1);
      await inStep(servers);
    }
    await load.stop();
    for (const [key, number] of load.acknowledged) expect(Number(client.get(key))).toBe(number);
    expect(load.count).toBeGreaterThan(KILLS_OF_ALL * 50);
  },
  LIMIT,
);

test(
  "of two stores the older one is not served, whichever server starts first, and takes over what the other has",
  async () => {
    const { endpoints, servers, begin } = await pair(true);
    const client = connect(endpoints);
    await client.set("k", "old", { timeout: PATIENCE });
    await kill(servers[0]);
    await client.set("k", "new", { timeout: PATIENCE });
    await kill(servers[1]);
    begin(0); // Its store is the older one, and it cannot know.
    await until(
      () => told.get(servers[0])?.has("unmet") === true,
      "the primary waits for the backup",
      PATIENCE,
    );
    expect(client.state).not.toBe("live");
    begin(1);
    expect(await inStep(servers)).toBe(1);
    await client.set("l", "1", { timeout: PATIENCE });
    expect([String(client.get("k")), client.stats().server]).toEqual(["new", endpoints[1]]);
    await kill(servers[1]);
    await client.set("l", "2", { timeout: PATIENCE }); // The primary has the backup's map by now.
    expect([String(client.get("k")), client.stats().server]).toEqual(["new", endpoints[0]]);
  },
  LIMIT,
);
