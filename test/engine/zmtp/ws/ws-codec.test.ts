/** WebSocket frames in both directions, against bytes that libzmq sent and the examples of RFC 6455. */
import { describe, expect, it } from "vitest";
import { COMMAND, MORE } from "../../../../src/engine/frame.js";
import { decodedSize, WsDecoder } from "../../../../src/engine/zmtp/ws/ws-decoder.js";
import { WsFraming } from "../../../../src/engine/zmtp/ws/ws-framing.js";
import { copyMasked, rotate, Words } from "../../../../src/engine/zmtp/ws/zws.js";
import { encodeFrame } from "../codec/support.js";

const zmtp = (flags: number, body: Uint8Array | string): Buffer =>
  encodeFrame({ flags, body: Buffer.from(body as string) });

const framingOf = (key?: () => number): WsFraming => new WsFraming("NULL", "ZWS2.0/NULL", key);

function encode(key: (() => number) | undefined, ...pieces: Uint8Array[]): Buffer {
  const encoder = framingOf(key);
  const wire = Buffer.from(encoder.encode(pieces.map((bytes) => ({ bytes, start: 0, end: bytes.length }))));
  encoder.release();
  return wire;
}

function decode(decoder: WsDecoder, ...chunks: Uint8Array[]): Buffer {
  const all = chunks.map((chunk) => {
    const target = Buffer.alloc(decodedSize(chunk.length));
    return target.subarray(0, decoder.decode(chunk, chunk.length, new Words(target)));
  });
  return Buffer.concat(all);
}

function byteByByte(bytes: Buffer): Buffer[] {
  return [...bytes].map((byte) => Buffer.of(byte));
}

let counter = 0;
const key = (): number => {
  counter = (counter * 1_103_515_245 + 12_345) | 0;
  return counter;
};

describe("a mask", () => {
  it("is that of RFC 6455's example", () => {
    const mask = Buffer.from("37fa213d", "hex").readInt32LE(0);
    const target = new Words(Buffer.alloc(5));
    copyMasked(new Words(Buffer.from("7f9f4d5158", "hex")), 0, target, 0, 5, mask);
    expect(Buffer.from(target.bytes).toString()).toBe("Hello");
  });

  it("goes on behind any number of bytes", () => {
    const body = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 0xff));
    const mask = 0x8a_bc_de_0f | 0;
    for (const length of [0, 1, 3, 4, 5, 15, 16, 17, 129, 300]) {
      const expected = body.map((byte, i) => byte ^ ((mask >>> ((i & 3) * 8)) & 0xff)).subarray(0, length);
      for (let cut = 0; cut <= length; cut++) {
        const target = new Words(Buffer.alloc(length));
        copyMasked(new Words(body), 0, target, 0, cut, mask);
        copyMasked(new Words(body), cut, target, cut, length - cut, rotate(mask, cut));
        expect(Buffer.from(target.bytes).equals(expected)).toBe(true);
      }
    }
  });
});

