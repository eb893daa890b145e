import { beforeEach, describe, expect, it } from "vitest";
import { SessionClient, SessionServer } from "../../src/sessions/index.js";
import { LmdbSessionStore } from "../../src/sessions/lmdb-store.js";
import { removeAfterEach } from "../support/folders.js";
import { sessionStoreContract, userOf } from "./store-contract.js";

const makeFolder = removeAfterEach();
let directory: string;
beforeEach(() => {
  directory = makeFolder();
});

describe("sessions on LMDB", () => {
  describe("as every store", () => {
    let current: LmdbSessionStore | undefined;
    sessionStoreContract(async (isFirst) => {
      if (!isFirst && current !== undefined) {
        const shared = current;
        const isOpen = await shared.read([]).then(
          () => true,
          () => false,
        );
        // A process has a folder open once: a second user within it shares the store.
        if (isOpen) return userOf(shared);
      }
      current = LmdbSessionStore.open(directory);
      return current;
    }, true);
  });

  it("keeps nothing new on a full disk, and still removes", async () => {
    const roomy = LmdbSessionStore.open(directory);
    await roomy.commit([], [{ key: "a", value: Buffer.from("1") }]);
    await roomy.close();
    const store = LmdbSessionStore.open(directory, { minFreeBytes: Number.MAX_SAFE_INTEGER });
    const added = store.commit([], [{ key: "b", value: Buffer.from("1") }]);
    await expect(added).rejects.toMatchObject({ code: "ERR_STORE", reason: "full" });
    expect(await store.commit([], [{ key: "a", value: Buffer.from("2") }])).toBe(true);
    expect(await store.commit([], [{ key: "a", value: undefined }])).toBe(true);
    await store.close();
  });

  it("on a full disk has a server that starts, acknowledges and removes", async () => {
    const roomy = LmdbSessionStore.open(directory);
    const before = new SessionServer({ store: roomy });
    const reader = new SessionClient(await before.bind("tcp://127.0.0.1:*"), { id: "reader" });
    await reader.subscribe("#");
    await reader.publish("t", "x");
    await reader.close();
    await before.close();
    await roomy.close();
    const store = LmdbSessionStore.open(directory, { minFreeBytes: Number.MAX_SAFE_INTEGER });
    const server = new SessionServer({ store });
    const again = new SessionClient(await server.bind("tcp://127.0.0.1:*"), { id: "reader" });
    (await again.receive()).acknowledge();
    await again.close();
    expect(await server.sessions()).toMatchObject([{ id: "reader", queued: 0 }]);
    await server.remove("reader");
    expect(await server.sessions()).toEqual([]);
    await server.close();
    await store.close();
  });

  it("refuses a folder that this process has open, and what is not a path", async () => {
    const store = LmdbSessionStore.open(directory);
    expect(() => LmdbSessionStore.open(directory)).toThrow(expect.objectContaining({ reason: "taken" }));
    expect(() => LmdbSessionStore.open("tcp://127.0.0.1:1")).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
    await store.close();
  });
});
