/**
 * The rules of a session under schedules of cuts, restarts of both ends, duplicated sessions, repeated frames and slow receivers: at any
 * time each item is in one count, and what a program gets of a session is in order, without gaps and without duplicates. SHOAL_LONG=1
 * runs 10,000.
 */
import { describe, it } from "vitest";
import {
  ITEM_BY_REFERENCE,
  LINK_BEHIND,
  LINK_MESSAGES,
  LINK_WINDOW,
  MAX_BATCH,
  MAX_ITEM,
} from "../../../src/cluster/messaging/bounds.js";
import { type MessagingSettings, messagingSettings } from "../../../src/cluster/messaging/options.js";
import { Receiving } from "../../../src/cluster/messaging/receiving.js";
import { ReceiveWindow, SendWindow } from "../../../src/cluster/messaging/window.js";
import { countOf, LinkFrame, sequenceOf } from "../../../src/cluster/messaging/wire.js";
import fc from "../../support/properties.js";
import { expect } from "../../support/quick-expect.js";
import { acksTo, FakeStream, RECEIVING_EFFECTS } from "./fake-streams.js";

const { highWaterMark, highWaterMarkBytes } = messagingSettings() as MessagingSettings;
const LIMITS = { items: 64, bytes: 65_536 };
const GRANTED = 16_384;

interface Message {
  readonly session: number;
  readonly frames: readonly Buffer[];
}

/** A sender and a receiver that may begin another life, and a connection between them. */
class Pair {
  sender = new SendWindow(LIMITS);
  /** Items that were given; those of them that went to lives of the sender before this one. */
  given = 0;
  before = 0;
  dropped = 0;
  /** What programs have had: by the receiver's life and the sender's session. */
  readonly handled: { readonly life: number; readonly session: number; readonly item: number }[] = [];
  receiver: Receiving;
  life = 0;
  #senderLife = 0;
  /** Items that were accepted, by the sender's life and the session that they are of. */
  readonly #accepted: { readonly life: number; readonly session: number }[] = [];
  /** Whether the two lives of now have met. */
  #haveMet = false;
  #isConnected = false;
  /** On their way. */
  #there: Message[] = [];
  #back: { readonly session: number; readonly delivered: number }[] = [];
  /** What came over this connection, and what was sent over it and is not acknowledged. */
  #came: Message[] = [];
  #flying: { readonly end: number; readonly bytes: number }[] = [];
  /** A handler that has not settled. */
  #settle: (() => void) | undefined = undefined;
  isSlow = false;

  constructor() {
    this.receiver = this.#newReceiver();
  }

  #newReceiver(): Receiving {
    const { life } = this;
    this.#settle = undefined;
    const onItem = (kind: number, item: Buffer): Promise<void> | undefined => {
      expect(kind).toBe(2 + (item.readUInt32BE(0) % 3));
      this.handled.push({ life, session: receiver.window.session, item: item.readUInt32BE(0) });
      if (!this.isSlow) return undefined;
      return new Promise((resolve) => {
        this.#settle = resolve;
      });
    };
    const receiver: Receiving = new Receiving("id", 1_048_576, {
      ...RECEIVING_EFFECTS,
      streams: acksTo((ack) => this.#back.push(ack)),
      onItem: (_from, kind, item) => onItem(kind, item),
      onPublish: (_from, bytes, start, end) => onItem(2, bytes.subarray(start, end)),
    });
    return receiver;
  }

  offer(size: number): void {
    const item = Buffer.alloc(Math.max(4, size));
    item.writeUInt32BE(this.given, 0);
    const kind = 2 + (this.given % 3);
    const { session } = this.sender;
    this.given += 1;
    const isAccepted = this.sender.offer(kind, item);
    if (!isAccepted) this.dropped += 1;
    this.#accepted.push({ life: isAccepted ? this.#senderLife : -1, session });
  }

  /** @param receivers whether it is also another life of the receiver */
  connect(isDuplicate = false): void {
    const { sender, receiver } = this;
    this.#isConnected = true;
    sender.disconnected();
    // What was on its way over the connection before is ignored; a second hello of the session changes nothing.
    this.#drop();
    for (let hellos = 0; hellos < 3; hellos++) {
      const result = this.#greet();
      if (!this.#haveMet)
        expect(["new", "forgotten"], "of another life nothing is resumed").toContain(result);
      if (result === "forgotten") {
        expect(sender.everSent).toBeGreaterThan(0);
        sender.reset();
        continue;
      }
      this.#haveMet = true;
      receiver.stream = new FakeStream();
      const { delivered } = receiver.window;
      receiver.window.acked = delivered;
      expect(sender.ack(delivered)).toBe(true);
      if (!isDuplicate) return;
      isDuplicate = false;
    }
  }

  #greet(): string {
    const { session, everSent: sent } = this.sender;
    const result = this.receiver.hello({ life: `life ${this.#senderLife}`, session, sent });
    expect(result).not.toBe("stale");
    return result;
  }

