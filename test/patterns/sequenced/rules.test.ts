/** The publisher's ring, the subscriber's table, the replays: each by itself; and the vectors of docs/patterns/sequenced.md, which the code writes and reads. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { frameCost } from "../../../src/core/memory.js";
import {
  EndStatus,
  encodeAnswer,
  encodeEnd,
  encodeMeta,
  encodeRequest,
  parseAnswer,
  parseEnd,
  parseMeta,
  parseRequest,
} from "../../../src/patterns/sequenced/protocol.js";
import { PublisherRules } from "../../../src/patterns/sequenced/publisher-rules.js";
import {
  ReplayRules,
  type SequencedReplayOutcome,
  type SequencedSubscriberEvent,
  StreamTable,
} from "../../../src/patterns/sequenced/subscriber-rules.js";
import { sequencedStamp } from "../../../src/patterns/suicidal-snail/snail.js";

const ID = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
const OTHER = Buffer.alloc(16, 0xff);
const TOPIC = Buffer.from("topic");

const PUBLISHER = { maxTopics: 2, maxQueue: 3, maxQueueBytes: 300 };

/** @param streams that it had before */
function publisher(options: Partial<typeof PUBLISHER> = {}, streams = 0) {
  const published: Buffer[][] = [];
  const answers: Buffer[][] = [];
  const events: string[] = [];
  /** Messages that the asker has room for, and the program's listener. */
  const its = { room: Number.POSITIVE_INFINITY, onEvent: (): void => undefined };
  const rules = new PublisherRules(
    { ...PUBLISHER, ...options },
    {
      publish: (frames) => published.push(frames),
      answer: (_, frames) => {
        its.room -= 1;
        if (its.room >= 0) answers.push(frames);
        return its.room >= 0;
      },
      event: (event) => {
        events.push(event.type);
        its.onEvent();
      },
    },
    ID,
    streams,
  );
  const publish = (topic: string, body = "x"): number =>
    rules.publish(Buffer.from(topic), [Buffer.from(body)], 1);
  const ask = (from: number, to: number, { topic = "a", stream = 1, id = ID } = {}) => {
    answers.length = 0;
    const request = { publisher: id.toString("hex"), stream, from, to, number: 5 };
    rules.receive(Buffer.from("asker"), [encodeRequest(request), Buffer.from(topic)]);
    const end = answers.length === 0 ? undefined : parseEnd(answers.at(-1)?.[0] as Buffer);
    const sequences = answers.slice(0, -1).map((frames) => parseMeta(frames[2] as Buffer)?.sequence);
    return { sequences, status: end?.status };
  };
  return { rules, its, published, answers, events, publish, ask };
}

