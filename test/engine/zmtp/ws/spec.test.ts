/** The vectors of docs/spec/ws.md, and what the pieces of a stream are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodedSize, WsDecoder } from "../../../../src/engine/zmtp/ws/ws-decoder.js";
import { WsFraming } from "../../../../src/engine/zmtp/ws/ws-framing.js";
import {
  acceptsOf,
  browserOffersOf,
  FIRST_LIMIT,
  offersOf,
  Words,
} from "../../../../src/engine/zmtp/ws/zws.js";
import fc from "../../../support/properties.js";
import { masked } from "../support/ws-peer.js";

const PAGE = readFileSync(join(import.meta.dirname, "../../../../docs/spec/ws.md"), "utf8");

/** A vector by what it is called. */
function vector(name: string): Buffer {
  const line = PAGE.split("\n").find((each) => each.startsWith(`${name}  `));
  if (line === undefined) throw new Error(`docs/spec/ws.md has no vector ${name}`);
  return Buffer.from(line.slice(name.length).replaceAll(" ", ""), "hex");
}

function decode(decoder: WsDecoder, bytes: Buffer): Buffer {
  const target = Buffer.alloc(decodedSize(bytes.length));
  return target.subarray(0, decoder.decode(bytes, bytes.length, new Words(target)));
}

function encode(framing: WsFraming, frames: Buffer): Buffer {
  return Buffer.from(framing.encode([{ bytes: frames, start: 0, end: frames.length }]));
}

const READY = Buffer.from("04190552454144590b536f636b65742d5479706500000003524551", "hex");

it("subprotocols are those of docs/spec/ws.md", () => {
  for (const mechanism of ["NULL", "PLAIN", "CURVE"] as const) {
    const names = new Set([...acceptsOf(mechanism), ...offersOf(mechanism), ...browserOffersOf(mechanism)]);
    for (const name of names) expect(PAGE).toContain(`\`${name}\``);
    for (const name of browserOffersOf(mechanism)) {
      expect(name).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/);
      expect(acceptsOf(mechanism)).toContain(name);
    }
    for (const name of offersOf(mechanism)) expect(acceptsOf(mechanism)).toContain(name);
  }
  expect(acceptsOf("NULL").at(-1)).toBe("ZWS2.0");
  expect(acceptsOf("CURVE")).not.toContain("ZWS2.0");
  expect(FIRST_LIMIT.toLocaleString("en")).toBe("1,048,576");
  expect(PAGE).toContain("limit is 1,048,576");
});

describe("frames", () => {
  it("may come in fragments", () => {
    const hello = Buffer.from("000548656c6c6f", "hex");
    expect(decode(new WsDecoder(false), vector('message "Hello" in two'))).toEqual(hello);
  });

  it.each([
    ['message "Hello"', Buffer.from("000548656c6c6f", "hex")],
    ['frame "a", more follow', Buffer.from("010161", "hex")],
    ["an empty frame", Buffer.from("0000", "hex")],
    ["command READY of a REQ", READY],
  ])("%s, both ways", (name, zmtp) => {
    expect(encode(new WsFraming("NULL", "ZWS2.0/NULL"), zmtp)).toEqual(vector(name));
    expect(decode(new WsDecoder(false), vector(name))).toEqual(zmtp);
  });
});

