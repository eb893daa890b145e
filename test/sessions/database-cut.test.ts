/** Servers of sessions whose store fails, in virtual time: its commits do what a test says. */
import { describe, expect } from "vitest";
import {
  MemorySessionStore,
  SessionClient,
  SessionServer,
  type SessionStore,
} from "../../src/sessions/index.js";
import { MAX_COMMIT_TRIES } from "../../src/sessions/records.js";
import { StoreError } from "../../src/store/store.js";
import { hostTest as it } from "../cluster/simulated.js";
import { ScriptedStore } from "./scripted-store.js";

async function listen(
  store: SessionStore,
  pollInterval = 100,
): Promise<{ server: SessionServer; endpoint: string }> {
  const server = new SessionServer({ store, pollInterval });
  return { server, endpoint: await server.bind("tcp://127.0.0.1:0") };
}

function client(endpoints: string | readonly string[], id: string, maxQueue?: number): SessionClient {
  return new SessionClient(endpoints, { id, timeout: -1, reconnectMaxInterval: 100, maxQueue });
}

function noAnswer(): never {
  throw new StoreError("outcome-unknown", "no answer");
}

describe("a server of sessions", () => {
  for (const [what, reason, result] of [
    ["other servers were faster each time", "overloaded", () => false],
    ["nobody answered its commits", "outcome-unknown", noAnswer],
  ] as const)
    it(`reports a publication as not done where ${what}, and keeps it when the store works again`, async () => {
      const store = new ScriptedStore();
      const { server, endpoint } = await listen(store);
      const both = client(endpoint, "both");
      await both.subscribe("t");
      let tries = 0;
      store.result = () => {
        tries += 1;
        return result();
      };
      const published = both.publish("t", "once");
      const failed = new Promise((resolve) => server.events.once("store:failed", resolve));
      const first = await Promise.race([published.then(() => "published"), failed]);
      expect(first).toMatchObject({ error: { code: "ERR_STORE", reason } });
      expect(tries).toBeGreaterThanOrEqual(MAX_COMMIT_TRIES);
      store.result = () => undefined;
      expect(await published).toEqual({ sessions: 1, duplicate: false });
    });

  it("acknowledges at its second try a message that another server has dropped since the first", async () => {
    const store = new MemorySessionStore();
    const [{ endpoint }, other] = [await listen(store), await listen(store)];
    const reader = client(endpoint, "reader", 1);
    await reader.subscribe("t");
    const writer = client(other.endpoint, "writer");
    await writer.publish("t", "first");
    const first = await reader.receive();
    const commit = store.commit.bind(store);
    let tries = 0;
    const done = new Promise<void>((settled) => {
      store.commit = async (checks, writes) => {
        if (!writes.some(({ key, value }) => key.startsWith("s/") && value !== undefined) || tries < 0)
          return commit(checks, writes);
        const number = ++tries;
        if (number === 1) {
          tries = -1; // The writer's commit is another server's.
          await writer.publish("t", "second");
          tries = 1;
        }
        const isDone = await commit(checks, writes);
        if (isDone) settled();
        return isDone;
      };
    });
    first.acknowledge();
    await done;
    expect(tries).toBe(2);
  });

  it("refuses a store whose commit returns neither true nor false", async () => {
    const store = new MemorySessionStore();
    store.commit = (() => undefined) as never;
    await expect(listen(store)).rejects.toMatchObject({
      code: "ERR_STORE",
      reason: "failed",
      message: "commit of the store must return true or false; got undefined",
    });
  });

  it("closes within its linger, although the store does not answer", async () => {
    const store = new ScriptedStore();
    const { server, endpoint } = await listen(store);
    await client(endpoint, "any").subscribe("t");
    store.result = () => new Promise<boolean>(() => undefined);
    await server.close();
  });

  it("reports that the store failed while it closes: sessions that it could not give back, and its own sign of life", async () => {
    const store = new ScriptedStore();
    const { server, endpoint } = await listen(store, 60_000);
    await client(endpoint, "one").ready();
    const errors: unknown[] = [];
    server.events.on("store:failed", ({ error }) => errors.push(error));
    const broken = new StoreError("failed", "broken");
    store.result = () => {
      throw broken;
    };
    await server.close();
    // The session, what waits for it, and `leave`.
    expect(errors).toEqual([broken, broken, broken]);
  });
});
