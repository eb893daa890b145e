/** A broker's rules, message by message, with the faults of the Guide's brokers as named cases. */
import { beforeEach, describe, expect, it } from "vitest";
import { brokerSettings } from "../../../src/patterns/majordomo/broker-options.js";
import { BrokerRules } from "../../../src/patterns/majordomo/broker-rules.js";
import {
  type AtBroker,
  Dialect,
  decode,
  encode,
  type FromWorker,
  type ToWorker,
} from "../../../src/patterns/majordomo/protocol.js";
import type { DeliveryResult } from "../../../src/sockets/index.js";
import { BrokerRig } from "./broker-rig.js";
import { failureOf, idOf, readyOf, requestOf } from "./messages.js";

const DISCONNECT = Buffer.of(5);

const rig = new BrokerRig();
const { make, hearFrames: hear, sentTo } = rig;

const ready = (from: string | Buffer, now = 0): void => hear(from, now, "", "MDPW01", 1, "echo");
const ask = (from: string, body = "x", now = 0): void => hear(from, now, "", "MDPC01", "echo", body);
/** A request of a client of shoal's. @param oldest the lowest sequence that it still wants */
function askWithId(from: string, now: number, sequence: number, oldest = sequence): void {
  rig.hear(from, requestOf(sequence, { oldest }), now);
}
/** The commands and the rest of what was sent to a client or worker of shoal's. */
const toldTo = (peer: string): string[] =>
  sentTo(peer).map(([head, ...rest]) => [head?.[6], ...rest.map(String)].join("|"));
/** The tag of the request that a plain worker got last. */
const tagOf = (worker: string | Buffer): Buffer => sentTo(worker).at(-1)?.[3] as Buffer;
const reply = (worker: string | Buffer, tag: Buffer, body: string, now = 0): void =>
  hear(worker, now, "", "MDPW01", 3, tag, "", body);

beforeEach(() => make());

it("a worker that turns out to be gone when it is to get a lost one's request is gone at once, too", () => {
  ready("one");
  ask("client");
  ready("two");
  rig.results.set("two", "gone");
  rig.rules.peerLeft(rig.idOf("one"), 1);
  expect(rig.rules.stats()).toMatchObject({ workers: 0, queued: 1, inFlight: 0 });
  const left = rig.events.flatMap((event) => (event.type === "worker:left" ? [event.reason] : []));
  expect(left).toEqual(["lost", "lost"]);
});

it("what waits is counted with what each frame costs: empty ones fill a service's bytes", () => {
  make({ maxQueueBytes: 1_000, noServiceTimeout: 1_000 });
  const empty = Array.from({ length: 5 }, () => "");
  for (const client of ["a", "b", "c", "d"]) hear(client, 0, "", "MDPC01", "echo", ...empty);
  // Five frames cost 330 bytes.
  expect(rig.rules.stats()).toMatchObject({ queued: 3, queuedBytes: 990, requests: 4 });
});

it("a broker without a queue gives requests to free workers, and refuses the others", () => {
  make({ maxQueue: 0 });
  ready("worker");
  ask("one");
  ask("two");
  expect(rig.rules.stats()).toMatchObject({ inFlight: 1, queued: 0, failed: 1 });
  expect(sentTo("two").at(-1)?.map(String)).toContain("overloaded");
});

it("the request of a plain client that left is not given to another worker when its own is lost", () => {
  ready("one");
  ask("client");
  rig.rules.peerLeft(rig.idOf("client"), 1);
  rig.rules.peerLeft(rig.idOf("one"), 2);
  ready("two", 3);
  expect(sentTo("two")).toEqual([]);
  expect(rig.rules.stats()).toMatchObject({ abandoned: 1, inFlight: 0, queued: 0 });
});

it("what is at workers counts as what waits does: one that never answers holds no more than the broker's bytes", () => {
  make({ maxQueueBytes: 10_000 });
  rig.hear("worker", readyOf("worker", 65_535) as AtBroker);
  for (let n = 1; n <= 20; n++) ask(`c${n}`, "x".repeat(900));
  expect(rig.rules.stats()).toMatchObject({ queued: 0, inFlight: 10, failed: 10 });
  expect(sentTo("c11").at(-1)?.map(String)).toContain("overloaded");
  rig.rules.peerLeft(rig.idOf("worker"), 1); // They wait, as many bytes as before.
  ask("another", "x".repeat(900), 2);
  expect(rig.rules.stats()).toMatchObject({ queued: 10, failed: 11 });
  ready("plain", 3);
  reply("plain", tagOf("plain"), "done", 4);
  ask("another", "x".repeat(900), 5);
  expect(rig.rules.stats()).toMatchObject({ queued: 9, inFlight: 1, answered: 1, failed: 11 });
});

