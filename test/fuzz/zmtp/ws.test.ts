/** Any bytes as WebSocket frames and as the heads of upgrades: one reading of them, however they are cut, and no exception. */
import { describe, expect, it } from "vitest";
import { optionValues } from "../../../src/core/option-table.js";
import { COMMAND, MORE, writeHeader } from "../../../src/engine/frame.js";
import type { Stream } from "../../../src/engine/zmtp/transport/transport.js";
import { PortUpgrades, upgrade } from "../../../src/engine/zmtp/transport/ws.js";
import { acceptResponse } from "../../../src/engine/zmtp/ws/upgrade.js";
import { decodedSize, WsDecoder } from "../../../src/engine/zmtp/ws/ws-decoder.js";
import { WsFraming } from "../../../src/engine/zmtp/ws/ws-framing.js";
import { Words } from "../../../src/engine/zmtp/ws/zws.js";
import { encodeFrame } from "../../engine/zmtp/codec/support.js";
import { acceptOf, KEY, request, streamOf, Wire } from "../../engine/zmtp/support/ws-peer.js";
import { turn } from "../../support/settled.js";
import { corpus, keep, LONG_TIMEOUT, MemoryBound, Random, runs, SEED, told, tries } from "../seed.js";

interface Reading {
  /** Whole frames of ZMTP, in hex, and the last one as far as it has come. */
  readonly frames: string;
  readonly pong: string | undefined;
  readonly closed: boolean;
  readonly faulty: boolean;
}

/** A frame, or as much of it as has come. */
function zmtp(flags: number, length: number, body: Uint8Array): string {
  const header = Buffer.alloc(9);
  const size = writeHeader(header, 0, flags === 1 ? MORE : flags === 2 ? COMMAND : 0, length);
  return header.toString("hex", 0, size) + Buffer.from(body).toString("hex");
}

/** The same by the RFC's grammar, slowly, with all bytes at hand and 64-bit lengths (RFC 6455, Base Framing Protocol). */
function read(bytes: Buffer, masked: boolean): Reading {
  let frames = "";
  let pong: string | undefined;
  /** Payloads of the fragments so far. */
  let fragments: Buffer[] | undefined;
  const end = (closed: boolean, faulty: boolean): Reading => ({ frames, pong, closed, faulty });
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] as number;
    const opcode = first & 15;
    const isLast = first >> 7 === 1;
    if ((first & 0x70) !== 0 || ![0, 2, 8, 9, 10].includes(opcode)) return end(false, true);
    if (opcode > 2 ? !isLast : (opcode === 0) !== (fragments !== undefined)) return end(false, true);
    const isFragment = opcode === 0 || !isLast;
    const second = bytes[at + 1];
    if (second === undefined) break;
    if (second >> 7 !== Number(masked)) return end(false, true);
    const tiny = second & 127;
    if (opcode > 2 && tiny > 125) return end(false, true);
    if (opcode === 2 && !isFragment && tiny === 0) return end(false, true);
    let head = at + 2;
    let length = BigInt(tiny);
    if (tiny === 126) {
      if (bytes.length < head + 2) break;
      length = BigInt(bytes.readUInt16BE(head));
      if (length < 126n) return end(false, true);
      head += 2;
    } else if (tiny === 127) {
      if (bytes.length < head + 8) break;
      length = bytes.readBigUInt64BE(head);
      if (length < 65_536n || length > BigInt(Number.MAX_SAFE_INTEGER)) return end(false, true);
      head += 8;
    }
    const key = masked ? bytes.subarray(head, head + 4) : Buffer.alloc(4);
    head += masked ? 4 : 0;
    if (bytes.length < head + (opcode === 2 && !isFragment ? 1 : 0)) break;
    const have = Number(length) < bytes.length - head ? Number(length) : bytes.length - head;
    const payload = Buffer.from(bytes.subarray(head, head + have)).map(
      (byte, i) => byte ^ (key[i % 4] as number),
    );
    at = head + have;
    if (isFragment && opcode < 3) {
      const whole: Buffer = Buffer.concat([...(fragments ?? []), payload]);
      if ((whole[0] ?? 0) > 2) return end(false, true);
      if (have < Number(length)) break;
      if (!isLast) {
        fragments = [whole];
        continue;
      }
      fragments = undefined;
      if (whole.length === 0) return end(false, true);
      frames += zmtp(whole[0] as number, whole.length - 1, whole.subarray(1));
      continue;
    }
    if (opcode === 2) {
      const flags = payload[0] as number;
      if (flags > 2) return end(false, true);
      frames += zmtp(flags, Number(length) - 1, payload.subarray(1));
      continue;
    }
    if (have < Number(length)) break;
    if (opcode === 9) pong = Buffer.from(payload).toString("hex");
    if (opcode !== 8) continue;
    return end(true, false);
  }
  return end(false, false);
}

