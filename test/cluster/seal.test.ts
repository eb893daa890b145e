import { createHmac } from "node:crypto";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_PACKET } from "../../src/cluster/bounds.js";
import { namespaceNumber } from "../../src/cluster/identity.js";
import { encodePacket, PREFIX } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType } from "../../src/cluster/wire/packets.js";
import { SEAL_OVERHEAD, Sealer, StreamWay } from "../../src/cluster/wire/seal.js";
import { decodeZ85, encodeZ85 } from "../../src/core/z85.js";
import { loadCurveBox } from "../../src/engine/zmtp/mechanism/curve-primitives.js";
import fc from "../support/properties.js";

const NAMESPACE = namespaceNumber("default");
const KEY = encodeZ85(Buffer.alloc(32, 7));
const OTHER = encodeZ85(Buffer.alloc(32, 8));
const session = (fill: number): Buffer => Buffer.alloc(16, fill);
const ping = (seq: number): Buffer => {
  const head = { type: PacketType.PING, from: "01".repeat(16), start: 1, count: 2, digest: 3 };
  return encodePacket(new Packet(head, { seq }), -1);
};

beforeAll(() => loadCurveBox());

describe("a sealed packet", () => {
  it("is XSalsa20-Poly1305, as @noble/ciphers makes it, by a key of the cluster", () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(bytes(32), bytes(16), (root, own) => {
        const sealed = new Sealer(NAMESPACE, [encodeZ85(root)], Buffer.from(own)).seal(ping(5));
        const key = createHmac("sha256", root).update(`shoal datagram 1 ${NAMESPACE}`).digest();
        const opened = xsalsa20poly1305(key, sealed.subarray(11, 35)).decrypt(sealed.subarray(35));
        expect(Buffer.from(opened)).toEqual(ping(5));
      }),
    );
  });

  it("is refused when any bit of it was changed, or it was cut short, or is noise", () => {
    const flips = fc.integer({ min: 1, max: 255 });
    fc.assert(
      fc.property(fc.nat(), flips, fc.uint8Array({ maxLength: 200 }), (at, bits, noise) => {
        const bytes = new Sealer(NAMESPACE, [KEY], session(1)).seal(ping(1));
        const place = at % bytes.length;
        for (const hostile of [bytes.subarray(0, place), Buffer.from(noise)])
          expect(new Sealer(NAMESPACE, [KEY]).open(hostile, MAX_PACKET)).toBeTypeOf("string");
        bytes[place] = (bytes[place] as number) ^ bits;
        const found = new Sealer(NAMESPACE, [KEY], session(2)).open(bytes, MAX_PACKET);
        expect(["forged", "version", "unsealed", "cluster", "key"]).toContain(found);
      }),
      { numRuns: 300, defaultRuns: 100 },
    );
  });

  it("is taken once in whatever order it comes, within the window", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(299), { maxLength: 400 }), (order) => {
        const sender = new Sealer(NAMESPACE, [KEY], session(1));
        const receiver = new Sealer(NAMESPACE, [KEY], session(2));
        const sent = Array.from({ length: 300 }, (_, i) => sender.seal(ping(i)));
        const taken = new Set<number>();
        let top = -1;
        for (const at of order) {
          const isOld = at <= top - 256;
          const found = receiver.open(sent[at] as Buffer, MAX_PACKET);
          if (taken.has(at) || isOld) expect(found).toBe("replayed");
          else expect(found).toEqual(ping(at));
          if (!isOld) taken.add(at);
          top = Math.max(top, at);
        }
      }),
      { numRuns: 30, defaultRuns: 10 },
    );
  });

  it("a forged one takes no place in the window", () => {
    const sender = new Sealer(NAMESPACE, [KEY], session(1));
    const receiver = new Sealer(NAMESPACE, [KEY], session(2));
    const good = sender.seal(ping(1));
    const bad = Buffer.from(good);
    bad[60] = (bad[60] as number) ^ 1;
    expect(receiver.open(bad, MAX_PACKET)).toBe("forged");
    expect(receiver.open(good, MAX_PACKET)).toEqual(ping(1));
  });

  it("keys are checked", () => {
    const sealer = new Sealer(NAMESPACE, [KEY]);
    for (const keys of [[], [KEY, OTHER, encodeZ85(Buffer.alloc(32, 9))], ["short"], [null as never]])
      expect(() => sealer.setKeys(keys)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => new Sealer(NAMESPACE, ["short"])).toThrow(/40 characters/);
  });

  it("one in the clear, of another namespace, or oversized is refused", () => {
    const receiver = new Sealer(NAMESPACE, [KEY]);
    const clear = Buffer.concat([Buffer.alloc(PREFIX, 1), ping(1)]);
    expect(receiver.open(clear, MAX_PACKET)).toBe("unsealed");
    expect(receiver.open(new Sealer(NAMESPACE + 1, [KEY]).seal(ping(1)), MAX_PACKET)).toBe("cluster");
    expect(receiver.open(Buffer.alloc(MAX_PACKET + SEAL_OVERHEAD + 1), MAX_PACKET)).toBe("oversized");
    expect(receiver.open(Buffer.alloc(0), MAX_PACKET)).toBe("empty");
  });
});

