/** Any bytes as frames: never an exception, never two readings of the same bytes, never more than the limits. */

import { describe, expect, it } from "vitest";
import { MAX_FRAMES } from "../../../src/core/memory.js";
import type { TakenMessages } from "../../../src/engine/engine.js";
import {
  decodeMetadata,
  encodeMetadata,
  MAX_PROPERTIES,
  parseCommand,
  parseGreeting,
} from "../../../src/engine/zmtp/codec/command.js";
import { InStream, MAX_COMMAND, type StreamFault } from "../../../src/engine/zmtp/codec/in-stream.js";
import fc, { forAll } from "../../support/properties.js";
import { corpus, keep, LONG_TIMEOUT, Random, runs, SEED, told, tries } from "../seed.js";

const LIMIT = 2_000;

interface Reading {
  readonly messages: string[][];
  readonly commands: string[];
  readonly fault: StreamFault | undefined;
}

/** The same by the RFC's grammar, slowly, and with all bytes at hand (37/ZMTP, Framing). */
function read(bytes: Buffer): Reading {
  const messages: string[][] = [];
  const commands: string[] = [];
  let frames: string[] = [];
  let size = 0n;
  for (let at = 0; at < bytes.length; ) {
    const flags = bytes[at] as number;
    const header = flags & 2 ? 9 : 2;
    if (bytes.length - at < header) break;
    const length = flags & 2 ? bytes.readBigUInt64BE(at + 1) : BigInt(bytes[at + 1] as number);
    if (flags & 0xf8) return { messages, commands, fault: "reserved-bits" };
    const isCommand = (flags & 4) !== 0;
    if (isCommand && length > BigInt(MAX_COMMAND)) return { messages, commands, fault: "command-too-long" };
    if (!isCommand && size + length > BigInt(LIMIT)) return { messages, commands, fault: "too-long" };
    if (!isCommand && frames.length >= MAX_FRAMES) return { messages, commands, fault: "too-many-frames" };
    const end = at + header + Number(length);
    if (end > bytes.length) break;
    const body = bytes.toString("latin1", at + header, end);
    at = end;
    if (flags & 4) commands.push(body);
    else {
      frames.push(body);
      size += length;
      if (flags & 1) continue;
      messages.push(frames);
      frames = [];
      size = 0n;
    }
  }
  return { messages, commands, fault: undefined };
}

function readPieces(
  pieces: readonly Buffer[],
  between: (stream: InStream, taken: string[][]) => void,
): Reading {
  const commands: string[] = [];
  const messages: string[][] = [];
  const stream = new InStream(LIMIT, (body) => void commands.push(body.toString("latin1")));
  let fault: StreamFault | undefined;
  for (const piece of pieces) {
    fault = stream.push(piece);
    if (fault !== undefined) break;
    between(stream, messages);
  }
  while (stream.messages > 0) {
    const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
    stream.takeMany(taken, 3, LIMIT, undefined, undefined);
    messages.push(...taken.messages.map(text));
  }
  return { messages, commands, fault };
}

const text = (message: readonly Buffer[]): string[] => message.map((frame) => frame.toString("latin1"));

function takeAll(stream: InStream, into: string[][]): void {
  while (stream.messages > 0) into.push(text(stream.take()));
}

function same(bytes: Buffer, random: Random): void {
  const expected = read(bytes);
  const pieces = random.pieces(bytes);
  const eager = random.below(2) === 0;
  try {
    const found = readPieces(pieces, (stream, taken) => eager && takeAll(stream, taken));
    // Most are the same: what explains a difference takes much longer.
    if (JSON.stringify(found) !== JSON.stringify(expected)) expect(found).toStrictEqual(expected);
  } catch (error) {
    keep("frames", bytes, String(error));
    throw new Error(`seed ${SEED}: ${bytes.toString("hex")} in pieces of ${pieces.map((p) => p.length)}`, {
      cause: error,
    });
  }
}

const frame = fc
  .record({
    flags: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(0, 1) },
      { weight: 2, arbitrary: fc.constantFrom(4, 5) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
    ),
    long: fc.boolean(),
    body: fc.oneof(
      { weight: 8, arbitrary: fc.uint8Array({ maxLength: 20 }) },
      { weight: 1, arbitrary: fc.uint8Array({ minLength: 254, maxLength: 300 }) },
    ),
    /** Added to the length that is declared. */
    lie: fc.oneof(
      { weight: 20, arbitrary: fc.constant(0n) },
      { weight: 1, arbitrary: fc.constantFrom(1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n) },
    ),
  })
  .map(({ flags, long, body, lie }) => {
    const size = BigInt(body.length) + lie;
    if (!long && size <= 255n) return Buffer.concat([Buffer.of(flags & ~2, Number(size)), body]);
    const header = Buffer.alloc(9, flags | 2);
    header.writeBigUInt64BE(BigInt.asUintN(64, size), 1);
    return Buffer.concat([header, body]);
  });

