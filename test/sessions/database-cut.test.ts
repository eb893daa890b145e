/**
 * Servers of sessions whose database dies, stops, and loses connections while clients publish and read. The database itself is of the long form; a store
 * whose commits fail as a test says takes its place in the default run.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { StoreError } from "../../src/patterns/kit/store/error.js";
import { MAX_COMMIT_TRIES } from "../../src/sessions/bounds.js";
import {
  MemorySessionStore,
  PostgresSessionStore,
  SessionClient,
  SessionServer,
  type SessionServerEvent,
  type SessionStore,
} from "../../src/sessions/index.js";
import { PostgresProxy } from "../patterns/titanic/postgres-proxy.js";
import { PostgresServer } from "../patterns/titanic/postgres-server.js";
import { LONG } from "../support/long.js";
import { missing } from "../support/peers.js";

type StoreFailure = SessionServerEvent & { readonly type: "store:failed" };

const KILLS = 3;
const TOPICS = 4;

/** Closed in this order, after each test. */
const opened: { close(options?: { linger: number }): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close({ linger: 0 });
});

async function listen(store: SessionStore): Promise<{ server: SessionServer; endpoint: string }> {
  const server = new SessionServer({ store, pollInterval: 100 });
  opened.push(server);
  return { server, endpoint: await server.bind("tcp://127.0.0.1:0") };
}

function client(endpoints: string | readonly string[], id: string): SessionClient {
  const made = new SessionClient(endpoints, { id, timeout: -1, reconnectMaxInterval: 100 });
  opened.push(made);
  return made;
}

function failureOf(...servers: readonly SessionServer[]): Promise<StoreFailure> {
  return Promise.race(
    servers.map((server) => new Promise<StoreFailure>((done) => server.events.once("store:failed", done))),
  );
}

/** Reads and acknowledges until the client closes. */
class Reader {
  readonly received: string[] = [];
  readonly #waiting: { until: () => boolean; resolve(): void }[] = [];

  constructor(from: SessionClient) {
    void this.#read(from);
  }

  /** Settles when so many more have come. */
  more(count: number): Promise<void> {
    const enough = this.received.length + count;
    return this.has(() => this.received.length >= enough);
  }

  has(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  async #read(from: SessionClient): Promise<void> {
    for await (const message of from) {
      this.received.push(String(message.data));
      message.acknowledge();
      for (const { until, resolve } of this.#waiting) if (until()) resolve();
    }
  }
}

describe.skipIf(!LONG || missing("postgresql"))("servers whose database", () => {
  let database: PostgresServer;
  beforeAll(async () => {
    database = await PostgresServer.start();
  });
  afterAll(() => database?.stop());

  it("is killed three times under load, and then stands still, lose nothing that was published", async () => {
    const servers: SessionServer[] = [];
    const endpoints: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { connectionString } = database;
      const store = await PostgresSessionStore.open({ connectionString, timeout: 1_000 });
      opened.push(store);
      const { server, endpoint } = await listen(store);
      servers.push(server);
      endpoints.push(endpoint);
    }
    const failures: unknown[] = [];
    for (const server of servers) server.events.on("store:failed", ({ error }) => failures.push(error));
    const readerClient = client([...endpoints].reverse(), "reader");
    await readerClient.subscribe("load/+");
    const reader = new Reader(readerClient);
    const writer = client(endpoints, "writer");
    const settled: string[] = [];
    let isOver = false;
    const loops = Array.from({ length: TOPICS }, async (_, topic) => {
      for (let i = 0; !isOver; i++) {
        const text = `${topic} ${i}`;
        // Under its id it is kept once, though its answer is lost with the database.
        await writer.publish(`load/${topic}`, text, { id: text });
        settled.push(text);
      }
    });

    for (let kills = 0; kills < KILLS; kills++) {
      await reader.more(20);
      const failed = failureOf(...servers);
      await database.signal("SIGKILL");
      await failed;
      await database.run();
    }
    await reader.more(20);
    const failed = failureOf(...servers);
    await database.signal("SIGSTOP");
    const { error } = await failed;
    await database.signal("SIGCONT");
    expect(error).toBeInstanceOf(StoreError);
    await reader.more(20);
    isOver = true;
    await Promise.all(loops);
    const seen = new Set<string>();
    await reader.has(() => {
      for (const text of reader.received) seen.add(text);
      return settled.every((text) => seen.has(text));
    });

    for (const failure of failures) expect(failure).toBeInstanceOf(StoreError);
    // One program reads through all reconnections: it has each message once, and each topic in its order.
    for (let topic = 0; topic < TOPICS; topic++) {
      const numbers = reader.received
        .filter((text) => text.startsWith(`${topic} `))
        .map((text) => Number(text.split(" ")[1]));
      expect(numbers).toEqual(numbers.map((_, i) => i));
    }
  });

  it("answers no commit for a while ask again, and it is kept once when answers come again", async () => {
    const proxy = await PostgresProxy.start(database.port);
    opened.push({ close: () => proxy.stop() });
    const store = await PostgresSessionStore.open({
      connectionString: proxy.connectionString,
      table: "cut",
    });
    opened.push(store);
    const { server, endpoint } = await listen(store);
    const both = client(endpoint, "both");
    await both.subscribe("t");
    const reader = new Reader(both);
    // Each takes a new connection. What comes of as many as are tried is below.
    let cuts = 0;
    const stop = proxy.cutEach(/COMMIT/, "before it arrives", () => {
      cuts += 1;
      if (cuts === 8) stop();
    });
    const published = both.publish("t", "once");
    const first = await Promise.race([published, failureOf(server)]);
    expect(first).toEqual({ sessions: 1, duplicate: false });
    expect(cuts).toBe(8);
    await reader.more(reader.received.length === 0 ? 1 : 0);
    expect(reader.received).toEqual(["once"]);
  });
});

