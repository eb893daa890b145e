/** `sendMany` that waits while other things happen: its socket closes, the program goes on. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { OfferResult } from "../../src/engine/engine.js";
import { Context, Push, Request, Router, type SendOptions } from "../../src/index.js";
import { FakeEngine } from "../support/fake-engine.js";
import { turn, watch } from "../support/settled.js";
import { collectUnhandled } from "../support/unhandled.js";

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
  const unhandled = collectUnhandled();

  test.each([false, true])("is no unhandled rejection (observed: %s)", async (observed) => {
    const observer = (): void => undefined;
    if (observed) subscribe("shoal.send.start", observer);
    try {
      const push = pushWithRoom(1);
      void push.sendMany(["one", "two", "three"]);
      await turn();
      await push.close({ linger: 0 });
      expect(await unhandled.settled()).toEqual([]);
      expect(engine.last.accepted).toEqual(["one"]);
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
    expect(await unhandled.settled()).toEqual([]);
  });

  test("is one where something else ends it", async () => {
    const push = pushWithRoom(1);
    void push.sendMany(["one", "two", "three"], { timeout: 1 });
    while (unhandled.errors.length === 0) await turn();
    expect(unhandled.errors).toEqual([
      expect.objectContaining({ code: "EAGAIN", name: "TimeoutError", sent: 1 }),
    ]);
    await push.close({ linger: 0 });
  });
});

describe("a loop of arrays lets the event loop turn", () => {
  const LIMIT = 5_000;

  /** Sends arrays until it has turned. @returns whether it has */
  async function turns(send: () => Promise<void>): Promise<boolean> {
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    const end = performance.now() + LIMIT;
    while (!turned && performance.now() < end) await send();
    return turned;
  }

  test.each([0, 1, 100])("of %i messages that there is room for", async (count) => {
    const push = pushWithRoom(Number.POSITIVE_INFINITY);
    const messages = Array.from({ length: count }, () => "message");
    expect(await turns(() => push.sendMany(messages))).toBe(true);
    await push.close();
  });

  test("that each wait for room, and get it at once", async () => {
    const push = pushWithRoom(0);
    const sent = await turns(async () => {
      const many = push.sendMany(["one", "two"]);
      engine.last.room = 2;
      await many;
    });
    expect(sent).toBe(true);
    await push.close();
  });

  test("for a socket for each array", async () => {
    const opened: Push[] = [];
    const sent = await turns(async () => {
      const push = pushWithRoom(Number.POSITIVE_INFINITY);
      opened.push(push);
      await push.sendMany(["one", "two"]);
    });
    expect(sent).toBe(true);
    for (const push of opened) await push.close();
  });
});

describe("an array that waits is sent as it was at the call", () => {
  test("with `copy`, though the program writes to its memory again", async () => {
    const push = pushWithRoom(1);
    const memory = Buffer.from("......");
    const messages = [
      memory.subarray(0, 1),
      memory.subarray(1, 2),
      ["text", memory.subarray(2, 3)],
      memory.subarray(3),
    ];
    memory.write("abcdef");
    const many = push.sendMany(messages, { copy: true });
    memory.fill("x");
    messages.length = 0;
    // One leaves alone, the others together.
    engine.last.room = 1;
    await turn();
    engine.last.room = 10;
    await many;
    // The first one the engine copies itself; this one does not.
    expect(engine.last.accepted.slice(1).map(String)).toEqual(["b", "text,c", "def"]);
    await push.close();
  });

  test("by the options of the call", async () => {
    const push = pushWithRoom(1);
    const offer = vi.spyOn(engine.last, "offer");
    const options = { transfer: false, timeout: 60_000 };
    const many = push.sendMany(["one", "two", "three", "four"], options);
    options.transfer = true;
    Object.assign(options, { copy: true, timeout: 1 });
    engine.last.room = 1;
    await turn();
    engine.last.room = 10;
    await many;
    const given = (offer.mock.calls as unknown[][]).map(([, memory]) => memory as SendOptions);
    expect(given.slice(2).every(({ transfer, copy }) => transfer === false && copy !== true)).toBe(true);
    await push.close();
  });

  test("with `copy`, also where it may not wait and a program observes each message", async () => {
    const observer = (): void => undefined;
    subscribe("shoal.send.start", observer);
    onTestFinished(() => void unsubscribe("shoal.send.start", observer));
    const push = pushWithRoom(3);
    const memory = Buffer.from("abc");
    const many = push.sendMany([memory.subarray(0, 1), memory.subarray(1, 2), memory.subarray(2)], {
      copy: true,
      timeout: 0,
    });
    memory.fill("x");
    await many;
    expect(engine.last.accepted.map(String)).toEqual(["a", "b", "c"]);
    await push.close();
  });

  test("with `copy`, is refused where the process has no memory for it", async () => {
    const push = pushWithRoom(1);
    const bodies = ["one", "two", "three"].map((text) => Buffer.from(text));
    const copying = vi.spyOn(Buffer, "from").mockImplementation(() => {
      throw new RangeError("Array buffer allocation failed");
    });
    const many = watch(push.sendMany(bodies, { copy: true }));
    copying.mockRestore();
    await turn();
    expect(many.error).toMatchObject({ code: "ENOMEM", sent: 1 });
    expect(push.stats()).toMatchObject({ sent: 1, delivered: 1, pendingSends: 0 });
    await push.close();
  });
});