it.each([
  ["queued ones", ["client", "worker"]],
  ["those at workers", ["worker", "client"]],
])("many requests hold no received chunk, neither by bodies nor by headers: %s", (_, order) => {
  const given: ToWorker[] = [];
  const outbox = {
    toClient: (): DeliveryResult => "sent",
    toWorker: (_: Buffer, message: ToWorker): DeliveryResult => {
      given.push({ ...message });
      return "sent";
    },
    queuedBytes: () => 0,
    event: () => undefined,
  };
  const broker = new BrokerRules(brokerSettings({ maxQueueBytes: 10_000 }), outbox, 0);
  const from = (name: string, frames: readonly (string | Buffer)[]): void => {
    const chunk = Buffer.alloc(65_536);
    let at = 0;
    const views = frames.map((frame) => {
      const bytes = Buffer.from(frame as string);
      chunk.set(bytes, at);
      at += bytes.length;
      return chunk.subarray(at - bytes.length, at);
    });
    broker.receive(Buffer.from(name), decode("broker", [Buffer.from(name), ...views]), 0);
  };
  const said = {
    client: encode("client", requestOf(1, { headers: Buffer.from("headers") })),
    worker: encode("worker", readyOf("w", 1)),
  };
  for (const who of order) from(who, said[who as keyof typeof said]);
  const [request] = given.filter((message) => message.kind === "request");
  expect(String(request?.headers)).toBe("headers");
  expect(request?.headers.buffer.byteLength).toBeLessThan(65_536);
  expect((request?.body.frames[0] as Buffer).buffer.byteLength).toBeLessThan(65_536);
});

describe("faults of the Guide's brokers", () => {
  it("routing ids of any bytes: NUL, FF and pieces of UTF-8 are kept apart", () => {
    const ids = [
      Buffer.from([0, 0x80]),
      Buffer.from([0, 0x81]),
      Buffer.from([0, 0xff, 0, 0]),
      Buffer.from([0, 0xff, 0]),
    ];
    for (const id of ids) ready(id);
    expect(rig.rules.stats().workers).toBe(4);
    for (let i = 0; i < 4; i++) ask(`c${i}`, `body ${i}`);
    for (const id of ids) expect(sentTo(id)).toHaveLength(1);
  });

  it("a request that waits when the last worker leaves gets the next worker, or an end", () => {
    ready("w1");
    ask("c1", "first");
    ask("c2", "second");
    hear("w1", 10, "", "MDPW01", 5);
    expect(rig.events.find(({ type }) => type === "service:stopped")).toMatchObject({ queued: 2 });
    ready("w2", 20);
    expect(sentTo("w2")[0]?.at(-1)).toEqual(Buffer.from("first"));
    hear("w2", 30, "", "MDPW01", 5);
    rig.rules.tick(60_000);
    expect(sentTo("c1").at(-1)?.map(String)).toContain("no-service");
    expect(sentTo("c2").at(-1)?.map(String)).toContain("no-service");
    expect(rig.rules.stats()).toMatchObject({ requests: 2, failed: 2, queued: 0, services: 0 });
  });

  it("READY for mmi.service is refused by the service's name, not the sender's", () => {
    hear("w1", 0, "", "MDPW01", 1, "mmi.service");
    expect(sentTo("w1").at(-1)?.at(-1)).toEqual(DISCONNECT);
    ready("mmi.worker");
    expect(rig.rules.stats().workers).toBe(1);
  });
});

