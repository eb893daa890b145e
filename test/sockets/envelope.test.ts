import { describe, expect, test } from "vitest";
import { InvalidArgumentError } from "../../src/core/errors.js";
import { Envelope } from "../../src/sockets/envelope.js";
import fc, { forAll } from "../support/properties.js";

const bytes = fc.uint8Array({ maxLength: 6 }).map((array) => Buffer.from(array));
const hop = fc.uint8Array({ minLength: 1, maxLength: 6 }).map((array) => Buffer.from(array));
const hops = fc.array(hop, { minLength: 1, maxLength: 4 });
/** Bodies may have empty frames anywhere. */
const body = fc.array(bytes, { maxLength: 5 });
const fullBody = fc.array(hop, { maxLength: 5 });

function expectSame(actual: readonly unknown[], expected: readonly unknown[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, frame] of expected.entries()) expect(actual[i]).toBe(frame);
}

describe("parse", () => {
  test("is the inverse of wrap over any number of hops, and copies no body", () => {
    forAll([hops, body], {}, (path, frames) => {
      const envelope = new Envelope(path);
      const parsed = Envelope.parse(envelope.wrap(frames) as Buffer[]);
      expect(parsed.envelope.hops).toEqual(path);
      expect(parsed.envelope.delimited).toBe(true);
      expectSame(parsed.body, frames);
    });
  });

  test("takes the first frame alone from a peer that sends no delimiter, and wrap adds none", () => {
    forAll([hop, fullBody], {}, (id, frames) => {
      const { envelope, body: rest } = Envelope.parse([id, ...frames]);
      expect(envelope.delimited).toBe(false);
      expect(envelope.hops).toHaveLength(1);
      expectSame(rest, frames);
      expectSame(envelope.wrap(rest), [id, ...frames]);
    });
  });

  test.each([
    ["no frames", []],
    ["an empty first frame", [Buffer.alloc(0), Buffer.from("x")]],
  ])("refuses %s", (_, frames) => {
    expect(() => Envelope.parse(frames)).toThrow(InvalidArgumentError);
  });
});

describe("an envelope", () => {
  test("refers to the hops it was given, and takes text as UTF-8", () => {
    const id = Buffer.from("id");
    const memory = new Uint8Array([1, 2, 3]);
    const envelope = new Envelope([id, memory.subarray(1), "né"]);
    expect(envelope.hops[0]).toBe(id);
    memory[1] = 9;
    expect([...(envelope.hops[1] as Buffer)]).toEqual([9, 3]);
    expect(envelope.hops[2]).toEqual(Buffer.from("né"));
  });

  test("cannot be changed", () => {
    const envelope = new Envelope(["a"]);
    expect(() => (envelope.hops as Buffer[]).push(Buffer.from("b"))).toThrow(TypeError);
    expect(() => {
      (envelope as { delimited: boolean }).delimited = false;
    }).toThrow(TypeError);
  });

  test.each([
    ["no hops", []],
    ["an empty hop", ["a", ""]],
    ["empty bytes as a hop", [Buffer.alloc(0)]],
    ["a hop that is no bytes", [{}]],
  ])("refuses %s", (_, path) => {
    expect(() => new Envelope(path as string[])).toThrow(InvalidArgumentError);
  });
});
