/** A folder is opened once by one process, whatever kinds of stores ask for it. */
import crypto from "node:crypto";
import { symlinkSync } from "node:fs";
import { beforeEach, expect, test, vi } from "vitest";
import { CloneLmdbStore, LmdbStore } from "../../src/patterns/index.js";
import { WriteBehind } from "../../src/patterns/last-value-cache/store.js";
import { ValueCache } from "../../src/patterns/last-value-cache/value-cache.js";
import { LmdbFolder } from "../../src/store/lmdb.js";
import { StoreError } from "../../src/store/store.js";
import { removeAfterEach } from "../support/folders.js";

const makeFolder = removeAfterEach();
let folder: string;
beforeEach(() => {
  folder = makeFolder();
});

const BOUNDS = { maxTopics: 1, maxBytes: 1_000, maxTopicBytes: 10, maxValueBytes: 100 };
const CACHE = new ValueCache(BOUNDS, { evicted: () => undefined, uncached: () => undefined }, true);
const KINDS: Record<string, (directory: string) => { close(): Promise<void> }> = {
  Titanic: (directory) => LmdbStore.open(directory),
  Clone: (directory) => CloneLmdbStore.open(directory),
  "last value cache": (directory) => new WriteBehind(CACHE, directory, 100, () => undefined),
};

test.for(Object.keys(KINDS))("a folder that %s has open is refused to every kind of store", async (name) => {
  const link = `${makeFolder()}/link`;
  symlinkSync(folder, link);
  const store = KINDS[name]?.(folder);
  for (const open of Object.values(KINDS)) {
    for (const path of [folder, `${folder}/../${folder.split("/").at(-1)}`, link])
      expect(() => open(path)).toThrow(expect.objectContaining({ code: "ERR_STORE", reason: "taken" }));
  }
  await store?.close();
  await KINDS[name]?.(link).close();
});

test.for(Object.keys(KINDS))("a folder that %s cannot begin with is closed again", async (name) => {
  const random = vi.spyOn(crypto, "randomBytes");
  const begin = () => KINDS[name]?.(folder);
  // The mark of its owner, which is written first.
  random.mockImplementationOnce(() => {
    random.mockRestore();
    return { length: 16 } as never;
  });
  expect(begin).toThrow(expect.objectContaining({ code: "ERR_STORE", reason: "failed" }));
  const store = await vi.waitFor(() => begin(), 15_000);
  await store?.close();
});

test("a failed commit has the system's error as its cause", async () => {
  const cause = new Error("EIO");
  const store = new LmdbFolder(folder, { tables: ["values"] });
  const failing = (error: object) =>
    store.transaction(() => {
      throw error;
    });
  const commitError = Promise.reject(cause);
  commitError.catch(() => undefined);
  await expect(failing({ commitError })).rejects.toMatchObject({ reason: "failed", cause });
  const taken = new StoreError("taken", "by another");
  await expect(failing(taken)).rejects.toBe(taken);
  await store.close();
});