describe("a worker", () => {
  it("that says READY twice is sent away", () => {
    ready("w1");
    ready("w1");
    expect(sentTo("w1").at(-1)?.at(-1)).toEqual(DISCONNECT);
    expect(rig.rules.stats()).toMatchObject({ workers: 0, faults: 1 });
  });

  it("that was never ready is sent DISCONNECT, whatever it says", () => {
    hear("w1", 0, "", "MDPW01", 4);
    reply("w2", Buffer.from([0, 0, 0, 1]), "x");
    for (const worker of ["w1", "w2"]) expect(sentTo(worker).at(-1)?.at(-1)).toEqual(DISCONNECT);
  });

  it("that is busy and of the kind that is silent then does not expire; an idle one does", () => {
    ready("w1");
    ready("w2");
    ask("c1");
    for (let now = 2_500; now <= 20_000; now += 2_500) rig.rules.tick(now);
    expect(rig.events.filter(({ type }) => type === "worker:left")).toMatchObject([
      { reason: "expired", inFlight: 0 },
    ]);
    expect(rig.rules.stats()).toMatchObject({ workers: 1, inFlight: 1 });
  });

  it("has its heartbeat in a turn of 64, however many joined at once, and keeps its place from then on", () => {
    for (let i = 0; i < 200; i++) ready(`w${i}`);
    const { heartbeatInterval } = brokerSettings({});
    rig.takeSent();
    const turns: number[] = [];
    const told = new Set<string>();
    for (let turn = 0; turn < 4; turn++) {
      expect(rig.rules.nextWakeUp()).toBe(heartbeatInterval);
      rig.rules.tick(heartbeatInterval + 10 * turn);
      const sent = rig.takeSent();
      turns.push(sent.length);
      for (const [to] of sent) told.add(String(to));
    }
    expect([turns, told.size]).toEqual([[64, 64, 64, 8], 200]);
    expect(rig.rules.nextWakeUp()).toBe(2 * heartbeatInterval);
    rig.rules.tick(2 * heartbeatInterval + 9);
    expect([rig.takeSent().length, rig.rules.nextWakeUp()]).toEqual([64, 2 * heartbeatInterval + 10]);
  });

  it("has an answer to each of its heartbeats: its interval may be shorter than the broker's", () => {
    ready("w1");
    const { heartbeatInterval } = brokerSettings({});
    hear("w1", 1_000, "", "MDPW01", 4);
    expect(sentTo("w1").map((frames) => frames.at(-1))).toEqual([Buffer.of(4)]);
    expect(rig.rules.nextWakeUp()).toBe(1_000 + heartbeatInterval);
  });

  it("of shoal's dialect has answers to its heartbeats alone, and expires when it sends none", () => {
    rig.hear("w1", readyOf("w1", 1) as AtBroker);
    rig.rules.tick(2_500);
    expect(sentTo("w1")).toEqual([]);
    rig.hear("w1", { kind: "heartbeat", dialect: Dialect.Shoal }, 2_501);
    expect(toldTo("w1")).toEqual(["5"]);
    for (const now of [5_001, 7_501, 10_001]) rig.rules.tick(now);
    expect(sentTo("w1")).toEqual([]);
    expect(rig.events.at(-2)).toMatchObject({ type: "worker:left", reason: "expired" });
  });

  it("whose connection is gone while it is busy is found out by the next heartbeat", () => {
    ready("w1");
    ask("c1");
    rig.results.set("w1", "gone");
    rig.rules.tick(2_500);
    expect(rig.rules.stats()).toMatchObject({ workers: 0, queued: 1, inFlight: 0, redelivered: 1 });
  });

  it("answers only what it was given: another's tag, or an old one, is late", () => {
    ready("w1");
    ready("w2");
    ask("c1");
    const tag = tagOf("w1");
    reply("w2", tag, "forged");
    expect(sentTo("c1")).toEqual([]);
    reply("w1", tag, "right");
    reply("w1", tag, "again");
    expect(sentTo("c1").map((message) => String(message.at(-1)))).toEqual(["right"]);
    expect(rig.rules.stats()).toMatchObject({ answered: 1, late: 2 });
  });
});

