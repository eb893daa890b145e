/** Memory that is used again: only when nobody refers to it, and never what a program has. */
import { describe, expect, it } from "vitest";
import { Lease } from "../../../../src/engine/engine.js";
import { BATCHES } from "../../../../src/engine/frame-batch.js";
import { InStream } from "../../../../src/engine/zmtp/codec/in-stream.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";
import { acquire, type PooledBuffer } from "../../../../src/engine/zmtp/codec/pooled-buffer.js";
import fc, { forAll } from "../../../support/properties.js";
import { encodeFrame } from "./support.js";

const CHUNK = 65_536;
/** Larger than all that other tests borrow, so that the pool has nothing for it. */
let sizes = 4_000_000;
const ownSize = (): number => (sizes += 10_000);

describe("borrowed memory", () => {
  /** Not `toBe`: a failing one would print megabytes. */
  const isSame = (one: PooledBuffer, other: PooledBuffer): boolean => one.bytes === other.bytes;

  it("is used again when all that referred to it have released it, and not sooner", () => {
    const size = ownSize();
    const loan = acquire(size);
    loan.refs += 2;
    loan.release();
    loan.release();
    expect(isSame(acquire(size), loan)).toBe(false);
    loan.release();
    expect(isSame(acquire(size), loan)).toBe(true);
  });

  it("is not used again when it was kept", () => {
    const size = ownSize();
    const loan = acquire(size);
    loan.pin();
    loan.pin();
    loan.release();
    expect(isSame(acquire(size), loan)).toBe(false);
  });

  it("is given up when nobody wants its size for long", () => {
    const size = 700_001; // Of a class that other tests do not use.
    const unwanted = acquire(size);
    unwanted.release();
    for (let i = 0; i < 10_000; i++) acquire(2 * size).release();
    expect(isSame(acquire(size), unwanted)).toBe(false);
  });

  it("does not take the place of others that together are less", () => {
    const small = Array.from({ length: 64 }, () => acquire(65_536));
    for (const each of small) each.release();
    const known = new Set(small.map(({ bytes }) => bytes));
    acquire(15_728_640).release();
    const again = Array.from({ length: 64 }, () => acquire(65_536));
    expect(again.filter(({ bytes }) => known.has(bytes)).length).toBe(64);
  });

  it("that is free has a bound of 16 MiB", () => {
    const loans = Array.from({ length: 10 }, () => acquire(3_000_000));
    for (const loan of loans) loan.release();
    const again = Array.from({ length: 10 }, () => acquire(3_000_000).bytes);
    const known = new Set(loans.map(({ bytes }) => bytes));
    expect(again.filter((bytes) => known.has(bytes)).length).toBeLessThanOrEqual(5);
  });
});

const step = fc.record({
  /** Body lengths of the message's frames. */
  lengths: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.nat(300) },
      { weight: 2, arbitrary: fc.integer({ min: 15_000, max: 90_000 }) },
    ),
    { minLength: 1, maxLength: 3 },
  ),
  /** What becomes of it: the program's, lent to the program, passed on. */
  way: fc.constantFrom("taken", "lent", "passed"),
  /** What is lent so far goes back, or is kept after all. */
  lease: fc.constantFrom("release", "keep", "none"),
  /** What was passed on so far leaves. */
  leaves: fc.boolean(),
});

/** A reader as transport/reader.ts is: memory of the stream's where it has some, else a borrowed chunk. */
function feed(stream: InStream, wire: Buffer, from: number): number {
  const own = stream.memory();
  if (own !== undefined) {
    const length = wire.copy(own, 0, from);
    stream.filled(length);
    return from + length;
  }
  const loan: PooledBuffer = acquire(CHUNK);
  const length = wire.copy(loan.bytes, 0, from, from + CHUNK);
  loan.bytes.fill(0xee, length);
  expect(stream.push(loan.bytes, 0, length, loan)).toBeUndefined();
  loan.release();
  return from + length;
}