describe("frames", () => {
  it("of the corpus are read the same in every way of cutting them", () => {
    const random = new Random(SEED);
    for (const [, bytes] of corpus("frames")) for (let i = 0; i < 50; i++) same(bytes, random);
  });

  it("with structure, some of it wrong, are read as the grammar says", () => {
    const random = new Random(SEED);
    const numRuns = runs(500, 200_000);
    forAll([fc.array(frame, { maxLength: 12 })], { seed: SEED, numRuns, defaultRuns: numRuns }, (frames) =>
      same(Buffer.concat(frames), random),
    );
    told("frames with structure", numRuns);
  }, 300_000);

  it(
    "out of good ones with bytes changed are read as the grammar says",
    () => {
      tries("frames with bytes changed", [2_500, 1_000_000], (random) => {
        const frames: Buffer[] = [];
        for (let n = 1 + random.below(6); n > 0; n--) {
          const body = random.bytes(random.below(8) === 0 ? random.below(600) : random.below(12));
          const flags = [0, 0, 1, 1, 4][random.below(5)] as number;
          const header = body.length > 255 ? Buffer.alloc(9, flags | 2) : Buffer.of(flags, body.length);
          if (body.length > 255) header.writeBigUInt64BE(BigInt(body.length), 1);
          frames.push(header, body);
        }
        const bytes = Buffer.concat(frames);
        same(random.below(3) === 0 ? bytes : random.mutate(bytes), random);
      });
    },
    LONG_TIMEOUT,
  );
});

describe("what is in commands", () => {
  it("is parsed or refused, never beyond its bytes", () => {
    const good = encodeMetadata([
      ["Socket-Type", Buffer.from("DEALER")],
      ["Identity", Buffer.alloc(0)],
      ["X-App", new Random(SEED).bytes(40)],
    ]);
    const check = (bytes: Buffer): void => {
      const command = parseCommand(bytes);
      if (command !== undefined) expect(1 + command.name.length + command.data.length).toBe(bytes.length);
      const metadata = decodeMetadata(bytes);
      if (typeof metadata !== "string") {
        // All bytes are accounted for, once.
        let size = 0;
        for (const [name, value] of metadata) size += 5 + name.length + value.length;
        expect(size).toBe(bytes.length);
        expect(metadata.size).toBeLessThanOrEqual(MAX_PROPERTIES);
      }
    };
    const kept = (bytes: Buffer): void => {
      try {
        check(bytes);
      } catch (error) {
        keep("metadata", bytes, String(error));
        throw error;
      }
    };
    for (const [, bytes] of corpus("metadata")) kept(bytes);
    tries("commands and metadata", [2_500, 300_000], (random, i) =>
      kept(i % 4 === 0 ? random.bytes(random.below(80)) : random.mutate(good)),
    );
  }, 300_000);

  it("comes back out of its encoding", () => {
    const name = fc.string({ minLength: 1, maxLength: 255, unit: "grapheme-ascii" });
    const property = fc.tuple(name, fc.uint8Array({ maxLength: 300 }));
    const unique = fc.uniqueArray(property, { maxLength: 40, selector: ([key]) => key.toLowerCase() });
    forAll([unique], { seed: SEED, numRuns: 20_000, defaultRuns: 70 }, (properties) => {
      const decoded = decodeMetadata(encodeMetadata(properties)) as Map<string, Buffer>;
      expect([...decoded.keys()]).toEqual(properties.map(([key]) => key.toLowerCase()));
      for (const [key, value] of properties) expect(decoded.get(key.toLowerCase())?.equals(value)).toBe(true);
    });
  }, 120_000);

  it("or in a greeting is never read from less than 64 bytes, and reported as wrong only once", () => {
    const good = Buffer.concat([Buffer.from("ff00000000000000017f0301", "hex"), Buffer.alloc(52)]);
    good.write("CURVE", 12);
    tries("greetings", [2_500, 200_000], (random) => {
      const bytes = random.below(4) === 0 ? good : random.mutate(good);
      let verdict: unknown;
      for (let length = 0; length <= Math.min(64, bytes.length); length++) {
        const now = parseGreeting(bytes.subarray(0, length));
        if (typeof now === "object") expect(length).toBe(64);
        if (verdict !== undefined) expect(now).toEqual(verdict);
        verdict = now;
      }
    });
  }, 120_000);
});