function decode(chunks: readonly Buffer[], masked: boolean): Reading {
  const decoder = new WsDecoder(masked);
  let frames = "";
  for (const chunk of chunks) {
    const target = new Words(Buffer.alloc(decodedSize(chunk.length)));
    const length = decoder.decode(chunk, chunk.length, target);
    frames += decoder.assembled?.toString("hex") ?? "";
    decoder.assembled = undefined;
    frames += Buffer.from(target.bytes.buffer, target.bytes.byteOffset, length).toString("hex");
  }
  const { pong, closed, fault } = decoder;
  return { frames, pong: pong?.toString("hex"), closed, faulty: fault !== undefined };
}

/** A message in fragments, with control frames between them. */
function fragmented(random: Random, masked: boolean): Buffer[] {
  const key = masked ? () => random.below(0x7fff_ffff) : undefined;
  const encoder = new WsFraming("NULL", "ZWS2.0/NULL", key);
  const all: Buffer[] = [];
  const last = 1 + random.below(4);
  for (let i = 0; i <= last; i++) {
    const payload = random.bytes([0, 1, 2, 124, 125][random.below(5)] as number);
    // The flags are the first byte, in whichever fragment.
    if (payload.length > 0) payload[0] = random.below(3);
    const fragment = encoder.control(i === 0 ? 2 : 0, payload);
    if (i < last) fragment[0] = (fragment[0] as number) & 0x7f;
    all.push(fragment);
    if (random.below(4) === 0) all.push(encoder.control(9, random.bytes(3)));
  }
  return all;
}

/** A few frames as a peer might send them, of lengths about the borders of the header's forms. */
function frames(random: Random, masked: boolean): Buffer {
  const sizes = [0, 1, 2, 3, 124, 125, 126, 127, 128, 255, 256, 300];
  const key = masked ? () => random.below(0x7fff_ffff) : undefined;
  const encoder = new WsFraming("NULL", "ZWS2.0/NULL", key);
  const all: Buffer[] = [];
  for (let count = 1 + random.below(4); count > 0; count--) {
    const size = sizes[random.below(sizes.length)] as number;
    const kind = random.below(12);
    if (kind < 3) all.push(...fragmented(random, masked));
    else if (kind < 9) {
      const flags = [0, 0, MORE, COMMAND][random.below(4)] as number;
      const bytes = encodeFrame({ flags, body: random.bytes(size) });
      all.push(Buffer.from(encoder.encode([{ bytes, start: 0, end: bytes.length }])));
      encoder.release();
    } else if (kind < 11) all.push(encoder.control(8 + kind - 8, random.bytes(size % 126)));
    else
      all.push(
        encoder.control(8, random.below(2) === 0 ? Buffer.alloc(0) : Buffer.of(3, 232 + random.below(20))),
      );
  }
  return Buffer.concat(all);
}

