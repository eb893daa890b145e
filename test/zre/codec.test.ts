import { describe, expect, it } from "vitest";
import {
  decodeBeacon,
  decodeMessage,
  encodeBare,
  encodeBeacon,
  encodeGroup,
  encodeHello,
  encodeShout,
  helloFault,
  identityOf,
  MAX_FRAMES,
  MAX_GROUPS,
  MAX_HEADERS,
  MAX_HELLO,
  uuidOf,
  ZreCommand,
} from "../../src/zre/codec.js";
import { vectorsUnder } from "../support/markdown.js";
import fc from "../support/properties.js";

const UUID = "101112131415161718191a1b1c1d1e1f";
const hex = (text: string): Buffer => Buffer.from(text, "hex");
const text = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .filter((each) => !each.includes("\0") && Buffer.byteLength(each) <= 255);
const hello = fc.record({
  endpoint: text,
  groups: fc.array(text, { maxLength: 8 }),
  status: fc.nat(255),
  name: text,
  headers: fc.dictionary(text, text, { maxKeys: 8, noNullPrototype: false }),
});

const WRITTEN: Readonly<Record<string, Buffer>> = {
  "beacon, port 49152": encodeBeacon(UUID, 49_152),
  "beacon, the node leaves": encodeBeacon(UUID, 0),
  "HELLO, one group, one header": encodeHello(1, {
    endpoint: "tcp://10.0.0.1:49152",
    groups: ["CHAT"],
    status: 1,
    name: "node1",
    headers: { "X-A": "1" },
  }),
  "WHISPER 2": encodeBare(ZreCommand.WHISPER, 2),
  "SHOUT 3 to CHAT": encodeShout(3, "CHAT"),
  "JOIN 4 of CHAT, status 2": encodeGroup(ZreCommand.JOIN, 4, "CHAT", 2),
  "LEAVE 5 of CHAT, status 3": encodeGroup(ZreCommand.LEAVE, 5, "CHAT", 3),
  "PING 6": encodeBare(ZreCommand.PING, 6),
  "PING-OK 7": encodeBare(ZreCommand.PING_OK, 7),
};

it("docs/spec/zre.md has the bytes that this code writes", () => {
  const rows = vectorsUnder("spec/zre.md", "Vectors");
  expect(rows).toEqual(Object.entries(WRITTEN).map(([what, bytes]) => [what, bytes.toString("hex")]));
});

it("a beacon of zyre with CURVE is another version's, and of another length or signature junk", () => {
  expect(decodeBeacon(hex(`5a524503${UUID}c000${"ab".repeat(32)}`))).toBe("beacon-version");
  expect(decodeBeacon(hex(`5a524501${UUID}c000${"ab".repeat(32)}`))).toBe("beacon");
  expect(decodeBeacon(hex(`5a524501${UUID}c0`))).toBe("beacon");
  expect(decodeBeacon(hex(`5a524601${UUID}c000`))).toBe("beacon");
  expect(decodeBeacon(hex("5a5245"))).toBe("beacon");
  expect(decodeBeacon(Buffer.alloc(0))).toBe("beacon");
});

it("a routing id is 01 and the uuid, and nothing else", () => {
  expect(uuidOf(identityOf(UUID))).toBe(UUID);
  expect(uuidOf(hex(`02${UUID}`))).toBeUndefined();
  expect(uuidOf(hex(UUID))).toBeUndefined();
  expect(uuidOf(hex("0000000001"))).toBeUndefined();
});

