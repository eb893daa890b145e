/** What nodes publish over a cluster reaches sessions: once each, whatever number of nodes has servers of their store. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { deliver, releaseBridge, takeBridge } from "../../src/sessions/bridge-rules.js";
import { Directory } from "../../src/sessions/directory.js";
import {
  MemorySessionStore,
  SessionClient,
  type SessionMessage,
  type SessionNode,
  SessionServer,
  type SessionServerEvent,
  type SessionServerOptions,
  type SessionStore,
} from "../../src/sessions/index.js";
import { keys } from "../../src/sessions/records.js";
import * as rules from "../../src/sessions/rules.js";
import { Transactions } from "../../src/sessions/transactions.js";
import { until } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";

const opened: { close(options: { linger: number }): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close({ linger: 0 });
});

let port: number;
let groups = 0;
beforeAll(async () => {
  port = await freePort();
});

async function nodes(...names: string[]): Promise<ClusterNode[]> {
  groups += 1;
  const group = `topics-${process.pid}-${groups}`;
  const made = names.map((name) => new ClusterNode({ name, group, multicast: { port }, registry: false }));
  opened.push(...made);
  await Promise.all(made.map((node) => node.start()));
  for (const node of made)
    while (node.members({ self: false }).length < names.length - 1)
      await new Promise((resolve) => node.events.once("joined", resolve));
  return made;
}

it("a server that closes while it begins leaves nothing on its node", async () => {
  let open = 0;
  const subscribe = (): { readonly ready: Promise<void>; close(): void } => {
    open += 1;
    return {
      ready: Promise.resolve(),
      close: () => {
        open -= 1;
      },
    };
  };
  const node: SessionNode = {
    publish: () => Promise.resolve(0),
    subscribe,
    createClient: () => ({ subscribe, close: () => undefined }),
    advertise: () => () => undefined,
  };
  const server = new SessionServer({ store: new MemorySessionStore(), node, clusterTopics: ["#"] });
  const bound = server.bind("tcp://127.0.0.1:*");
  await Promise.all([expect(bound).rejects.toThrow("closed"), server.close({ linger: 0 })]);
  expect(open).toBe(0);
});

it("a server whose look at the store is under way when the bridge is given back looks again", async () => {
  const store = new MemorySessionStore();
  const signals: (() => void)[] = [];
  const nodeOf = (onSignal: (call: () => void) => void): SessionNode => {
    const subscribe = (filter: string, call: unknown) => {
      if (filter.endsWith("/bridge")) onSignal(call as () => void);
      return { ready: Promise.resolve(), close: () => undefined };
    };
    return {
      publish: () => Promise.resolve(0),
      subscribe,
      createClient: () => ({ subscribe, close: () => undefined }),
      advertise: () => () => undefined,
    };
  };
  const slow = { began: () => {}, gate: undefined as Promise<void> | undefined };
  const gated: SessionStore = {
    name: store.name,
    read: (names) => store.read(names),
    scan: (range) => store.scan(range),
    commit: async (checks, writes) => {
      const isDone = await store.commit(checks, writes);
      slow.began();
      await slow.gate;
      return isDone;
    },
    close: () => store.close(),
  };
  const settings = { clusterTopics: ["#"], pollInterval: 60_000 };
  const one = new SessionServer({ ...settings, store, node: nodeOf(() => undefined) });
  const two = new SessionServer({ ...settings, store: gated, node: nodeOf((call) => signals.push(call)) });
  opened.push(one, two);
  await one.bind("tcp://127.0.0.1:*");
  await two.bind("tcp://127.0.0.1:*");
  const taken = new Promise((resolve) => two.events.once("topics:taken", resolve));
  const [signal] = signals;
  const committed = new Promise<void>((resolve) => {
    slow.began = resolve;
  });
  let open = (): void => {};
  slow.gate = new Promise((resolve) => {
    open = resolve;
  });
  signal?.();
  await committed;
  await one.close();
  signal?.();
  open();
  await taken;
});

it("a server that is told many times at once that the bridge is free looks at the store twice at most", async () => {
  let looks = 0;
  class CountingStore extends MemorySessionStore {
    override read(names: readonly string[]): ReturnType<MemorySessionStore["read"]> {
      if (names.includes(keys.bridge)) looks += 1;
      return super.read(names);
    }
  }
  let signal = (): void => {};
  const subscribe = (filter: string, call: unknown) => {
    if (filter.endsWith("/bridge")) signal = call as () => void;
    return { ready: Promise.resolve(), close: () => undefined };
  };
  const node: SessionNode = {
    publish: () => Promise.resolve(0),
    subscribe,
    createClient: () => ({ subscribe, close: () => undefined }),
    advertise: () => () => undefined,
  };
  const store = new CountingStore();
  const server = new SessionServer({ store, node, clusterTopics: ["#"], pollInterval: 60_000 });
  opened.push(server);
  await server.bind("tcp://127.0.0.1:*");
  looks = 0;
  for (let n = 0; n < 100; n++) signal();
  await until(() => looks > 0, "a look");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(looks).toBeLessThanOrEqual(2);
});

it("filters that change together are one signal to the server that has the bridge", async () => {
  let signals = 0;
  const subscribe = () => ({ ready: Promise.resolve(), close: () => undefined });
  const node: SessionNode = {
    publish: (topic) => {
      if (topic.endsWith("/filters")) signals += 1;
      return Promise.resolve(0);
    },
    subscribe,
    createClient: () => ({ subscribe, close: () => undefined }),
    advertise: () => () => undefined,
  };
  const store = new MemorySessionStore();
  const [one, two] = [0, 1].map(() => new SessionServer({ store, node, clusterTopics: ["#"] })) as [
    SessionServer,
    SessionServer,
  ];
  opened.push(one, two);
  await one.bind("tcp://127.0.0.1:*");
  const client = new SessionClient(await two.bind("tcp://127.0.0.1:*"), { id: "reader" });
  opened.push(client);
  await client.ready();
  await Promise.all(Array.from({ length: 100 }, (_, n) => client.subscribe(`t/${n}`)));
  await until(() => signals > 0, "a signal");
  expect(signals).toBeLessThan(20);
});

interface Place {
  readonly server: SessionServer;
  readonly endpoint: string;
  /** Settles with the next event of a type. */
  next(type: SessionServerEvent["type"]): Promise<unknown>;
}

