import { describe, expect, test } from "vitest";
import { FREE, secretboxModule } from "../../../../src/engine/zmtp/mechanism/secretbox-module.js";
import fc from "../../../support/properties.js";

interface Poly1305 {
  readonly memory: { readonly buffer: ArrayBuffer };
  begin(at: number): void;
  authenticate(at: number, length: number): void;
  finish(at: number): void;
}

interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
const module = new Instance(new Module(secretboxModule(65_536))).exports as Poly1305;
const memory = Buffer.from(module.memory.buffer);

const TEXT = FREE + 64;
const TAG = FREE + 32;

/** @param parts of the text; all but the last have a multiple of 16 bytes */
function tagOf(key: Uint8Array, ...parts: readonly Uint8Array[]): string {
  memory.set(key, FREE);
  module.begin(FREE);
  for (const part of parts) {
    memory.fill(0xaa, TEXT, TEXT + part.length + 16); // What is behind a text counts for nothing.
    memory.set(part, TEXT);
    module.authenticate(TEXT, part.length);
  }
  module.finish(TAG);
  return memory.toString("hex", TAG, TAG + 16);
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex") || "0"}`);
}

/** RFC 8439, The Poly1305 Algorithm, as it is written there. */
function expectedTag(key: Uint8Array, text: Uint8Array): string {
  const r = numberOf(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < text.length; at += 16) {
    const block = text.subarray(at, at + 16);
    sum = ((sum + numberOf(block) + (1n << BigInt(8 * block.length))) * r) % ((1n << 130n) - 5n);
  }
  const tag = BigInt.asUintN(128, sum + numberOf(key.subarray(16, 32)));
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse().toString("hex");
}

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const padded = (text: string, length: number) =>
  Buffer.concat([hex(text), Buffer.alloc(length)]).subarray(0, length);

describe("Poly1305", () => {
  // RFC 8439, Test Vectors, Poly1305 Message Authentication Code: what sums past 2^130 - 5, and past 2^128, become.
  test.each([
    ["2^130 - 5 is left out", padded("02", 32), hex("ff".repeat(16)), "03"],
    [
      "so is 2^128 when the pad is added",
      Buffer.concat([padded("02", 16), hex("ff".repeat(16))]),
      padded("02", 16),
      "03",
    ],
    ["one block of 2^130 - 6", padded("02", 32), hex(`fd${"ff".repeat(15)}`), `fa${"ff".repeat(15)}`],
    [
      "a sum of 2^130 and little",
      padded("01 00 00 00 00 00 00 00 04", 32),
      Buffer.concat([
        padded("e33594d7505e43b9", 16),
        padded("3394d7505e4379cd01", 16),
        Buffer.alloc(16),
        padded("01", 16),
      ]),
      "14000000000000005500000000000000",
    ],
  ])("%s", (_, key, text, tag) => {
    expect(tagOf(key, text)).toBe(tag.padEnd(32, "0"));
    expect(expectedTag(key, text)).toBe(tag.padEnd(32, "0"));
  });

  test("is right for the largest words there are, for as long as one likes", () => {
    const key = hex("ff".repeat(32));
    for (const length of [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 4_096, 4_097, 40_000]) {
      const text = Buffer.alloc(length, 0xff);
      expect(tagOf(key, text), `${length} bytes`).toBe(expectedTag(key, text));
    }
  });

  test("is right for any key and text, in parts too", () => {
    const byte = fc.oneof(fc.constantFrom(0, 1, 4, 5, 0x7f, 0x80, 0xfb, 0xfc, 0xff), fc.nat(255));
    const bytes = (limits: { minLength?: number; maxLength: number }) =>
      fc.array(byte, limits).map((all) => Buffer.from(all));
    fc.assert(
      fc.property(
        bytes({ minLength: 32, maxLength: 32 }),
        bytes({ maxLength: 100 }),
        fc.nat(6),
        (key, text, cut) => {
          const expected = expectedTag(key, text);
          expect(tagOf(key, text)).toBe(expected);
          expect(tagOf(key, text.subarray(0, cut * 16), text.subarray(cut * 16))).toBe(expected);
        },
      ),
      { numRuns: 5_000, defaultRuns: 300 },
    );
  });
});