describe("a publisher", () => {
  it("forgets the oldest message of all past its bytes, and one that is too large with all before it", () => {
    const { publish, ask, rules } = publisher({ maxQueue: 100 });
    publish("a", "x".repeat(40));
    publish("b", "x".repeat(80));
    publish("b", "x".repeat(50));
    expect(ask(1, 1).sequences).toEqual([]);
    expect(ask(1, 2, { topic: "b", stream: 2 }).sequences).toEqual([1, 2]);
    expect(rules.stats()).toMatchObject({ kept: 2, keptBytes: 2 * frameCost(0) + 130 });
    publish("a", "x".repeat(301));
    expect(rules.stats()).toMatchObject({ kept: 0, keptBytes: 0 });
  });

  it("may publish within an event of what it forgets", () => {
    const { publish, rules, its, published } = publisher();
    its.onEvent = () => {
      its.onEvent = () => undefined;
      publish("c");
    };
    for (const topic of ["a", "b", "c"]) publish(topic);
    expect(rules.stats()).toMatchObject({ topics: 2, topicsEvicted: 1, published: 4 });
    const streams = published.slice(2).map(([topic, meta]) => [String(topic), parseMeta(meta as Buffer)]);
    expect(streams).toMatchObject([
      ["c", { stream: 3, sequence: 1 }],
      ["c", { stream: 3, sequence: 2 }],
    ]);
  });

  it("forgets the topic published the longest ago, and begins it again as another stream", () => {
    const { publish, ask, events, published } = publisher();
    publish("a");
    publish("b");
    publish("a");
    publish("c");
    expect(events).toEqual(["topic:evicted"]);
    expect(publish("b")).toBe(1);
    expect(parseMeta(published.at(-1)?.[1] as Buffer)?.stream).toBe(4);
    expect(ask(1, 1, { topic: "b", stream: 2 }).status).toBe(EndStatus.GONE);
    expect(ask(1, 1, { topic: "nonsense" }).status).toBe(EndStatus.GONE);
    expect(ask(1, 1, { topic: "b", stream: 4 })).toEqual({ sequences: [1], status: EndStatus.DONE });
    // Of another publisher, or its own earlier life.
    const other = ask(1, 1, { topic: "b", stream: 4, id: OTHER });
    expect(other).toEqual({ sequences: [], status: EndStatus.GONE });
  });

  it("refuses another topic, and keeps nothing of it, after its last stream number", () => {
    const { rules, published, publish } = publisher({}, 2 ** 32 - 2);
    publish("a");
    expect(parseMeta(published[0]?.[1] as Buffer)?.stream).toBe(2 ** 32 - 1);
    for (let i = 0; i < 2; i++) expect(() => publish("b")).toThrow(/make another/);
    expect(publish("a")).toBe(2);
    expect(rules.stats()).toMatchObject({ topics: 1, kept: 2, published: 2 });
  });

  it("stops, without an end, where the asker's queue is full", () => {
    const { publish, ask, its, rules, answers } = publisher();
    for (let i = 0; i < 3; i++) publish("a");
    its.room = 2;
    ask(1, 3);
    expect(answers.length).toBe(2);
    expect(rules.stats().replaysCut).toBe(1);
  });

  it("drops and counts what is no request", () => {
    const { rules, events } = publisher();
    rules.receive(Buffer.from("x"), []);
    rules.receive(Buffer.from("x"), [Buffer.from("nonsense"), TOPIC]);
    rules.receive(Buffer.from("x"), [encodeMeta(ID, 1, 1, 1), TOPIC]);
    expect(events).toEqual(["message:invalid", "message:invalid", "message:invalid"]);
    expect(rules.stats()).toMatchObject({ invalid: 3, replays: 0 });
  });
});

function table(max = 100) {
  const events: SequencedSubscriberEvent[] = [];
  const streams = new StreamTable(max, (event) => events.push(event));
  const hear = (sequence: number, { id = ID, topic = "a", stream = 1 } = {}) => {
    const frames = [Buffer.from(topic), encodeMeta(id, stream, sequence, 2_000), Buffer.from("x")];
    return streams.receive(frames)?.sequence;
  };
  const told = (): string[] =>
    events
      .splice(0)
      .map((event) => ("from" in event ? `${event.type} ${event.from}-${event.to}` : event.type));
  return { streams, events, hear, told };
}

describe("a subscriber", () => {
  it("knows a topic that its publisher had forgotten, and drops what is left of the old stream", () => {
    const { hear, told } = table();
    hear(1);
    expect(hear(2, { stream: 9 })).toBe(2);
    expect(told()).toEqual(["stream:restarted", "gap:detected 1-1"]);
    expect(hear(2, { stream: 1 })).toBeUndefined();
    expect(told()).toEqual(["message:repeated"]);
  });

  it("forgets the stream heard of the longest ago past its bound", () => {
    const { hear, told, streams } = table(2);
    hear(1, { topic: "a" });
    hear(1, { topic: "b" });
    hear(2, { topic: "a" });
    hear(1, { topic: "c" });
    expect(told()).toEqual(["stream:forgotten"]);
    hear(3, { topic: "a" });
    expect(told()).toEqual([]);
    hear(2, { topic: "b" });
    expect(told()).toEqual(["stream:forgotten", "stream:joined-late 1-1"]);
    expect(streams.stats().streams).toBe(2);
  });

  it("forgets streams past the bytes of their topics, but not the newest", () => {
    const { hear, told, streams } = table();
    const topic = (name: string): string => name.padEnd(15_000_000);
    hear(1, { topic: topic("a") });
    hear(1, { topic: topic("b") });
    hear(2, { topic: topic("a") });
    expect(told()).toEqual([]);
    hear(1, { topic: topic("c") });
    expect(told()).toEqual(["stream:forgotten"]);
    hear(3, { topic: topic("a") });
    expect(told()).toEqual([]);
    hear(1, { topic: "d".padEnd(35_000_000) });
    expect(told()).toEqual(["stream:forgotten", "stream:forgotten"]);
    hear(1);
    expect(told()).toEqual(["stream:forgotten"]);
    expect(streams.stats().streams).toBe(1);
  });

  it("drops and counts what is not a message of the protocol", () => {
    const { streams, told } = table();
    const meta = encodeMeta(ID, 1, 1, 1);
    for (const frames of [[TOPIC], [TOPIC, TOPIC, TOPIC], [TOPIC, meta]])
      expect(streams.receive(frames)).toBeUndefined();
    expect(told()).toEqual(["message:invalid", "message:invalid", "message:invalid"]);
    expect(streams.stats()).toMatchObject({ invalid: 3, streams: 0, received: 0 });
  });
});