/** A store whose commits do what a test says. */
class ScriptedStore extends MemorySessionStore {
  result: () => boolean | undefined = () => undefined;

  override async commit(...commit: Parameters<MemorySessionStore["commit"]>): Promise<boolean> {
    return this.result() ?? super.commit(...commit);
  }
}

describe("a server of sessions", () => {
  it("fails a publication for which other servers were faster each time, and does not report it as done", async () => {
    const store = new ScriptedStore();
    const { server, endpoint } = await listen(store);
    const both = client(endpoint, "both");
    await both.subscribe("t");
    store.result = () => false;
    const published = both.publish("t", "once");
    const first = await Promise.race([published.then(() => "published"), failureOf(server)]);
    expect(first).toMatchObject({ error: { code: "ERR_STORE", reason: "overloaded" } });
    store.result = () => undefined;
    expect(await published).toEqual({ sessions: 1, duplicate: false });
  });

  it("reports a publication as not done, whose commits nobody answered, and keeps it when answers come again", async () => {
    const store = new ScriptedStore();
    const { server, endpoint } = await listen(store);
    const both = client(endpoint, "both");
    await both.subscribe("t");
    let tries = 0;
    store.result = () => {
      tries += 1;
      throw new StoreError("outcome-unknown", "no answer");
    };
    const published = both.publish("t", "once");
    const first = await Promise.race([published.then(() => "published"), failureOf(server)]);
    expect(first).toMatchObject({ error: { code: "ERR_STORE", reason: "outcome-unknown" } });
    expect(tries).toBeGreaterThanOrEqual(MAX_COMMIT_TRIES);
    store.result = () => undefined;
    expect(await published).toEqual({ sessions: 1, duplicate: false });
  });

  it("reports that the store failed while it closes: sessions that it could not give back, and its own sign of life", async () => {
    const store = new ScriptedStore();
    const { server, endpoint } = await listen(store);
    await client(endpoint, "one").ready();
    const errors: unknown[] = [];
    server.events.on("store:failed", ({ error }) => errors.push(error));
    const broken = new StoreError("failed", "broken");
    store.result = () => {
      throw broken;
    };
    await server.close();
    // The session, what waits for it, and `leave`.
    expect(errors).toEqual([broken, broken, broken]);
  });
});