describe("frames", () => {
  it("are those that libzmq sends: a subscription, and a READY", () => {
    expect(encode(undefined, zmtp(0, Buffer.from("0141", "hex"))).toString("hex")).toBe("8203000141");
    const ready = zmtp(COMMAND, "\x05READY");
    expect(encode(undefined, ready).toString("hex")).toBe("820702055245414459");
    expect(decode(new WsDecoder(false), Buffer.from("820702055245414459", "hex"))).toEqual(ready);
  });

  it.each([
    0, 1, 123, 124, 125, 126, 254, 255, 256, 257, 65_533, 65_534, 65_535, 65_536, 200_000,
  ])("of %i bytes come through whole, masked and not, in one chunk, in pieces, and with a body of its own memory", (size) => {
    const body = Buffer.alloc(size, "shoal");
    for (const flags of [0, MORE, COMMAND])
      for (const masked of [true, false]) {
        const frame = zmtp(flags, body);
        const all = Buffer.concat([zmtp(MORE, "a"), frame, zmtp(0, "z")]);
        const wire = encode(masked ? key : undefined, all);
        expect(decode(new WsDecoder(masked), wire).equals(all)).toBe(true);
        const head = frame.length - size;
        const pieces = [Buffer.concat([zmtp(MORE, "a"), frame.subarray(0, head)]), body, zmtp(0, "z")];
        const again = encode(masked ? key : undefined, ...pieces);
        expect(decode(new WsDecoder(masked), again).equals(all)).toBe(true);
        if (size > 1_000) continue;
        expect(decode(new WsDecoder(masked), ...byteByByte(wire)).equals(all)).toBe(true);
      }
  });

  it("of as many headers as there may be have the memory that they need", () => {
    for (const size of [3, 124, 256]) {
      const frame = zmtp(0, Buffer.alloc(size, "shoal"));
      const all = Buffer.concat(Array.from({ length: Math.floor(65_000 / frame.length) }, () => frame));
      const wire = encode(undefined, all);
      // The first header comes in two chunks, which takes most room.
      const framing = framingOf(key);
      expect(framing.decode(wire, 1).length).toBe(0);
      const decoded = framing.decode(wire.subarray(1), wire.length - 1);
      expect(decoded.bytes.subarray(0, decoded.length).equals(all)).toBe(true);
    }
  });

  it("have a fresh key each", () => {
    const keys = [1, 2];
    const wire = encode(() => keys.shift() ?? 9, zmtp(0, ""), zmtp(0, ""));
    expect(wire.toString("hex")).toBe("82810100000001" + "82810200000002");
  });

  it("have the memory that they need, of whatever pieces they come", () => {
    const small = Buffer.concat(Array.from({ length: 900 }, () => zmtp(0, "ab")));
    const wire = encode(key, zmtp(0, Buffer.alloc(1_000)), small);
    expect(decode(new WsDecoder(true), wire)).toEqual(Buffer.concat([zmtp(0, Buffer.alloc(1_000)), small]));
  });

  it("share memory between writes only when the kernel has it", () => {
    const encoder = framingOf();
    const encodeOne = (text: string): Uint8Array => {
      const bytes = zmtp(0, text);
      return encoder.encode([{ bytes, start: 0, end: bytes.length }]);
    };
    const first = encodeOne("first");
    const second = encodeOne("other");
    expect(Buffer.from(first).toString("latin1")).toBe("\x82\x06\0first");
    encoder.release();
    expect(encodeOne("third").buffer).toBe(second.buffer);
  });
});

describe("fragments", () => {
  function fragmentsOf(masked: boolean, payload: Buffer, ...cuts: number[]): Buffer[] {
    const encoder = framingOf(masked ? key : undefined);
    return [0, ...cuts].map((start, i) => {
      const wire = encoder.control(i === 0 ? 2 : 0, payload.subarray(start, cuts[i]));
      if (i < cuts.length) wire[0] = (wire[0] as number) & 0x7f;
      return wire;
    });
  }

  it("are bounded by what is kept of them", () => {
    const [first, second] = fragmentsOf(true, Buffer.alloc(102), 100, 102) as [Buffer, Buffer];
    for (const maxSize of [100, 101]) {
      const decoder = new WsDecoder(true);
      decoder.maxSize = maxSize;
      decode(decoder, first, second);
      expect(decoder.fault).toBe(maxSize === 100 ? "too-long" : undefined);
    }
  });

  it("cost no memory where they are thrown away, and end nothing", () => {
    const [first, second, third] = fragmentsOf(true, Buffer.alloc(300), 100, 200) as Buffer[];
    const decoder = new WsDecoder(true);
    decoder.maxSize = 200;
    decode(decoder, first as Buffer);
    expect(decoder.unfinished).toBe(100);
    decoder.maxSize = -1;
    decode(decoder, second as Buffer);
    expect(decoder.unfinished).toBe(0);
    expect(decode(decoder, third as Buffer, encode(key, zmtp(0, "z")))).toEqual(zmtp(0, "z"));
    expect([decoder.fault, decoder.assembled]).toEqual([undefined, undefined]);
  });
});