  /** A hello arrives, and its answer does not. */
  greetInVain(): void {
    this.cut();
    if (this.#greet() !== "forgotten") this.#haveMet = true;
  }

  flush(): void {
    if (!this.#isConnected) return;
    for (;;) {
      const message = this.sender.take(GRANTED, true);
      if (message === undefined) return;
      const frames = message.map((frame) => Buffer.from(frame));
      this.#there.push({ session: this.sender.session, frames });
      const head = frames[0] as Buffer;
      const bytes = frames.reduce((sum, { length }) => sum + length, 0);
      this.#flying.push({ end: sequenceOf(head) + countOf(head), bytes });
    }
  }

  /** Some of what is on its way arrives. */
  arrive(count: number): void {
    for (const message of this.#there.splice(0, count)) {
      expect(this.receiver.onData(Buffer.concat(message.frames))).toBe(undefined);
      this.#came.push(message);
    }
  }

  /** What came comes again: a sender may repeat what it need not. */
  repeat(at: number): void {
    const message = this.#came[at % this.#came.length];
    if (message !== undefined) expect(this.receiver.onData(Buffer.concat(message.frames))).toBe(undefined);
  }

  acknowledge(): void {
    this.receiver.acknowledge();
    for (const { session, delivered } of this.#back.splice(0))
      if (session === this.sender.session) {
        expect(this.sender.ack(delivered)).toBe(true);
        this.#flying = this.#flying.filter(({ end }) => end > delivered);
      }
  }

  #drop(): void {
    this.#there = [];
    this.#back = [];
    this.#came = [];
    this.#flying = [];
  }

  cut(): void {
    this.#isConnected = false;
    this.#drop();
    this.receiver.stream = undefined;
    this.sender.disconnected();
  }

  restartReceiver(): void {
    this.life += 1;
    this.forget();
  }

  /** The membership of the receiver forgot the sender, or removed it. */
  forget(): void {
    this.cut();
    this.receiver = this.#newReceiver();
    this.#haveMet = false;
  }

  /** What waited in its memory is nobody's any more. */
  restartSender(): void {
    this.cut();
    this.sender = new SendWindow(LIMITS);
    this.before = this.given;
    this.dropped = 0;
    this.#senderLife += 1;
    this.#haveMet = false;
  }

  /** The membership lost the receiver: what waits for it is given up. */
  lose(): void {
    this.cut();
    this.sender.reset();
  }

  /** What did not come is counted as lost. */
  #checkLost(): void {
    const { lost, session } = this.sender;
    const had = new Set(this.handled.map(({ item }) => item));
    let missing = 0;
    for (const [item, of] of this.#accepted.entries())
      if (of.life === this.#senderLife && of.session !== session && !had.has(item)) missing += 1;
    expect(missing, "at most what is counted as lost").toBeLessThanOrEqual(lost);
  }

  async settle(): Promise<void> {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.();
    // Two turns of microtasks: the handler's promise, and what follows from it.
    for (let i = 0; i < 4; i++) await Promise.resolve();
  }

  check(): void {
    const { sender } = this;
    expect(sender.waiting + sender.delivered + sender.lost + this.dropped).toBe(this.given - this.before);
    const flying = this.#flying.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.#flying.length > 1) expect(flying, "bytes on their way").toBeLessThanOrEqual(GRANTED);
    expect(sender.waiting).toBeLessThanOrEqual(LIMITS.items);
    expect(sender.waitingBytes).toBeLessThanOrEqual(LIMITS.bytes + 2 * ITEM_BY_REFERENCE);
    let last = -1;
    for (const { item } of this.handled) {
      // Later sessions and lives get later items alone: nothing is there twice, nothing is overtaken.
      expect(item).toBeGreaterThan(last);
      last = item;
    }
    expect(sender.delivered).toBeLessThanOrEqual(this.handled.length);
    this.#checkLost();
  }
}

const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("offer" as const),
      count: fc.nat(40),
      size: fc.constantFrom(4, 60, 200, 3_000, 20_000),
    }),
  },
  // Each in a batch of its own, where there is room on the way.
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("trickle" as const),
      count: fc.nat(12),
      size: fc.constantFrom(4, 3_000),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("flush" as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("arrive" as const), count: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("acknowledge" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("cut" as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("connect" as const), isDuplicate: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("restartReceiver" as const, "restartSender" as const) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("lose" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("forget" as const, "greetInVain" as const) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("slow" as const), isSlow: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("settle" as const) }) },
);

