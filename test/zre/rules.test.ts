import { describe, expect, it } from "vitest";
import {
  decodeMessage,
  encodeBare,
  encodeBeacon,
  encodeGroup,
  encodeHello,
  identityOf,
  ZreCommand,
} from "../../src/zre/codec.js";
import { type ZreEvent, ZreRules } from "../../src/zre/rules.js";

const SELF = "00".repeat(16);
const [A, B] = ["aa".repeat(16), "bb".repeat(16)];

/** The rules of one node, what they decided, and a clock that is moved by hand. */
function setUp(maxPeers = 100) {
  const events: string[] = [];
  const sent: string[] = [];
  const open = new Map<string, string>();
  const counts: Record<string, number> = {};
  let now = 0;
  const rules = new ZreRules(
    {
      uuid: SELF,
      name: "self",
      endpoint: "tcp://10.0.0.9:1",
      headers: {},
      interval: 1_000,
      evasive: 5_000,
      expired: 30_000,
      maxPeers,
    },
    {
      connect: (uuid, endpoint) => {
        open.set(uuid, endpoint);
        return true;
      },
      send: (uuid, frames) => {
        const message = decodeMessage(frames as Buffer[]);
        if (typeof message === "string") throw new Error(message);
        sent.push(`${uuid.slice(0, 1)}${message.command}:${message.sequence}`);
        return true;
      },
      disconnect: (uuid) => void open.delete(uuid),
      beacon: () => void sent.push("beacon"),
      event: (event: ZreEvent) =>
        void events.push(
          `${event.type} ${event.peer.uuid.slice(0, 1)}${event.type === "exit" ? ` ${event.reason}` : ""}`,
        ),
      count: (reason) => {
        counts[reason] = (counts[reason] ?? 0) + 1;
      },
    },
    now,
  );
  return {
    rules,
    events,
    sent,
    open,
    counts,
    beacon: (uuid: string, port: number, address = "10.0.0.1") =>
      rules.onBeacon(now, encodeBeacon(uuid, port), address),
    hello: (uuid: string, endpoint = "tcp://10.0.0.1:5", groups: string[] = []) =>
      rules.onMessage(now, [
        identityOf(uuid),
        encodeHello(1, { endpoint, groups, status: 0, name: "n", headers: {} }),
      ]),
    say: (uuid: string, frame: Buffer) => rules.onMessage(now, [identityOf(uuid), frame]),
    pass: (ms: number) => {
      for (const end = now + ms; now < end; ) {
        now = Math.min(end, Math.max(now, rules.nextWakeUp()));
        rules.tick(now);
      }
    },
  };
}

