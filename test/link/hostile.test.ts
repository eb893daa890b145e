/** Any bytes as a link: never an exception, never more memory than the windows, and the link ends or goes on as it should. */
import { expect, it } from "vitest";
import { encodeControl, encodeOpen, FrameType, MessageReader } from "../../src/link/frames.js";
import { type ChannelState, type LinkEffects, LinkRules } from "../../src/link/rules.js";
import { Handshake, RecordOpener } from "../../src/link/security.js";
import { Random, runs, SEED, told } from "../fuzz/seed.js";
import { SETTINGS } from "./support.js";

const INPUTS = runs(1_500, 300_000);
const NOW = 0;

/** An end whose program reads some channels, refuses some, ends some, and leaves the rest unread. */
class Target {
  readonly rules: LinkRules;
  failure: string | undefined = undefined;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    const effects: LinkEffects = {
      onIncoming: () => (random.below(8) === 0 ? "refused" : undefined),
      onAccepted: () => undefined,
      onData: (state, bytes) => this.#onData(state, bytes),
      onFinished: (state) => {
        if (random.below(2) === 0) this.rules.end(state);
      },
      onReset: () => undefined,
      onTaken: () => undefined,
      onGoaway: () => undefined,
      onFailed: (_code, reason) => {
        if (this.failure !== undefined) throw new Error("a link fails once");
        this.failure = reason;
      },
      onWritable: () => undefined,
    };
    this.rules = new LinkRules({ ...SETTINGS, isFirst: false }, effects, NOW);
  }

  #onData(state: ChannelState, bytes: Buffer): void {
    if (state.isGone) throw new Error("data came for a channel that is over");
    if (state.window.unread > state.window.size) throw new Error("more than the window is unread");
    if (this.#random.below(3) > 0) this.rules.consumed(state, bytes.length, NOW);
  }

  receive(chunk: Buffer): void {
    this.rules.receive(chunk, NOW);
    if (this.rules.windowBytes > SETTINGS.maxUnread) throw new Error("the windows are beyond maxUnread");
    if (this.rules.channels.size > 2 * SETTINGS.maxChannels) throw new Error("there are too many channels");
    if (this.#random.below(4) === 0) this.rules.take(10_000);
  }
}

/** Frames that mostly fit, with a fault here and there. */
function frames(random: Random, target: Target): Buffer {
  const parts: Buffer[] = [];
  const add = (...frame: Parameters<typeof encodeControl>): void => void parts.push(encodeControl(...frame));
  let next = 1;
  const some = (): number =>
    random.below(20) === 0 ? random.below(12) : 1 + 2 * random.below(Math.max(1, next >> 1));
  for (let i = 1 + random.below(20); i > 0; i--) {
    switch (random.below(9)) {
      case 0:
      case 1:
        add(FrameType.OPEN, 0, next, encodeOpen({ kind: 0, name: "x" }));
        next += 2;
        break;
      case 2:
      case 3:
      case 4:
        add(FrameType.DATA, random.below(6) === 0 ? 1 : 0, some(), random.bytes(1 + random.below(1_500)));
        break;
      case 5: {
        const credit = Buffer.alloc(4);
        credit.writeUInt32BE(1 + random.below(100_000));
        add(FrameType.CREDIT, 0, some(), credit);
        break;
      }
      case 6:
        add(FrameType.RESET, 0, some(), random.bytes(random.below(10)));
        break;
      case 7:
        add(FrameType.PING, random.below(2), 0, random.bytes(8));
        break;
      default:
        // Of the target's own channels: accepted, or not.
        if (target.rules.refusal() === undefined && random.below(2) === 0)
          target.rules.write(target.rules.open({ name: "own", kind: 0 }, NOW), [random.bytes(100)]);
        add(FrameType.ACCEPT, 0, 2 + 2 * random.below(3), Buffer.alloc(0));
    }
  }
  const bytes = Buffer.concat(parts);
  if (random.below(3) === 0) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

it("frames that fit, with faults here and there", { timeout: 600_000 }, () => {
  const random = new Random(SEED);
  let failed = 0;
  for (let i = 0; i < INPUTS; i++) {
    const target = new Target(random);
    const bytes = frames(random, target);
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + random.below(random.below(2) === 0 ? 16 : bytes.length);
      target.receive(bytes.subarray(at, at + length));
      at += length;
    }
    if (target.failure !== undefined) failed += 1;
  }
  told("links, frames", INPUTS);
  expect(failed).toBeGreaterThan(INPUTS / 10);
  expect(failed).toBeLessThan(INPUTS);
});

it("handshakes", { timeout: 600_000 }, () => {
  const random = new Random(SEED ^ 0xaa);
  const keys = [Buffer.alloc(32, 1)];
  const settings = { window: 65_536, maxChannels: 10, encrypt: true } as const;
  const good = new Handshake({ ...settings, keys: [], role: "initiator" }).hello;
  for (let i = 0; i < INPUTS; i++) {
    const target = new Handshake({ ...settings, keys: i % 50 === 0 ? keys : [], role: "responder" });
    const bytes = random.below(4) === 0 ? random.bytes(random.below(200)) : Buffer.from(good);
    if (bytes.length > 0)
      for (let n = random.below(3); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
    target.receive(bytes, () => undefined);
    if (keys.length > 0 && i % 50 === 0) expect(target.agreement).toBeUndefined();
  }
  told("links, handshakes", INPUTS);
});

it("records and messages", { timeout: 600_000 }, () => {
  const random = new Random(SEED ^ 0xcc);
  for (let i = 0; i < INPUTS; i++) {
    const bytes = random.bytes(1 + random.below(100));
    if (random.below(2) === 0) bytes.fill(0, 0, Math.min(3, bytes.length));
    let opened = 0;
    new RecordOpener(Buffer.alloc(32)).open(bytes, () => {
      opened += 1;
    });
    expect(opened).toBe(0);
    let got = 0;
    const reader = new MessageReader(50);
    for (const byte of bytes) {
      reader.push(Buffer.from([byte]));
      got += reader.message()?.length ?? 0;
    }
    expect(got).toBeLessThan(bytes.length);
  }
  told("links, records and messages", INPUTS);
});
