/** A disk without a free byte, as the system reports it. */
import { readdirSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { CloneLmdbStore } from "../../../src/patterns/index.js";
import { removeAfterEach } from "../../support/folders.js";

const disk = vi.hoisted(() => ({ bavail: 1_000_000, bsize: 4_096 }));
vi.mock("node:fs", async (original) => ({
  ...(await original<typeof import("node:fs")>()),
  statfsSync: () => disk,
}));

const folder = removeAfterEach();

test("a new store needs room for its files, which LMDB does not survive without", async () => {
  const path = folder();
  disk.bavail = 3;
  expect(() => CloneLmdbStore.open(path)).toThrow(expect.objectContaining({ reason: "full" }));
  expect(readdirSync(path)).toEqual([]);
  disk.bavail = 1_000_000;
  await CloneLmdbStore.open(path).close();
  disk.bavail = 0;
  await CloneLmdbStore.open(path).close(); // What it holds can be read, and deleted.
  disk.bavail = 1_000_000;
});

test("what deleted keys leave in the file is room", async () => {
  const path = folder();
  const change = (key: number, value: Buffer | undefined, sequence: number) => ({
    key: Buffer.from(`k${key}`),
    value,
    sequence,
    expires: 0,
  });
  const filled = CloneLmdbStore.open(path, { minFreeBytes: 0 });
  disk.bavail = 0;
  const keys = Array.from({ length: 200 }, (_, key) => key);
  const sets = keys.map((key) => change(key, Buffer.alloc(20_000), key + 1));
  await filled.commit(sets, 200, []);
  await filled.close();
  const store = CloneLmdbStore.open(path, { minFreeBytes: 2_000_000 });
  const small = change(0, Buffer.from("v"), 500);
  await expect(store.commit([small], 500, [])).rejects.toMatchObject({ reason: "full" });
  const deletes = keys.map((key) => change(key, undefined, 201 + key));
  await store.commit(deletes, 400, []);
  await store.commit([small], 500, []);
  await store.close();
});

test("the other server's map does not take the bytes that stay free", async () => {
  disk.bavail = 1_000_000;
  const store = CloneLmdbStore.open(folder());
  const map = await store.replace();
  const entries = [{ key: Buffer.from("k"), value: Buffer.from("v"), sequence: 1, expires: 0 }];
  disk.bavail = 0;
  await expect(map.add(entries)).rejects.toMatchObject({ reason: "full" });
  disk.bavail = 1_000_000;
  await map.add(entries);
  await store.close();
});
