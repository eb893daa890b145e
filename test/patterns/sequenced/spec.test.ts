/** docs/patterns/sequenced.md: its vectors are what the code writes and reads. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  EndStatus,
  encodeAnswer,
  encodeEnd,
  encodeMeta,
  encodeRequest,
  parseAnswer,
  parseEnd,
  parseMeta,
  parseRequest,
} from "../../../src/patterns/sequenced/protocol.js";
import { sequencedStamp } from "../../../src/patterns/suicidal-snail/snail.js";

const page = readFileSync(new URL("../../../docs/patterns/sequenced.md", import.meta.url), "utf8");

/** The bytes of a vector: the block of hexadecimal digits after its heading. */
function vector(name: string): Buffer {
  const [, digits] =
    new RegExp(`^### ${name}\\n(?:[^#]*?)\`\`\`text\\n([0-9a-f\\s]+)\`\`\``, "m").exec(page) ?? [];
  if (digits === undefined) throw new Error(`The page has no vector ${name}`);
  return Buffer.from(digits.replaceAll(/\s/g, ""), "hex");
}

const ID = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
const PUBLISHER = ID.toString("latin1");
const TIME = 1_700_000_000_123_456;

describe("docs/patterns/sequenced.md", () => {
  it("a message's meta", () => {
    const meta = vector("Meta of a message");
    expect(encodeMeta(ID, 1, 7, TIME)).toEqual(meta);
    expect(parseMeta(meta)).toEqual({ publisher: PUBLISHER, stream: 1, sequence: 7, time: TIME });
    const largest = encodeMeta(ID, 0xffff_ffff, Number.MAX_SAFE_INTEGER, TIME);
    expect(parseMeta(largest)).toMatchObject({ stream: 0xffff_ffff, sequence: Number.MAX_SAFE_INTEGER });
    const stamp = sequencedStamp([Buffer.from("topic"), meta, Buffer.from("body")]);
    expect(stamp).toMatchObject({ source: PUBLISHER, sequence: 7, time: TIME / 1_000 });
    for (const bad of [[meta], [meta, Buffer.from("body")], [Buffer.from("topic"), meta]])
      expect(sequencedStamp(bad)).toBeUndefined();
  });

  it("a replay request, an answer and its end", () => {
    const request = { publisher: ID.toString("hex"), stream: 1, from: 3, to: 6, number: 42 };
    expect(encodeRequest(request)).toEqual(vector("Replay request"));
    expect(parseRequest(vector("Replay request"))).toEqual(request);
    expect(encodeAnswer(42)).toEqual(vector("Replay answer"));
    expect(parseAnswer(vector("Replay answer"))).toBe(42);
    const end = { number: 42, status: EndStatus.DONE };
    expect(encodeEnd(end)).toEqual(vector("Replay end"));
    expect(parseEnd(vector("Replay end"))).toEqual(end);
  });

  it("each malformed variant that the page names is refused", () => {
    const meta = vector("Meta of a message");
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(meta);
      copy[at] = value;
      return copy;
    };
    for (const bad of [
      Buffer.alloc(0),
      meta.subarray(0, 39),
      Buffer.concat([meta, Buffer.of(0)]),
      changed(0, 0x54),
      changed(2, 2),
      changed(3, 3),
      changed(24, 0x20), // A sequence above 2^53 - 1.
      changed(31, 0), // Sequence 0.
      changed(32, 0x20), // A time above 2^53 - 1.
    ])
      expect(parseMeta(bad)).toBeUndefined();
  });
});
