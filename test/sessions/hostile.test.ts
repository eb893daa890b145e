/** Clients that want to harm a server of sessions, over real sockets, and others that notice nothing of it. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  MemorySessionStore,
  SessionClient,
  type SessionClientOptions,
  SessionServer,
  type SessionServerEvent,
  type SessionServerOptions,
} from "../../src/sessions/index.js";
import type { ClientMessage } from "../../src/sessions/protocol.js";
import { encodeJson, keys, type SessionRecord } from "../../src/sessions/records.js";
import * as rules from "../../src/sessions/rules.js";
import { Sweeper } from "../../src/sessions/server.js";
import { Directory, type ServerContext } from "../../src/sessions/server-context.js";
import { serverSettings } from "../../src/sessions/server-options.js";
import { Transactions } from "../../src/sessions/transactions.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { gate } from "../support/gate.js";
import { LONG } from "../support/long.js";
import { RawClient } from "./raw-client.js";
import { ScriptedStore } from "./scripted-store.js";

const closing = closeAfterEach();

/** Counts what the server asks of it. */
class CountingStore extends ScriptedStore {
  reads = 0;
  scans = 0;
  commits = 0;

  override read(keys: readonly string[]): ReturnType<MemorySessionStore["read"]> {
    this.reads += 1;
    return super.read(keys);
  }

  override scan(...range: Parameters<MemorySessionStore["scan"]>): ReturnType<MemorySessionStore["scan"]> {
    this.scans += 1;
    return super.scan(...range);
  }

  override commit(...commit: Parameters<MemorySessionStore["commit"]>): Promise<boolean> {
    this.commits += 1;
    return super.commit(...commit);
  }

  release: () => void = () => undefined;

  /** Commits wait until `release`. @returns settles with the first one */
  hold(): Promise<void> {
    const [begun, held] = [gate(), gate()];
    this.release = held.open;
    this.result = () => {
      begun.open();
      return held.passed.then(() => undefined);
    };
    return begun.passed;
  }

  /** Keys and bytes that it has. */
  async size(): Promise<{ readonly keys: number; readonly bytes: number }> {
    const entries = await super.scan({ from: "a", to: "z", limit: 1_000_000, maxBytes: 2 ** 40 });
    return { keys: entries.length, bytes: entries.reduce((sum, { value }) => sum + value.length, 0) };
  }
}

async function listen(
  options: Partial<SessionServerOptions> = {},
): Promise<{ server: SessionServer; store: CountingStore; endpoint: string }> {
  const store = new CountingStore();
  const server = closing(new SessionServer({ store, pollInterval: 60_000, ...options }));
  return { server, store, endpoint: await server.bind("tcp://127.0.0.1:0") };
}

const raw = (...given: ConstructorParameters<typeof RawClient>): RawClient =>
  closing(new RawClient(...given));

/** Six levels by the bits of a number. */
const shape = (bits: number): string[] => Array.from("abcdef", (text, i) => ((bits >> i) & 1 ? "+" : text));

function client(endpoint: string, options: SessionClientOptions): SessionClient {
  return closing(new SessionClient(endpoint, options));
}

function termsOf(
  instance: string,
  limits: { readonly maxQueue: number; readonly maxQueueBytes: number },
): rules.SessionTerms {
  const all = { ...limits, maxAge: -1, drop: "oldest" } as const;
  return { instance, attempt: 1, expiry: -1, limits: all, clean: false, again: false };
}

/** Two clients at work until `stop`, which gives the rounds from `publish` to its message that were complete by then. */
function calm(endpoint: string): { stop(): Promise<number> } {
  let isOver = false;
  const reader = client(endpoint, { id: "calm-reader" });
  const writer = client(endpoint, { id: "calm-writer" });
  let rounds = 0;
  const work = (async (): Promise<void> => {
    await reader.subscribe("calm");
    while (!isOver) {
      const text = String(rounds);
      await writer.publish("calm", text);
      const message = await reader.receive({ timeout: 20_000 });
      expect(String(message.data)).toBe(text);
      message.acknowledge();
      rounds += 1;
    }
  })();
  work.catch(() => undefined); // `stop` has its error.
  return {
    stop: async () => {
      isOver = true;
      const before = rounds;
      await work;
      return before;
    },
  };
}

