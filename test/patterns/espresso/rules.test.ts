import { describe, expect, it } from "vitest";
import { encodeTrailer, parseTrailer, TapRules, type Trailer } from "../../../src/patterns/espresso/rules.js";

const frames = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));

const TRAILER: Trailer = { from: "backend", frames: 3, size: 5_000_000_000, time: 1_700_000_000_123.5 };

const whole = encodeTrailer(TRAILER);
const changed = (offset: number, bytes: number[]): Buffer => {
  const frame = Buffer.from(whole);
  frame.set(bytes, offset);
  return frame;
};
it.each<[string, Buffer]>([
  ["of another version", changed(8, [2])],
  ["of a third side", changed(9, [2])],
  ["of a negative size", changed(16, [0xc0])],
  ["of an endless time", changed(24, [0x7f, 0xf0, 0, 0, 0, 0, 0, 0])],
])("a record's trailer is none when it is %s", (_, frame) => {
  expect(parseTrailer(frame)).toBeUndefined();
});

/** A tap's rules with what they publish. */
function tap() {
  const records: Buffer[][] = [];
  const heard: string[] = [];
  const rules = new TapRules(256, {
    publish: (record) => records.push([...record]) > 0,
    subscribed: (prefix) => heard.push(`+${prefix}`),
    unsubscribed: (prefix) => heard.push(`-${prefix}`),
  });
  const subscribe = (prefix: string): void => rules.receive([Buffer.from(`\u0001${prefix}`)]);
  const unsubscribe = (prefix: string): void => rules.receive([Buffer.from(`\u0000${prefix}`)]);
  const last = (): Trailer => parseTrailer(records.at(-1)?.at(-1) as Buffer) as Trailer;
  return { rules, records, heard, subscribe, unsubscribe, last };
}

describe("a tap", () => {
  it("publishes nothing that nobody listens to", () => {
    const { rules, records, subscribe, unsubscribe, heard } = tap();
    rules.offer("backend", frames("a"));
    subscribe("we");
    rules.offer("backend", frames("a"));
    rules.offer("backend", frames("weather"));
    unsubscribe("we");
    rules.offer("backend", frames("weather"));
    expect(records).toHaveLength(1);
    expect(rules.stats()).toMatchObject({ passed: 4, published: 1, unheard: 3, subscriptions: 0 });
    expect(heard).toEqual(["+we", "-we"]);
  });

  it("keeps a bounded number of prefixes; with further ones it publishes every message", () => {
    const { rules, subscribe, unsubscribe, records } = tap();
    for (let i = 0; i < 65; i++) subscribe(`p${i}`);
    rules.offer("frontend", frames("q1"));
    expect(rules.stats().subscriptions).toBe(65);
    unsubscribe("p64");
    rules.offer("frontend", frames("q1"));
    expect(records).toHaveLength(1);
  });

  it("cuts off what is long, in a copy, and says what there was", () => {
    const { rules, records, subscribe, last } = tap();
    subscribe("");
    const message = frames("topic", "x".repeat(250), "y".repeat(100), "z");
    rules.offer("backend", message);
    expect(records[0]?.slice(0, -1).map(String)).toEqual(["topic", "x".repeat(250), "y"]);
    expect(records[0]?.[0]?.buffer).not.toBe(message[0]);
    expect(last()).toMatchObject({ frames: 4, size: 356 });
    rules.offer("backend", new Array(65_536).fill(Buffer.alloc(0)));
    expect(records[1]).toHaveLength(65);
    expect(last()).toMatchObject({ frames: 65_536, size: 0 });
    expect(rules.stats().truncated).toBe(2);
  });

  it("passes over what is no subscription", () => {
    const { rules } = tap();
    rules.receive([Buffer.alloc(0)]);
    rules.receive([Buffer.from("\u0002a")]);
    rules.receive([Buffer.from("\u0001a"), Buffer.alloc(0)]);
    rules.receive([Buffer.from("\u0000never subscribed")]);
    expect(rules.stats()).toMatchObject({ invalid: 3, subscriptions: 0 });
  });
});
