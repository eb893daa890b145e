import { describe } from "vitest";
import { MemorySessionStore } from "../../src/sessions/store.js";
import { sessionStoreContract, userOf } from "./store-contract.js";

describe("sessions in memory, as every store", () => {
  let shared: MemorySessionStore;
  sessionStoreContract(async (isFirst) => {
    if (!isFirst) return userOf(shared);
    shared = new MemorySessionStore();
    return shared;
  }, false);
});