describe("a session under faults", () => {
  it("reorders nothing, delivers nothing twice, and has each item in one count", {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 80 }), async (acts) => {
        const pair = new Pair();
        for (const each of acts) {
          switch (each.kind) {
            case "offer":
              for (let i = 0; i < each.count; i++) pair.offer(each.size);
              break;
            case "trickle":
              for (let i = 0; i < each.count; i++) {
                pair.offer(each.size);
                pair.flush();
              }
              break;
            case "connect":
              pair.connect(each.isDuplicate);
              break;
            case "arrive":
              pair.arrive(each.count);
              break;
            case "slow":
              pair.isSlow = each.isSlow;
              break;
            case "settle":
              await pair.settle();
              break;
            case "repeat":
              pair.repeat(each.at);
              break;
            default:
              pair[each.kind]();
          }
          pair.check();
        }
        // In peace everything that waits is delivered, and nothing of the last session is missing.
        pair.isSlow = false;
        pair.connect();
        for (let round = 0; pair.sender.waiting > 0; round++) {
          expect(round).toBeLessThan(1_000);
          pair.flush();
          pair.arrive(1_000);
          await pair.settle();
          pair.acknowledge();
        }
        pair.check();
        expect(pair.sender.delivered + pair.sender.lost + pair.dropped).toBe(pair.given - pair.before);
      }),
      { numRuns: 10_000, defaultRuns: 100 },
    );
  });

  it("takes what a greeting acknowledges off what is on its way once, not twice", () => {
    const window = new SendWindow(LIMITS);
    const send = (): boolean => {
      expect(window.offer(2, Buffer.alloc(3_000))).toBe(true);
      return window.take(GRANTED, true) !== undefined;
    };
    for (let i = 0; i < 5; i++) expect(send()).toBe(true);
    window.disconnected();
    expect(window.ack(4)).toBe(true);
    expect(window.take(GRANTED, true), "the fifth again").toBeDefined();
    for (let i = 0; i < 4; i++) expect(send()).toBe(true);
    expect(send(), "a sixth of 3,000 bytes").toBe(false);
  });

  it("takes no acknowledgement of what was never sent, and an older one changes nothing", () => {
    const window = new SendWindow(LIMITS, 7);
    for (let i = 0; i < 5; i++) window.offer(2, Buffer.alloc(9));
    expect(window.ack(1), "of what was not sent").toBe(false);
    window.take(GRANTED, true);
    expect(window.ack(6), "of what there is not").toBe(false);
    expect(window.ack(2)).toBe(true);
    window.disconnected();
    expect([window.ack(1), window.ack(6), window.delivered, window.waiting]).toEqual([true, false, 2, 3]);
    expect([window.ack(3), window.delivered, window.waiting]).toEqual([true, 3, 2]);
    window.reset();
    expect([window.session, window.lost, window.ack(0)]).toEqual([8, 2, true]);
  });

  it("is forgotten until the sender begins another one, unless nothing of it was sent", () => {
    const window = new ReceiveWindow();
    const hellos = [
      ["life", 3, 5],
      ["life", 3, 5],
      ["life", 4, 0],
      ["life", 4, 9],
      ["life", 3, 0],
      ["other", 4, 1],
      ["other", 5, 0],
    ] as const;
    expect(hellos.map(([life, session, sent]) => window.hello(life, session, sent))).toEqual([
      "forgotten",
      "forgotten",
      "new",
      "resumed",
      "stale",
      "forgotten",
      "new",
    ]);
  });
});

