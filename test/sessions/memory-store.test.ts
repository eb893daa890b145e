import { describe } from "vitest";
import { MemorySessionStore } from "../../src/sessions/memory-store.js";
import type { SessionStore } from "../../src/sessions/store.js";
import { sessionStoreContract } from "./store-contract.js";

describe("sessions in memory, as every store", () => {
  let shared: MemorySessionStore;
  sessionStoreContract(async (isFirst) => {
    if (isFirst) shared = new MemorySessionStore();
    if (isFirst) return shared;
    // A second user of the same store, whose end is not the store's.
    const user: SessionStore = {
      name: "memory",
      read: (keys) => shared.read(keys),
      scan: (range) => shared.scan(range),
      commit: (checks, writes) => shared.commit(checks, writes),
      close: async () => undefined,
    };
    return user;
  }, false);
});