async function listen(
  node: ClusterNode,
  store: MemorySessionStore,
  options: Partial<SessionServerOptions> = {},
): Promise<Place> {
  const server = new SessionServer({ node, store, clusterTopics: ["orders/#"], ...options });
  opened.push(server);
  const next = (type: SessionServerEvent["type"]): Promise<unknown> =>
    new Promise((resolve) => server.events.once(type, resolve));
  return { server, endpoint: await server.bind("tcp://127.0.0.1:0"), next };
}

function client(endpoint: string, id: string): SessionClient {
  const made = new SessionClient(endpoint, { id, maxUnacknowledged: 1_000 });
  opened.push(made);
  return made;
}

/** Once a node with an interest in the topic is known. */
async function publishUntilTaken(node: ClusterNode, topic: string): Promise<void> {
  await until(() => node.routes({ topic }).length > 0, "a route");
  await node.publish(topic, "probe");
}

async function textsUntil(from: SessionClient, last: string): Promise<string[]> {
  const messages: SessionMessage[] = [];
  while (String(messages.at(-1)?.data) !== last) {
    const message = await from.receive({ timeout: 20_000 });
    message.acknowledge();
    messages.push(message);
  }
  expect(messages.every(({ publisher }) => publisher === "")).toBe(true);
  return messages.map(({ data }) => String(data));
}

