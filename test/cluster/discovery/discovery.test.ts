/** Sources that come, fail, stay silent, flood and never end: what a node makes of them, in virtual time. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MAX_SEEDS } from "../../../src/cluster/bounds.js";
import { Discovery, type DiscoveryRuntime, merged } from "../../../src/cluster/discovery/discovery.js";
import { kubernetesSource } from "../../../src/cluster/discovery/kubernetes.js";
import {
  AddressFeed,
  type DiscoverySource,
  pauseAfter,
  sourcesOf,
  staticSource,
} from "../../../src/cluster/discovery/source.js";
import type { HostPort } from "../../../src/cluster/net/addresses.js";
import { UNREADABLE } from "../../support/unreadable.js";

const SELF = { id: "0".repeat(32), name: "a@host", cluster: "default", address: "10.0.0.1:7946" };

const dialled = new Set<string>();
let changes: string[];
let counts: Record<string, number>;
let accepts: (address: string) => boolean;
let resolve: (name: HostPort) => Promise<string[]>;
let discovery: Discovery | undefined;

function start(sources: unknown[], seeds: string[] = []): Discovery {
  const rules = {
    setSeeds: (_: number, addresses: Iterable<string>) => {
      dialled.clear();
      for (const address of addresses) dialled.add(address);
    },
  };
  const runtime: DiscoveryRuntime = {
    membership: undefined,
    run: (call) => call(rules, 0),
    report: (event: { type: string; source: string; error?: Error }) => {
      const error = event.error === undefined ? "" : `: ${event.error.message}`;
      changes.push(`${event.type.replace("discovery:", "")} ${event.source}${error}`);
    },
  };
  const made = new Discovery(seeds, sourcesOf(sources), runtime, {
    accepts: (address) => accepts(address),
    resolve: (name) => resolve(name),
    count: (reason) => {
      counts[reason] = (counts[reason] ?? 0) + 1;
    },
  });
  discovery = made;
  made.start(SELF);
  return made;
}

beforeEach(() => {
  vi.useFakeTimers();
  dialled.clear();
  changes = [];
  counts = {};
  accepts = () => true;
  resolve = async () => [];
});

afterEach(async () => {
  const stopped = discovery?.stop(0);
  await vi.advanceTimersByTimeAsync(2_000);
  await stopped;
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("sources", () => {
  it("are merged with the seeds, and an address is dialled while anybody names it", async () => {
    const wrong = new AddressFeed(new AbortController().signal);
    wrong.set("a:1" as unknown as string[]);
    await expect(wrong.next()).rejects.toThrow("the source must yield arrays of addresses");
    const feed = new AddressFeed(new AbortController().signal);
    feed.set(["10.0.0.2:1"]);
    const manual = { name: "manual", discover: () => feed };
    start([staticSource(["10.0.0.2:1", "10.0.0.3:1"]), manual], ["10.0.0.4:1"]);
    await vi.advanceTimersByTimeAsync(0);
    expect([...dialled].sort()).toEqual(["10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"]);
    feed.set(["10.0.0.5:1"]);
    await vi.advanceTimersByTimeAsync(20);
    expect([...dialled].sort()).toEqual(["10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1"]);
    feed.set([]);
    discovery?.setSeeds([]);
    await vi.advanceTimersByTimeAsync(20);
    expect([...dialled].sort()).toEqual(["10.0.0.2:1", "10.0.0.3:1"]);
    expect(changes).toEqual(["up static", "up manual"]);
    expect(discovery?.status()).toMatchObject([
      { name: "static", state: "up", addresses: ["10.0.0.2:1", "10.0.0.3:1"] },
      { name: "manual", state: "up", addresses: [] },
    ]);
  });

  it("and seeds have the error of a name that was not found, until it is", async () => {
    const unknown = new Error("getaddrinfo ENOTFOUND db");
    resolve = () => Promise.reject(unknown);
    const made = start([staticSource(["10.0.0.3:1"]), staticSource(["db:1"])], ["10.0.0.4:1", "db:2"]);
    await vi.advanceTimersByTimeAsync(20);
    expect(made.status().map(({ name, state, error }) => [name, state, error])).toEqual([
      ["seeds", "up", unknown],
      ["static", "up", undefined],
      ["static#2", "up", unknown],
    ]);
    resolve = async ({ port }) => [`10.0.0.5:${port}`];
    await vi.advanceTimersByTimeAsync(80_000);
    expect(made.status().map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(dialled).toContain("10.0.0.5:2");
  });

  it("have their names looked up while the lists overflow", async () => {
    resolve = async ({ port }) => [`10.9.0.1:${port}`];
    const flood = Array.from({ length: MAX_SEEDS }, (_, i) => `10.1.${i >> 8}.${i & 255}:1`);
    const made = start([], ["db:1", ...flood.slice(0, 8), "cache:2"]);
    await vi.advanceTimersByTimeAsync(20);
    expect(dialled).toContain("10.9.0.1:2");
    made.setSeeds([...flood, "db:1", "cache:2"]);
    await vi.advanceTimersByTimeAsync(20);
    expect([dialled.size, dialled.has("10.9.0.1:2"), counts["seed:full"]]).toEqual([MAX_SEEDS, false, 1]);
    resolve = () => Promise.reject(new Error("getaddrinfo ENOTFOUND"));
    made.setSeeds(["cache:2"]);
    expect([...dialled]).toEqual(["10.9.0.1:2"]);
  });

  it("that fail are called again with growing pauses; their last list stands", async () => {
    const calls: number[] = [];
    const source: DiscoverySource = {
      name: "broken",
      async *discover() {
        calls.push(Date.now());
        if (calls.length === 1) yield ["10.0.0.2:1"];
        if (calls.length === 8) {
          yield ["10.0.0.3:1"];
          await new Promise(() => undefined);
        }
        throw new Error(`attempt ${calls.length}`);
      },
    };
    start([source]);
    await vi.advanceTimersByTimeAsync(20);
    expect(changes).toEqual(["up broken", "down broken: attempt 1"]);
    expect([...dialled]).toEqual(["10.0.0.2:1"]);
    while (calls.length < 7) await vi.advanceTimersByTimeAsync(100);
    expect([...dialled]).toEqual(["10.0.0.2:1"]);
    const [status] = discovery?.status() ?? [];
    expect(status).toMatchObject({ state: "down", addresses: ["10.0.0.2:1"] });
    expect(status?.error?.message).toBe("attempt 7");
    while (calls.length < 8) await vi.advanceTimersByTimeAsync(100);
    const pauses = calls.slice(1).map((at, i) => at - (calls[i] as number));
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(Math.min(500 * 2 ** i, 30_000) / 2);
      expect(pause).toBeLessThanOrEqual(Math.min(500 * 2 ** i, 30_000) + 20);
    }
    await vi.advanceTimersByTimeAsync(20);
    expect([...dialled]).toEqual(["10.0.0.3:1"]);
    expect(changes).toEqual(["up broken", "down broken: attempt 1", "up broken"]);
    expect(discovery?.status()[0]).not.toHaveProperty("error");
  });

  it("that return after a list are asked again after 30 s at most, and are not down", async () => {
    let list = ["10.0.0.2:1"];
    async function* lookUp(): AsyncGenerator<string[]> {
      yield list;
    }
    start([lookUp]);
    await vi.advanceTimersByTimeAsync(20);
    list = ["10.0.0.3:1"];
    await vi.advanceTimersByTimeAsync(30_100);
    expect([...dialled]).toEqual(["10.0.0.3:1"]);
    expect(changes).toEqual(["up lookUp"]);
  });

  const throws = (what: unknown) => (): never => {
    throw what;
  };
  async function* notLists(): AsyncGenerator<string> {
    yield "10.0.0.2:1";
  }
  const NO_ITERABLE = "the source must return an async iterable, as an async generator does";
  it.each([
    ["throws at once", throws(new Error("no")), "no"],
    ["throws what is not an error", throws("text"), "text"],
    ["throws what cannot be read", throws(UNREADABLE["a Proxy that throws"]), "an error without a message"],
    ["returns nothing", () => undefined, NO_ITERABLE],
    ["rejects", () => Promise.reject(new Error("no registry")), NO_ITERABLE],
    ["ends without a list", async function* () {}, "the source returned without a list"],
    ["gives what is not a list", notLists, "the source must yield arrays of addresses"],
  ])("one that %s is down", async (_what, discover, message) => {
    start([{ name: "x", discover }]);
    await vi.advanceTimersByTimeAsync(20);
    expect(changes).toEqual([`down x: ${message}`]);
    expect(discovery?.status()[0]).toMatchObject({ state: "down", addresses: [] });
  });

  it("that yield without end get a turn of the event loop at a time", async () => {
    let yields = 0;
    async function* flood(): AsyncGenerator<string[]> {
      for (;;) yield [`10.0.0.${2 + (yields++ % 200)}:1`];
    }
    start([flood]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(yields).toBeLessThanOrEqual(101);
    expect(dialled.size).toBe(1);
  });

  it("have junk counted, and addresses outside the scope left out", async () => {
    accepts = (address) => address.startsWith("127.");
    start([
      staticSource(["127.0.0.1:1", "10.0.0.2:1"]),
      async function* () {
        yield ["junk", 3, "127.0.0.1:2", ...new Array<string>(1_100).fill("127.0.0.1:3")];
        await new Promise(() => undefined);
      },
    ]);
    await vi.advanceTimersByTimeAsync(20);
    expect([...dialled].sort()).toEqual(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    expect(counts).toMatchObject({ "seed:junk": 2, "seed:full": 1 });
    expect(counts["seed:outside"]).toBeGreaterThanOrEqual(1);
  });

  it("withdraw what they published when the node leaves, and one that does not costs a second", async () => {
    let withdrawn = false;
    async function* publishing(_self: unknown, signal: AbortSignal): AsyncGenerator<string[]> {
      try {
        yield* new AddressFeed(signal) as AsyncIterable<string[]>;
      } finally {
        await new Promise((resolve) => setTimeout(resolve, 300));
        withdrawn = true;
      }
    }
    const made = start([publishing]);
    await vi.advanceTimersByTimeAsync(0);
    let settled = false;
    const stopped = made.stop(5_000).then(() => {
      settled = true;
    });
    await vi.advanceTimersByTimeAsync(250);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(100);
    await stopped;
    expect(withdrawn).toBe(true);
    async function* stuck(): AsyncGenerator<string[]> {
      await new Promise(() => undefined);
    }
    const other = start([stuck]);
    await vi.advanceTimersByTimeAsync(0);
    const begun = Date.now();
    const ended = other.stop(60_000);
    await vi.advanceTimersByTimeAsync(1_000);
    await ended;
    expect(Date.now() - begun).toBe(1_000);
  });

  it("get a signal of their own for each attempt, aborted when it failed", async () => {
    const signals: AbortSignal[] = [];
    async function* failing(_self: unknown, signal: AbortSignal): AsyncGenerator<string[]> {
      signals.push(signal);
      if (signals.length > 0) throw new Error("no");
      yield [];
    }
    start([failing]);
    await vi.advanceTimersByTimeAsync(600);
    expect(signals.length).toBe(2);
    expect(signals[0]?.aborted).toBe(true);
  });
});

it("the lists of all sources have room for the few addresses of one when another has thousands", () => {
  const addresses = (host: number, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `10.${host}.${i >> 8}.${i & 255}:7946`);
  const few = addresses(2, 20);
  const flooded = merged([addresses(1, MAX_SEEDS), few], (entry) => [entry]);
  expect([flooded.addresses.size, flooded.overflows]).toEqual([MAX_SEEDS, true]);
  for (const address of few) expect(flooded.addresses.has(address)).toBe(true);
  expect(merged([[], few], (entry) => [entry])).toEqual({ addresses: new Set(few), overflows: false });
});

describe("the sources of a node", () => {
  it("may have names of Kubernetes that are longer than a source's", () => {
    const label = "x".repeat(60);
    const server = "https://10.0.0.1";
    const long = [kubernetesSource({ namespace: label, service: label, server })];
    for (const { name } of sourcesOf(long)) expect(name).toHaveLength(128);
  });

  it("are functions or objects with a name; a number distinguishes two of one name", () => {
    function find(): AsyncIterable<readonly string[]> {
      throw new Error("not called");
    }
    const names = sourcesOf([staticSource([]), staticSource([]), find, () => find(), staticSource([])]);
    expect(names.map(({ name }) => name)).toEqual(["static", "static#2", "find", "function", "static#3"]);
  });

  it.each([
    ["not an array", staticSource([])],
    ["a text", ["static"]],
    ["without discover", [{ name: "x" }]],
    ["without a name", [{ discover: () => undefined }]],
    ["with a long name", [{ name: "x".repeat(129), discover: () => undefined }]],
    ["too many", new Array(17).fill(staticSource([]))],
  ])("%s is refused", (_what, given) => {
    expect(() => sourcesOf(given)).toThrowError(expect.objectContaining({ code: "EINVAL" }));
  });

  it.each([[["x"]], ["10.0.0.1:1"], [[7]], [undefined]])("a list of %j is refused", (given) => {
    expect(() => staticSource(given as never)).toThrowError(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("the pauses between lists of a server", () => {
  it.each([
    ["are longer each time", 2, 60_000, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]],
    ["are 5 s at most where nobody else is listed", 1, 60_000, [1_000, 2_000, 4_000, 5_000, 5_000]],
    ["are as short as the program wants", 0, 100, [100, 100]],
  ])("%s", (_, found, longest, expected) => {
    const pauses = expected.map((_, lists) => pauseAfter(lists, found, longest));
    for (const [at, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual((expected[at] as number) / 2);
      expect(pause).toBeLessThanOrEqual(expected[at] as number);
    }
  });
});