describe("a peer", () => {
  it("is evasive after silence, asked each second, and not any longer once its beacon comes", () => {
    const { rules, events, sent, beacon, hello, pass } = setUp();
    hello(A);
    pass(7_000);
    expect(events).toEqual(["enter a", "evasive a"]);
    expect(sent.filter((each) => each.startsWith("a6"))).toEqual(["a6:2", "a6:3", "a6:4"]);
    beacon(A, 5);
    expect(rules.peers()[0]?.evasive).toBe(false);
    pass(36_000);
    expect(events.slice(2)).toEqual(["evasive a", "exit a expired"]);
  });

  it("whose HELLO comes again at once is not answered by another: two nodes would restart each other without end", () => {
    const { rules, events, sent, hello, pass } = setUp();
    hello(A, undefined, ["g"]);
    hello(A, undefined, ["h"]);
    expect([events, sent]).toEqual([["enter a", "join a", "leave a", "join a"], ["a1:1"]]);
    expect(rules.peers()[0]?.groups).toEqual(["h"]);
    pass(100);
    hello(A);
    expect(events.slice(4)).toEqual(["exit a restarted", "enter a"]);
    expect(sent.at(-1)).toBe("a1:1");
  });

  it("leaves by a beacon of its own address, when what it sent is read", () => {
    const { rules, counts, events, beacon, hello, pass } = setUp();
    hello(A);
    beacon(A, 5);
    beacon(A, 0, "10.0.0.2");
    expect([counts.foreign, rules.peers().length]).toEqual([1, 1]);
    beacon(A, 0);
    expect(events).toEqual(["enter a"]);
    rules.onDrained(A);
    expect(events).toEqual(["enter a", "exit a left"]);
    hello(B);
    beacon(B, 0);
    pass(250);
    expect(events.slice(2)).toEqual(["enter b", "exit b left"]);
  });

  it("that moved to another port began again", () => {
    const { events, open, beacon, hello } = setUp();
    beacon(A, 5);
    hello(A);
    beacon(A, 6);
    expect(events).toEqual(["enter a", "exit a restarted"]);
    expect(open.get(A)).toBe("tcp://10.0.0.1:6");
  });

  it("gives way to another one at its endpoint, at once where its connection ended", () => {
    const { rules, events, beacon, hello, pass } = setUp();
    beacon(A, 5);
    rules.onConnected(A);
    hello(A);
    beacon(B, 5);
    expect(events).toEqual(["enter a"]);
    pass(3_000);
    expect(events).toEqual(["enter a", "evasive a", "exit a expired"]);
    const other = setUp();
    other.beacon(A, 5);
    other.rules.onConnected(A);
    other.hello(A);
    other.rules.onDisconnected(A);
    other.beacon(B, 5);
    expect(other.events).toEqual(["enter a", "exit a refused"]);
  });

  it("whose next connection is refused is gone; one that was never reached may still talk", () => {
    const { rules, events, hello } = setUp();
    hello(A);
    rules.onRefused(A);
    expect(events).toEqual(["enter a"]);
    rules.onConnected(A);
    rules.onDisconnected(A);
    rules.onRefused(A);
    expect(events).toEqual(["enter a", "exit a refused"]);
  });

  it("has a sequence that wraps", () => {
    const { rules, events, hello, say } = setUp();
    hello(A);
    for (let i = 2; i < 65_536 + 3; i++) say(A, encodeBare(ZreCommand.WHISPER, i & 0xffff));
    expect(rules.peers()).toHaveLength(1);
    expect(events).toHaveLength(65_538);
    say(A, encodeBare(ZreCommand.WHISPER, 2));
    expect(events.at(-1)).toBe("exit a sequence");
  });

  it("is held to 256 groups", () => {
    const { rules, counts, hello, say } = setUp();
    hello(A);
    for (let i = 0; i < 300; i++) say(A, encodeGroup(ZreCommand.JOIN, i + 2, `${i}`, (i + 1) & 0xff));
    expect([counts.groups, rules.peers()[0]?.groups.length]).toEqual([44, 256]);
  });

  it("with a wrong status is counted, and obeyed", () => {
    const { rules, counts, hello, say } = setUp();
    hello(A);
    say(A, encodeGroup(ZreCommand.JOIN, 2, "g", 7));
    expect([counts.status, rules.peers()[0]?.groups]).toEqual([1, ["g"]]);
  });
});

describe("a node", () => {
  it("takes so many peers and no more, by beacon and by HELLO", () => {
    const { rules, counts, beacon, hello } = setUp(1);
    hello(A);
    hello(B);
    beacon(B, 6);
    expect([rules.peers().length, rules.pendingPeers, counts.peers]).toEqual([1, 0, 2]);
  });

  it("waits for 128 newcomers that never answer, and lets a real one in", () => {
    const { rules, counts, beacon, hello } = setUp(1_000);
    for (let i = 1; i <= 200; i++) beacon(`${i}`.padStart(32, "0"), i);
    expect([rules.pendingPeers, counts.pending]).toEqual([128, 72]);
    hello(A);
    expect(rules.peers().length).toBe(1);
  });
});
