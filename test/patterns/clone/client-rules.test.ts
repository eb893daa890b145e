/** A client's rules, one at a time, without a network. */
import { expect, test } from "vitest";
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";

test("a client that is closed asks nobody, whatever its sockets tell it still", () => {
  const done: string[] = [];
  const rules = new ClientRules(
    {
      servers: ["a", "b"],
      subtree: Buffer.alloc(0),
      heartbeatInterval: 1_000,
      liveness: 2,
      snapshotTimeout: 3_000,
      maxInFlight: 10,
      maxBytes: 1_000,
      token: Buffer.alloc(8, 1),
    },
    {
      open: (attempt, server) => done.push(`open ${attempt} ${server}`),
      ask: (attempt) => done.push(`ask ${attempt}`),
      sendSet: () => true,
      watching: false,
      changed: () => undefined,
      synced: () => done.push("synced"),
      event: ({ type }) => done.push(type),
    },
    0,
  );
  rules.start(0);
  rules.close(1);
  rules.connected(1, 2);
  rules.disconnected(1, true, 3);
  rules.tick(10_000);
  expect(done).toEqual(["open 1 0", "state"]);
  expect(rules.nextWakeUp()).toBeUndefined();
});
