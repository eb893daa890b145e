/** The small rules: envelopes, replies that are waited for, the end of a drain, a proxy's own endpoints. */

import { describe, expect, it } from "vitest";
import { DrainRules, type DrainView } from "../../src/proxy/drain.js";
import { collides, leadsTo, overlaps } from "../../src/proxy/own-endpoints.js";
import { checkReply, checkRequest, PendingReplies } from "../../src/proxy/pumps.js";
import fc from "../support/properties.js";

const frames = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));
const hops = (count: number): string[] => Array.from({ length: count }, (_, i) => `hop${i}`);

describe("envelopes", () => {
  it("of requests have an id and a frame, and not too many hops", () => {
    expect(checkRequest(frames("id", "", "body"))).toBe("pass");
    expect(checkRequest(frames("id", "bare"))).toBe("pass");
    expect(checkRequest(frames("id"))).toBe("malformed");
    expect(checkRequest([])).toBe("malformed");
    expect(checkRequest(frames(...hops(32), "", "body"))).toBe("pass");
    expect(checkRequest(frames(...hops(33), "", "body"))).toBe("loop");
    expect(checkRequest(frames("id", "", ...hops(500)))).toBe("pass");
    expect(checkRequest(frames("id", "", ...hops(65_470)))).toBe("pass");
    expect(checkRequest(frames("id", "", ...hops(65_471)))).toBe("malformed");
  });

  it("of replies have somebody they are for", () => {
    expect(checkReply(frames("id", "", "body"))).toBe("pass");
    expect(checkReply(frames("id"))).toBe("malformed");
    expect(checkReply(frames("", "body"))).toBe("malformed");
  });
});

describe("requests without reply", () => {
  it("are forgotten after a minute, also while others come and are answered", () => {
    const unanswered = new PendingReplies();
    unanswered.tick(3, 0);
    for (let second = 1; second < 60; second++) {
      unanswered.tick(3 + 10 * second, 10 * second);
      expect(unanswered.count(3 + 10 * second, 10 * second)).toBe(3);
    }
    unanswered.tick(603, 600);
    expect(unanswered.count(603, 600)).toBe(0);
    expect(unanswered.count(605, 600)).toBe(2);
  });

  it("are never less than none, where a request has many replies", () => {
    const unanswered = new PendingReplies();
    unanswered.tick(1, 50);
    expect(unanswered.count(1, 60)).toBe(0);
  });
});