describe("a socket that closes with a linger", () => {
  const all = Array.from({ length: 3_000 }, (_, i) => String(i));

  test.each([undefined, 60_000])("sends all of an array that waits for room (%s)", async (linger) => {
    const push = pushWithRoom(1);
    const sending = push.sendMany(all);
    const many = watch(sending);
    const closing = push.close(linger === undefined ? {} : { linger });
    // One at a time, then several at once.
    for (const room of [1, 1, 2, 100, Number.POSITIVE_INFINITY]) {
      await turn();
      expect(many.state).toBe("pending");
      engine.last.room = room;
    }
    expect(await closing).toEqual({ flushed: 3_000, discarded: 0, unknown: 0 });
    await sending;
    expect(engine.last.accepted).toEqual(all);
  });

  test("sends all of those that go on when it begins to", async () => {
    const push = pushWithRoom(0);
    const closed = push.send("first").then(() => push.close());
    const some = [push.sendMany(all.slice(0, 10)), push.sendMany(all.slice(10, 20))];
    engine.last.room = 3;
    await turn();
    expect(engine.last.accepted).toEqual(["first", "0", "10"]);
    engine.last.room = 100;
    expect(await closed).toMatchObject({ flushed: 21 });
    await Promise.all(some);
    expect(new Set(engine.last.accepted)).toEqual(new Set(["first", ...all.slice(0, 20)]));
  });

  test("refuses the rest when it is over", async () => {
    const push = pushWithRoom(1);
    const many = watch(push.sendMany(all));
    const closing = push.close({ linger: 1 });
    engine.last.room = 1;
    expect(await closing).toMatchObject({ flushed: 2 });
    engine.last.room = 100;
    await turn();
    expect(many.error).toMatchObject({ name: "ClosedError", code: "EAGAIN", sent: 2 });
    expect(engine.last.accepted).toEqual(["0", "1"]);
  });

  test("takes no other array meanwhile", async () => {
    const push = pushWithRoom(1);
    const many = push.sendMany(all);
    const closing = push.close();
    const late = watch(push.sendMany(["late"]));
    engine.last.room = Number.POSITIVE_INFINITY;
    await closing;
    await many;
    expect(late.code).toBe("EBADF");
  });

  test("does not wait for those whose turn it is not", async () => {
    const request = new Request({ context });
    engine.last.peers = 1;
    engine.last.room = 0;
    const answer = watch(request.receive());
    const many = watch(request.sendMany(["one", "two"]));
    await turn();
    engine.last.room = 1;
    await turn();
    await request.close();
    expect(engine.last.accepted).toEqual(["one"]);
    expect([answer.state, many.state]).toEqual(["rejected", "rejected"]);
  });
});

describe("a socket that is closed without a linger sends nothing more", () => {
  test("of an array that went on at the same time", async () => {
    const push = pushWithRoom(0);
    const closed = push.send("first").then(() => push.close({ linger: 0 }));
    const many = watch(push.sendMany(["one", "two", "three"]));
    // Both have waited; the program hears of the first one first.
    engine.last.room = 10;
    expect(await closed).toMatchObject({ flushed: 2, discarded: 0 });
    await turn();
    expect(engine.last.accepted).toEqual(["first", "one"]);
    expect(many.error).toMatchObject({ name: "ClosedError", sent: 1 });
    expect(push.stats()).toMatchObject({ sent: 2, delivered: 2 });
  });

  test("of an array that a listener for drops closes it in", async () => {
    const router = new Router({ context });
    router.events.on("drop", () => void router.close({ linger: 0 }));
    engine.last.verdicts.push(OfferResult.Unroutable);
    const many = watch(
      router.sendMany(["one", "two", "three"].map((id) => [id, "body"] as [string, string])),
    );
    await turn();
    expect(engine.last.accepted).toEqual([]);
    expect(many.error).toMatchObject({ code: "EBADF", sent: 1 });
  });

  test("and what had all left then is sent", async () => {
    const push = pushWithRoom(0);
    const closed = push.send("first").then(() => push.close({ linger: 0 }));
    const many = push.sendMany(["one"]);
    engine.last.room = 2;
    await closed;
    await many;
    expect(engine.last.accepted).toEqual(["first", "one"]);
  });
});