const PUBLISHER_ID = ID.toString("hex");

function replays() {
  const sent: { to: string; from: number; number: number }[] = [];
  const settled: { outcome: SequencedReplayOutcome; sequences: number[] }[] = [];
  const connected = new Set([PUBLISHER_ID]);
  const rules = new ReplayRules(100, (to, frames) => {
    const request = parseRequest(frames[0] as Buffer);
    sent.push({ to, from: request?.from ?? 0, number: request?.number ?? 0 });
    return connected.has(to);
  });
  const range = { publisher: PUBLISHER_ID, topic: TOPIC, stream: 1, from: 1, to: 4 };
  const request = () =>
    rules.request(range, 0, (outcome, messages) =>
      settled.push({ outcome, sequences: messages.map(({ sequence }) => sequence) }),
    );
  const receive = (frames: Buffer[], publisher = PUBLISHER_ID): void => rules.receive(publisher, frames, 1);
  const message = (sequence: number, number = sent.at(-1)?.number ?? 0, id = ID): Buffer[] => [
    encodeAnswer(number),
    TOPIC,
    encodeMeta(id, 1, sequence, 1),
    Buffer.from("x"),
  ];
  const end = (status: EndStatus): Buffer[] => [encodeEnd({ number: sent.at(-1)?.number ?? 0, status })];
  return { rules, sent, settled, connected, request, receive, message, end };
}

describe("a replay", () => {
  it("asks a publisher that promises more and sends nothing no oftener than a silent one", () => {
    const { rules, sent, request, receive, message, end } = replays();
    request();
    for (let i = 0; i < 5; i++) receive(end(EndStatus.MORE));
    expect(sent.length).toBe(1);
    rules.tick(rules.nextWakeUp() as number);
    receive(message(1));
    receive(end(EndStatus.MORE));
    expect(sent.map(({ from }) => from)).toEqual([1, 1, 2]);
  });

  it("ends where all in progress have 256 MiB, with what it has", () => {
    const { rules, sent, request, receive, message, end, settled } = replays();
    for (let call = 1; call <= 3; call++) request();
    const [first, second, third] = sent.map(({ number }) => number);
    const large = (sequence: number, number = 0): Buffer[] => [
      ...message(sequence, number).slice(0, 3),
      Buffer.alloc(100_000_000),
    ];
    receive(large(1, first));
    receive(large(1, second));
    receive(large(2, second));
    expect(settled).toEqual([{ outcome: "full", sequences: [1, 2] }]);
    receive(large(1, third));
    expect(settled).toHaveLength(1);
    receive(large(3, second)); // Late.
    receive(end(EndStatus.DONE));
    expect(settled.at(-1)).toEqual({ outcome: "done", sequences: [1] });
    expect(rules.stats()).toMatchObject({ pending: 1, late: 1 });
  });

  it("drops and counts answers that are malformed, from another publisher, or out of order", () => {
    const { rules, request, receive, message, end, settled } = replays();
    request();
    receive([Buffer.from("nonsense")]);
    receive(end(3 as EndStatus)); // Nobody knows this status.
    receive(message(9));
    receive(message(1, undefined, OTHER));
    receive(message(1), OTHER.toString("hex"));
    receive(message(2));
    receive(message(1));
    receive(end(EndStatus.DONE));
    expect(settled).toEqual([{ outcome: "done", sequences: [2] }]);
    expect(rules.stats()).toMatchObject({ invalid: 5, late: 1 });
  });
});

