/** The rules of a policy, held against slow ones that are plainly right. */
import { isIP } from "node:net";
import { describe, expect, it } from "vitest";
import { encodeMessage, FrameBatch } from "../../../src/engine/frame-batch.js";
import { curveKeyPair } from "../../../src/index.js";
import {
  AddressRules,
  checkPolicy,
  type ProxyPolicyList,
  parseBlock,
} from "../../../src/proxy/policy/policy.js";
import { TopicGate, TopicRules } from "../../../src/proxy/policy/topics.js";
import { formatCertificate } from "../../../src/sockets/security/certificate.js";
import { parseKeys } from "../../../src/sockets/security/key-folder.js";
import fc from "../../support/properties.js";

/** An address as its bits. */
function bitsOf(address: string): bigint {
  if (isIP(address) === 4) return address.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
  const [head = "", tail] = address.split("::");
  const parts = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const front = parts(head);
  const rear = tail === undefined ? [] : parts(tail);
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - rear.length }, () => "0");
  return [...front, ...zeros, ...rear].reduce((bits, part) => (bits << 16n) | BigInt(`0x${part}`), 0n);
}

function isIn(block: string, address: string): boolean {
  const { network, prefix, family } = parseBlock(block) as NonNullable<ReturnType<typeof parseBlock>>;
  if ((family === "ipv4") !== (isIP(address) === 4)) return false;
  const rest = BigInt((family === "ipv4" ? 32 : 128) - prefix);
  return bitsOf(network) >> rest === bitsOf(address) >> rest;
}

describe("address lists", () => {
  // Few different parts, so that blocks and addresses meet.
  const part = fc.constantFrom(0, 1, 10, 127, 128, 255);
  const v4 = fc.array(part, { minLength: 4, maxLength: 4 }).map((parts) => parts.join("."));
  const v6 = fc
    .array(fc.constantFrom("0", "1", "2001", "db8", "8000", "ffff"), { minLength: 8, maxLength: 8 })
    .map((parts) => parts.join(":"))
    .filter((address) => !address.startsWith("0:0:0:0:0:ffff")); // IPv4 in its other form.
  const within = (address: fc.Arbitrary<string>, max: number) =>
    fc.tuple(address, fc.integer({ min: 0, max })).map((parts) => parts.join("/"));
  const block = fc.oneof(within(v4, 32), within(v6, 128), v4, v6);
  const list = fc.array(block, { maxLength: 5 });

  it("decide as the bits do", () => {
    fc.assert(
      fc.property(list, list, fc.oneof(v4, v6), (allow, deny, address) => {
        const expected =
          !deny.some((each) => isIn(each, address)) &&
          (allow.length === 0 || allow.some((each) => isIn(each, address)));
        expect(new AddressRules({ allow, deny }).allows(address)).toBe(expected);
      }),
      { numRuns: 2_000, defaultRuns: 200 },
    );
  });

  it("know an IPv4 address in its IPv6 form, a zone, and what is no address", () => {
    const rules = new AddressRules({ allow: ["10.0.0.0/8", "fe80::/10"], deny: ["10.6.6.6"] });
    expect(rules.allows("::ffff:10.1.2.3")).toBe(true);
    expect(rules.allows("::ffff:10.6.6.6")).toBe(false);
    expect(rules.allows("::ffff:11.1.2.3")).toBe(false);
    expect(rules.allows("fe80::1%eth0")).toBe(true);
    expect(rules.allows("2001:db8::1%eth0")).toBe(false);
    expect(rules.allows("localhost:12:13:/tmp/socket")).toBe(true);
    expect(rules.allows("")).toBe(true);
  });

  const V4 = ["10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.1/8/8", "10.0.0.0/-1", "10.0.0.0/1e1"];
  const V6 = ["::/129", "fe80::1%eth0", "::ffff:10.0.0.0/104", "::ffff:a00:1"];
  it.each(["", "host", " 10.0.0.1", ...V4, ...V6])("do not take %j", (text) => {
    expect(parseBlock(text)).toBeUndefined();
  });
});

/** The longest prefix decides, `deny` where both have it. */
function allowsSlowly({ allow = [], deny = [] }: ProxyPolicyList, topic: string): boolean {
  const longest = (prefixes: readonly string[]): number =>
    Math.max(-1, ...prefixes.filter((prefix) => topic.startsWith(prefix)).map(({ length }) => length));
  const [yes, no] = [longest(allow), longest(deny)];
  return yes < 0 && no < 0 ? allow.length === 0 : yes > no;
}

