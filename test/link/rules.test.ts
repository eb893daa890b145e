/** The rules of links one by one, their limits, and the vectors of their page. What becomes of bytes: link.test.ts; of any frames: hostile.test.ts. */

import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { passwordKey } from "../../src/core/password.js";
import {
  encodeControl,
  encodeMessage,
  encodeOpen,
  encodeReason,
  FIN,
  FrameType,
  LARGEST_WINDOW,
  LinkCode,
  MAX_CHANNEL_ID,
  MAX_PAYLOAD,
  RESET_BURST,
  SHARED_PAYLOAD,
} from "../../src/link/frames.js";
import { Handshake, type LinkRole, RecordSealer } from "../../src/link/security.js";
import { codes, ROOT } from "../support/markdown.js";
import { type End, frameReader, SETTINGS, Side, settle } from "./support.js";

const clock = { now: 0 };
const now = (): number => clock.now;

function pair(settings: ConstructorParameters<typeof Side>[2] = {}): { a: Side; b: Side } {
  return { a: new Side(true, now, settings), b: new Side(false, now, settings) };
}

/** A frame of data as an attacker writes it. */
function data(id: number, bytes: Buffer, flags = 0): Buffer {
  return encodeControl(FrameType.DATA, flags, id, bytes);
}

function openFrame(id: number, name = "x"): Buffer {
  return encodeControl(FrameType.OPEN, 0, id, encodeOpen({ kind: 0, name }));
}

it("a channel gets a larger window while the window is what slows it, and no larger one otherwise", () => {
  const { a, b } = pair();
  const [fast, slow] = [a.open("fast"), a.open("slow")];
  settle(a, b);
  for (let i = 0; i < 100; i++) {
    a.write(fast, 4_096);
    settle(a, b);
  }
  for (let i = 0; i < 100; i++) {
    clock.now += 100;
    a.write(slow, 4_096);
    settle(a, b);
  }
  expect(b.ends.get(1)?.state.window.size).toBe(SETTINGS.maxWindow);
  expect(b.ends.get(3)?.state.window.size).toBe(SETTINGS.window);
});

function credit(id: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return encodeControl(FrameType.CREDIT, 0, id, payload);
}

it("channels take turns, a frame of shared size each", () => {
  const wide = { window: 1_048_576, peerWindow: 1_048_576, maxWindow: 1_048_576, maxUnread: 16_777_216 };
  const { a, b } = pair(wide);
  const [large, small] = [a.open("large"), a.open("small")];
  settle(a, b);
  a.write(large, 1_000_000);
  a.write(small, 2 * SHARED_PAYLOAD);
  const ids: number[] = [];
  expect(frameReader((id) => void ids.push(id)).read(a.take(2_000_000))).toBeUndefined();
  const { id } = small.state;
  expect(ids.map((each) => each === id).slice(0, 5)).toEqual([false, true, false, true, false]);
});