describe("a request", () => {
  it("past the queue's bound is refused at once, and nothing else changes", () => {
    make({ maxQueue: 2 });
    for (const client of ["c1", "c2", "c3"]) ask(client);
    expect(sentTo("c3").at(-1)?.map(String)).toEqual(expect.arrayContaining(["shoal.error", "overloaded"]));
    expect(rig.rules.stats()).toMatchObject({ queued: 2, failed: 1 });
    make({ maxQueue: 2, plainErrors: false });
    for (const client of ["c1", "c2", "c3"]) ask(client);
    expect(rig.takeSent()).toEqual([]);
  });

  it("that its worker got later by another broker is forgotten, and delivered when it comes again", () => {
    rig.hear("w1", readyOf("w1", 1) as AtBroker);
    sentTo("w1");
    for (const now of [0, 1]) {
      askWithId("c1", now, 1);
      const [[head]] = sentTo("w1") as [Buffer[]];
      expect(toldTo("c1")).toEqual([]);
      rig.hear("w1", failureOf((head as Buffer).readUInt32BE(7), "duplicate", "Later."), now);
      expect(toldTo("c1")).toEqual(["7|duplicate|Later."]);
    }
    expect(rig.rules.stats()).toMatchObject({ requests: 2, failed: 2, inFlight: 0, duplicates: 0 });
  });

  it("of a client that is silent is dropped, visibly", () => {
    askWithId("c1", 0, 1);
    for (let now = 2_500; now <= 7_500; now += 2_500) rig.rules.tick(now);
    expect(rig.rules.stats()).toMatchObject({ queued: 0, abandoned: 1, clients: 0 });
    expect(rig.events).toContainEqual({ type: "request:abandoned", service: "echo", reason: "client-gone" });
    // Where it only stood still, it learns of that.
    expect(toldTo("c1").at(-1)).toBe("6");
    make();
    ready("w1");
    askWithId("c1", 0, 1);
    for (let now = 2_500; now <= 7_500; now += 2_500) rig.rules.tick(now);
    expect(toldTo("c1"), "a worker has it").toEqual(["6"]);
  });

  it("of a client that is silent is dropped without a word where all is answered, and where its connection has ended", () => {
    ready("w1");
    askWithId("c1", 0, 1);
    reply("w1", tagOf("w1"), "done");
    sentTo("c1");
    rig.hear("c2", requestOf(1, idOf(1, 4)));
    rig.rules.peerLeft(rig.idOf("c2"), 0);
    for (let now = 2_500; now <= 7_500; now += 2_500) rig.rules.tick(now);
    expect(rig.events).toContainEqual({ type: "request:abandoned", service: "echo", reason: "client-gone" });
    expect(rig.rules.stats().clients).toBe(0);
    expect([...toldTo("c1"), ...toldTo("c2")]).toEqual([]);
  });
});

describe("a service that no worker offers", () => {
  const NO_SERVICE = "7|no-service|No worker of this service came in time.";

  it("is reported to a client of shoal's after noServiceTimeout", () => {
    askWithId("c1", 0, 1);
    rig.rules.tick(7_499);
    expect(toldTo("c1")).toEqual([]);
    rig.rules.tick(8_500);
    expect(toldTo("c1")).toEqual([NO_SERVICE]);
    expect(rig.rules.stats()).toMatchObject({ requests: 1, failed: 1, queued: 0, services: 0 });
    expect(rig.rules.nextWakeUp()).toBeGreaterThan(8_500); // The client's heartbeat is all that is left.
  });

  it("a request that finds the new worker busy has the rest of queueTimeout", () => {
    make({ queueTimeout: 5_000, noServiceTimeout: 1_000 });
    askWithId("c1", 0, 1);
    askWithId("c1", 0, 2);
    ready("w1", 900);
    rig.takeSent();
    rig.rules.tick(1_200);
    expect(rig.rules.stats()).toMatchObject({ inFlight: 1, queued: 1, failed: 0 });
    // Deadlines are at most one eighth late, and these are two.
    rig.rules.tick(6_000);
    expect(toldTo("c1")).toEqual(["7|expired|The request waited too long for a worker."]);
  });

  it("does not fail before queueTimeout what its last worker had, or was to have", () => {
    make({ queueTimeout: 5_000, noServiceTimeout: 1_000 });
    ready("w1");
    askWithId("c1", 0, 1);
    askWithId("c1", 0, 2);
    hear("w1", 100, "", "MDPW01", 5);
    rig.takeSent();
    rig.rules.tick(4_000);
    expect(toldTo("c1")).toEqual([]);
    expect(rig.rules.stats()).toMatchObject({ queued: 2, failed: 0, workers: 0 });
    rig.rules.tick(6_000);
    expect(toldTo("c1")).toEqual([NO_SERVICE, NO_SERVICE]);
  });

  it("leaves a plain client waiting for queueTimeout", () => {
    ask("c1", "x");
    rig.rules.tick(29_000);
    expect(sentTo("c1")).toEqual([]);
    rig.rules.tick(34_000);
    expect(sentTo("c1").at(-1)?.map(String)).toContain("no-service");
  });
});