describe("pieces of the stream", () => {
  const both = Buffer.from("000161000162", "hex");

  it("are messages of any length", () => {
    expect(encode(new WsFraming("NULL", "ZMTP3.1-NULL"), both)).toEqual(
      vector('messages "a" and "b" in one'),
    );
    expect(decode(new WsDecoder(false, true), vector('messages "a" and "b" in one'))).toEqual(both);
    expect(decode(new WsDecoder(false, true), vector("the same in two"))).toEqual(both);
    const [, stream = ""] = PAGE.split("## Pieces of the stream");
    expect(stream.replaceAll(" ", "")).toContain(`821b${READY.toString("hex").slice(0, 4)}`);
    expect(encode(new WsFraming("NULL", "ZMTP3.1-NULL"), READY)).toEqual(
      Buffer.concat([Buffer.of(0x82, READY.length), READY]),
    );
  });

  it("come out as they went in, however they are cut and however long they are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
        (payloads, cuts) => {
          const wire = Buffer.concat(payloads.map((payload) => masked(2, payload)));
          const decoder = new WsDecoder(true, true);
          const out: Buffer[] = [];
          for (let at = 0, i = 0; at < wire.length; i++) {
            const size = cuts[i % cuts.length] as number;
            out.push(decode(decoder, wire.subarray(at, at + size)));
            at += size;
          }
          expect(Buffer.concat(out)).toEqual(Buffer.concat(payloads));
          expect(decoder.fault).toBeUndefined();
        },
      ),
      { defaultRuns: 30 },
    );
  });

  it.each([0, 125, 126, 65_535, 65_536, 300_000])("of %i bytes have the shortest header", (size) => {
    const wire = encode(new WsFraming("NULL", "ZMTP3.1-NULL"), Buffer.alloc(size, 7));
    expect(wire.length).toBe(size + (size < 126 ? 2 : size < 65_536 ? 4 : 10));
    expect(decode(new WsDecoder(false, true), wire)).toEqual(Buffer.alloc(size, 7));
  });

  it("end at the peer's limit, which only grows", () => {
    const framing = new WsFraming("NULL", "ZMTP3.1-NULL");
    encode(framing, Buffer.alloc(FIRST_LIMIT));
    expect(framing.excess).toBe(0);
    encode(framing, Buffer.alloc(10));
    expect(framing.excess).toBe(10);
    const text = vector("from a client, unmasked").subarray(2);
    expect(String(text)).toBe("1310720");
    const say = (limit: string | Uint8Array): void => {
      const wire = masked(1, limit);
      framing.decode(wire, wire.length);
    };
    say(text);
    expect(framing.excess).toBe(FIRST_LIMIT + 10 - 1_310_720);
    say("1310720");
    expect(framing.fault).toBeUndefined();
    say("1310719");
    expect(framing.fault).toMatchObject({ message: expect.stringMatching(/less than the one before/) });
  });

  it.each(["", "-1", "1.5", "1e9", "0x10", " 1", "٣", "1".repeat(16)])("have no limit %j", (limit) => {
    const framing = new WsFraming("NULL", "ZMTP3.1-NULL");
    const wire = masked(1, limit);
    framing.decode(wire, wire.length);
    expect(framing.fault).toMatchObject({ kind: "protocol" });
  });

  it("end where the client asks for it, and what comes then is not looked at", () => {
    const framing = new WsFraming("NULL", "ZMTP3.1-NULL");
    const text = vector("its end, unmasked").subarray(2);
    const wire = Buffer.concat([masked(1, text), masked(2, "behind")]);
    expect(framing.decode(wire, wire.length).length).toBe(0);
    expect(framing.closed).toBe(true);
    expect(framing.fault).toBeUndefined();
  });

  it("may come in fragments, and so may limits", () => {
    const decoder = new WsDecoder(true, true);
    const out = [
      ...[masked(2, "\0\x02a", 2), masked(9, "?"), masked(0, "", 0), masked(0, "b")],
      ...[masked(1, "13107", 1), masked(9, "!"), masked(0, "20")],
    ].map((wire) => decode(decoder, wire));
    expect(Buffer.concat(out).toString()).toBe("\0\x02ab");
    expect([decoder.limit, decoder.pong?.toString(), decoder.fault]).toEqual([1_310_720, "!", undefined]);
    decode(decoder, Buffer.concat([masked(1, "13107", 1), masked(0, "20000000000", 0)]));
    expect(decoder.fault).toMatchObject({ message: expect.stringContaining("15 digits") });
  });

  it("have no texts where messages are frames", () => {
    const decoder = new WsDecoder(true);
    decode(decoder, masked(1, "1310720"));
    expect(decoder.fault).toMatchObject({ message: expect.stringMatching(/opcode 1/) });
  });
});