describe("limits", () => {
  const failureOf = (...frames: Buffer[]): string | undefined => {
    const { b } = pair();
    for (const frame of frames) b.rules.receive(frame, now());
    return b.failure;
  };
  const bytes = Buffer.alloc(10);

  it.each<[string, Buffer[], RegExp]>([
    [
      "more bytes than the window",
      [openFrame(1), data(1, Buffer.alloc(SETTINGS.window + 1))],
      /were allowed/,
    ],
    ["data for a channel that was never opened", [data(1, bytes)], /never opened/],
    ["data for a channel of its own numbers", [data(2, bytes)], /never opened/],
    ["data without bytes", [openFrame(1), data(1, Buffer.alloc(0))], /no bytes/],
    ["data after the end", [openFrame(1), data(1, bytes, FIN), data(1, bytes)], /after its end/],
    ["unknown flags of data", [openFrame(1), data(1, bytes, 2)], /flags/],
    ["an id of the other half", [openFrame(2)], /opened with id 2/],
    ["an id that was used", [openFrame(3), openFrame(1)], /after 3/],
    ["an id beyond the last one", [openFrame(MAX_CHANNEL_ID + 2)], /opened with id/],
    ["a name without bytes", [openFrame(1, "")], /invalid name/],
    ["a name of 256 bytes", [openFrame(1, "x".repeat(256))], /invalid name/],
    [
      "a name that is not UTF-8",
      [encodeControl(FrameType.OPEN, 0, 1, Buffer.from([0, 0xff]))],
      /invalid name/,
    ],
    ["a kind that is unknown", [encodeControl(FrameType.OPEN, 0, 1, Buffer.from([2, 65]))], /kind/],
    ["an acceptance of what was not asked", [encodeControl(FrameType.ACCEPT, 0, 2, bytes)], /never opened/],
    [
      "an acceptance of its own channel",
      [openFrame(1), encodeControl(FrameType.ACCEPT, 0, 1, bytes)],
      /twice/,
    ],
    ["credit of 0", [openFrame(1), credit(1, 0)], /credit of 0/],
    ["credit beyond all windows", [openFrame(1), credit(1, 0xffff_ffff)], /credit/],
    [
      "credit that adds up beyond all windows",
      [openFrame(1), credit(1, LARGEST_WINDOW - SETTINGS.peerWindow), credit(1, 1)],
      /^credit of 1 bytes/,
    ],
    [
      "credit of 3 bytes",
      [openFrame(1), encodeControl(FrameType.CREDIT, 0, 1, Buffer.alloc(3))],
      /credit has 3/,
    ],
    ["a ping of 9 bytes", [encodeControl(FrameType.PING, 0, 0, Buffer.alloc(9))], /ping has 9/],
    ["a frame of 513 bytes that is not data", [encodeControl(9, 0, 0, Buffer.alloc(513))], /513 bytes/],
    ["data of more than a frame", [data(1, Buffer.alloc(MAX_PAYLOAD + 1))], /65529 bytes/],
  ])("end the link at %s", (_, frames, failure) => {
    expect(failureOf(...frames)).toMatch(failure);
    // The same in pieces of one byte.
    const all = Buffer.concat(frames);
    expect(failureOf(...Array.from(all, (_, i) => all.subarray(i, i + 1)))).toMatch(failure);
  });

  it.each([
    ["data", data(2, bytes)],
    ["credit", credit(2, 1)],
  ])("end the link at %s for a channel that this end has not accepted", (_, frame) => {
    const { b } = pair();
    b.open("x");
    b.rules.receive(frame, now());
    expect(b.failure).toMatch(/not accepted/);
  });

  it("pass over types of later versions, and what is late", () => {
    const [later, reset] = [encodeControl(77, 255, 9, bytes), encodeControl(FrameType.RESET, 0, 1, bytes)];
    expect(failureOf(later, openFrame(1), reset, data(1, bytes), credit(1, 0))).toBeUndefined();
  });

  it("refuse a channel beyond the count, and beyond the bytes of all windows", () => {
    const { a, b } = pair({ peerMaxChannels: 100 });
    for (let i = 0; i < 10; i++) a.open("x");
    settle(a, b);
    expect([b.rules.channels.size, b.rules.refused, a.rules.channels.size]).toEqual([8, 2, 8]);
    const tight = pair({ maxUnread: 3 * SETTINGS.window });
    for (let i = 0; i < 3; i++) tight.a.open("x");
    expect(tight.a.rules.refusal()).toBe("unread");
    settle(tight.a, tight.b);
    expect(tight.b.rules.refusal()).toBe("unread");
    tight.b.rules.receive(openFrame(7), now()); // From an end that does not keep to it.
    expect([tight.b.rules.refused, tight.b.rules.windowBytes]).toEqual([1, 3 * SETTINGS.window]);
  });

  it("end the link when channels are opened and reset in a flood", () => {
    const { b } = pair();
    for (let id = 1; id < 4 * RESET_BURST && b.failure === undefined; id += 2) {
      b.rules.receive(openFrame(id), now());
      b.rules.receive(encodeControl(FrameType.RESET, 0, id, bytes), now());
      b.take();
    }
    expect(b.failure).toMatch(/too often/);
    expect(b.rules.accepted).toBe(RESET_BURST + 1);
  });

  it("end the link when pings are not read", () => {
    const { b } = pair();
    for (let i = 0; i < 70_000 && b.failure === undefined; i++)
      b.rules.receive(encodeControl(FrameType.PING, 0, 0, Buffer.alloc(8)), now());
    expect(b.failure).toMatch(/not read/);
  });

  it("end the link when channels are opened, ended by the program, and not read", () => {
    const { b } = pair();
    for (let id = 1; id < 200_000 && b.failure === undefined; id += 2) {
      b.rules.receive(openFrame(id), now());
      b.rules.reset((b.ends.get(id) as End).state, LinkCode.CLOSED, "");
      b.ends.clear();
    }
    expect(b.failure).toMatch(/not read/);
  });
});