/** A server that had worked for the attackers first would have left none before they were done. */
function expectUnharmed(rounds: number): void {
  expect(rounds).toBeGreaterThan(0);
}

function count<T extends SessionServerEvent["type"]>(server: SessionServer, type: T): () => number {
  let events = 0;
  server.events.on(type, () => {
    events += 1;
  });
  return () => events;
}

describe("a server of sessions with hostile clients", () => {
  it("asks for no more clients at once than there may be, also for those that it has sent away", async () => {
    let asked = 0;
    const authorize = (): Promise<boolean> => {
      asked += 1;
      return new Promise(() => undefined);
    };
    const { endpoint } = await listen({ authorize, maxConnections: 3 });
    const hostile = raw(endpoint);
    for (let i = 0; i < 20; i++) {
      await hostile.open(`h${i}`);
      await hostile.send({ kind: "close", end: false });
    }
    for (let i = 0; i < 20; i++) expect((await hostile.answer()).kind).toBe("ended");
    expect(asked).toBe(3);
  });

  it("answers junk with the reason, keeps nothing of it, and others go on", async () => {
    const { server, store, endpoint } = await listen();
    const invalid = count(server, "message:invalid");
    const others = calm(endpoint);
    const long = Buffer.alloc(65_536, "t");
    const frames: readonly (readonly Buffer[])[] = [
      [Buffer.alloc(0)],
      [Buffer.from([0x7f])],
      [Buffer.from("\u0001SSN1"), Buffer.from("a"), Buffer.from("[[[[")],
      [Buffer.from("\u0001SSN1"), Buffer.from("a"), Buffer.alloc(2_000, "9")],
      [Buffer.from([0x02, 0, 0, 0, 1]), long],
      [Buffer.from([0x04, 0, 0, 0, 0, 0, 1]), Buffer.alloc(0), Buffer.from([0xff, 0xfe]), long],
    ];
    const before = await store.size();
    const attackers = Array.from({ length: 8 }, () => raw(endpoint));
    const rounds = LONG ? 25 : 3;
    await Promise.all(
      attackers.map(async (attacker) => {
        for (let i = 0; i < rounds; i++)
          for (const each of frames) await attacker.socket.send([...each] as Buffer[]);
        for (let i = 0; i < rounds * frames.length; i++)
          expect(await attacker.answer()).toMatchObject({ kind: "ended", reason: "invalid" });
      }),
    );
    expect(invalid()).toBe(attackers.length * rounds * frames.length);
    // One that has a session loses its connection by the first.
    const known = raw(endpoint);
    await known.open("known");
    expect(await known.answer()).toMatchObject({ kind: "opened" });
    await known.socket.send(Buffer.from([0x7f]));
    expect(await known.answer()).toMatchObject({ kind: "ended", reason: "invalid" });
    expectUnharmed(await others.stop());
    // Of the three sessions and what there was.
    expect((await store.size()).keys - before.keys).toBeLessThan(20);
  });

  it("opens no session and takes no filter past what its store takes, and says so", async () => {
    const { server, store, endpoint } = await listen({
      maxSessions: 40,
      maxFilters: 100,
      maxFilterBytes: 4_096,
    });
    const others = calm(endpoint);
    const refusals = new Set<string>();
    server.events.on("session:refused", ({ reason }) => refusals.add(reason));
    // Two are those of the others.
    await client(endpoint, { id: "calm-reader-is-there" }).ready();
    const answers: string[] = [];
    await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        for (let j = 0; j < 8; j++) {
          const attacker = raw(endpoint);
          await attacker.open(`flood-${i}-${j}`);
          const answer = await attacker.answer();
          answers.push(answer.kind === "ended" ? answer.reason : answer.kind);
          await attacker.socket.close();
        }
      }),
    );
    const made = answers.filter((each) => each === "opened").length;
    expect(made).toBeGreaterThan(30);
    expect(made).toBeLessThanOrEqual(40);
    expect(answers.filter((each) => each !== "opened")).toEqual(Array(80 - made).fill("unavailable"));
    expect([...refusals]).toEqual(["There are 40 sessions, and no further one is made"]);
    expect((await server.sessions()).length).toBe(40);

    const greedy = raw(endpoint);
    await greedy.open("flood-0-0");
    expect(await greedy.answer()).toMatchObject({ kind: "opened", isPresent: true });
    const many = (request: number, size: number): ClientMessage => ({
      kind: "subscribe",
      request,
      filters: Array.from({ length: size }, (_, i) => `${request}/${i}`),
    });
    await greedy.send(many(1, 90));
    expect(await greedy.answer()).toEqual({ kind: "done", request: 1 });
    await greedy.send(many(2, 90));
    expect(await greedy.answer()).toMatchObject({ kind: "refused", number: 2, reason: "too-large" });
    await greedy.send({ kind: "subscribe", request: 3, filters: ["x".repeat(4_096)] });
    expect(await greedy.answer()).toMatchObject({ kind: "refused", number: 3, reason: "too-large" });
    await greedy.send({ kind: "unsubscribe", request: 4, filters: ["1/0"] });
    expect(await greedy.answer()).toEqual({ kind: "done", request: 4 });
    // A session that goes makes room.
    await server.remove("flood-0-0");
    await client(endpoint, { id: "welcome" }).ready({ timeout: 20_000 });
    expectUnharmed(await others.stop());
    expect(server.stats().filters).toBeLessThan(100);
    expect((await store.size()).keys).toBeLessThan(200);
  });

  it.each([
    ["1,000 filters", Array.from({ length: 1_000 }, (_, i) => `${i}`)],
    ["65,536 bytes of filters", Array.from({ length: 16 }, (_, i) => `${i}`.padEnd(4_096, "x"))],
    ["64 shapes of filters", Array.from({ length: 128 }, (_, i) => [...shape(i), i].join("/"))],
  ])("takes %s from one session, and no more", async (_, most) => {
    const { endpoint } = await listen();
    const greedy = raw(endpoint);
    await greedy.open("greedy");
    expect(await greedy.answer()).toMatchObject({ kind: "opened" });
    for (const [filters, answer] of [
      [most, { kind: "done" }],
      [["x"], { kind: "refused", reason: "too-large" }],
    ] as const)
      expect(await greedy.ask({ kind: "subscribe", request: 1, filters })).toMatchObject(answer);
  });

  it("asks its store nothing for acknowledgements of what was never sent", async () => {
    const { store, endpoint } = await listen();
    const attacker = raw(endpoint);
    await attacker.open("liar");
    expect(await attacker.answer()).toMatchObject({ kind: "opened" });
    const before = { scans: store.scans, commits: store.commits };
    for (let i = 0; i < 2_000; i++) {
      await attacker.send({ kind: "settle", low: 2 ** 40 + i, numbers: [i, 2 ** 41 + i] });
      await attacker.send({ kind: "reported", drops: 2 ** 40 + i });
    }
    await attacker.send({ kind: "unsubscribe", request: 1, filters: ["t"] });
    expect(await attacker.answer()).toEqual({ kind: "done", request: 1 });
    expect({ scans: store.scans, commits: store.commits - 1 }).toEqual(before);
  });

  it("holds for clients that neither read nor acknowledge what its bounds say, and the others have theirs", async () => {
    const maxInFlightBytes = 1_048_576;
    const { server, store, endpoint } = await listen({ maxInFlightBytes, maxQueueBytes: 2_097_152 });
    const others = calm(endpoint);
    const deaf = Array.from({ length: 4 }, () => raw(endpoint));
    for (const [i, each] of deaf.entries()) {
      await each.open(`deaf-${i}`);
      expect(await each.answer()).toMatchObject({ kind: "opened" });
      await each.send({ kind: "subscribe", request: 1, filters: ["flood/#"] });
      expect(await each.answer()).toEqual({ kind: "done", request: 1 });
    }
    const flood = client(endpoint, { id: "flood" });
    const body = Buffer.alloc(65_536, 1);
    let most = 0;
    for (let i = 0; i < (LONG ? 60 : 40); i++) {
      await Promise.all([flood.publish("flood/a", body), flood.publish(`flood/${"b".repeat(60_000)}`, "")]);
      most = Math.max(most, server.stats().inFlightBytes);
    }
    // Each of the seven has a seventh of it, and one message more.
    expect(most).toBeLessThan(maxInFlightBytes + 7 * 70_000);
    expect(most).toBeGreaterThan(maxInFlightBytes / 2);
    // The oldest have gone: what is kept is no more than the bounds of four sessions.
    expect((await store.size()).bytes).toBeLessThan(4 * 2_097_152 + 1_000_000);
    const sessions = await server.sessions();
    for (const { id, droppedFull } of sessions)
      if (id.startsWith("deaf")) expect(droppedFull).toBeGreaterThan(20);
    expectUnharmed(await others.stop());
    await Promise.all(deaf.map((each) => each.socket.close()));
  });

  it("reads for all its clients at once no more than they may have", async () => {
    const maxInFlightBytes = 1_048_576;
    const { store, endpoint } = await listen({ maxInFlightBytes });
    const readers = Array.from({ length: 20 }, () => raw(endpoint));
    for (const [i, each] of readers.entries()) {
      await each.open(`reader-${i}`);
      expect(await each.answer()).toMatchObject({ kind: "opened" });
      await each.send({ kind: "subscribe", request: 1, filters: ["t"] });
      expect(await each.answer()).toEqual({ kind: "done", request: 1 });
    }
    const scan = vi.spyOn(store, "scan").mockReturnValue(new Promise(() => undefined));
    await client(endpoint, { id: "writer" }).publish("t", "x");
    expect(scan).toHaveBeenCalledTimes(readers.length);
    const bytes = scan.mock.calls.reduce((sum, [{ maxBytes }]) => sum + maxBytes, 0);
    expect(bytes).toBeLessThanOrEqual(maxInFlightBytes);
  });

  it("serves a subscription and a publication that come together", async () => {
    const { endpoint } = await listen();
    const [one, two] = [client(endpoint, { id: "one" }), client(endpoint, { id: "two" })];
    await Promise.all([one.ready(), two.ready()]);
    const rounds = Array.from({ length: 20 }, (_, i) => i);
    const done = await Promise.all(
      rounds.flatMap((i) => [one.subscribe(`a/${i}`), two.publish(`a/${i}`, "x"), two.subscribe(`b/${i}`)]),
    );
    expect(done).toHaveLength(60);
    expect(await two.publish("a/0", "y")).toEqual({ sessions: 1, duplicate: false });
  });
});

