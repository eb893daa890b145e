/** `sendMany` that waits while other things happen: its socket closes, the program goes on. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Context, Push } from "../../src/index.js";
import { FakeEngine } from "../support/fake-engine.js";
import { turn } from "../support/settled.js";

let engine: FakeEngine;
let context: Context;

beforeEach(() => {
  engine = new FakeEngine();
  context = new Context({ engine });
});

/** A socket whose peer has room for so many messages. */
function pushWithRoom(room: number): Push {
  const push = new Push({ context });
  engine.last.peers = 1;
  engine.last.room = room;
  return push;
}

describe("an array that nobody waits for, when its socket closes", () => {
  let unhandled: unknown[];
  const listener = (error: unknown): void => {
    unhandled.push(error);
  };
  /** The runner's own listeners, which would fail the run. */
  let others: NodeJS.UnhandledRejectionListener[];
  beforeEach(() => {
    unhandled = [];
    others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", listener);
  });
  afterEach(() => {
    process.off("unhandledRejection", listener);
    for (const each of others) process.on("unhandledRejection", each);
  });

  test.each([false, true])("is no unhandled rejection (observed: %s)", async (observed) => {
    const observer = (): void => undefined;
    if (observed) subscribe("shoal.send.start", observer);
    try {
      const push = pushWithRoom(1);
      void push.sendMany(["one", "two", "three"]);
      await turn();
      await push.close({ linger: 0 });
      // A rejection is reported once the microtasks have run.
      for (let i = 0; i < 10; i++) await turn();
      expect(engine.last.accepted).toEqual(["one"]);
      expect(unhandled).toEqual([]);
    } finally {
      if (observed) unsubscribe("shoal.send.start", observer);
    }
  });

  test("is none where the others of its messages are between two waits", async () => {
    const push = pushWithRoom(0);
    const closed = push.send("first").then(() => push.close({ linger: 0 }));
    void push.sendMany(["one", "two", "three"]);
    engine.last.room = 2;
    await closed;
    for (let i = 0; i < 10; i++) await turn();
    expect(unhandled).toEqual([]);
  });

  test("is one where something else ends it", async () => {
    const push = pushWithRoom(1);
    void push.sendMany(["one", "two", "three"], { timeout: 1 });
    while (unhandled.length === 0) await turn();
    expect(unhandled).toEqual([expect.objectContaining({ code: "EAGAIN", name: "TimeoutError", sent: 1 })]);
    await push.close({ linger: 0 });
  });
});