const letters = (maxLength: number) => fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength });
const text = letters(4);
const lists = fc.record({ allow: fc.array(text, { maxLength: 4 }), deny: fc.array(text, { maxLength: 4 }) });
/** All topics of at most 6 letters: no list above distinguishes longer ones. */
const TOPICS = (() => {
  const all = [""];
  for (const topic of all) if (topic.length < 6) for (const letter of "ab/") all.push(topic + letter);
  return all;
})();

describe("topic lists", () => {
  it("decide about a topic by the longest prefix", () => {
    fc.assert(
      fc.property(lists, letters(8), (given, topic) => {
        const bytes = Buffer.from(`..${topic}..`);
        expect(new TopicRules(given).allows(bytes, 2, 2 + topic.length)).toBe(allowsSlowly(given, topic));
      }),
      { numRuns: 2_000, defaultRuns: 200 },
    );
  });

  it("pass a subscription when some topic that it asks for is allowed, and only then", () => {
    fc.assert(
      fc.property(lists, letters(5), (given, prefix) => {
        const some = TOPICS.some((topic) => topic.startsWith(prefix) && allowsSlowly(given, topic));
        expect(new TopicRules(given).passes(Buffer.from(prefix))).toBe(some);
      }),
      { numRuns: 500, defaultRuns: 100 },
    );
  });

  it("keep publishers subscribed to just what is asked for and passes, however the lists change", () => {
    const step = fc.oneof(fc.record({ prefix: text, on: fc.boolean() }), fc.record({ lists }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let rules = new TopicRules({});
        const side = {
          get topics() {
            return rules;
          },
          refuse: () => undefined,
        };
        const subscriptions = new TopicGate([side]);
        const asked = new Set<string>();
        const told = new Set<string>();
        const tell = (prefix: string, on: boolean): void => {
          if (on) told.add(prefix);
          else told.delete(prefix);
        };
        for (const each of steps) {
          if ("lists" in each) {
            rules = new TopicRules(each.lists);
            for (const { prefix, on } of subscriptions.reconsider()) {
              expect(told.has(String(prefix))).toBe(!on); // Nothing is passed twice.
              tell(String(prefix), on);
            }
          } else {
            // The socket before it passes the first subscription and the last end.
            if (asked.has(each.prefix) === each.on) continue;
            if (each.on) asked.add(each.prefix);
            else asked.delete(each.prefix);
            if (subscriptions.change(Buffer.from(each.prefix), each.on)) tell(each.prefix, each.on);
          }
          expect([...told].sort()).toEqual(
            [...asked].filter((prefix) => rules.passes(Buffer.from(prefix))).sort(),
          );
        }
      }),
    );
  });
});

const frame = fc.oneof(fc.uint8Array({ maxLength: 5 }), fc.constant(new Uint8Array(300).fill(7)));
const message = fc.array(frame, { minLength: 1, maxLength: 3 });
const some = fc.array(message, { minLength: 1, maxLength: 20 });

it("a batch that is filtered has what is kept, whole and in order, and the right statistics", () => {
  fc.assert(
    fc.property(some, fc.nat(255), fc.boolean(), (messages, bound, named) => {
      const parts = messages.map((frames) => encodeMessage(frames, undefined).bytes);
      const bytes = Buffer.concat([Buffer.of(9, 9, 9), ...parts, Buffer.of(9)]);
      const tally = {
        bodyBytes: messages.flat().reduce((sum, { length }) => sum + length, 0),
        frames: messages.flat().length,
        mostFrames: Math.max(...messages.map(({ length }) => length)),
      };
      const first = named ? Buffer.from("id") : undefined;
      const batch = new FrameBatch(bytes, 3, bytes.length - 1, messages.length, tally, first);
      const keeps = (body: Uint8Array): boolean => (body[0] ?? 0) <= bound;
      const kept = messages.filter(([topic]) => keeps(topic as Uint8Array));
      const filtered = batch.filter((from, start, end) => keeps(from.subarray(start, end)));
      if (kept.length === messages.length) expect(filtered).toBe(batch);
      if (kept.length === 0) {
        expect(filtered).toBeUndefined();
        return;
      }
      expect(filtered?.messages).toBe(kept.length);
      expect(filtered?.tally.bodyBytes).toBe(kept.flat().reduce((sum, { length }) => sum + length, 0));
      const id = named ? [Buffer.from("id")] : [];
      const expected = kept.map((frames) => [...id, ...frames.map((each) => Buffer.from(each))]);
      expect(filtered?.decode()).toEqual(expected);
    }),
    { defaultRuns: 30 },
  );
});