describe("the sender's window", () => {
  it("puts the items of a turn into one message, up to its size", () => {
    const window = new SendWindow({ items: 10_000, bytes: 16_777_216 });
    for (let i = 0; i < 2_000; i++) window.offer(2, Buffer.alloc(64));
    const messages: Buffer[] = [];
    for (let next = window.take(1e9, false); next !== undefined; next = window.take(1e9, false))
      messages.push(Buffer.from(next[0] as Uint8Array));
    expect(messages.map(countOf).reduce((sum, count) => sum + count)).toBe(2_000);
    // The first slabs are small; the rest are full.
    expect(messages.length).toBeLessThan(10);
    expect(Math.max(...messages.map(({ length }) => length))).toBeLessThanOrEqual(MAX_BATCH);
    expect(messages.map(sequenceOf)[0]).toBe(0);
  });

  it("sends a large item as it is, without a copy", () => {
    const window = new SendWindow({ items: 10, bytes: 1_000_000 });
    const item = Buffer.alloc(ITEM_BY_REFERENCE);
    window.offer(3, item);
    expect(window.take(1e9, false)?.[1]).toBe(item);
  });

  it("takes one item of any size, and a second one only where there is room", () => {
    const window = new SendWindow({ items: 10, bytes: 1_000 });
    expect(window.offer(2, Buffer.alloc(5_000))).toBe(true);
    expect(window.offer(2, Buffer.alloc(1))).toBe(false);
    window.take(1e9, false);
    window.ack(1);
    expect(window.offer(2, Buffer.alloc(1))).toBe(true);
  });

  /** Memory of what 20 windows' worth of items leave in, each acknowledged before the next. */
  function memoryOfRounds(isCopied: boolean): Set<ArrayBufferLike> {
    const window = new SendWindow({ items: 10_000, bytes: 4_194_304 });
    const memory = new Set<ArrayBufferLike>();
    let items = 0;
    for (let round = 0; round < 20; round++) {
      while (window.waitingBytes < 500_000) {
        window.offer(2, Buffer.alloc(1_000));
        items += 1;
      }
      for (let next = window.take(1e9, isCopied); next !== undefined; next = window.take(1e9, isCopied))
        memory.add((next[0] as Uint8Array).buffer);
      expect(window.ack(items)).toBe(true);
    }
    return memory;
  }

  it("uses memory again when what was in it is acknowledged, where the connection has a copy", () => {
    expect(memoryOfRounds(true).size).toBeLessThan(20);
    expect(memoryOfRounds(false).size).toBeGreaterThan(100);
  });

  it("does not write to memory that a connection without a copy was given, when a later one has copies", () => {
    const window = new SendWindow({ items: 10_000, bytes: 4_194_304 });
    window.offer(2, Buffer.alloc(100, "a"));
    const [first] = window.take(1e9, false) as [Uint8Array];
    const sent = Buffer.from(first);
    window.disconnected();
    window.take(1e9, true);
    window.ack(1);
    for (let i = 0; i < 100; i++) window.offer(2, Buffer.alloc(1_000, "b"));
    expect(sent.equals(first)).toBe(true);
  });

  it("does not write to memory of what was sent again: the peer may acknowledge what came before", () => {
    const window = new SendWindow({ items: 10_000, bytes: 4_194_304 });
    window.offer(2, Buffer.alloc(100, "a"));
    window.take(1e9, true);
    window.disconnected();
    const [again] = window.take(1e9, true) as [Uint8Array];
    const sent = Buffer.from(again);
    window.ack(1);
    for (let i = 0; i < 100; i++) window.offer(2, Buffer.alloc(1_000, "b"));
    expect(sent.equals(again)).toBe(true);
  });

  it("does not write to memory of messages that were given up and may be on their way", () => {
    const window = new SendWindow({ items: 10_000, bytes: 4_194_304 });
    window.offer(2, Buffer.alloc(100, "a"));
    const [first] = window.take(1e9, true) as [Uint8Array];
    const sent = Buffer.from(first);
    window.reset();
    for (let i = 0; i < 100; i++) window.offer(2, Buffer.alloc(1_000, "b"));
    expect(sent.equals(first)).toBe(true);
  });
});