it.each([
  [257, 1, 256],
  [3, 524_288, 2],
])("of %d messages of %d bytes, a page of a replay has %d, and the subscriber asks for the rest", (all, bytes, most) => {
  const { publish, ask } = publisher({ maxQueue: 300, maxQueueBytes: 10_000_000 });
  for (let i = 0; i < all; i++) publish("a", "x".repeat(bytes));
  const { sequences, status } = ask(1, all);
  expect([sequences.length, status]).toEqual([most, EndStatus.MORE]);
  expect(ask(all, all)).toEqual({ sequences: [all], status: EndStatus.DONE });
});

const page = readFileSync(new URL("../../../docs/patterns/sequenced.md", import.meta.url), "utf8");

/** The bytes of a vector: the block of hexadecimal digits after its heading. */
function vector(name: string): Buffer {
  const [, digits] =
    new RegExp(`^### ${name}\\n(?:[^#]*?)\`\`\`text\\n([0-9a-f\\s]+)\`\`\``, "m").exec(page) ?? [];
  if (digits === undefined) throw new Error(`The page has no vector ${name}`);
  return Buffer.from(digits.replaceAll(/\s/g, ""), "hex");
}

const NAME = ID.toString("latin1");
const TIME = 1_700_000_000_123_456;

describe("docs/patterns/sequenced.md", () => {
  it("a message's meta", () => {
    const meta = vector("Meta of a message");
    expect(encodeMeta(ID, 1, 7, TIME)).toEqual(meta);
    expect(parseMeta(meta)).toEqual({ publisher: NAME, stream: 1, sequence: 7, time: TIME });
    const largest = encodeMeta(ID, 0xffff_ffff, Number.MAX_SAFE_INTEGER, TIME);
    expect(parseMeta(largest)).toMatchObject({ stream: 0xffff_ffff, sequence: Number.MAX_SAFE_INTEGER });
    const stamp = sequencedStamp([Buffer.from("topic"), meta, Buffer.from("body")]);
    expect(stamp).toMatchObject({ source: NAME, sequence: 7, time: TIME / 1_000 });
    for (const bad of [[meta], [meta, Buffer.from("body")], [Buffer.from("topic"), meta]])
      expect(sequencedStamp(bad)).toBeUndefined();
  });

  it("a replay request, an answer and its end", () => {
    const request = { publisher: ID.toString("hex"), stream: 1, from: 3, to: 6, number: 42 };
    expect(encodeRequest(request)).toEqual(vector("Replay request"));
    expect(parseRequest(vector("Replay request"))).toEqual(request);
    expect(encodeAnswer(42)).toEqual(vector("Replay answer"));
    expect(parseAnswer(vector("Replay answer"))).toBe(42);
    const end = { number: 42, status: EndStatus.DONE };
    expect(encodeEnd(end)).toEqual(vector("Replay end"));
    expect(parseEnd(vector("Replay end"))).toEqual(end);
  });

  it("each malformed variant that the page names is refused", () => {
    const meta = vector("Meta of a message");
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(meta);
      copy[at] = value;
      return copy;
    };
    for (const bad of [
      Buffer.alloc(0),
      meta.subarray(0, 39),
      Buffer.concat([meta, Buffer.of(0)]),
      changed(0, 0x54),
      changed(2, 2),
      changed(3, 3),
      changed(24, 0x20), // A sequence above 2^53 - 1.
      changed(31, 0), // Sequence 0.
      changed(32, 0x20), // A time above 2^53 - 1.
    ])
      expect(parseMeta(bad)).toBeUndefined();
  });
});