// Messages of an earlier connection with this id would count as messages of the next one.
it("a client whose socket has a routing id is refused, and told why", async () => {
  const { endpoint } = await listen();
  const named = raw(endpoint, { routingId: "fixed" });
  await named.open("reader");
  expect(await named.answer()).toEqual({
    kind: "ended",
    reason: "invalid",
    text: "a client's socket must have no routing id",
  });
});

it("a client that is gone as soon as it has acknowledged leaves nothing of that to the next one, though the store was busy", async () => {
  const { server, store, endpoint } = await listen();
  const [writer, reader] = [client(endpoint, { id: "writer" }), client(endpoint, { id: "reader" })];
  await reader.subscribe("t");
  await reader.close();
  for (const text of ["a", "b", "c"]) await writer.publish("t", text);
  const gone = raw(endpoint);
  await gone.open("reader");
  for (let messages = 0; messages < 3; ) if ((await gone.answer()).kind === "message") messages += 1;
  const isBusy = store.hold();
  const publishing = writer.publish("other", "x");
  await isBusy;
  const left = new Promise((resolve) => server.events.once("session:closed", resolve));
  for (const low of [1, 2]) await gone.send({ kind: "settle", low, numbers: [] });
  await gone.socket.close({ linger: 5_000 });
  await left;
  store.release();
  await publishing;
  const next = client(endpoint, { id: "reader" });
  expect(String((await next.receive({ timeout: 5_000 })).data)).toBe("c");
});

