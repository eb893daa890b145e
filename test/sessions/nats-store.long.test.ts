import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { StoreError } from "../../src/patterns/kit/store/error.js";
import { NatsSessionStore, type NatsSessionStoreOptions } from "../../src/sessions/nats-store.js";
import { missing } from "../support/peers.js";
import { NatsServers } from "./nats-servers.js";
import { sessionStoreContract } from "./store-contract.js";

/** Kills of a server that is alone. */
const KILLS = 60;
/** Kills in a cluster: without a leader it waits for an election, of four to nine seconds with nats-server 2.9. */
const CLUSTER_KILLS = 9;
/** ms between two questions whether a server has caught up, for which there is no event. */
const INTERVAL = 50;
const ALL = { from: "a", to: "z", limit: 100_000, maxBytes: 100_000_000 };

const opened: NatsSessionStore[] = [];
let streams = 0;

async function open(servers: NatsServers, options: NatsSessionStoreOptions): Promise<NatsSessionStore> {
  const store = await NatsSessionStore.open({ servers: servers.servers, ...options });
  opened.push(store);
  return store;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
});

/** A call of JetStream's interface, as an operator makes it. */
async function callJetStream(servers: NatsServers, call: string, body: object = {}): Promise<unknown> {
  const { connect } = createRequire(import.meta.url)("@nats-io/transport-node") as {
    connect(options: object): Promise<{
      request(subject: string, payload: string): Promise<{ json(): unknown }>;
      close(): Promise<void>;
    }>;
  };
  const connection = await connect({ servers: servers.servers.split(",") });
  try {
    return (await connection.request(`$JS.API.${call}`, JSON.stringify(body))).json();
  } finally {
    await connection.close();
  }
}

/**
 * Waits until the stream has a leader, and all others have what it has. nats-server 2.9 loses the end of a stream where the next
 * one is killed before: what it loses is reported (docs/sessions.md), and not kept.
 */
