/** What every store of sessions promises; run on each of them, and on a program's own. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { SessionStore, SessionStoreCheck, SessionStoreWrite } from "../../src/sessions/store.js";

const put = (key: string, value: string): SessionStoreWrite => ({ key, value: Buffer.from(value) });
const remove = (key: string): SessionStoreWrite => ({ key, value: undefined });
const at = (key: string, version: number): SessionStoreCheck => ({ key, version });
const ALL = { from: "a", to: "z", limit: 1_000, maxBytes: 1_000_000 };

/** A second user of a store, whose end is not the store's. */
export function userOf(store: SessionStore): SessionStore {
  return {
    name: store.name,
    read: (keys) => store.read(keys),
    scan: (range) => store.scan(range),
    commit: (checks, writes) => store.commit(checks, writes),
    close: async () => undefined,
  };
}

/**
 * Declares the tests.
 *
 * @param open a store that is empty the first time in each test; called again while the one before is open, or was closed: both are one store
 * @param isDurable whether what was committed is there after all were closed
 */
export function sessionStoreContract(
  open: (isFirst: boolean) => Promise<SessionStore>,
  isDurable: boolean,
): void {
  let store: SessionStore;
  beforeEach(async () => {
    store = await open(true);
  });
  afterEach(async () => {
    await store.close();
  });

  const versionOf = async (key: string): Promise<number> => (await store.read([key]))[0]?.version ?? 0;
  const valuesOf = async (...keys: string[]): Promise<(string | undefined)[]> =>
    (await store.read(keys)).map((each) => each?.value.toString("latin1"));

  it("has nothing at first", async () => {
    expect(await store.read(["a", "b"])).toEqual([undefined, undefined]);
    expect(await store.scan(ALL)).toEqual([]);
    expect(await store.read([])).toEqual([]);
  });

  it("keeps what was committed, replaces and removes it", async () => {
    expect(await store.commit([], [put("k/1", "one"), put("k/2", "two")])).toBe(true);
    expect(await valuesOf("k/2", "k/0", "k/1")).toEqual(["two", undefined, "one"]);
    expect(await store.commit([], [put("k/1", "new"), remove("k/2"), remove("k/3")])).toBe(true);
    expect(await valuesOf("k/1", "k/2", "k/3")).toEqual(["new", undefined, undefined]);
  });

  it("keeps bytes as they are, none and many", async () => {
    const values = [Buffer.from(Array.from({ length: 256 }, (_, i) => i)), "", Buffer.alloc(2_000_000, 7)];
    const writes = values.map((value, i) => ({ key: `b/${i}`, value: Buffer.from(value) }));
    await store.commit([], writes);
    const found = await store.read(writes.map(({ key }) => key));
    for (const [i, { value }] of writes.entries()) expect(found[i]?.value.equals(value)).toBe(true);
  });

  it("commits where each check holds, and else nothing", async () => {
    await store.commit([], [put("a", "1"), put("b", "1")]);
    const [a, b] = [await versionOf("a"), await versionOf("b")];
    expect(a).toBeGreaterThan(0);
    expect(await store.commit([at("a", a), at("b", b + 1)], [put("a", "2")])).toBe(false);
    expect(await store.commit([at("c", 1)], [put("a", "2")])).toBe(false);
    expect(await store.commit([at("a", 0)], [put("c", "2")])).toBe(false);
    expect(await valuesOf("a", "c")).toEqual(["1", undefined]);
    const checks = [at("a", a), at("c", 0)];
    expect(await store.commit(checks, [put("a", "2"), put("c", "2"), remove("b")])).toBe(true);
    expect(await valuesOf("a", "b", "c")).toEqual(["2", undefined, "2"]);
    expect(await store.commit(checks, [put("a", "3")])).toBe(false);
  });

  it("checks without writing", async () => {
    await store.commit([], [put("a", "1")]);
    expect(await store.commit([at("a", await versionOf("a"))], [])).toBe(true);
    expect(await store.commit([at("a", 0)], [])).toBe(false);
  });

  it("gives a key that was removed and is there again a version that it never had", async () => {
    const versions = new Set<number>();
    for (let i = 0; i < 5; i++) {
      await store.commit([], [put("a", String(i))]);
      versions.add(await versionOf("a"));
      await store.commit([], [put("a", `${i} again`)]);
      versions.add(await versionOf("a"));
      await store.commit([], [remove("a")]);
      expect(await versionOf("a")).toBe(0);
    }
    expect(versions.size).toBe(10);
  });

  it("scans a range in the order of its keys' bytes, up to a count and to bytes", async () => {
    const names = "q/x/000a q/x/0001 q/x-y/0001 q/x/0002 q/X/0001 q/x.y/0001 r/a p/z q/x:y/0001".split(" ");
    const added = names.map((key) => put(key, "0123456789"));
    await store.commit([], added);
    const scan = async (range: object): Promise<string[]> =>
      (await store.scan({ ...ALL, ...range })).map(({ key }) => key);
    expect(await scan({ from: "q/", to: "q0" })).toEqual(
      names.filter((key) => key.startsWith("q/")).sort((one, other) => (one < other ? -1 : 1)),
    );
    expect(await scan({ from: "q/x/", to: "q/x0" })).toEqual(["q/x/0001", "q/x/0002", "q/x/000a"]);
    expect(await scan({ from: "q/x/0002", to: "q/x0" })).toEqual(["q/x/0002", "q/x/000a"]);
    expect(await scan({ from: "q/x/0002!", to: "q/x0" })).toEqual(["q/x/000a"]);
    expect(await scan({ from: "q/x/", to: "q/x/000a" })).toEqual(["q/x/0001", "q/x/0002"]);
    expect(await scan({ from: "q/x/", to: "q/x0", limit: 2 })).toEqual(["q/x/0001", "q/x/0002"]);
    expect(await scan({ from: "q/x/", to: "q/x0", maxBytes: 25 })).toEqual(["q/x/0001", "q/x/0002"]);
    expect(await scan({ from: "q/x/", to: "q/x0", maxBytes: 1 })).toEqual(["q/x/0001"]);
    const [entry] = await store.scan({ ...ALL, from: "q/x/0001", to: "q/x0" });
    expect(entry?.value.toString()).toBe("0123456789");
    expect(entry?.version).toBe(await versionOf("q/x/0001"));
  });

  it("scans thousands of keys that were added and removed in any order", async () => {
    const order = Array.from({ length: 3_000 }, (_, i) => (i * 7_919) % 3_000);
    const name = (i: number): string => `k/${i.toString(16).padStart(6, "0")}`;
    const added = order.map((i) => put(name(i), String(i)));
    const removed = order.filter((i) => i % 2 === 1).map((i) => remove(name(i)));
    for (const writes of [added, removed])
      for (let first = 0; first < writes.length; first += 500)
        await store.commit([], writes.slice(first, first + 500));
    const found = await store.scan({ ...ALL, from: "k/", to: "k0", limit: 10_000 });
    expect(found.map(({ key }) => key)).toEqual(Array.from({ length: 1_500 }, (_, i) => name(2 * i)));
  });

  it("lets one of many commits with one check succeed, of several that share it", async () => {
    const other = await open(false);
    try {
      await store.commit([], [put("n", "0")]);
      let conflicts = 0;
      const add = async (by: SessionStore): Promise<void> => {
        for (;;) {
          const [entry] = await by.read(["n"]);
          const next = Number(entry?.value) + 1;
          if (await by.commit([at("n", entry?.version ?? 0)], [put("n", String(next))])) return;
          conflicts += 1;
        }
      };
      await Promise.all(Array.from({ length: 40 }, (_, i) => add(i % 2 === 0 ? store : other)));
      expect(await valuesOf("n")).toEqual(["40"]);
      expect(conflicts).toBeGreaterThan(0);
    } finally {
      await other.close();
    }
  });

  it("lets no two commits succeed of which each writes what the other one checks", async () => {
    const other = await open(false);
    try {
      for (let round = 0; round < 20; round++) {
        const [a, b] = [`a/${round}`, `b/${round}`];
        const done = await Promise.all([
          store.commit([at(a, 0)], [put(b, "1")]),
          other.commit([at(b, 0)], [put(a, "1")]),
        ]);
        expect(done).not.toEqual([true, true]);
        const values = await valuesOf(a, b);
        expect(values.filter((value) => value !== undefined)).toHaveLength(done.filter(Boolean).length);
      }
    } finally {
      await other.close();
    }
  });

  it("refuses all calls once it is closed", async () => {
    await store.close();
    await expect(store.read(["a"])).rejects.toMatchObject({ code: "EBADF" });
    await expect(store.scan(ALL)).rejects.toMatchObject({ code: "EBADF" });
    await expect(store.commit([], [put("a", "1")])).rejects.toMatchObject({ code: "EBADF" });
    await store.close();
  });

  it.runIf(isDurable)("has what was committed when it is opened again", async () => {
    await store.commit([], [put("a", "1"), put("b", "2")]);
    const before = await versionOf("a");
    await store.close();
    store = await open(false);
    expect(await valuesOf("a", "b")).toEqual(["1", "2"]);
    expect(await versionOf("a")).toBe(before);
    await store.commit([], [put("a", "3")]);
    expect(await versionOf("a")).not.toBe(before);
  });
}
