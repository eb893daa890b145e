import { describe, expect, test } from "vitest";
import { keyPairOf } from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import { OVERHEAD, Sealer } from "../../../../src/engine/zmtp/mechanism/curve-cipher.js";
import { bodyOf, CURVE_MESSAGE, PONG_IN_MESSAGE } from "../../../vectors/mechanism.js";
import { BOXES, LIBSODIUM, openSealed } from "./support.js";

const MORE = 1;
const COMMAND = 4;

const key = LIBSODIUM.agree(keyPairOf(Buffer.alloc(32, 2)).publicKey, Buffer.alloc(32, 1)) as Uint8Array;

function seal(sealer: Sealer, flags: number, body: Uint8Array): Buffer {
  const sealed = Buffer.alloc(OVERHEAD + body.length);
  sealer.sealFrame(flags, body, 0, body.length, sealed, 0);
  return sealed;
}

function counterOf(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

describe.each(BOXES)("with $name", (box) => {
  const client = (sent = 2) => new Sealer(box, key, false, sent, counterOf(1n));
  const server = (received = 2n) => new Sealer(box, key, true, 1, counterOf(received));

  test("the worked example, both ways", () => {
    expect(seal(client(), 0, Buffer.from("Hi")).toString("hex")).toBe(bodyOf(CURVE_MESSAGE).toString("hex"));
    expect(openSealed(server(), Buffer.from(bodyOf(CURVE_MESSAGE)))).toEqual({
      flags: 0,
      body: Buffer.from("Hi"),
    });
  });

  test("libzmq's PONG: a command is flag 02 inside", () => {
    const inside = Buffer.from(PONG_IN_MESSAGE, "hex");
    const sealed = seal(client(), COMMAND, inside.subarray(1));
    const nonce = Buffer.concat([Buffer.from("CurveZMQMESSAGEC"), sealed.subarray(8, 16)]);
    const plain = Buffer.alloc(inside.length);
    expect(box.open(plain, sealed.subarray(16), nonce, key)).toBe(true);
    expect(plain).toEqual(inside);
    expect(openSealed(server(), sealed)).toEqual({ flags: COMMAND, body: inside.subarray(1) });
  });

  test("it writes where it is asked to and nowhere else", () => {
    const body = Buffer.from("body");
    const length = OVERHEAD + body.length;
    const memory = Buffer.alloc(length + 20, 0xee);
    client().sealFrame(0, body, 0, body.length, memory, 9);
    expect(memory.subarray(9, 9 + length)).toEqual(seal(client(), 0, body));
    expect(memory.subarray(0, 9).every((byte) => byte === 0xee)).toBe(true);
    expect(memory.subarray(9 + length).every((byte) => byte === 0xee)).toBe(true);
    expect(body).toEqual(Buffer.from("body"));
  });

  test("what is opened stays as it came, and nothing is written but the flags and the body", () => {
    const sealed = seal(client(), MORE, Buffer.from("body"));
    const before = Buffer.from(sealed);
    const memory = Buffer.alloc(20, 0xee);
    const wire = Buffer.concat([Buffer.alloc(3), sealed, Buffer.alloc(3)]);
    expect(server().openFrame(wire, 3, 3 + sealed.length, memory, 7)).toBe(MORE);
    expect(memory.subarray(8, 12)).toEqual(Buffer.from("body"));
    expect([...memory.subarray(0, 7), ...memory.subarray(12)].every((byte) => byte === 0xee)).toBe(true);
    expect(wire.subarray(3, 3 + sealed.length)).toEqual(before);
  });

  test("each damaged byte is a fault, and the frame itself still opens after", () => {
    const sealed = seal(client(), MORE, Buffer.from("some body"));
    for (let at = 0; at < sealed.length; at++) {
      for (const bit of [1, 0x80]) {
        const damaged = Buffer.from(sealed);
        damaged.writeUInt8(damaged.readUInt8(at) ^ bit, at);
        const side = server();
        expect(openSealed(side, damaged)).toMatchObject({
          kind: "protocol",
          code: expect.stringMatching(/^ERR_ZMTP_/),
        });
        expect(openSealed(side, Buffer.from(sealed))).toMatchObject({ flags: MORE });
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
      expect(openSealed(server(), Buffer.from(sealed.subarray(0, length)))).toMatchObject({
        kind: "protocol",
        code,
      });
    }
    expect(openSealed(server(), Buffer.concat([sealed, Buffer.from([0])]))).toMatchObject({
      code: "ERR_ZMTP_CRYPTOGRAPHIC",
    });
  });

  test("a repeated or older counter is a fault; a gap passes", () => {
    const from = client();
    const [first, second, third] = ["1", "2", "3"].map((text) => seal(from, 0, Buffer.from(text)));
    const side = server();
    const invalid = { kind: "protocol", code: "ERR_ZMTP_INVALID_SEQUENCE" };
    expect(openSealed(side, Buffer.from(second as Buffer))).toMatchObject({ body: Buffer.from("2") });
    expect(openSealed(side, Buffer.from(second as Buffer))).toMatchObject(invalid);
    expect(openSealed(side, Buffer.from(first as Buffer))).toMatchObject(invalid);
    expect(openSealed(side, Buffer.from(third as Buffer))).toMatchObject({ body: Buffer.from("3") });
    // INITIATE's counter counts, too.
    expect(openSealed(server(3n), Buffer.from(first as Buffer))).toMatchObject(invalid);
  });

  test("counters go on past four bytes", () => {
    const from = client(0xffff_fffd);
    const side = server();
    const seen = ["a", "b", "c", "d"].map((text) => {
      const sealed = seal(from, 0, Buffer.from(text));
      const counter = sealed.subarray(8, 16).toString("hex");
      expect(openSealed(side, sealed)).toMatchObject({ body: Buffer.from(text) });
      return counter;
    });
    expect(seen).toEqual(["00000000fffffffe", "00000000ffffffff", "0000000100000000", "0000000100000001"]);
  });

  test("after the last counter of all nothing opens", () => {
    const side = server(0xffff_ffff_ffff_ffffn);
    expect(openSealed(side, seal(client(), 0, Buffer.from("x")))).toMatchObject({
      code: "ERR_ZMTP_INVALID_SEQUENCE",
    });
  });

  test("what a side sent does not open on that side again", () => {
    expect(openSealed(client(), seal(client(), 0, Buffer.from("x")))).toMatchObject({
      code: "ERR_ZMTP_CRYPTOGRAPHIC",
    });
  });

  test.each([4, 8, 0x80, 0xff])("reserved flags (%i) are a fault", (flags) => {
    const sealed = seal(client(), 0, Buffer.from("x"));
    const nonce = Buffer.concat([Buffer.from("CurveZMQMESSAGEC"), sealed.subarray(8, 16)]);
    box.seal(sealed.subarray(16), Buffer.from([flags, 1]), nonce, key);
    expect(openSealed(server(), sealed)).toMatchObject({ code: "ERR_ZMTP_MALFORMED_COMMAND_MESSAGE" });
  });
});