describe("a sealed body of a stream", () => {
  const body = Buffer.from("\x50\0\u0002body");
  const sealed = (namespace = NAMESPACE, key = KEY): Buffer =>
    new Sealer(namespace, [key]).sealStream(new StreamWay(session(3)), body);

  it("is XSalsa20-Poly1305, as @noble/ciphers opens it, by another key of the cluster", () => {
    const key = createHmac("sha256", decodeZ85(KEY)).update(`shoal stream 1 ${NAMESPACE}`).digest();
    const bytes = sealed();
    expect([bytes[0], bytes.readUIntBE(1, 6)]).toEqual([0x81, NAMESPACE]);
    const opened = xsalsa20poly1305(key, bytes.subarray(11, 35)).decrypt(bytes.subarray(35));
    expect(Buffer.from(opened)).toEqual(body);
  });

  it("opens once, in order, in the stream and the cluster that it was sealed for", () => {
    const open = (bytes: Buffer, way = new StreamWay(session(3)), namespace = NAMESPACE, key = KEY) =>
      new Sealer(namespace, [key]).openStream(way, bytes);
    const way = new StreamWay(session(3));
    expect(open(sealed(), way)).toEqual(body);
    expect(open(sealed(), way)).toBe("replayed");
    expect(open(sealed(), new StreamWay(session(4)))).toBe("replayed");
    expect(open(sealed(NAMESPACE, OTHER))).toBe("key");
    const otherBus = namespaceNumber("other");
    expect(open(sealed(), undefined, otherBus)).toBe("cluster");
    const moved = sealed();
    moved.writeUIntBE(otherBus, 1, 6);
    expect(open(moved, undefined, otherBus)).toBe("forged");
  });

  it("opens with the stream's secret alone, if it has one", () => {
    const way = (secret: Buffer | undefined): StreamWay => {
      const made = new StreamWay(session(3));
      if (secret !== undefined) made.secret = secret;
      return made;
    };
    const bytes = new Sealer(NAMESPACE, [KEY]).sealStream(way(Buffer.alloc(32, 1)), body);
    const open = (secret: Buffer | undefined) => new Sealer(NAMESPACE, [KEY]).openStream(way(secret), bytes);
    expect(open(Buffer.alloc(32, 1))).toEqual(body);
    expect([open(Buffer.alloc(32, 2)), open(undefined)]).toEqual(["forged", "forged"]);
  });

  it("opens as no datagram", () => {
    expect(new Sealer(NAMESPACE, [KEY]).open(sealed(), MAX_PACKET)).toBe("forged");
  });

  it("is refused when any bit was changed", () => {
    for (let at = 0; at < sealed().length; at++) {
      const bytes = sealed();
      bytes[at] = (bytes[at] as number) ^ 1;
      const found = new Sealer(NAMESPACE, [KEY]).openStream(new StreamWay(session(3)), bytes);
      expect(["forged", "version", "cluster", "key", "replayed"], `byte ${at}`).toContain(found);
    }
  });
});
