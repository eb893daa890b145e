import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LmdbStore, type LmdbStoreOptions } from "../../../src/patterns/titanic/lmdb-store.js";
import { formatUuid } from "../../../src/patterns/titanic/protocol.js";
import type { TitanicDamagedRecord, TitanicNewRequest } from "../../../src/patterns/titanic/store.js";
import { type LmdbDatabase, openEnvironment } from "../../../src/store/lmdb.js";
import { run } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { LONG } from "../../support/long.js";
import { missing } from "../../support/peers.js";
import fc from "../../support/properties.js";
import { ECHO, request, storeContract } from "./store-contract.js";

const makeFolder = removeAfterEach();
let directory: string;

beforeEach(() => {
  directory = makeFolder();
});

const HOUR = 3_600_000;
const keep = closeAfterEach();
const open = (path: string, options?: LmdbStoreOptions): LmdbStore => keep(LmdbStore.open(path, options));

const NAMES = { request: "requests", reply: "replies", dead: "dead" };

/** Changes a table behind the store's back, which is closed. */
async function change(name: string, act: (table: LmdbDatabase) => void): Promise<void> {
  const environment = openEnvironment(directory);
  const table = environment.openDB(name, { encoding: "binary", keyEncoding: "binary" });
  environment.transactionSync(() => void act(table));
  await environment.close();
}

const damage = (uuid: Buffer, which: keyof typeof NAMES): Promise<void> =>
  change(NAMES[which], (table) => {
    const record = Buffer.from(table.getBinary(uuid) as Buffer);
    record[record.length - 1] = (record.at(-1) as number) ^ 1;
    table.put(uuid, record);
  });

/** Requests that a store had before this one. */
async function stored(...requests: TitanicNewRequest[]): Promise<void> {
  const store = LmdbStore.open(directory);
  await Promise.all(requests.map((r) => store.put(r)));
  await store.close();
}