async function caughtUp(servers: NatsServers): Promise<void> {
  for (;;) {
    const { cluster } = (await callJetStream(servers, "STREAM.INFO.sessions")) as {
      cluster?: { leader?: string; replicas: { current: boolean; offline?: boolean; lag?: number }[] };
    };
    const isCurrent = cluster?.replicas.every(
      ({ current, offline, lag = 0 }) => current && !offline && lag === 0,
    );
    if (cluster?.leader !== undefined && isCurrent === true) return;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

/** Adds one, until it has. @returns whether it is known to be done once */
async function increment(store: NatsSessionStore, key: string): Promise<boolean> {
  for (;;) {
    const [entry] = await store.read([key]);
    const value = Buffer.from(String(Number(entry?.value ?? 0) + 1));
    try {
      if (await store.commit([{ key, version: entry?.version ?? 0 }], [{ key, value }])) return true;
    } catch (error) {
      if (error instanceof StoreError && error.reason === "outcome-unknown") return false;
      throw error;
    }
  }
}

/** Writers that add keys and count in a shared one while `disturb` runs; then all that was acknowledged has to be there. */
async function underLoad(
  stores: readonly NatsSessionStore[],
  disturb: (progress: (count: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  const kept: string[] = [];
  let [isOver, counted, unknown] = [false, 0, 0];
  let waits: { readonly count: number; resolve(): void }[] = [];
  const step = async (store: NatsSessionStore, key: string): Promise<void> => {
    try {
      if (await store.commit([{ key, version: 0 }], [{ key, value: Buffer.alloc(200, key) }])) kept.push(key);
      if (await increment(store, "counter")) counted += 1;
      else unknown += 1;
    } catch (error) {
      // No server answers for longer than a call may take: said, and tried again.
      if (!(error instanceof StoreError)) throw error;
      if (error.reason === "outcome-unknown") unknown += 1;
      else expect(error.reason).toBe("failed");
    }
    for (const { count, resolve } of waits) if (kept.length >= count) resolve();
    waits = waits.filter(({ count }) => kept.length < count);
  };
  const loops = stores.flatMap((store, at) =>
    Array.from({ length: 3 }, async (_, loop) => {
      for (let i = 0; !isOver; i++) await step(store, `k/${at}/${loop}/${i}`);
    }),
  );
  await disturb((more) => {
    const count = kept.length + more;
    return new Promise((resolve) => waits.push({ count, resolve }));
  });
  isOver = true;
  await Promise.all(loops);
  for (const store of stores) {
    const found = new Set((await store.scan(ALL)).map(({ key }) => key));
    expect(kept.filter((key) => !found.has(key))).toEqual([]);
    const [counter] = await store.read(["counter"]);
    expect(Number(counter?.value)).toBeGreaterThanOrEqual(counted);
    expect(Number(counter?.value)).toBeLessThanOrEqual(counted + unknown);
  }
}

describe.skipIf(missing("nats-server"))("sessions in NATS JetStream", () => {
  let servers: NatsServers;
  const stream = (): string => `sessions-${streams}`;
  beforeAll(async () => {
    servers = await NatsServers.start();
  }, 30_000);
  afterAll(async () => {
    await servers?.stop();
  });

  describe.each(["quorum", "leader"] as const)("with reads by %s, as every store", (reads) => {
    sessionStoreContract((isFirst) => {
      if (isFirst) streams += 1;
      return NatsSessionStore.open({ servers: servers.servers, stream: stream(), reads });
    }, true);
  });

  it("keeps values that are larger than a message, of several servers at a time", async () => {
    streams += 1;
    const stores = [
      await open(servers, { stream: stream() }),
      await open(servers, { stream: stream() }),
    ] as const;
    const value = (i: number): Buffer => Buffer.alloc(1_500_000, i);
    const committed = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        (stores[i % 2] as NatsSessionStore).commit([], [{ key: `k/${i}`, value: value(i) }]),
      ),
    );
    expect(committed).toEqual(Array(6).fill(true));
    for (const store of [...stores, await open(servers, { stream: stream() })])
      for (const [i, { value: found }] of (await store.scan(ALL)).entries())
        expect(found.equals(value(i))).toBe(true);
  });

  it("purges what snapshots stand for, while several servers write, and one begins to read", async () => {
    streams += 1;
    const options = { stream: stream(), snapshotInterval: 65_536 };
    const stores = [await open(servers, options), await open(servers, options)];
    const written = new Map<string, string>();
    let done = 0;
    const snapshots = (): number => stores.reduce((sum, store) => sum + store.stats().snapshots, 0);
    const loops = stores.map(async (store, at) => {
      for (let i = 0; snapshots() < 3; i++) {
        const key = `k/${at}/${i % 50}`;
        const value = `${i} ${"x".repeat(1_000)}`;
        expect(await store.commit([], [{ key, value: Buffer.from(value) }])).toBe(true);
        written.set(key, value);
        done += 1;
      }
    });
    const readers: Promise<void>[] = [];
    for (let i = 0; i < 5; i++) {
      const late = await open(servers, options);
      const least = done;
      readers.push(
        late.read(["k/0/0"]).then(() => expect(late.stats().sequence).toBeGreaterThanOrEqual(least)),
      );
    }
    await Promise.all([...loops, ...readers]);
    for (const store of [...stores, await open(servers, options)]) {
      const found = await store.scan(ALL);
      expect(new Map(found.map(({ key, value }) => [key, value.toString()]))).toEqual(written);
    }
    const info = (await callJetStream(servers, `STREAM.INFO.${stream()}`)) as {
      state: { first_seq: number; bytes: number };
    };
    expect(info.state.first_seq).toBeGreaterThan(1);
    expect(stores.map((store) => store.stats().snapshotError)).toEqual([undefined, undefined]);
  });

  it("keeps nothing new past its bytes, and still removes", async () => {
    streams += 1;
    const store = await open(servers, { stream: stream(), maxBytes: 1_048_576 });
    await store.commit([], [{ key: "a", value: Buffer.alloc(1_000_000) }]);
    const more = store.commit([], [{ key: "b", value: Buffer.alloc(100_000) }]);
    await expect(more).rejects.toMatchObject({ code: "ERR_STORE", reason: "full" });
    expect(await store.commit([], [{ key: "a", value: undefined }])).toBe(true);
    expect(await store.commit([], [{ key: "b", value: Buffer.alloc(100_000) }])).toBe(true);
  });

  it("reports that the stream was removed, purged by others, or is not one of sessions", async () => {
    streams += 1;
    const store = await open(servers, { stream: stream() });
    const impatient = await open(servers, { stream: stream(), timeout: 300 });
    await store.commit([], [{ key: "a", value: Buffer.from("1") }]);
    await callJetStream(servers, `STREAM.PURGE.${stream()}`);
    await expect(open(servers, { stream: stream() })).rejects.toMatchObject({ reason: "damaged" });
    await callJetStream(servers, `STREAM.DELETE.${stream()}`);
    await expect(impatient.commit([], [{ key: "a", value: Buffer.from("2") }])).rejects.toMatchObject({
      reason: "failed",
      cause: { message: expect.stringMatching(/no leader|not found/) },
    });
    const next = await open(servers, { stream: stream() });
    for (let i = 0; i < 3; i++) await next.commit([], [{ key: "b", value: Buffer.from("1") }]);
    // The earlier one notices when its consumer is gone.
    await expect(store.read(["a"])).rejects.toMatchObject({ code: "ERR_STORE", reason: "damaged" });
    await expect(store.commit([], [])).rejects.toMatchObject({ reason: "damaged" });

    await callJetStream(servers, "STREAM.CREATE.other", {
      name: "other",
      subjects: ["other"],
      discard: "new",
      max_age: 1e12,
    });
    await expect(open(servers, { stream: "other" })).rejects.toThrow(/max_age/);
    await expect(open(servers, { stream: "a.b" })).rejects.toMatchObject({ code: "EINVAL" });
    const nowhere = NatsSessionStore.open({ servers: "127.0.0.1:1", timeout: 500 });
    await expect(nowhere).rejects.toMatchObject({ code: "ERR_STORE", reason: "failed" });
  });

  it("does not know of a commit that a server did not answer to, and goes on when it does", async () => {
    streams += 1;
    const store = await open(servers, { stream: stream(), timeout: 1_000 });
    await store.commit([], [{ key: "a", value: Buffer.from("1") }]);
    await servers.all[0]?.pause();
    try {
      const lost = store.commit([], [{ key: "a", value: Buffer.from("2") }]);
      await expect(lost).rejects.toMatchObject({ code: "ERR_STORE", reason: "outcome-unknown" });
    } finally {
      servers.all[0]?.resume();
    }
    expect(await store.commit([], [{ key: "b", value: Buffer.from("3") }])).toBe(true);
    const [a, b] = await store.read(["a", "b"]);
    expect(["1", "2"]).toContain(a?.value.toString());
    expect(b?.value.toString()).toBe("3");
  });

  it("goes on at once when its server is back after a snapshot has failed, and shows meanwhile why it does not", async () => {
    streams += 1;
    const options = { stream: stream(), timeout: 700, snapshotInterval: 65_536 };
    const store = await open(servers, options);
    const write = (): Promise<boolean> => store.commit([], [{ key: "a", value: Buffer.alloc(60_000) }]);
    await write();
    // A snapshot is due, and begins as late as it may.
    const random = vi.spyOn(Math, "random").mockReturnValue(0.99);
    await write();
    random.mockRestore();
    await servers.all[0]?.kill();
    try {
      while (store.stats().streamError === undefined) await store.read(["a"]).catch(() => undefined);
      expect(String(store.stats().streamError)).toMatch(/The connection to the NATS server .* was lost/);
      // Nothing was sent, so nothing is unknown.
      await expect(write()).rejects.toMatchObject({ reason: "failed", cause: store.stats().streamError });
      while (store.stats().snapshotError === undefined) await store.read(["a"]).catch(() => undefined);
    } finally {
      await servers.all[0]?.run();
    }
    // More than may be in the stream without a snapshot.
    for (let i = 0; i < 20; i++) expect(await write()).toBe(true);
    expect(store.stats().snapshots).toBeGreaterThan(0);
    expect(store.stats()).toMatchObject({ streamError: undefined, snapshotError: undefined });
  });

  it("leaves a server that answers pings and has no leader, as one that is cut off, for the next one", async () => {
    streams += 1;
    const connections = new Set<Socket>();
    const alone = createServer((socket) => {
      connections.add(socket);
      socket.write(
        'INFO {"server_id":"A","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576}\r\n',
      );
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        for (const _ of data.toString("latin1").matchAll(/^PING\r$/gm)) socket.write("PONG\r\n");
      });
    });
    alone.listen(0, "127.0.0.1");
    await once(alone, "listening");
    try {
      const both = `127.0.0.1:${(alone.address() as AddressInfo).port},${servers.servers}`;
      const connection = { noRandomize: true };
      const store = await open(servers, { servers: both, stream: stream(), timeout: 20_000, connection });
      expect(connections.size).toBeGreaterThan(0);
      expect(await store.commit([], [{ key: "a", value: Buffer.from("1") }])).toBe(true);
    } finally {
      for (const socket of connections) socket.destroy();
      alone.close();
    }
  }, 30_000);

  it("loses nothing when the only server is killed with -9 under load", async () => {
    streams += 1;
    const options = { stream: stream(), snapshotInterval: 65_536 };
    const stores = [await open(servers, options), await open(servers, options)];
    await underLoad(stores, async (progress) => {
      for (let kill = 0; kill < KILLS; kill++) {
        await progress(50);
        await servers.all[0]?.kill();
        await servers.all[0]?.run();
      }
      await progress(50);
    });
  });
});

describe.skipIf(missing("nats-server"))("sessions in a cluster of three NATS servers", () => {
  it("lose nothing when these are killed with -9 one after the other under load", async () => {
    const servers = await NatsServers.start(3);
    try {
      const options = { stream: "sessions", snapshotInterval: 65_536, timeout: 20_000 };
      const stores = [
        await open(servers, options),
        await open(servers, options),
        await open(servers, options),
      ];
      await underLoad(stores, async (progress) => {
        for (let kill = 0; kill < CLUSTER_KILLS; kill++) {
          await progress(50);
          await caughtUp(servers);
          // The stream's leader, and now and then another one.
          const { cluster } = (await callJetStream(servers, "STREAM.INFO.sessions")) as {
            cluster: { leader: string };
          };
          const server =
            kill % 3 === 2 ? servers.all[kill % 2] : servers.all.find(({ name }) => name === cluster.leader);
          await server?.kill();
          await progress(50);
          await server?.run();
        }
        await progress(50);
      });
      await Promise.all(opened.splice(0).map((store) => store.close()));
    } finally {
      await servers.stop();
    }
  });
});