it.each([
  ["left", false],
  ["left", true],
] as const)("a client that is gone before its session is closed has %s, and its session is removed: %s", async (reason, end) => {
  const { server, store, endpoint } = await listen();
  const gone = raw(endpoint);
  await gone.open("reader");
  expect((await gone.answer()).kind).toBe("opened");
  const isBusy = store.hold();
  const closed = new Promise((resolve) => server.events.once("session:closed", resolve));
  const removed = count(server, "session:removed");
  await gone.send({ kind: "close", end });
  await isBusy;
  await gone.socket.close({ linger: 0 });
  expect(await closed).toMatchObject({ id: "reader", reason });
  store.release();
  await server.close();
  expect(removed()).toBe(end ? 1 : 0);
});

it("an acknowledgement that the store does not take leaves its message to the next one, and the queue as long as it is", async () => {
  const { server, store, endpoint } = await listen();
  const [writer, reader] = [client(endpoint, { id: "writer" }), client(endpoint, { id: "reader" })];
  await reader.subscribe("t");
  await reader.close();
  await writer.publish("t", "a");
  const gone = raw(endpoint);
  await gone.open("reader");
  while ((await gone.answer()).kind !== "message");
  store.result = () => {
    store.result = () => undefined;
    throw new Error("it fails once");
  };
  await gone.send({ kind: "settle", low: 1, numbers: [] });
  while ((await gone.answer()).kind !== "ended");
  const next = client(endpoint, { id: "reader" });
  const message = await next.receive({ timeout: 5_000 });
  expect(String(message.data)).toBe("a");
  message.acknowledge();
  await next.close();
  expect(await server.sessions()).toMatchObject([{ id: "reader", queued: 0, queuedBytes: 0 }, {}]);
});

