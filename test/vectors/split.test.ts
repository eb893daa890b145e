/**
 * A peer's bytes split at every border between two of them, and into pieces of
 * every size, in memory: a handshake and the frames behind it come out the same.
 */
import { describe, expect, it } from "vitest";
import { commandFrame } from "../../src/engine/frame.js";
import { InStream } from "../../src/engine/zmtp/codec/in-stream.js";
import { Handshake } from "../../src/engine/zmtp/handshake.js";
import { keyPairOf } from "../../src/engine/zmtp/mechanism/curve-key-pair.js";
import type { Step } from "../../src/engine/zmtp/mechanism/mechanism.js";
import { optionsOf } from "../engine/zmtp/mechanism/support.js";
import { createMechanism } from "../support/mechanism.js";
import { READY_DEALER } from "./mechanism.js";
import * as wire from "./wire.js";

const TRAFFIC = [
  wire.ENVELOPE,
  wire.PING_CONTEXT,
  wire.FRAME_255,
  "0000",
  wire.FRAME_256,
  `0101ff${wire.PING}0000`,
  wire.SUBSCRIBE,
  wire.REQUEST,
  wire.CANCEL,
  "01000000",
].join("");
const MESSAGES = [
  ["61", "", "62"],
  ["ff".repeat(255)],
  [""],
  ["ff".repeat(256)],
  ["ff", ""],
  ["", "4869"],
  ["", ""],
];
const COMMANDS = [wire.PING_CONTEXT, wire.PING, wire.SUBSCRIBE, wire.CANCEL].map((frame) => frame.slice(4));

/** What one side makes of a peer's bytes that come in these pieces. */
function understood(pieces: readonly Buffer[]) {
  const handshake = new Handshake(createMechanism("NULL", false, optionsOf()));
  const commands: string[] = [];
  const messages: string[][] = [];
  const stream = new InStream(-1, (body) => commands.push(body.toString("hex")));
  let identity: string | undefined;
  const frames = (bytes: Buffer): void => {
    if (bytes.length > 0) expect(stream.push(bytes)).toBeUndefined();
    while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
  };
  for (const piece of pieces) {
    if (identity !== undefined) frames(piece);
    else {
      for (const step of handshake.receive(piece)) {
        expect(step.failed).toBeUndefined();
        if (step.done !== undefined) identity = step.done.get("socket-type")?.toString();
      }
      if (identity !== undefined) frames(handshake.takeRemaining());
    }
  }
  return { identity, commands, messages, minor: handshake.minor };
}

function inPieces(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  // Memory of their own, as the kernel's are: nothing may look behind a piece's end.
  for (let at = 0; at < bytes.length; at += size) pieces.push(Buffer.from(bytes.subarray(at, at + size)));
  return pieces;
}

describe("a peer's bytes, handshake and all", () => {
  const bytes = wire.hex(wire.GREETING + READY_DEALER + TRAFFIC);
  const expected = { identity: "DEALER", commands: COMMANDS, messages: MESSAGES, minor: 1 };

  it("come out the same wherever they are split in two", () => {
    for (let at = 0; at <= bytes.length; at++) {
      const pieces = [Buffer.from(bytes.subarray(0, at)), Buffer.from(bytes.subarray(at))];
      expect(understood(pieces), `split at ${at}`).toEqual(expected);
    }
  });

  it("come out the same in pieces of any size", () => {
    for (let size = 1; size <= bytes.length; size++) {
      expect(understood(inPieces(bytes, size)), `pieces of ${size}`).toEqual(expected);
    }
  });

  it("come out the same wherever the frames are split in three", () => {
    const traffic = wire.hex(TRAFFIC);
    for (let a = 0; a <= traffic.length; a += 1) {
      for (let b = a; b <= traffic.length; b += 7) {
        const messages: string[][] = [];
        const commands: string[] = [];
        const stream = new InStream(-1, (body) => commands.push(body.toString("hex")));
        for (const piece of [traffic.subarray(0, a), traffic.subarray(a, b), traffic.subarray(b)])
          stream.push(Buffer.from(piece));
        // Taken only at the end: they wait as pieces.
        while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
        if (commands.length !== COMMANDS.length || messages.length !== MESSAGES.length)
          throw new Error(`split at ${a} and ${b}`);
        expect(messages).toEqual(MESSAGES);
      }
    }
  });

  it("lose only the message that a connection's end cuts, wherever that is", () => {
    const traffic = wire.hex(TRAFFIC);
    for (let at = 0; at <= traffic.length; at++) {
      const stream = new InStream(-1, () => {});
      stream.push(Buffer.from(traffic.subarray(0, at)));
      const whole = stream.messages;
      stream.cut();
      stream.push(Buffer.from(traffic)); // The next connection's.
      const messages: string[][] = [];
      while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
      expect(messages, `cut at ${at}`).toEqual([...MESSAGES.slice(0, whole), ...MESSAGES]);
    }
  });
});

const SERVER = keyPairOf(Buffer.alloc(32, 1));
const CLIENT = keyPairOf(Buffer.alloc(32, 2));

describe.each(["NULL", "PLAIN", "CURVE"] as const)("both sides of %s", (name) => {
  /** Lets two sides talk, each hearing the other in pieces of `size`. @returns what each found out */
  function shake(size: number): (string | undefined)[] {
    const secure = {
      curvePublicKey: CLIENT.publicKey,
      curveSecretKey: CLIENT.secretKey,
      curveServerKey: SERVER.publicKey,
    };
    const sides = [
      new Handshake(createMechanism(name, false, optionsOf(secure))),
      new Handshake(
        createMechanism(
          name,
          true,
          optionsOf({ asks: true, curveSecretKey: SERVER.secretKey, curvePublicKey: SERVER.publicKey }),
        ),
      ),
    ] as const;
    const types: (string | undefined)[] = [undefined, undefined];
    const queues: Buffer[][] = [[], []];
    const carryOut = (at: 0 | 1, steps: readonly Step[]): void => {
      for (const step of steps) {
        if (step.failed !== undefined) throw new Error(step.failed.message);
        const out = Buffer.concat((step.send ?? []).map((body) => commandFrame(body)));
        queues[1 - at]?.push(...inPieces(out, size));
        if (step.done !== undefined) types[at] = step.done.get("socket-type")?.toString();
        if (step.ask !== undefined) carryOut(at, sides[at].authenticated(true));
      }
    };
    for (const at of [0, 1] as const) queues[1 - at]?.push(...inPieces(sides[at].open(), size));
    while (queues.some((queue) => queue.length > 0)) {
      for (const at of [0, 1] as const) {
        const piece = queues[at]?.shift();
        if (piece !== undefined) carryOut(at, sides[at].receive(piece));
      }
    }
    return types;
  }

  it("understand each other in pieces of any size", () => {
    for (const size of [1, 2, 3, 5, 7, 10, 11, 13, 32, 63, 64, 65, 66, 100, 127, 128, 200, 202, 300, 512]) {
      expect(shake(size), `pieces of ${size}`).toEqual(["DEALER", "DEALER"]);
    }
  });
});
