/** Any bytes as a handshake, against each side of each mechanism: it ends or waits, and never throws. */

import { describe, expect, it } from "vitest";
import { commandFrame } from "../../../src/engine/frame.js";
import { encodeCommand, encodeMetadata, GREETING_SIZE } from "../../../src/engine/zmtp/codec/command.js";
import { Handshake, MAX_HANDSHAKE_COMMAND } from "../../../src/engine/zmtp/handshake.js";
import { CurveClient, CurveServer } from "../../../src/engine/zmtp/mechanism/curve.js";
import { keyPairOf } from "../../../src/engine/zmtp/mechanism/curve-box.js";
import { CURVE_PRIMITIVES } from "../../../src/engine/zmtp/mechanism/curve-primitives.js";
import type { Mechanism, Step } from "../../../src/engine/zmtp/mechanism/mechanism.js";
import { NullMechanism } from "../../../src/engine/zmtp/mechanism/null.js";
import { PlainClient, PlainServer } from "../../../src/engine/zmtp/mechanism/plain.js";
import { knownRandom, optionsOf, properties } from "../../engine/zmtp/mechanism/support.js";
import fc, { forAll } from "../../support/properties.js";
import { corpus, keep, Random, runs, SEED, told, tries } from "../seed.js";

const SERVER = Buffer.alloc(32, 2);
const CLIENT = Buffer.alloc(32, 3);
const C_TRANSIENT = Buffer.alloc(32, 1);
const S_TRANSIENT = Buffer.alloc(32, 4);
const asks = optionsOf({ asks: true });
const curveServer = optionsOf({ properties: properties("PULL"), curveSecretKey: SERVER, asks: true });
const curveClient = optionsOf({
  properties: properties("PUSH"),
  curveSecretKey: CLIENT,
  curveServerKey: keyPairOf(SERVER).publicKey,
});
const ofNull = () => new NullMechanism(optionsOf());
const ofPlain = { server: () => new PlainServer(asks), client: () => new PlainClient(optionsOf()) };
const ofCurve = {
  server: () => new CurveServer(curveServer, CURVE_PRIMITIVES, knownRandom(S_TRANSIENT)),
  client: () => new CurveClient(curveClient, CURVE_PRIMITIVES, knownRandom(C_TRANSIENT)),
};

/** Each side, and the one that it talks to. */
const SIDES: Record<string, { make(): Mechanism; peer(): Mechanism }> = {
  NULL: { make: ofNull, peer: ofNull },
  "NULL with a hook": { make: () => new NullMechanism(asks), peer: ofNull },
  "PLAIN server": { make: ofPlain.server, peer: ofPlain.client },
  "PLAIN client": { make: ofPlain.client, peer: ofPlain.server },
  "CURVE server": { make: ofCurve.server, peer: ofCurve.client },
  "CURVE client": { make: ofCurve.client, peer: ofCurve.server },
};

/** What a peer sends to `side` in a good handshake: with known random bytes the same each time. */
function transcript(side: { make(): Mechanism; peer(): Mechanism }): Buffer {
  const ours = new Handshake(side.make());
  const theirs = new Handshake(side.peer());
  const sent: Buffer[] = [theirs.open()];
  const carry = (steps: Step[], from: Handshake, to: Handshake): void => {
    for (const step of steps) {
      for (const body of step.send ?? []) {
        const bytes = commandFrame(body);
        if (from === theirs) sent.push(bytes);
        carry(to.receive(Buffer.from(bytes)), to, from);
      }
      if (step.ask !== undefined) carry(from.authenticated(true), from, to);
    }
  };
  const first = theirs.receive(ours.open());
  carry(ours.receive(theirs.open()), ours, theirs);
  carry(first, theirs, ours);
  return Buffer.concat(sent);
}

/** Feeds one side. @param verdict what the hook says */
function feed(mechanism: Mechanism, pieces: readonly Buffer[], verdict: boolean) {
  const handshake = new Handshake(mechanism);
  let done = 0;
  let failed = 0;
  const rest: Buffer[] = [];
  const look = (steps: Step[]): void => {
    // A step for the greeting, and one for each command that is taken.
    expect(steps.length).toBeLessThan(8);
    for (const step of steps) {
      if (step.done !== undefined) done += 1;
      if (step.failed !== undefined) {
        failed += 1;
        // What a peer wrote ends up in logs: printable, and not long.
        expect(step.failed.message).toMatch(/^[\x20-\x7e]{1,400}$/);
        expect(step.failed.code).toMatch(/^ERR_/);
      }
      for (const body of step.send ?? []) expect(body.length).toBeLessThan(MAX_HANDSHAKE_COMMAND);
      if (step.ask !== undefined) look(handshake.authenticated(verdict));
    }
  };
  for (const piece of pieces) {
    if (done + failed > 0) rest.push(piece);
    else look(handshake.receive(piece));
  }
  expect(done + failed).toBeLessThan(2);
  return { done: done > 0, failed: failed > 0, rest: Buffer.concat([handshake.takeRemaining(), ...rest]) };
}