it("a server whose sign of life stays as it is, is lost after `serverTimeout`: another one releases its sessions, and those of no other server", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const store = new MemorySessionStore();
  const settings = serverSettings({ store });
  const transactions = new Transactions(store, settings);
  const [living, dead, own] = ["living", "dead", "own"].map(
    (server) => new Sweeper({ server, settings, transactions } as ServerContext),
  ) as [Sweeper, Sweeper, Sweeper];
  const terms = termsOf("i", { maxQueue: 1, maxQueueBytes: 1 });
  for (const server of ["living", "dead"])
    await transactions.run((view) =>
      rules.open(view, server, { server, connection: server }, terms, "life", settings, 0),
    );
  const owners = async (): Promise<unknown[]> =>
    transactions.run((view) => ["living", "dead"].map((id) => rules.readSession(view, id)?.owner?.server));
  for (const each of [living, dead]) await each.heartbeat();
  await own.sweep();
  vi.advanceTimersByTime(settings.serverTimeout);
  await living.heartbeat();
  await own.sweep();
  expect(await owners()).toEqual(["living", "dead"]);
  vi.advanceTimersByTime(1);
  await own.sweep();
  expect(await owners()).toEqual(["living", undefined]);
  await living.leave();
  await own.sweep();
  expect(await owners()).toEqual([undefined, undefined]);
});

it("a directory of filters has those of more shapes than a node may have", async () => {
  const store = new MemorySessionStore();
  const levels = Array.from({ length: 12 }, (_, i) => i);
  const filters = Array.from({ length: 1_100 }, (_, shape) =>
    levels.map((level) => ((shape >> level) & 1 ? "+" : "a")).join("/"),
  );
  const set = (id: string, all: readonly string[]): Promise<boolean> =>
    store.commit(
      [],
      [
        { key: keys.filters(id), value: all.length === 0 ? undefined : encodeJson(all) },
        { key: keys.directory, value: encodeJson(++version) },
        { key: keys.change(version), value: encodeJson(id) },
      ],
    );
  let version = 0;
  const directory = new Directory(store);
  const last = filters.at(-1) as string;
  await set("all", filters);
  await set("last", [last]);
  await directory.refresh();
  const topic = levels.map(() => "a").join("/");
  expect(directory.match(topic)).toEqual(["all", "last"]);
  await set("all", []);
  await directory.refresh();
  expect(directory.match(topic)).toEqual(["last"]);
});

it("a removed session is swept with all its messages before the next poll", async () => {
  const store = new MemorySessionStore();
  const put = (key: string): { key: string; value: Buffer } => ({ key, value: Buffer.from("x") });
  const messages = Array.from({ length: 3_000 }, (_, i) => put(keys.message("gone", "life", i)));
  const ids = [keys.publishedId("gone", "life", "hash"), keys.idSlot("gone", "life", 1)].map(put);
  await store.commit([], [put(keys.removed("gone", "life")), ...messages, ...ids]);
  const settings = serverSettings({ store, pollInterval: 60_000 });
  const transactions = new Transactions(store, settings);
  const sweeper = new Sweeper({ server: "s", settings, transactions } as ServerContext);
  await sweeper.sweep();
  const left = await store.scan({ from: "a", to: "z", limit: 10, maxBytes: 1_000 });
  expect(left.map(({ key }) => key)).toEqual([keys.server("s")]);
});