function cut(random: Random, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(random.below(2) === 0 ? 4 : 200);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

describe("WebSocket frames", () => {
  it.each(corpus("ws-frames"))("of the corpus: %s", (_, bytes) => {
    for (const masked of [true, false]) {
      const expected = read(bytes, masked);
      expect(decode([bytes], masked)).toEqual(expected);
      const singly = [...bytes].map((byte) => Buffer.of(byte));
      expect(decode(singly, masked)).toEqual(expected);
    }
  });

  it("are read in one way, valid or not, however they are cut", { timeout: LONG_TIMEOUT }, () => {
    const seen = { whole: 0, faulty: 0, closed: 0, pings: 0 };
    const inputs = tries("WebSocket frames", [3_000, 1_000_000], (random) => {
      const masked = random.below(2) === 0;
      const valid = frames(random, masked);
      const bytes = random.below(3) === 0 ? valid : random.mutate(valid);
      const expected = read(bytes, masked);
      const chunks = random.below(4) === 0 ? [bytes] : cut(random, bytes);
      const found = decode(chunks, masked);
      if (JSON.stringify(found) !== JSON.stringify(expected)) {
        keep("ws-frames", bytes, `masked ${masked}`);
        expect({ masked, bytes: bytes.toString("hex"), ...found }).toEqual({
          masked,
          bytes: bytes.toString("hex"),
          ...expected,
        });
      }
      if (found.faulty) seen.faulty += 1;
      else if (found.closed) seen.closed += 1;
      else seen.whole += 1;
      if (found.pong !== undefined) seen.pings += 1;
    });
    // The generator reaches every case, and often.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(inputs / 50);
  });
});

/** A request or an answer with lines changed, repeated, left out, or put in from a list of bad ones. */
function lines(random: Random, text: string): string {
  const bad = [
    "Sec-WebSocket-Key: short",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Protocol: ZWS2.0/CURVE, ZWS2.0/PLAIN",
    "Origin: http://evil.example",
    "Origin: null",
    "Origin: \u00ff://[::",
    "Host: [::1",
    "Transfer-Encoding: chunked",
    "Content-Length: 9",
    " folded: line",
    "no colon",
    `X: ${"x".repeat(2_000)}`,
    "",
  ];
  const all = text.split("\r\n");
  for (let changes = random.below(4); changes > 0; changes--) {
    const at = random.below(all.length);
    const how = random.below(4);
    if (how === 0) all.splice(at, 1);
    else if (how === 1) all.splice(at, 0, all[random.below(all.length)] ?? "");
    else if (how === 2) all.splice(at, 0, bad[random.below(bad.length)] as string);
    else all[at] = all[at]?.toUpperCase() ?? "";
  }
  return all.join("\r\n");
}

/** What became of a head, and the bytes behind it that ZMTP got. */
interface Outcome {
  end: string;
  rest: string;
}

function readInto(outcome: Outcome, { reader, socket }: Stream): void {
  outcome.end = "upgraded";
  const sinkOnBytes = (bytes: Buffer, length: number): void => {
    outcome.rest += bytes.toString("latin1", 0, length);
  };
  reader.start(socket, { sinkOnBytes, sinkOnEnd: () => undefined });
}

async function push(wire: Wire, chunks: readonly Buffer[]): Promise<void> {
  for (const chunk of chunks) if (!wire.destroyed) wire.push(chunk);
  for (let i = 0; i < 3; i++) await turn();
}

/** What a server makes of a request. */
async function serve(chunks: readonly Buffer[]): Promise<Outcome> {
  const outcome = { end: "unfinished", rest: "" };
  const wire = new Wire();
  const acceptor = {
    accepted: (stream: Stream) => readInto(outcome, stream),
    refused: () => undefined,
    failed: () => undefined,
  };
  const upgrades = new PortUpgrades("/", { acceptor, options: optionValues({}) });
  upgrades.acceptor.accepted(streamOf(wire));
  await push(wire, chunks);
  const answer = /^HTTP\/1\.1 (\d{3}) [ -~]+\r\n[\r\n -~]*$/.exec(wire.written)?.[1];
  if (wire.written !== "" && answer === undefined) throw new Error(wire.written);
  if (outcome.end === "unfinished" && answer !== undefined) outcome.end = answer;
  upgrades.close();
  wire.destroy();
  return outcome;
}

/** What a client makes of an answer, in which its key is `KEY`. */
async function ask(answer: Buffer, cutting: (bytes: Buffer) => Buffer[]): Promise<Outcome> {
  const outcome = { end: "unfinished", rest: "" };
  const wire = new Wire();
  const asked = { scheme: "ws", target: "/", host: "example.com" };
  const cancel = upgrade(streamOf(wire), asked, optionValues({}), (result) => {
    if (result instanceof Error) outcome.end = result.message;
    else readInto(outcome, result);
  });
  while (!wire.written.endsWith("\r\n\r\n")) await turn();
  const key = /Sec-WebSocket-Key: (\S+)/.exec(wire.written)?.[1] as string;
  const own = answer.toString("latin1").replaceAll(acceptOf(KEY), acceptOf(key));
  await push(wire, cutting(Buffer.from(own, "latin1")));
  cancel();
  return { end: outcome.end, rest: outcome.rest.replaceAll(acceptOf(key), acceptOf(KEY)) };
}

it("heads of upgrades end in an upgrade or in a refusal, never in an exception, and are read in one way", {
  timeout: LONG_TIMEOUT,
}, async () => {
  const random = new Random(SEED);
  const inputs = runs(500, 200_000);
  const seen = { upgraded: 0, refused: 0, unfinished: 0 };
  const memory = new MemoryBound(inputs);
  for (let i = 0; i < inputs; i++) {
    memory.check(i);
    const isRequest = random.below(2) === 0;
    const valid = isRequest ? request() : acceptResponse(KEY, "ZWS2.0/NULL");
    const text = Buffer.from(lines(random, valid), "latin1");
    const bytes = random.below(3) === 0 ? random.mutate(text) : text;
    const whole = isRequest ? await serve([bytes]) : await ask(bytes, (all) => [all]);
    const piecemeal = isRequest
      ? await serve(cut(random, bytes))
      : await ask(bytes, (all) => cut(random, all));
    expect({ bytes: bytes.toString("latin1"), ...piecemeal }).toEqual({
      bytes: bytes.toString("latin1"),
      ...whole,
    });
    if (whole.end !== "upgraded" && whole.end !== "unfinished") seen.refused += 1;
    else seen[whole.end] += 1;
  }
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(inputs / 50);
  told("heads of upgrades", inputs);
});