describe("silence", () => {
  it("is answered by a ping, and ends the link when nothing comes", () => {
    clock.now = 0;
    const { a, b } = pair();
    settle(a, b);
    expect(a.rules.nextWakeUp()).toBe(SETTINGS.pingInterval);
    clock.now = SETTINGS.pingInterval;
    a.rules.tick(clock.now);
    expect(a.rules.nextWakeUp()).toBe(SETTINGS.pingInterval + SETTINGS.pingTimeout);
    settle(a, b);
    expect(a.rules.nextWakeUp()).toBe(2 * SETTINGS.pingInterval);
    clock.now = 2 * SETTINGS.pingInterval;
    a.rules.tick(clock.now);
    clock.now += SETTINGS.pingTimeout;
    expect(a.failure).toBeUndefined();
    a.rules.tick(clock.now);
    expect(a.failure).toMatch(/nothing came/);
    expect(a.rules.nextWakeUp()).toBeUndefined();
  });

  it("measures the shortest round trip by a few pings at the beginning", () => {
    const { a, b } = pair();
    const took: number[] = [];
    for (const time of [30, 10, 20, 15, 12, 11, 13, 14, 5]) {
      const pings = a.take();
      clock.now += time;
      b.rules.receive(pings, now());
      a.rules.receive(b.take(), now());
      took.push(a.rules.roundTrip);
    }
    expect(took).toEqual([30, 10, 10, 10, 10, 10, 10, 10, 10]);
  });
});

it("an end that closes refuses new channels, and keeps the others", () => {
  const { a, b } = pair();
  const end = a.open("x");
  settle(a, b);
  b.rules.goaway(LinkCode.CLOSED, "closing");
  const late = a.open("late");
  settle(a, b);
  expect([a.goaway, late.wasReset, a.rules.refusal(), end.state.isGone]).toEqual([
    "closing",
    true,
    "closing",
    false,
  ]);
  a.write(end, 10_000);
  settle(a, b);
  expect(b.ends.get(1)?.received).toBe(10_000);
});

const PAGE = readFileSync(join(ROOT, "docs/spec/link.md"), "utf8");

/** The second cell of the row that begins with `what`. */
function row(what: string): string {
  const line = PAGE.split("\n").find((each) => each.startsWith(`| ${what} |`));
  return codes(line?.split(" | ")[1] ?? "")[0] ?? "";
}

/** A private key of X25519 by its bytes. */
function secret(byte: number): KeyObject {
  const key = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), Buffer.alloc(32, byte)]);
  return createPrivateKey({ key, format: "der", type: "pkcs8" });
}

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

it("the handshake's vectors are what the code sends", () => {
  const settings = { window: 65_536, maxChannels: 100, keys: [Buffer.alloc(32, 1)], encrypt: true };
  const make = (role: LinkRole, byte: number): Handshake =>
    new Handshake({ ...settings, role }, secret(byte));
  const [initiator, responder] = [make("initiator", 7), make("responder", 9)];
  const sent: Buffer[] = [];
  const send = (bytes: Buffer): void => void sent.push(bytes);
  initiator.receive(responder.hello, send);
  responder.receive(Buffer.concat([initiator.hello, sent[0] as Buffer]), send);
  initiator.receive(sent[1] as Buffer, send);
  const made = {
    "hello of the initiator": hex(initiator.hello),
    "hello of the responder": hex(responder.hello),
    "proof of the initiator": hex(sent[0]?.subarray(1)),
    "proof of the responder": hex(sent[1]?.subarray(1)),
    "key of what the initiator sends": hex(initiator.agreement?.seals?.out),
    "P of the password `correct horse battery`, group `link`": hex(
      passwordKey("correct horse battery", "shoal link password 1 link"),
    ),
  };
  for (const [what, bytes] of Object.entries(made)) expect(bytes, what).toBe(row(what));
});

it("the vectors of records, frames and messages are what the code writes", () => {
  const ping = Buffer.alloc(8);
  ping.writeBigUInt64BE(1n);
  const credit = Buffer.alloc(4);
  credit.writeUInt32BE(32_768);
  const written = {
    record: Buffer.concat(new RecordSealer(Buffer.alloc(32, 1)).seal([Buffer.from("hello")])),
    "OPEN of channel 1, bytes, `files`": encodeControl(
      FrameType.OPEN,
      0,
      1,
      encodeOpen({ kind: 0, name: "files" }),
    ),
    "ACCEPT of channel 1": encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0)),
    "DATA of channel 1, `hello`, with FIN": encodeControl(FrameType.DATA, FIN, 1, Buffer.from("hello")),
    "CREDIT of 32,768 bytes for channel 2": encodeControl(FrameType.CREDIT, 0, 2, credit),
    "RESET of channel 2, code 2, `no`": encodeControl(
      FrameType.RESET,
      0,
      2,
      encodeReason(LinkCode.REFUSED, "no"),
    ),
    "PING 1": encodeControl(FrameType.PING, 0, 0, ping),
    "a message `hi` on a channel of messages, without its frame": encodeMessage(Buffer.from("hi")),
  };
  for (const [what, bytes] of Object.entries(written)) expect(hex(bytes), what).toBe(row(what));
});