describe("a drain", () => {
  const nothing: DrainView = { peers: 1, taken: 0, received: 0, queued: 0, unanswered: 0 };

  it("takes in until nothing came for a while, then waits until all has left", () => {
    const rules = new DrainRules(0, 10_000, false);
    expect(rules.step({ ...nothing, taken: 5 }, 0)).toBe("take");
    expect(rules.step({ ...nothing, taken: 9 }, 150)).toBe("take");
    expect(rules.step({ ...nothing, taken: 9, received: 1 }, 400)).toBe("take");
    expect(rules.step({ ...nothing, taken: 10, queued: 3 }, 500)).toBe("take");
    expect(rules.step({ ...nothing, taken: 10, queued: 3 }, 700)).toBe("finish");
    expect(rules.step({ ...nothing, taken: 10, unanswered: 1 }, 900)).toBe("finish");
    expect(rules.step({ ...nothing, taken: 10 }, 950)).toBe("done");
  });

  it("takes in no longer than half its time, and lasts no longer than the whole", () => {
    const rules = new DrainRules(1_000, 500, false);
    let taken = 0;
    for (let now = 1_000; now < 1_250; now += 10)
      expect(rules.step({ ...nothing, taken: ++taken }, now)).toBe("take");
    expect(rules.step({ ...nothing, taken: 99, received: 7 }, 1_250)).toBe("finish");
    expect(rules.step({ ...nothing, received: 7 }, 1_499)).toBe("finish");
    expect(rules.step({ ...nothing, received: 7 }, 1_500)).toBe("done");
  });

  it("soon asks peers to go that can be asked, and reads them to their end, however long that takes", () => {
    const rules = new DrainRules(0, 10_000, true);
    expect(rules.step({ ...nothing, taken: 1 }, 0)).toBe("take");
    expect(rules.step({ ...nothing, taken: 8, received: 4 }, 200)).toBe("ask");
    expect(rules.step({ ...nothing, taken: 9 }, 5_000)).toBe("ask");
    expect(rules.step({ ...nothing, peers: 0, received: 3 }, 9_000)).toBe("ask");
    expect(rules.step({ ...nothing, peers: 0, queued: 3 }, 9_100)).toBe("finish");
    expect(rules.step({ ...nothing, peers: 0 }, 9_200)).toBe("done");
  });

  it("ends, and leaves nothing as long as it has time, whatever comes", () => {
    const counts = fc.tuple(fc.nat(300), fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2));
    const schedule = fc.array(counts, { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(
        schedule,
        fc.boolean(),
        fc.integer({ min: 0, max: 5_000 }),
        (looks, canAskToLeave, time) => {
          const rules = new DrainRules(0, time, canAskToLeave);
          const order = ["take", "ask", "finish", "done"];
          let now = 0;
          let before = 0;
          for (const [gap, peers, received, queued, unanswered] of looks) {
            now += gap;
            const step = rules.step({ peers, taken: now, received, queued, unanswered }, now);
            expect(order.indexOf(step)).toBeGreaterThanOrEqual(before);
            if (!canAskToLeave) expect(step).not.toBe("ask");
            if (step === "done" && before < 3 && now < time)
              expect([received, queued, unanswered]).toEqual([0, 0, 0]);
            if (now >= time) expect(step).toBe("done");
            before = order.indexOf(step);
          }
        },
      ),
    );
  });
});

describe("a proxy's own endpoints", () => {
  it.each([
    ["tcp://127.0.0.1:5555", "tcp://0.0.0.0:5555", true],
    ["tcp://localhost:5555", "tcp://0.0.0.0:5555", true],
    ["tcp://localhost:5555", "tcp://10.1.2.3:5555", false],
    ["tcp://elsewhere:5555", "tcp://0.0.0.0:5555", false],
    ["tcp://127.0.0.1:5556", "tcp://0.0.0.0:5555", false],
    ["tcp://10.9.9.9:0;10.1.2.3:6666", "tcp://10.1.2.3:6666", true],
    ["tcp://[::1]:7777", "tcp://[::1]:7777", true],
    ["ipc:///tmp/a", "ipc:///tmp/a", true],
    ["ipc:///tmp/b", "ipc:///tmp/a", false],
    ["inproc://b", "inproc://b", true],
    ["wss://127.0.0.1:8443/a?x=1", "wss://0.0.0.0:8443/a", true],
    ["wss://127.0.0.1:8443/b", "wss://0.0.0.0:8443/a", false],
    ["tls://localhost:9443", "tls://0.0.0.0:9443", true],
    ["tcp://localhost:9443", "tls://0.0.0.0:9443", false],
  ])("a connection to %s leads to %s: %s", (connect, bound, leads) => {
    expect(leadsTo(connect, bound)).toBe(leads);
  });

  it.each([
    ["tcp://*:1", "tls://*:1", true, true],
    ["tcp://*:1", "ws://*:1/a", true, true],
    ["ws://*:1/a", "ws://*:1/b", false, false],
    ["ws://*:1", "ws://127.0.0.1:1/", true, true],
    ["ws://*:1/a", "wss://*:1/b", true, true],
    ["wss://*:1/a", "wss://*:2/a", false, false],
    ["tls://127.0.0.1:1", "tcp://10.0.0.1:1", true, false],
    ["ws://*:*/a", "ws://*:*/a", false, false],
  ])("%s and %s: may be one place %s, certainly %s", (one, other, may, certain) => {
    for (const [first, second] of [
      [one, other],
      [other, one],
    ] as const) {
      expect(overlaps(first, second)).toBe(may);
      expect(collides(first, second)).toBe(certain);
    }
  });
});