describe("files of keys", () => {
  const [one, two] = [curveKeyPair(), curveKeyPair()];

  it("are certificates, public or secret, or lines of keys", () => {
    expect(parseKeys(formatCertificate({ ...one, metadata: { name: "x" } }, false))).toEqual([one.publicKey]);
    expect(parseKeys(formatCertificate({ ...one, metadata: {} }, true))).toEqual([one.publicKey]);
    expect(parseKeys(`# boats\n\n  ${one.publicKey}\r\n#\n${two.publicKey}`)).toEqual([
      one.publicKey,
      two.publicKey,
    ]);
  });

  it("that are garbage are reported by line and reason, and never by what they have", () => {
    const secret = one.secretKey.slice(0, 39);
    const texts = [
      "",
      `${one.publicKey}\n${secret}\n`,
      `curve\n    public-key = "${secret}"\n`,
      "\u0000\ufffd",
    ];
    const problems = texts.map(parseKeys);
    for (const problem of problems) expect(problem).toBeTypeOf("string");
    expect(problems[1]).toMatch(/line 2/);
    expect(problems.join()).not.toContain(secret);
  });

  it("of any content throw nothing, and are a key or a reason", () => {
    const any = [fc.string(), fc.string({ unit: "binary" }), fc.string({ minLength: 40, maxLength: 40 })];
    fc.assert(
      fc.property(fc.oneof(...any), (content) => {
        const found = parseKeys(content);
        if (typeof found !== "string") for (const key of found) expect(key).toHaveLength(40);
      }),
    );
  });
});

describe("a policy", () => {
  const side = { name: "frontend", type: "xsub", options: {} } as const;
  const keyed = { ...side, options: { curveServer: true } };

  it("is copied and frozen, and what is absent stays so", () => {
    const given = { topics: { allow: ["a"] }, limits: { peer: { messages: 5 } } };
    const policy = checkPolicy(side, given);
    given.topics.allow.push("b");
    expect(policy).toEqual({ topics: { allow: ["a"] }, limits: { peer: { messages: 5 } } });
    expect(Object.isFrozen(policy.limits)).toBe(true);
    expect(checkPolicy(side, {})).toEqual({});
    expect(checkPolicy(keyed, { keys: "/etc/keys" })).toEqual({ keys: "/etc/keys" });
  });

  it.each([
    ["policy of frontend", null],
    ["policy of frontend", []],
    ["has no adresses; it has addresses", { adresses: {} }],
    ['"10.0.0.0/40"', { addresses: { deny: ["10.0.0.0/40"] } }],
    ["has no block", { addresses: { block: [] } }],
    ["allow in addresses", { addresses: { allow: "10.0.0.1" } }],
    ["got 7 in it", { topics: { deny: ["a", 7] } }],
    ["curveServer", { keys: "/etc/keys" }],
    ["messages in peer", { limits: { peer: { messages: 0 } } }],
    ["bytes in all", { limits: { all: { bytes: 1.5 } } }],
    ["messageSize", { limits: { messageSize: "1M" } }],
    ["has no speed", { limits: { speed: 1 } }],
  ])("that is wrong is refused, saying %s", (what, given) => {
    expect(() => checkPolicy(side, given)).toThrow(what);
  });

  it.each([
    ["topics", "pull", { topics: {} }],
    ["peers of a push send no messages", "push", { limits: { peer: { messages: 1 } } }],
    ["peers of a xpub send no messages", "xpub", { limits: { peer: { messages: 1 } } }],
    ["peers of a pub send nothing", "pub", { limits: { all: { messages: 1 } } }],
  ] as const)("that a side has no use for is refused: %s of %s", (what, type, given) => {
    expect(() => checkPolicy({ ...side, type }, given)).toThrow(what);
  });

  it("with a rate needs a queue that has a bound", () => {
    const unbounded = { ...side, options: { receiveHighWaterMark: 0 } };
    expect(() => checkPolicy(unbounded, { limits: { peer: { bytes: 1 } } })).toThrow("receiveHighWaterMark");
    expect(() => checkPolicy(unbounded, { limits: { all: { bytes: 1 } } })).toThrow("receiveHighWaterMark");
    expect(() => checkPolicy(unbounded, { limits: { messageSize: 1 } })).not.toThrow();
  });
});