describe("the store on LMDB", () => {
  describe("as every store", () => {
    storeContract(() => ({ open: async () => LmdbStore.open(directory), damage }));
  });

  it("gives a request that was put back, though the clock was set back", async () => {
    const store = open(directory);
    const asked = request();
    await store.put(asked);
    await store.claim(ECHO, 1);
    await store.release(asked.uuid, 0, false);
    const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now() - HOUR);
    const claimed = await store.claim(ECHO, 1);
    clock.mockRestore();
    expect(claimed.map(({ uuid }) => uuid)).toEqual([asked.uuid]);
  });

  it.each([
    "tcp://127.0.0.1:1",
    "postgres://shoal:secret@db/shoal",
    "file:///tmp/x",
    "a\0b",
    undefined,
    null,
    {},
  ])("refuses the path %j, makes no folder, and repeats no password", (path) => {
    const wrong = new Error("nothing was thrown");
    let thrown = wrong;
    try {
      LmdbStore.open(path as string);
    } catch (error) {
      thrown = error as Error;
    }
    expect(thrown).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining("the path of a folder"),
    });
    expect(thrown.message).not.toContain("secret");
    expect(existsSync("tcp:") || existsSync("postgres:") || existsSync("file:")).toBe(false);
  });

  it.each([
    ["", {}],
    ["x", { maxRecords: -1 }],
    ["x", { minFreeBytes: 0.5 }],
    ["x", { maxPendingWrites: Number.NaN }],
  ])("refuses the folder %j with options %j", (path, options) => {
    expect(() => LmdbStore.open(path && join(directory, path), options)).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });

  it.each([
    ["of other bytes", Buffer.alloc(8_192, 7)],
    ["of zeros", Buffer.alloc(8_192)],
    ["that is cut off", Buffer.from([0])],
  ])("leaves a file %s as it is, and says so", (_, bytes) => {
    const file = join(directory, "data.mdb");
    writeFileSync(file, bytes);
    expect(() => LmdbStore.open(directory)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", reason: "damaged" }),
    );
    expect(readFileSync(file)).toEqual(bytes);
  });

  it("belongs to the process that opened it last", async () => {
    const store = open(directory);
    const [before, after] = [request("1"), request("2")];
    await store.put(before);
    const other = await run(
      `import { LmdbStore } from "shoal/patterns";
       const store = LmdbStore.open(process.argv[1]);
       console.log((await store.claim(Buffer.from("echo"), 10)).length);
       await store.close();`,
      { args: [directory] },
    );
    expect(other).toMatchObject({ code: 0, stdout: "1\n", stderr: "" });
    await expect(store.put(after)).rejects.toMatchObject({ code: "ERR_STORE", reason: "taken" });
    await expect(store.claim(ECHO, 1)).rejects.toMatchObject({ reason: "taken" });
  });

  it("refuses more writes than may wait", async () => {
    const store = open(directory, { maxPendingWrites: 2 });
    const results = await Promise.allSettled([request(), request(), request()].map((r) => store.put(r)));
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect(results[2]).toMatchObject({ reason: { reason: "overloaded" } });
  });

  it("removes keys that were cut off, and goes on with the others", async () => {
    const [expired, asked] = [request("expired", ECHO, 1), request("asked")];
    await stored(expired, asked);
    await change("expiry", (expiry) => {
      for (const key of [[0], [0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]])
        expiry.put(Buffer.from(key), Buffer.of(1));
    });
    await change("queue", (queue) => queue.put(Buffer.from([ECHO.length, ...ECHO]), Buffer.of(1)));
    const store = open(directory);
    expect(await store.expire(10)).toBe(4);
    expect(await store.expire(10)).toBe(0);
    expect((await store.claim(ECHO, 10)).map(({ uuid }) => uuid)).toEqual([asked.uuid]);
    await store.forget(asked.uuid);
    expect(await store.services(10)).toEqual([]);
  });

  it("lists every service though keys of its queue were cut off", async () => {
    const [short, asked] = [request("short", Buffer.from("ec")), request("asked")];
    await stored(short, asked);
    const key = Buffer.from([ECHO.length, ...ECHO, ...asked.uuid]);
    await change("queue", (queue) => {
      for (const length of [1, 3, 5, 9, 20]) queue.put(key.subarray(0, length), Buffer.of(1));
    });
    const store = open(directory);
    expect((await store.services(2)).map(String)).toEqual(["ec", "echo"]);
    expect((await store.services(10)).map(String)).toEqual(["ec", "echo"]);
    expect((await store.claim(ECHO, 10)).map(({ uuid }) => uuid)).toEqual([asked.uuid]);
  });

  it("reports a damaged dead letter, and lists the others", async () => {
    const [broken, sound] = [request("broken"), request("sound")];
    const death = { attempts: 1, reason: "no", died: 1, expires: Date.now() + HOUR };
    await stored(broken, sound);
    const first = LmdbStore.open(directory);
    for (const { uuid } of [broken, sound]) await first.markDead(uuid, death);
    await first.close();
    await damage(broken.uuid, "dead");
    const store = open(directory);
    const told: TitanicDamagedRecord[] = [];
    store.onDamage = (record) => told.push(record);
    const found = { uuid: formatUuid(broken.uuid), reason: "the checksum does not fit" };
    expect(await store.look(broken.uuid)).toEqual({ state: "damaged" });
    expect(told).toEqual([found]);
    expect((await store.deadLetters(10)).map(({ uuid }) => uuid)).toEqual([sound.uuid]);
    expect(told).toEqual([found, found]);
    await store.forget(broken.uuid);
    expect(await store.look(broken.uuid)).toEqual({ state: "unknown" });
    expect(await store.look(sound.uuid)).toEqual({ state: "dead", reason: "no" });
  });

  it("refuses more bytes than may wait", async () => {
    // Nothing is written: there is no room for it.
    const store = open(directory, { minFreeBytes: Number.MAX_SAFE_INTEGER });
    const body = [Buffer.alloc(2 ** 26)];
    const puts = Array.from({ length: 5 }, () => store.put({ ...request(), body }));
    const reasons = (await Promise.allSettled(puts)).map(
      (put) => put.status === "rejected" && put.reason.reason,
    );
    expect(reasons).toEqual(["full", "full", "full", "overloaded", "overloaded"]);
  });

  it("does what a table in memory does", async () => {
    const kinds = fc.constantFrom("put", "claim", "answer", "forget", "release", "reopen", "expire");
    const step = fc.tuple(kinds, fc.nat({ max: 9 }), fc.nat({ max: 2 }));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const folder = join(directory, String(run++));
        mkdirSync(folder);
        await compare(folder, steps);
      }),
      { numRuns: 300, defaultRuns: 9 },
    );
  });
});

interface Known {
  readonly request: TitanicNewRequest;
  state: "pending" | "held" | "answered" | "gone";
}