it("a broker that stops refuses a request whose worker was lost when no other is left, and gives it to another one before", () => {
  ready("a");
  ready("b");
  askWithId("c", 0, 1);
  rig.rules.drain();
  expect(sentTo("a")).toHaveLength(1);
  hear("a", 1, "", "MDPW01", 5);
  expect(sentTo("b")).toHaveLength(1);
  expect(sentTo("c")).toEqual([]);
  hear("b", 2, "", "MDPW01", 5);
  expect(toldTo("c")).toEqual(["7|stopping|The broker or the worker is stopping."]);
  expect(rig.rules.idle).toBe(true);
});

describe("a broker that stops, whose workers take nothing more", () => {
  const heard = (from: string, message: FromWorker): void => rig.hear(from, message as AtBroker);
  const joins = (name: string): void => heard(name, readyOf(name, 1));
  const refusal = ["7|stopping|The broker or the worker is stopping."];

  beforeEach(() => {
    joins("a");
    joins("b");
    for (const sequence of [1, 2, 3]) askWithId("c", 0, sequence, 1);
    sentTo("c");
  });

  it("refuses what waits when it is asked to, and finishes what they have", () => {
    heard("a", { kind: "drain" });
    heard("b", { kind: "drain" });
    expect(toldTo("c")).toEqual([]);
    rig.rules.drain();
    expect(toldTo("c")).toEqual(refusal);
    expect([rig.rules.stats().inFlight, rig.rules.stats().queued]).toEqual([2, 0]);
  });

  it("refuses it when the last of them does", () => {
    rig.rules.drain();
    heard("a", { kind: "drain" });
    expect(toldTo("c")).toEqual([]);
    heard("b", { kind: "drain" });
    expect(toldTo("c")).toEqual(refusal);
    expect([rig.rules.stats().inFlight, rig.rules.stats().queued]).toEqual([2, 0]);
  });

  it("refuses what the last of them gives back", () => {
    const [first] = sentTo("a");
    rig.rules.drain();
    heard("a", { kind: "drain" });
    heard("b", { kind: "drain" });
    sentTo("c");
    const tag = (first?.[0] as Buffer).readUInt32BE(7);
    heard("a", failureOf(tag, "stopping"));
    expect(toldTo("c")).toEqual(refusal);
    expect(rig.rules.stats().inFlight).toBe(1);
  });
});

describe("what is remembered of a client's requests", () => {
  const once = (sequence: number, oldest: number): void => {
    askWithId("c1", 0, sequence, oldest);
    const message = sentTo("w1").at(-1);
    if (message !== undefined) reply("w1", message[3] as Buffer, `reply ${sequence}`);
  };
  const again = (sequence: number): string[] => {
    rig.takeSent();
    askWithId("c1", 0, sequence);
    return toldTo("c1");
  };

  it("goes as soon as the client says that it has the answers; a late repetition is not handled", () => {
    ready("w1");
    for (let sequence = 1; sequence <= 100; sequence++) once(sequence, 1);
    rig.takeSent();
    expect(again(100)).toEqual(["4|reply 100"]);
    once(101, 101);
    rig.takeSent();
    expect(again(100)).toEqual([]);
    expect(again(1)).toEqual([]);
    expect(again(101)).toEqual(["4|reply 101"]);
    expect(rig.rules.stats()).toMatchObject({ requests: 101, duplicates: 4, inFlight: 0 });
  });

  it("is bounded by dedupWindow when the client never says so: the oldest is handled again", () => {
    make({ dedupWindow: 10 });
    ready("w1");
    for (let sequence = 1; sequence <= 11; sequence++) once(sequence, 1);
    expect(again(2)).toEqual(["4|reply 2"]);
    expect(again(1)).toEqual([]);
    expect(sentTo("w1")).toHaveLength(1);
  });
});

it("mmi.service says 200 only while a worker is registered, 501 to what it does not know", () => {
  const status = (service: string, name: string): string | undefined => {
    hear("c", 0, "", "MDPC01", service, name);
    return sentTo("c").at(-1)?.slice(2).map(String).join("|");
  };
  expect(status("mmi.service", "echo")).toBe("mmi.service|404");
  ready("w1");
  expect(status("mmi.service", "echo")).toBe("mmi.service|200");
  expect(status("mmi.services", "-")).toBe("mmi.services|200|echo|1|0");
  hear("w1", 0, "", "MDPW01", 5);
  expect(status("mmi.service", "echo")).toBe("mmi.service|404");
  expect(status("mmi.unknown", "echo")).toBe("mmi.unknown|501");
});
