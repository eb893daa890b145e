/** docs/spec/cluster.md: its vectors are what this code writes, and read back what it says; what is too much for a packet. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, test } from "vitest";
import { MAX_PACKET, MAX_STREAM_PACKET } from "../../src/cluster/bounds.js";
import { createDetails, NO_DETAILS, tryDetails } from "../../src/cluster/details.js";
import { namespaceNumber } from "../../src/cluster/identity.js";
import { idHash, memberHash, removalHash } from "../../src/cluster/membership/members.js";
import { bodySize, decodePacket, encodePacket, PREFIX, readNamespace } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import { Sealer } from "../../src/cluster/wire/seal.js";
import {
  encodeFrame,
  encodeHello,
  FRAME_HEAD,
  helloAddress,
  helloSize,
  streamWays,
} from "../../src/cluster/wire/stream.js";
import { encodeZ85 } from "../../src/core/z85.js";
import { loadCurveBox } from "../../src/engine/zmtp/mechanism/curve-primitives.js";
import { codes, ROOT, tableUnder, vectorsUnder } from "../support/markdown.js";
import fc from "../support/properties.js";
import { packet } from "./packets.js";

const NAMESPACE = namespaceNumber("default");
const [A, B] = ["a1".repeat(16), "b2".repeat(16)];
const START = 1_800_000_000_000;
const make = (
  type: PacketType,
  fields: Partial<Record<"seq" | "target" | "flags", number> & Record<"about" | "address", string>>,
  updates: Update[] = [],
  wanted?: readonly [number, number],
  data?: string,
): Packet =>
  new Packet(
    { type, from: A, start: START, count: 2, digest: 0xcafe },
    {
      ...fields,
      buckets: type === PacketType.SYNC ? new Uint32Array(64).fill(0x0102_0304, 0, 1) : undefined,
      wanted,
      updates,
      data: data === undefined ? undefined : new TextEncoder().encode(data),
    },
  );
const details = createDetails(3, ["billing", "eu"], { version: "2.1" }, ["tcp://10.0.0.1:5555"]);

const BILLING = { id: A, name: "billing@10.0.0.1", address: "10.0.0.1:7000", version: 3 };

const PACKETS: Readonly<Record<string, Packet>> = {
  "PING 7 of the node whose id begins with b2b2b2b2": make(PacketType.PING, { seq: 7, target: 0xb2b2b2b2 }),
  "ACK 7": make(PacketType.ACK, { seq: 7 }),
  "PING_REQ 7 for B": make(PacketType.PING_REQ, { seq: 7, about: B, address: "10.0.0.2:7000" }),
  "NACK 7": make(PacketType.NACK, { seq: 7 }),
  "GOSSIP: B is suspected by two": make(PacketType.GOSSIP, {}, [
    Update.suspect({ id: B, start: START, count: 1 }, [0xa1a1a1a1, 0xc3c3c3c3]),
  ]),
  "GOSSIP: B is dead, its connection was reset": make(PacketType.GOSSIP, {}, [
    Update.dead({ id: B, start: START, count: 1 }, 2, 0xa1a1a1a1),
  ]),
  "GOSSIP: B left, C was removed": make(PacketType.GOSSIP, {}, [
    Update.left({ id: B, start: START, count: 2 }),
    Update.removal("c3".repeat(16), START, 0, true),
  ]),
  "HEARTBEAT with tags": make(PacketType.HEARTBEAT, {}, [
    Update.alive({ ...BILLING, start: START, count: 2 }),
    Update.details(A, START, details),
  ]),
  "HEARTBEAT after a rejoin": make(PacketType.HEARTBEAT, {}, [
    Update.alive({ ...BILLING, start: START + 5_000, count: 0, processStart: START }),
  ]),
  "DISCOVER: 8 answers within 500 ms": make(PacketType.DISCOVER, { seq: 8, target: 500 }),
  "EXPECT a sign of life of B": make(PacketType.EXPECT, { about: B }),
  SYNC: make(PacketType.SYNC, {}),
  "ENTRIES: none; the first bucket is wanted": make(PacketType.ENTRIES, {}, [], [0, 1]),
  "MESSAGE with an item of messaging": make(PacketType.MESSAGE, {}, [], undefined, "\0)\u0007hi"),
};

const bytesOf = (cell: string | undefined): string =>
  codes(cell ?? "")
    .join("")
    .replaceAll(" ", "");

test("vectors of packets", () => {
  const rows = Object.fromEntries(
    tableUnder("spec/cluster.md", "Vectors").map(([name, hex]) => [name, bytesOf(hex)]),
  );
  const written = Object.fromEntries(
    Object.entries(PACKETS).map(([name, packet]) => [name, encodePacket(packet, NAMESPACE).toString("hex")]),
  );
  expect(rows).toEqual(written);
  for (const [name, hex] of Object.entries<string>(rows))
    expect(decodePacket(Buffer.from(hex, "hex"), NAMESPACE, MAX_STREAM_PACKET), name).toEqual(PACKETS[name]);
});

beforeAll(() => loadCurveBox());

test("the vector of a sealed packet", () => {
  const [row] = tableUnder("spec/cluster.md", "Vector of a sealed packet");
  const sealer = new Sealer(NAMESPACE, [encodeZ85(Buffer.alloc(32, 7))], Buffer.alloc(16, 0x11));
  const body = encodePacket(PACKETS["ACK 7"] as Packet, -1);
  expect(bytesOf(row?.[1])).toBe(sealer.seal(body).toString("hex"));
});

test("the vectors of digests", () => {
  const member = memberHash(idHash(A), START, 2, 3);
  const removal = removalHash(idHash("c3".repeat(16)), START, 1, true);
  const text = readFileSync(join(ROOT, "docs/spec/cluster.md"), "utf8");
  const values = [...text.matchAll(/^\| (?:member|removal) .* \| `([0-9a-f]{8})` \|$/gm)].map(
    ([, hex]) => hex,
  );
  expect(values).toEqual([member, removal].map((hash) => (hash >>> 0).toString(16).padStart(8, "0")));
});

test("the vectors of a stream are what the code writes", () => {
  const rows = Object.fromEntries(vectorsUnder("spec/cluster.md", "Vectors of a stream"));
  const initiator = encodeHello(Buffer.alloc(32, 1), "10.0.0.1:7000");
  const responder = encodeHello(Buffer.alloc(32, 2), "10.0.0.2:7000");
  const { toResponder, toInitiator } = streamWays(initiator, responder);
  const sealer = new Sealer(NAMESPACE, [encodeZ85(Buffer.alloc(32, 7))]);
  const body = encodePacket(make(PacketType.ACK, { seq: 7 }), -1);
  const ack = encodeFrame(sealer.sealStream(toResponder, body));
  const frames = {
    "the initiator's frame with counter 1: ACK 7": ack.toString("hex"),
    "end frame": "00000000",
  };
  expect({
    "hello of the initiator": initiator.toString("hex"),
    "hello of the responder": responder.toString("hex"),
    "session of what the initiator sends": toResponder.session.toString("hex"),
    "session of what the responder sends": toInitiator.session.toString("hex"),
    ...frames,
  }).toEqual(rows);
  expect(helloSize(initiator)).toBe(initiator.length);
  expect(helloAddress(initiator)).toBe("10.0.0.1:7000");
  const reads = streamWays(initiator, responder).toResponder;
  const packet = ack.subarray(FRAME_HEAD);
  expect(sealer.openStream(reads, packet)).toEqual(body);
  expect(sealer.openStream(reads, packet)).toBe("replayed");
  expect(sealer.openStream(toInitiator, packet)).toBe("replayed");
});

const FROM = "000102030405060708090a0b0c0d0e0f";
const gossip = (...updates: Update[]): Packet =>
  new Packet({ type: PacketType.GOSSIP, from: FROM, start: 1, count: 2, digest: 3 }, { updates });

describe("the wire form", () => {
  it("reads back what it writes, and is as long as it says", () => {
    fc.assert(
      fc.property(packet, (sent) => {
        const bytes = encodePacket(sent, NAMESPACE);
        expect(decodePacket(bytes, NAMESPACE, MAX_STREAM_PACKET)).toEqual(sent);
        const expected = sent.updates.reduce((sum, each) => sum + each.size, 0);
        const address = Buffer.byteLength(sent.address);
        const data = sent.data?.length ?? 0;
        expect(bytes.length).toBe(PREFIX + bodySize(sent.type) + address + expected + data);
        expect(readNamespace(bytes)).toBe(NAMESPACE);
      }),
      { numRuns: 500, defaultRuns: 150 },
    );
  });

  it("takes cut, lengthened and flipped packets for packets or for junk", () => {
    fc.assert(
      fc.property(packet, fc.nat(), fc.nat(), fc.nat(255), (sent, cut, at, bits) => {
        const bytes = encodePacket(sent, NAMESPACE);
        // Whatever is cut off is missed.
        expect(typeof decodePacket(bytes.subarray(0, cut % bytes.length), NAMESPACE, MAX_STREAM_PACKET)).toBe(
          "string",
        );
        // What a later version adds is skipped.
        const longer = Buffer.concat([bytes, Buffer.from([bits])]);
        expect(decodePacket(longer, NAMESPACE, MAX_STREAM_PACKET)).toEqual(sent);
        bytes[at % bytes.length] = bits;
        const found = decodePacket(bytes, NAMESPACE, MAX_STREAM_PACKET);
        expect(["string", "object"]).toContain(typeof found);
        // What is read is within the bounds, or it could not be written again.
        if (typeof found !== "string") expect(() => encodePacket(found, NAMESPACE)).not.toThrow();
      }),
      { numRuns: 1_000, defaultRuns: 200 },
    );
  });

  it("says what is wrong", () => {
    const bytes = encodePacket(gossip(Update.left({ id: FROM, start: 1, count: 2 })), NAMESPACE);
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = value;
      return copy;
    };
    const read = (input: Buffer): unknown => decodePacket(input, NAMESPACE, MAX_PACKET);
    expect(read(Buffer.alloc(0))).toBe("empty");
    expect(read(Buffer.alloc(MAX_PACKET + 1, 1))).toBe("oversized");
    expect(read(changed(0, 2))).toBe("version");
    expect(read(changed(1, (bytes[1] as number) ^ 1))).toBe("cluster");
    expect(read(changed(PREFIX, 99))).toBe("type");
    expect(read(bytes.subarray(0, 20))).toBe("malformed");
    expect(read(changed(PREFIX + 31, 65))).toBe("updates");
    expect(read(Buffer.from(bytes).fill(0, PREFIX + 1, PREFIX + 17))).toBe("sender");
    const alive = Update.alive({ id: FROM, start: 1, count: 2, name: "a@b", address: "h:1" });
    const named = encodePacket(gossip(alive), NAMESPACE);
    expect(read(Buffer.from(named.toString("latin1").replace("a@b", "a b"), "latin1"))).toBe("text");
    const details = Update.details(FROM, 1, createDetails(1, ["aa", "ab"], {}, []));
    const described = encodePacket(gossip(details), NAMESPACE);
    expect(read(Buffer.from(described.toString("latin1").replace("ab", "aa"), "latin1"))).toBe("details");
  });
});

describe("details", () => {
  it("refuse what is too much", () => {
    expect(createDetails(0, [], {}, [])).toEqual(NO_DETAILS);
    const tags = Array.from({ length: 65 }, (_, i) => `t${i}`);
    expect(tryDetails(1, tags, {}, [])).toMatch(/64 tags/);
    expect(tryDetails(1, ["x".repeat(65)], {}, [])).toMatch(/65 bytes/);
    expect(tryDetails(1, ["a", "a"], {}, [])).toMatch(/twice/);
    expect(tryDetails(1, [""], {}, [])).toMatch(/empty/);
    expect(tryDetails(1, [], { a: "x".repeat(513) }, [])).toMatch(/513 bytes/);
    expect(tryDetails(1, [], { a: "x".repeat(500), b: "y".repeat(500) }, [])).toMatch(/at most 1000/);
    expect(tryDetails(1, ["\ud800"], {}, [])).toMatch(/well-formed/);
    expect(() => createDetails(1, [""], {}, [])).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("keep a prop called __proto__ as a prop", () => {
    const hostile = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    const made = createDetails(1, [], hostile, []);
    expect(Object.keys(made.props)).toEqual(["__proto__"]);
    const bytes = encodePacket(gossip(Update.details(FROM, 1, made)), NAMESPACE);
    expect(decodePacket(bytes, NAMESPACE, MAX_PACKET)).toEqual(gossip(Update.details(FROM, 1, made)));
  });
});