describe("a queue that drops its oldest", () => {
  const DATA = Buffer.from("x");

  /** A session that gets all, one that publishes, and what the store is asked for a publication. */
  async function queue(limits: { readonly maxQueue: number; readonly maxQueueBytes: number }) {
    const store = new CountingStore();
    const transactions = new Transactions(store, { maxPending: 1_000, maxPendingBytes: 1_000_000 });
    const directory = new Directory(store);
    const bounds = { maxSessions: 9, maxFilters: 9, maxFilterBytes: 99 };
    const open = async (id: string): Promise<rules.SessionHandle> => {
      const terms = termsOf(id, limits);
      const owner = { server: "s", connection: id };
      const { record } = await transactions.run((view) =>
        rules.open(view, id, owner, terms, `life-${id}`, bounds, 0),
      );
      return { id, life: record.life, epoch: record.epoch };
    };
    const [reader, writer] = [await open("reader"), await open("writer")];
    await transactions.run((view) => rules.changeFilters(view, reader, ["#"], [], bounds));
    let number = 0;
    return {
      publish: (data: Buffer): Promise<rules.PublishOutcome> => {
        number += 1;
        const publication = { number, id: "", topic: "t", data };
        return transactions.run((view) => rules.publish(view, writer, directory, publication, 0));
      },
      acknowledge: (each: number): Promise<SessionRecord> => {
        const progress = { acknowledged: [each], old: [], low: 0, sent: each + 1, reported: undefined };
        return transactions.run((view) => rules.settle(view, reader, progress));
      },
      record: (): Promise<SessionRecord | undefined> =>
        transactions.run((view) => rules.readSession(view, "reader")),
      /** Calls of the store for it. */
      costOf: async (work: () => Promise<unknown>): Promise<number> => {
        const before = store.reads + store.scans;
        await work();
        return store.reads + store.scans - before;
      },
    };
  }

  it("finds them in a few reads behind thousands that were acknowledged", async () => {
    const { publish, acknowledge, record, costOf } = await queue({ maxQueue: 2, maxQueueBytes: 1_000 });
    await publish(DATA);
    for (let i = 1; i < 5_000; i++) {
      void publish(DATA);
      void acknowledge(i);
    }
    await publish(DATA);
    await acknowledge(5_000);
    await publish(DATA);
    await publish(DATA); // Instead of the first.
    expect(await costOf(() => publish(DATA))).toBeLessThan(10);
    expect(await record()).toMatchObject({ count: 2, head: 5_002, tail: 5_004, drops: { full: 2, old: 0 } });
  });

  it("drops thousands in a few reads for one that needs their room", async () => {
    const { publish, record, costOf } = await queue({ maxQueue: 10_000, maxQueueBytes: 10_000 });
    for (let i = 1; i < 5_000; i++) void publish(DATA);
    await publish(DATA);
    expect(await costOf(() => publish(Buffer.alloc(9_990)))).toBeLessThan(40);
    expect(await record()).toMatchObject({ count: 5, drops: { full: 4_996, old: 0 } });
  });
});

describe("a client that does not wait for its session", () => {
  it("is told that it is not open yet", async () => {
    const { store, endpoint } = await listen();
    const hasty = raw(endpoint);
    const isBusy = store.hold();
    await hasty.open("hasty");
    await isBusy;
    await hasty.send({ kind: "subscribe", request: 1, filters: ["t"] });
    expect(await hasty.answer()).toMatchObject({ kind: "ended", text: "the session is not open yet" });
    store.release();
  });

  it("is sent to another server by one that stops", async () => {
    const { server, store, endpoint } = await listen();
    const [one, late] = [raw(endpoint), raw(endpoint)];
    await one.open("one");
    await one.answer();
    expect(await late.ask({ kind: "close", end: false })).toMatchObject({ reason: "unavailable" });
    const isBusy = store.hold();
    const stopped = server.close({ linger: -1 });
    await isBusy;
    await late.open("late");
    expect(await late.answer()).toMatchObject({ kind: "ended", reason: "stopping" });
    store.release();
    await stopped;
  });
});