describe("a command", () => {
  it("keeps a header whose name is a property of objects", () => {
    const headers = JSON.parse('{"__proto__":"a","constructor":"b"}') as Record<string, string>;
    const read = decodeMessage([encodeHello(1, { endpoint: "", groups: [], status: 0, name: "n", headers })]);
    expect(typeof read === "object" && "headers" in read && { ...read.headers }).toEqual({ ...headers });
  });

  it("of zyre's own, and of a later one, is known by its sequence alone", () => {
    expect(decodeMessage([hex("aaa1080200050343484154")])).toEqual({ command: 0, sequence: 5 });
    expect(decodeMessage([hex("aaa10a020006")])).toEqual({ command: 0, sequence: 6 });
    expect(decodeMessage([hex("aaa1ff020006"), Buffer.alloc(3)])).toEqual({ command: 0, sequence: 6 });
  });

  it("is junk for a reason", () => {
    expect(decodeMessage([])).toBe("frames");
    expect(decodeMessage([Buffer.alloc(0)])).toBe("truncated");
    expect(decodeMessage([hex("0001")])).toBe("signature");
    expect(decodeMessage([hex("aaa006020001")])).toBe("signature");
    expect(decodeMessage([hex("aaa100020001")])).toBe("command");
    expect(decodeMessage([hex("aaa106030001")])).toBe("version");
    expect(decodeMessage([hex("aaa10602")])).toBe("truncated");
    expect(decodeMessage([encodeBare(ZreCommand.PING, 1), Buffer.alloc(0)])).toBe("frames");
    expect(
      decodeMessage([
        encodeBare(ZreCommand.WHISPER, 1),
        ...Array<Buffer>(MAX_FRAMES + 1).fill(Buffer.alloc(0)),
      ]),
    ).toBe("frames");
    expect(decodeMessage([hex("aaa104020001024801")])).toBe("truncated");
    expect(decodeMessage([hex("aaa10402000101ff01")])).toBe("text");
    expect(decodeMessage([hex("aaa104020001010001")])).toBe("text");
    expect(decodeMessage([Buffer.concat([encodeBare(ZreCommand.WHISPER, 1), Buffer.alloc(MAX_HELLO)])])).toBe(
      "oversized",
    );
  });

  it("with counts that its bytes cannot hold is junk before anything is allocated", () => {
    // HELLO, an empty endpoint, 4,294,967,295 groups.
    expect(decodeMessage([hex("aaa10102000100ffffffff")])).toBe("groups");
    expect(decodeMessage([hex(`aaa10102000100${"00000100"}`)])).toBe("truncated");
    expect(decodeMessage([hex("aaa1010200010000000000010000ffffffff")])).toBe("headers");
    // One group that says it has 4 GiB.
    expect(decodeMessage([hex("aaa1010200010000000001ffffffff")])).toBe("groups");
  });

  it("never throws, whatever comes, and is never taken for what was cut off", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 3 }), (frames) => {
        decodeMessage(frames.map((each) => Buffer.from(each)));
        decodeMessage([Buffer.concat([hex("aaa1"), ...frames])]);
        decodeBeacon(Buffer.concat([Buffer.from("ZRE"), ...frames]));
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(hello, fc.nat(), fc.nat(), fc.nat(255), (said, cut, at, bits) => {
        const bytes = encodeHello(1, said);
        expect(typeof decodeMessage([bytes.subarray(0, cut % bytes.length)])).toBe("string");
        bytes[at % bytes.length] = bits;
        decodeMessage([bytes]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("what a node of ours says", () => {
  it("is refused before it is sent, where a peer could not read it", () => {
    expect(helloFault("n", { "X-A": "" })).toBeUndefined();
    expect(helloFault("", {})).toMatch(/name is empty/);
    expect(helloFault("n".repeat(256), {})).toMatch(/256 bytes/);
    expect(helloFault("a\0b", {})).toMatch(/zero byte/);
    expect(helloFault("n", { "": "x" })).toMatch(/header "" is empty/);
    expect(helloFault("n", { a: "x".repeat(4_097) })).toMatch(/4097 bytes/);
    const many = Object.fromEntries(Array.from({ length: MAX_HEADERS + 1 }, (_, i) => [`h${i}`, ""]));
    expect(helloFault("n", many)).toMatch(/65 headers/);
    const large = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`h${i}`, "x".repeat(4_000)]));
    expect(helloFault("n", large)).toMatch(/headers have/);
  });

  it("fits into a HELLO with as many groups as there may be", () => {
    const groups = Array.from({ length: MAX_GROUPS }, (_, i) => `${i}`.padEnd(255, "g"));
    const headers = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`h${i}`, "x".repeat(4_080)]));
    const endpoint = "tcp://10.0.0.1:49152";
    expect(helloFault("n".repeat(255), headers)).toBeUndefined();
    const read = decodeMessage([
      encodeHello(1, { endpoint, groups, status: 0, name: "n".repeat(255), headers }),
    ]);
    expect(read).toMatchObject({ command: ZreCommand.HELLO, groups });
  });
});
