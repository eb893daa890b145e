import { describe, expect, test } from "vitest";
import { CurveCipher } from "../../../../src/engine/zmtp/mechanism/curve-cipher.js";
import { agreeOnKey, keyPairOf } from "../../../../src/engine/zmtp/mechanism/curve-exchange.js";
import fc from "../../../support/properties.js";
import { bodyOf, CURVE_MESSAGE, PONG_IN_MESSAGE } from "../../../vectors/mechanism.js";
import { BOXES } from "./support.js";

const MORE = 1;
const COMMAND = 4;

const key = agreeOnKey(
  keyPairOf(Buffer.alloc(32, 2)).publicKey,
  keyPairOf(Buffer.alloc(32, 1)),
) as Uint8Array;

function seal(cipher: CurveCipher, flags: number, body: Uint8Array): Buffer {
  const sealed = Buffer.alloc(cipher.sealedLength(body.length));
  cipher.seal(flags, body, sealed, 0);
  return sealed;
}

function counterOf(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

describe.each(BOXES)("with $name", (box) => {
  const client = (sent = 2) => new CurveCipher(box, key, false, sent, counterOf(1n));
  const server = (received = 2n) => new CurveCipher(box, key, true, 1, counterOf(received));

  test("the worked example, both ways", () => {
    expect(seal(client(), 0, Buffer.from("Hi")).toString("hex")).toBe(bodyOf(CURVE_MESSAGE).toString("hex"));
    expect(server().open(Buffer.from(bodyOf(CURVE_MESSAGE)))).toEqual({ flags: 0, body: Buffer.from("Hi") });
  });

  test("libzmq's PONG: a command is flag 02 inside", () => {
    const inside = Buffer.from(PONG_IN_MESSAGE, "hex");
    const sealed = seal(client(), COMMAND, inside.subarray(1));
    const nonce = Buffer.concat([Buffer.from("CurveZMQMESSAGEC"), sealed.subarray(8, 16)]);
    const plain = Buffer.alloc(inside.length);
    expect(box.open(plain, sealed.subarray(16), nonce, key)).toBe(true);
    expect(plain).toEqual(inside);
    expect(server().open(sealed)).toEqual({ flags: COMMAND, body: inside.subarray(1) });
  });

  test("frames of every size come back with their flags, in order, in both directions", () => {
    const frame = fc.tuple(fc.constantFrom(0, MORE, COMMAND), fc.uint8Array({ maxLength: 400 }));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 10 }), (frames) => {
        const [one, other] = [client(), server()];
        for (const [from, to] of [
          [one, other],
          [other, one],
        ] as const) {
          for (const [flags, body] of frames) {
            expect(to.open(seal(from, flags, body))).toEqual({ flags, body: Buffer.from(body) });
          }
        }
      }),
      { defaultRuns: 35 },
    );
  });

  test("it writes where it is asked to and nowhere else", () => {
    const body = Buffer.from("body");
    const length = client().sealedLength(body.length);
    const memory = Buffer.alloc(length + 20, 0xee);
    client().seal(0, body, memory, 9);
    expect(memory.subarray(9, 9 + length)).toEqual(seal(client(), 0, body));
    expect(memory.subarray(0, 9).every((byte) => byte === 0xee)).toBe(true);
    expect(memory.subarray(9 + length).every((byte) => byte === 0xee)).toBe(true);
    expect(body).toEqual(Buffer.from("body"));
  });

  test("the plain body is a view of the sealed one", () => {
    const sealed = seal(client(), 0, Buffer.from("body"));
    const opened = server().open(sealed);
    expect("body" in opened && opened.body.buffer === sealed.buffer).toBe(true);
    expect(sealed.subarray(33)).toEqual(Buffer.from("body"));
  });

  test("each damaged byte is a fault, and the frame itself still opens after", () => {
    const sealed = seal(client(), MORE, Buffer.from("some body"));
    for (let at = 0; at < sealed.length; at++) {
      for (const bit of [1, 0x80]) {
        const damaged = Buffer.from(sealed);
        damaged.writeUInt8(damaged.readUInt8(at) ^ bit, at);
        const side = server();
        expect(side.open(damaged)).toMatchObject({
          kind: "protocol",
          code: expect.stringMatching(/^ERR_ZMTP_/),
        });
        expect(side.open(Buffer.from(sealed))).toMatchObject({ flags: MORE });
      }
    }
  });

  test("each shorter and longer frame is a fault", () => {
    const sealed = seal(client(), 0, Buffer.from("some body"));
    for (let length = 0; length < sealed.length; length++) {
      const code =
        length < 8
          ? "ERR_ZMTP_UNEXPECTED_COMMAND"
          : length < 33
            ? "ERR_ZMTP_MALFORMED_COMMAND_MESSAGE"
            : "ERR_ZMTP_CRYPTOGRAPHIC";
      expect(server().open(Buffer.from(sealed.subarray(0, length)))).toMatchObject({
        kind: "protocol",
        code,
      });
    }
    expect(server().open(Buffer.concat([sealed, Buffer.from([0])]))).toMatchObject({
      code: "ERR_ZMTP_CRYPTOGRAPHIC",
    });
  });

  test("a repeated or older counter is a fault; a gap passes", () => {
    const from = client();
    const [first, second, third] = ["1", "2", "3"].map((text) => seal(from, 0, Buffer.from(text)));
    const side = server();
    const invalid = { kind: "protocol", code: "ERR_ZMTP_INVALID_SEQUENCE" };
    expect(side.open(Buffer.from(second as Buffer))).toMatchObject({ body: Buffer.from("2") });
    expect(side.open(Buffer.from(second as Buffer))).toMatchObject(invalid);
    expect(side.open(Buffer.from(first as Buffer))).toMatchObject(invalid);
    expect(side.open(Buffer.from(third as Buffer))).toMatchObject({ body: Buffer.from("3") });
    // INITIATE's counter counts, too.
    expect(server(3n).open(Buffer.from(first as Buffer))).toMatchObject(invalid);
  });

  test("counters go on past four bytes", () => {
    const from = client(0xffff_fffd);
    const side = server();
    const counters = ["a", "b", "c", "d"].map((text) => {
      const sealed = seal(from, 0, Buffer.from(text));
      const counter = sealed.subarray(8, 16).toString("hex");
      expect(side.open(sealed)).toMatchObject({ body: Buffer.from(text) });
      return counter;
    });
    expect(counters).toEqual([
      "00000000fffffffe",
      "00000000ffffffff",
      "0000000100000000",
      "0000000100000001",
    ]);
  });

  test("after the last counter of all nothing opens", () => {
    const side = server(0xffff_ffff_ffff_ffffn);
    expect(side.open(seal(client(), 0, Buffer.from("x")))).toMatchObject({
      code: "ERR_ZMTP_INVALID_SEQUENCE",
    });
  });

  test("what a side sent does not open on that side again", () => {
    expect(client().open(seal(client(), 0, Buffer.from("x")))).toMatchObject({
      code: "ERR_ZMTP_CRYPTOGRAPHIC",
    });
  });

  test.each([4, 8, 0x80, 0xff])("reserved flags (%i) are a fault", (flags) => {
    const sealed = seal(client(), 0, Buffer.from("x"));
    const nonce = Buffer.concat([Buffer.from("CurveZMQMESSAGEC"), sealed.subarray(8, 16)]);
    box.seal(sealed.subarray(16), Buffer.from([flags, 1]), nonce, key);
    expect(server().open(sealed)).toMatchObject({ code: "ERR_ZMTP_MALFORMED_COMMAND_MESSAGE" });
  });

  test("random bodies are faults and never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, named) => {
        const body = named ? Buffer.concat([Buffer.from("\u0007MESSAGE"), bytes]) : Buffer.from(bytes);
        expect(server().open(body)).toMatchObject({ kind: "protocol" });
      }),
      { numRuns: 500 },
    );
  });
});