/** Several operations at once between two looks, as the network brings them. */
async function compare(folder: string, steps: readonly (readonly [string, number, number])[]): Promise<void> {
  let store = LmdbStore.open(folder, { minFreeBytes: 0 });
  const known: Known[] = [];
  for (const [kind, index, service] of steps) {
    const name = Buffer.from([service + 1]);
    const one = known[index % Math.max(known.length, 1)];
    if (kind === "put") {
      const fresh = Array.from({ length: 1 + index }, (_, i) => request("x".repeat(i * 400), name));
      await Promise.all(fresh.map((r) => store.put(r)));
      known.push(...fresh.map((r) => ({ request: r, state: "pending" as const })));
    } else if (kind === "claim") {
      const expected = known
        .filter((k) => k.state === "pending" && k.request.service.equals(name))
        .slice(0, index + 1);
      const claimed = await store.claim(name, index + 1);
      expect(claimed.map(({ uuid, body }) => [uuid, body])).toEqual(
        expected.map(({ request: r }) => [r.uuid, r.body]),
      );
      for (const k of expected) k.state = "held";
    } else if (kind === "reopen") {
      await store.close();
      store = LmdbStore.open(folder, { minFreeBytes: 0 });
      for (const k of known) if (k.state === "held") k.state = "pending";
    } else if (kind === "expire") {
      expect(await store.expire(10)).toBe(0);
    } else if (one !== undefined) {
      const waits = one.state === "pending" || one.state === "held";
      if (kind === "answer") {
        expect(await store.answer(one.request.uuid, [name], Date.now() + HOUR)).toBe(waits);
        if (waits) one.state = "answered";
      } else if (kind === "forget") {
        await store.forget(one.request.uuid);
        one.state = "gone";
      } else if (kind === "release" && one.state === "held") {
        await store.release(one.request.uuid, 0, false);
        one.state = "pending";
      }
    }
  }
  const states = { pending: "pending", held: "pending", answered: "answered", gone: "unknown" };
  for (const { request: r, state } of known) expect((await store.look(r.uuid)).state).toBe(states[state]);
  const count = (...wanted: string[]): number => known.filter(({ state }) => wanted.includes(state)).length;
  expect(store.stats()).toMatchObject({
    pending: count("pending", "held"),
    answered: count("answered"),
  });
  await store.close();
}

describe.skipIf(missing("mounts"))("on a disk that is full", () => {
  let disk: string;

  beforeEach(() => {
    disk = join(directory, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "none", disk], { stdio: "pipe" });
  });
  afterEach(() => {
    try {
      execFileSync("umount", [disk], { stdio: "pipe" });
    } catch {
      // It was not mounted.
    }
  });

  /** Batches, until one is refused. @param kept takes what is stored. @returns why */
  async function fill(store: LmdbStore, kept: TitanicNewRequest[]): Promise<unknown> {
    for (let i = 0; i < 100; i++) {
      const batch = Array.from({ length: 100 }, () => request("x".repeat(1_000)));
      const results = await Promise.allSettled(batch.map((r) => store.put(r)));
      kept.push(...batch.filter((_, n) => results[n]?.status === "fulfilled"));
      const refused = results.find((result) => result.status === "rejected");
      if (refused !== undefined) return refused.reason;
    }
    return undefined;
  }

  it("refuses new requests with an error, keeps the old, and takes new ones when there is room again", async () => {
    const minFreeBytes = 1_048_576;
    let store = LmdbStore.open(disk, { minFreeBytes });
    const kept: TitanicNewRequest[] = [];
    expect(await fill(store, kept)).toMatchObject({ code: "ERR_STORE" });
    expect(kept.length).toBeGreaterThan(500);
    await store.close();
    store = LmdbStore.open(disk, { minFreeBytes });
    for (const { uuid } of kept) expect((await store.look(uuid)).state).toBe("pending");
    expect(
      await store.answer((kept[0] as TitanicNewRequest).uuid, [Buffer.from("r")], Date.now() + HOUR),
    ).toBe(true);
    // The file is not shorter, but its pages are free: there is room again, as often as it is used up and emptied.
    for (let round = 0; round < (LONG ? 3 : 1); round++) {
      for (const { uuid } of kept) await store.forget(uuid);
      const before = kept.splice(0).length;
      expect(await fill(store, kept)).toMatchObject({ reason: "full" });
      expect(kept.length).toBeGreaterThan(before / 2);
    }
    await store.close();
  });

  it("survives commits that fail for lack of room", async () => {
    const store = LmdbStore.open(disk, { minFreeBytes: 0 });
    const kept: TitanicNewRequest[] = [];
    expect(await fill(store, kept)).toMatchObject({ code: "ERR_STORE", reason: "failed" });
    expect(store.stats().pending).toBe(kept.length);
    await store.close();
    const again = LmdbStore.open(disk, { minFreeBytes: 0 });
    for (const { uuid } of kept) expect((await again.look(uuid)).state).toBe("pending");
    expect(again.stats().pending).toBe(kept.length);
    await again.close();
  });
});
