import { describe, expect, it } from "vitest";
import { MAX_PACKET, MAX_STREAM_PACKET } from "../../src/cluster/bounds.js";
import { createDetails, NO_DETAILS, tryDetails } from "../../src/cluster/details.js";
import { namespaceNumber } from "../../src/cluster/identity.js";
import { bodySize, decodePacket, encodePacket, PREFIX, readNamespace } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import fc from "../support/properties.js";
import { packet } from "./packets.js";

const NAMESPACE = namespaceNumber("default");
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