function attempt(side: { make(): Mechanism }, bytes: Buffer, random: Random) {
  const pieces = random.pieces(bytes);
  const verdict = random.below(4) > 0;
  try {
    const end = feed(side.make(), pieces, verdict);
    const whole = feed(side.make(), [Buffer.from(bytes)], verdict);
    expect([whole.done, whole.failed]).toEqual([end.done, end.failed]);
    if (end.done) expect(whole.rest.equals(end.rest)).toBe(true);
    return end;
  } catch (error) {
    keep("handshake", bytes, String(error));
    throw new Error(`seed ${SEED}: ${bytes.toString("hex")}`, { cause: error });
  }
}

describe.each(Object.entries(SIDES))("the handshake of %s", (name, side) => {
  const good = transcript(side);
  const isCurve = name.startsWith("CURVE");

  it("ends well for a good peer, wherever the bytes are cut, and leaves what follows", () => {
    for (let at = 0; at <= good.length; at++) {
      const pieces = [good.subarray(0, at), Buffer.concat([good.subarray(at), Buffer.from("rest")])];
      const copies = pieces.map((piece) => Buffer.from(piece));
      const end = feed(side.make(), copies, true);
      expect([end.done, end.failed, String(end.rest)]).toEqual([true, false, "rest"]);
      if (isCurve && at > 64) at += 6;
    }
  });

  it("takes the corpus without an exception", () => {
    const random = new Random(SEED);
    for (const [, bytes] of corpus("handshake")) for (let i = 0; i < 20; i++) attempt(side, bytes, random);
  });

  it("takes a good peer's bytes with some changed", () => {
    tries(`handshakes of ${name}, bytes changed`, isCurve ? [40, 20_000] : [500, 60_000], (random) => {
      // Changes in the greeting end most attempts: half of them spare it.
      const spared = random.below(2) === 0 ? GREETING_SIZE : 0;
      const bytes = Buffer.concat([good.subarray(0, spared), random.mutate(good.subarray(spared))]);
      const end = attempt(side, bytes, random);
      const unchanged = bytes.subarray(GREETING_SIZE, good.length).equals(good.subarray(GREETING_SIZE));
      // Nobody gets in with CURVE who changed a byte of it.
      if (isCurve && end.done) expect(unchanged).toBe(true);
    });
  }, 300_000);

  it("takes commands with structure in any order", () => {
    const random = new Random(SEED);
    const names = "READY HELLO WELCOME INITIATE ERROR PING MESSAGE SUBSCRIBE \u005eRROR".split(" ");
    const metadata = fc
      .array(
        fc.tuple(fc.constantFrom("Socket-Type", "Identity", "X-a", "x-A"), fc.uint8Array({ maxLength: 9 })),
      )
      .map((all) => encodeMetadata(all));
    const data = fc.oneof(
      metadata,
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(194, 160, 251, 24).map((length) => Buffer.alloc(length)),
      fc.constant(Buffer.from("\u0005admin\u0006secret")),
    );
    const command = fc.tuple(fc.constantFrom(...names), data, fc.constantFrom(4, 4, 4, 4, 0, 5, 0x84));
    const commands = fc.array(command, { maxLength: 5 });
    const numRuns = isCurve ? runs(20, 5_000) : runs(125, 25_000);
    forAll([commands], { seed: SEED, numRuns, defaultRuns: numRuns }, (all) => {
      const frames = all.map(([command, bytes, flags]) => {
        const frame = commandFrame(encodeCommand(command, bytes));
        frame[0] = (frame[0] as number) - 4 + flags;
        return frame;
      });
      attempt(side, Buffer.concat([good.subarray(0, GREETING_SIZE), ...frames]), random);
    });
    told(`handshakes of ${name}, commands in any order`, numRuns);
  }, 300_000);
});
