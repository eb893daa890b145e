import { describe, expect, it } from "vitest";
import {
  type EspressoFilter,
  type EspressoSample,
  encodeTrailer,
  Filter,
  parseTrailer,
  TapRules,
  type TapRulesOptions,
  type Trailer,
} from "../../../src/patterns/espresso/rules.js";

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

describe("a filter", () => {
  it.each<[string, EspressoFilter, string, string]>([
    ["everything without conditions", {}, "taken", "taken"],
    ["by side", { from: "frontend" }, "taken", "filtered"],
    ["by topic", { topics: ["we", Buffer.from("x")] }, "taken", "taken"],
    ["by a topic that is longer", { topics: "weather.and.more" }, "filtered", "filtered"],
    [
      "by predicate",
      { where: ([topic], side) => side === "backend" && topic?.length === 7 },
      "filtered",
      "taken",
    ],
    ["by all together", { from: "backend", topics: "we", where: () => true }, "filtered", "taken"],
  ])("takes %s", (_, filter, atFrontend, atBackend) => {
    for (const [side, verdict] of Object.entries({ frontend: atFrontend, backend: atBackend }))
      expect(new Filter(filter, {}).decide(side as "backend", frames("weather", "sunny"))).toBe(verdict);
  });

  it.each<[string, unknown, unknown]>([
    ["an unknown condition", { side: "frontend" }, {}],
    ["an unknown side", { from: "left" }, {}],
    ["a topic that is none", { topics: [1] }, {}],
    ["topics that are none", { topics: 1 }, {}],
    ["a predicate that is none", { where: true }, {}],
    ["a sample of none", {}, { oneIn: 0 }],
    ["an unknown sample", {}, { every: 2 }],
    ["null", null, {}],
  ])("is refused with %s", (_, filter, sample) => {
    const make = (): Filter => new Filter(filter as EspressoFilter, sample as EspressoSample);
    expect(make).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

/** A tap's rules with what they publish. */
function tap(options: Partial<TapRulesOptions> = {}) {
  const records: Buffer[][] = [];
  const heard: string[] = [];
  const state = { room: true };
  const rules = new TapRules(
    { filter: {}, sample: {}, snapLength: 256, ...options },
    {
      publish: (record) => state.room && records.push([...record]) > 0,
      subscribed: (prefix) => heard.push(`+${prefix}`),
      unsubscribed: (prefix) => heard.push(`-${prefix}`),
      predicateFailed: () => heard.push("failed"),
    },
  );
  const subscribe = (prefix: string): void => rules.receive([Buffer.from(`\u0001${prefix}`)]);
  const unsubscribe = (prefix: string): void => rules.receive([Buffer.from(`\u0000${prefix}`)]);
  const last = (): Trailer => parseTrailer(records.at(-1)?.at(-1) as Buffer) as Trailer;
  return { rules, records, heard, state, subscribe, unsubscribe, last };
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