describe("sessions on nodes", () => {
  it("keep what is published over the cluster once each, at whichever server, and nothing that they may not have", async () => {
    const [a, b, c] = (await nodes("a", "b", "c")) as [ClusterNode, ClusterNode, ClusterNode];
    const store = new MemorySessionStore();
    const [one, two] = [await listen(a, store), await listen(b, store)];
    const hall = client(one.endpoint, "hall");
    const kitchen = client(two.endpoint, "kitchen");
    await hall.subscribe("orders/#", "secret/#", "#");
    await kitchen.subscribe("orders/+", "orders/#");
    // Away, and keeps its messages.
    const away = client(two.endpoint, "away");
    await away.subscribe("orders/last");
    await away.close();
    for (const topic of ["orders/0", "orders/last"]) await publishUntilTaken(c, topic);
    for (let i = 0; i < 200; i++) {
      void c.publish(`orders/${i % 3}`, String(i));
      void c.publish("secret/plans", "x");
    }
    await c.publish("orders/0", "end");
    const all = ["probe", "probe", ...Array.from({ length: 200 }, (_, i) => String(i)), "end"];
    expect(await textsUntil(hall, "end")).toEqual(all);
    expect(await textsUntil(kitchen, "end")).toEqual(all);
    expect(await textsUntil(client(one.endpoint, "away"), "probe")).toEqual(["probe"]);
    const kept = [one, two].map(({ server }) => server.stats().clusterKept);
    // One of the servers has done it all.
    expect(kept.sort((x, y) => x - y)).toEqual([0, 2 * all.length + 1]);
    // What a node of a server publishes arrives as well, and what a session publishes goes to sessions alone.
    await a.publish("orders/0", "own");
    expect(await textsUntil(kitchen, "own")).toEqual(["own"]);
    await kitchen.unsubscribe("orders/+", "orders/#");
    await a.publish("orders/0", "more");
    expect(await textsUntil(hall, "more")).toEqual(["own", "more"]);
    expect((await one.server.sessions()).find(({ id }) => id === "kitchen")?.queued).toBe(0);
  });

  it("keep it at the next server at once when the one that did it stops, and leave nothing in the store when the last one does", async () => {
    const [a, b, c] = (await nodes("a", "b", "c")) as [ClusterNode, ClusterNode, ClusterNode];
    const store = new MemorySessionStore();
    const one = await listen(a, store, { pollInterval: 60_000 });
    const two = await listen(b, store, { pollInterval: 60_000 });
    const kitchen = client(two.endpoint, "kitchen");
    await kitchen.subscribe("orders/#");
    await publishUntilTaken(c, "orders/1");
    await textsUntil(kitchen, "probe");
    const [taken, left] = [two.next("topics:taken"), one.next("topics:left")];
    await one.server.drain();
    await Promise.all([taken, left, one.server.close()]);
    // All nodes know of it by now.
    expect(await c.publish("orders/1", "end")).toBeGreaterThan(0);
    expect(await textsUntil(kitchen, "end")).toEqual(["end"]);
    await two.server.close();
    expect(await store.read(["b"])).toEqual([undefined]);
  });

  it("refuses topics without a node, and what is not a filter", () => {
    const store = new MemorySessionStore();
    expect(() => new SessionServer({ store, clusterTopics: ["#"] })).toThrow("needs the option node");
    const node = new ClusterNode();
    opened.push(node);
    expect(() => new SessionServer({ store, node, clusterTopics: ["a/#/b"] })).toThrow();
    expect(() => new SessionServer({ store, node, clusterTopics: "#" as never })).toThrow("array");
  });
});

describe("the server that keeps the cluster's messages", () => {
  it("is one at a time: what an earlier one still wants is refused, and what is repeated changes nothing", async () => {
    const store = new MemorySessionStore();
    const limits = { maxPending: 100, maxPendingBytes: 1_000_000 };
    const [one, two] = [new Transactions(store, limits), new Transactions(store, limits)];
    const directory = new Directory(store);
    const bounds = { maxSessions: 10, maxFilters: 10, maxFilterBytes: 1_000 };
    const owner = { server: "s", connection: "1" };
    const terms = {
      instance: "i",
      attempt: 1,
      expiry: -1,
      limits: { maxQueue: 2, maxQueueBytes: 1_000, maxAge: -1, drop: "refuse" as const },
      clean: false,
      again: false,
    };
    const { record } = await one.run((view) => rules.open(view, "a", owner, terms, "life", bounds, 0));
    const handle = { id: "a", life: "life", epoch: record.epoch };
    await one.run((view) => rules.changeFilters(view, handle, ["t"], [], bounds));
    const [first, second] = [
      { server: "one", term: "1" },
      { server: "two", term: "2" },
    ];
    for (const { server } of [first, second]) await one.run((view) => view.setJson(keys.server(server), 1));
    expect(await one.run((view) => takeBridge(view, first))).toBe(true);
    expect(await two.run((view) => takeBridge(view, second))).toBe(false);
    const message = { topic: "t", data: Buffer.from("x") };
    const keep = (by: Transactions, of: typeof first, number: number) =>
      by.run((view) => deliver(view, of, directory, number, message, 0));
    expect(await keep(one, first, 1)).toMatchObject({
      sessions: 1,
      owned: [{ session: "a", server: "s" }],
    });
    expect(await keep(one, first, 1)).toMatchObject({ sessions: 0, owned: [] });
    expect(await keep(two, second, 1)).toBeUndefined();
    await two.run((view) => view.set(keys.server("one"), undefined));
    expect(await two.run((view) => takeBridge(view, second))).toBe(true);
    expect(await keep(one, first, 2)).toBeUndefined();
    expect(await keep(two, second, 1)).toMatchObject({ sessions: 1 });
    // A session that refuses has no room for a third: it drops it, and counts.
    expect(await keep(two, second, 2)).toMatchObject({ sessions: 0 });
    expect(await one.run((view) => rules.readSession(view, "a"))).toMatchObject({
      count: 2,
      drops: { full: 1, old: 0 },
    });
    await one.run((view) => releaseBridge(view, first));
    expect(await one.run((view) => takeBridge(view, first))).toBe(false);
    await two.run((view) => releaseBridge(view, second));
    expect(await one.run((view) => takeBridge(view, first))).toBe(true);
  });
});