describe("a peer that is behind", () => {
  it("gets full batches, and what is left with its next acknowledgement", () => {
    const window = new SendWindow({ items: 1_000_000, bytes: 8 * LINK_BEHIND });
    const item = Buffer.alloc(1_000);
    let given = 0;
    let sent = 0;
    let acked = 0;
    /** Gives it an item, as each turn may have one. @returns the items of what leaves with it */
    const turn = (): number[] => {
      expect(window.offer(2, item)).toBe(true);
      given += 1;
      const counts: number[] = [];
      for (
        let message = window.take(8 * LINK_BEHIND, false);
        message;
        message = window.take(8 * LINK_BEHIND, false)
      )
        counts.push(countOf(message[0] as Buffer));
      sent += counts.reduce((sum, count) => sum + count, 0);
      return counts;
    };
    while (window.waitingBytes <= LINK_BEHIND) expect(turn()).toEqual([1]);
    acked = sent;
    const before = given;
    let counts = turn();
    while (counts.length === 0) counts = turn();
    expect(given - before).toBeGreaterThan(16);
    expect(counts).toEqual([given - before - 1]);
    // What it acknowledges makes the rest leave.
    expect(window.hasUnsent).toBe(true);
    expect(window.ack(acked)).toBe(true);
    expect(countOf(window.take(8 * LINK_BEHIND, false)?.[0] as Buffer)).toBe(1);
    expect(window.hasUnsent).toBe(false);
  });

  /** The end of a peer whose program takes its time with the first item. */
  const slow = (): Receiving => {
    const receiving = new Receiving("a", MAX_ITEM, {
      ...RECEIVING_EFFECTS,
      onItem: () => new Promise(() => undefined),
      onPublish: () => new Promise(() => undefined),
    });
    receiving.window.hello("life", 0, 0);
    return receiving;
  };

  it("has no more of a sender's messages waiting than it takes, where one with the least item goes in each turn", () => {
    const window = new SendWindow({ items: highWaterMark, bytes: highWaterMarkBytes });
    const receiving = slow();
    const item = Buffer.alloc(0);
    let faults = 0;
    while (window.offer(2, item))
      for (let frames = window.take(LINK_WINDOW, false); frames; frames = window.take(LINK_WINDOW, false))
        if (receiving.onData(Buffer.concat(frames)) !== undefined) faults += 1;
    expect([faults, window.waiting]).toEqual([0, highWaterMark]);
  });

  it("refuses more of them, however small they are", () => {
    const receiving = slow();
    const frame = (first: number): Buffer => {
      const bytes = Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
      bytes.writeUIntBE(first, 1, 6);
      return bytes;
    };
    // One is handled, the others wait.
    let taken = 0;
    while (taken <= 2 * LINK_MESSAGES && receiving.onData(frame(taken)) === undefined) taken += 1;
    expect(taken).toBe(LINK_MESSAGES + 1);
    expect(receiving.onData(frame(taken - 1)), "sent again over another stream").toBe(undefined);
    expect(receiving.onData(frame(taken))).toBe("flood");
  });
});

it("the items of a further session wait for the handler of the earlier one, too: otherwise each session would add one", async () => {
  const handled: number[] = [];
  let release = (): void => undefined;
  const receiving = new Receiving("a", MAX_ITEM, {
    ...RECEIVING_EFFECTS,
    onItem: (_, _kind, item) => {
      handled.push(item[0] as number);
      return new Promise((resolve) => (release = resolve));
    },
  });
  for (const session of [0, 1, 2]) {
    expect(receiving.hello({ life: "life", session, sent: 0 })).toBe("new");
    const batch = Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1, session]);
    expect(receiving.onData(batch)).toBe(undefined);
  }
  expect(handled).toEqual([0]);
  for (const delivered of [0, 1]) {
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(receiving.window.delivered).toBe(delivered);
  }
  expect(handled).toEqual([0, 2]);
});

it("a one-to-one message is acknowledged at the end of the turn in which it was delivered, since a caller waits for that", async () => {
  const soon: Receiving[] = [];
  const acks: unknown[] = [];
  let release = (): void => undefined;
  const receiving = new Receiving("a", MAX_ITEM, {
    ...RECEIVING_EFFECTS,
    streams: acksTo(({ delivered }) => acks.push(delivered)),
    onItem: (_, kind) => (kind === 3 ? new Promise((resolve) => (release = resolve)) : undefined),
    acknowledgeSoon: (each) => void soon.push(each),
  });
  receiving.window.hello("life", 0, 0);
  receiving.setMarks(highWaterMark, highWaterMarkBytes);
  receiving.stream = new FakeStream();
  const window = new SendWindow(LIMITS);
  const deliver = (kind: number): void => {
    window.offer(kind, Buffer.alloc(1));
    receiving.onData(Buffer.concat(window.take(GRANTED, false) ?? []));
  };
  deliver(2);
  expect(soon).toEqual([]);
  deliver(3);
  release();
  await new Promise((resolve) => setImmediate(resolve));
  expect(soon.length).toBeGreaterThan(0);
  receiving.acknowledge();
  expect(acks).toEqual([2]);
});