it("messages that were taken, that are lent, that wait and that are passed on stay what they were, whatever is read meanwhile", () => {
  forAll([fc.array(step, { minLength: 1, maxLength: 25 })], { numRuns: 500, defaultRuns: 60 }, (steps) => {
    let tag = 0;
    const messages = steps.map(({ lengths }) => lengths.map((length) => Buffer.alloc(length, ++tag % 0xdd)));
    const encoded = messages.map((frames) =>
      Buffer.concat(frames.map((body, i) => encodeFrame({ flags: i < frames.length - 1 ? 1 : 0, body }))),
    );
    const wire = Buffer.concat(encoded);
    const stream = new InStream(-1, () => undefined);
    const out = new OutQueue();
    const kept: { frames: Buffer[]; index: number }[] = [];
    let lease = new Lease();
    let lent: typeof kept = [];
    const check = (all: typeof kept) => {
      for (const { frames, index } of all) {
        const body = Buffer.concat(frames);
        expect(body.equals(Buffer.concat(messages[index] as Buffer[]))).toBe(true);
      }
    };
    const sent: Buffer[] = [];
    let passed: Buffer[] = [];
    let next = 0;
    const leave = () => {
      for (const { bytes, start, end } of out.take(Number.POSITIVE_INFINITY))
        sent.push(Buffer.from(bytes.subarray(start, end)));
      out.confirm();
      expect(Buffer.concat(sent.splice(0)).equals(Buffer.concat(passed))).toBe(true);
      passed = [];
    };
    for (let at = 0; at < wire.length; ) {
      at = feed(stream, wire, at);
      while (stream.messages > 0) {
        const { way, lease: then, leaves } = steps[next] as (typeof steps)[0];
        if (way === "taken") kept.push({ frames: stream.take(), index: next });
        else if (way === "lent") lent.push({ frames: stream.take(undefined, lease), index: next });
        else {
          const one = stream.takeBatch(BATCHES, 1, undefined);
          out.addRange(one.bytes, one.start, one.end, 1, 1, one.pooled);
          one.release();
          passed.push(encoded[next] as Buffer);
        }
        if (leaves) leave();
        if (then !== "none") {
          check(lent);
          if (then === "keep") {
            kept.push(...lent);
            lease.keep();
          }
          lease.release();
          lease = new Lease();
          lent = [];
        }
        next += 1;
      }
    }
    leave();
    expect(next).toBe(steps.length);
    check(kept);
    check(lent);
  });
});

it("messages that were visited stay what they were", () => {
  const stream = new InStream(-1, () => undefined);
  const told: { bytes: Uint8Array; start: number; end: number; tag: number }[] = [];
  for (let tag = 1; tag <= 20; tag++) {
    const wire = encodeFrame({ flags: 0, body: Buffer.alloc(100_003, tag) });
    for (let at = 0; at < wire.length; ) at = feed(stream, wire, at);
    const one = stream.takeBatch(BATCHES, 1, undefined);
    one.visit((bytes, start, end) => told.push({ bytes, start, end, tag }));
    one.release();
  }
  for (const { bytes, start, end, tag } of told) {
    expect(Buffer.from(bytes.subarray(start, end)).equals(Buffer.alloc(100_003, tag))).toBe(true);
  }
});

/** A large frame, and behind it a command, which is handed over, and two messages; all of it but the first bytes comes in one read. */
function largeAndMore(onCommand: (stream: InStream, body: Buffer) => void) {
  const large = Buffer.alloc(900_003, 7);
  const stream: InStream = new InStream(-1, (body) => onCommand(stream, body));
  const begun = encodeFrame({ flags: 0, body: large });
  stream.pushShared(begun, 100);
  const rest = Buffer.concat([
    begun.subarray(100),
    encodeFrame({ flags: 4, body: Buffer.from("\x04PINGsecret") }),
    encodeFrame({ flags: 0, body: Buffer.from("secret one") }),
    encodeFrame({ flags: 0, body: Buffer.from("secret two") }),
  ]);
  const own = stream.memory() as Uint8Array;
  expect(rest.copy(own)).toBe(rest.length);
  return { stream, large, fault: stream.filled(rest.length) };
}

it("a program that has a large frame finds nothing in its memory of what came behind it", () => {
  const commands: Buffer[] = [];
  const { stream, large } = largeAndMore((_, body) => commands.push(body));
  const [frame] = stream.take() as [Buffer];
  expect(frame.equals(large)).toBe(true);
  expect(Buffer.from(frame.buffer).includes("secret")).toBe(false);
  expect([...commands, ...stream.take(), ...stream.take()].map((each) => String(each))).toEqual([
    "\x04PINGsecret",
    "secret one",
    "secret two",
  ]);
});

it("what came behind a large frame is read as it came, though a command among it has that frame released", () => {
  const { stream, fault } = largeAndMore((each) => {
    const one = each.takeBatch(BATCHES, 1, undefined);
    const size = one.bytes.length;
    one.release();
    acquire(size).bytes.fill(0xff);
  });
  expect(fault).toBeUndefined();
  expect([stream.take(), stream.take()].map(([body]) => String(body))).toEqual(["secret one", "secret two"]);
});
