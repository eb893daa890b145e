/** The two ends of a session by their rules alone: what counts as acknowledged, memory, and bounds. Under faults: test/cluster/simulation.test.ts. */
import { describe, expect, it } from "vitest";
import { LINK_BEHIND, LINK_MESSAGES, MAX_ITEM } from "../../../src/cluster/messaging/bounds.js";
import { type MessagingSettings, messagingSettings } from "../../../src/cluster/messaging/options.js";
import { Receiving, type ReceivingEffects } from "../../../src/cluster/messaging/receiving.js";
import { SendWindow } from "../../../src/cluster/messaging/window.js";
import { countOf, LinkFrame } from "../../../src/cluster/messaging/wire.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { gate } from "../../support/gate.js";
import { turn } from "../../support/settled.js";
import { acksTo, RECEIVING_EFFECTS } from "./fake-streams.js";

const { highWaterMark, highWaterMarkBytes } = messagingSettings() as MessagingSettings;
const LIMITS = { items: 64, bytes: 65_536 };
const GRANTED = 16_384;

describe("a session", () => {
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

  it("takes more than its limits where the caller may wait, in items and in bytes", () => {
    const window = new SendWindow({ items: 2, bytes: 1_000 });
    const [more, bytes] = [
      { items: 1, bytes: 1_000 },
      { items: 10, bytes: 500 },
    ];
    const offer = (size: number, beyond = { items: 0, bytes: 0 }): boolean =>
      window.offer(2, Buffer.alloc(size), beyond);
    expect([offer(10), offer(10), offer(10), offer(10, more), offer(10, more)]).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    expect([offer(1_500, bytes), offer(1_300, bytes), offer(10)]).toEqual([false, true, false]);
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
    const receiving = new Receiving("a", MAX_ITEM, RECEIVING_EFFECTS);
    const hellos = [
      ["life", 3, 5],
      ["life", 3, 5],
      ["life", 4, 0],
      ["life", 4, 9],
      ["life", 3, 0],
      ["other", 4, 1],
      ["other", 5, 0],
    ] as const;
    expect(hellos.map(([life, session, sent]) => receiving.hello({ life, session, sent }))).toEqual([
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

it("an idle link keeps none of the memory in which it sent", async () => {
  const window = new SendWindow({ items: 10_000, bytes: 4_194_304 });
  const send = (): WeakRef<ArrayBufferLike> => {
    expect(window.offer(2, Buffer.alloc(1_000))).toBe(true);
    const [bytes] = window.take(1e9, true) as [Uint8Array];
    return new WeakRef(bytes.buffer);
  };
  const memory = Array.from({ length: 200 }, send);
  expect(window.ack(200)).toBe(true);
  window.releaseMemory();
  await turn();
  collectGarbage();
  expect(memory.filter((each) => each.deref() !== undefined)).toEqual([]);
  send();
});

describe("a peer that is behind", () => {
  it("gets full batches, and what is left with its next acknowledgement", () => {
    const window = new SendWindow({ items: 1_000_000, bytes: 8 * LINK_BEHIND });
    const item = Buffer.alloc(1_000);
    let given = 0;
    let sent = 0;
    /** @returns the items of the next message */
    const next = (): number => {
      const message = window.take(8 * LINK_BEHIND, false);
      return message === undefined ? 0 : countOf(message[0] as Buffer);
    };
    /** Gives it an item, as each turn may have one. @returns the items of what leaves with it */
    const turn = (): number[] => {
      expect(window.offer(2, item)).toBe(true);
      given += 1;
      const counts: number[] = [];
      for (let count = next(); count > 0; count = next()) counts.push(count);
      sent += counts.reduce((sum, count) => sum + count, 0);
      return counts;
    };
    while (window.waitingBytes <= LINK_BEHIND) expect(turn()).toEqual([1]);
    const acked = sent;
    const before = given;
    let counts = turn();
    while (counts.length === 0) counts = turn();
    expect(given - before).toBeGreaterThan(16);
    expect(counts).toEqual([given - before - 1]);
    // What it acknowledges makes the rest leave.
    expect(window.hasUnsent).toBe(true);
    expect(window.ack(acked)).toBe(true);
    expect(next()).toBe(1);
    expect(window.hasUnsent).toBe(false);
  });

  it("refuses more of them, however small they are", () => {
    // Its program takes its time with the first item.
    const onItem = (): Promise<void> => new Promise(() => undefined);
    const receiving = new Receiving("a", MAX_ITEM, { ...RECEIVING_EFFECTS, onItem });
    receiving.hello({ life: "life", session: 0, sent: 0 });
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
    onItem: (_, item) => {
      handled.push(item.view()[0] as number);
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
    await turn();
    expect(receiving.delivered).toBe(delivered);
  }
  expect(handled).toEqual([0, 2]);
});

/** Ends of a session whose acknowledgements are taken. */
function ends(effects: Partial<ReceivingEffects>) {
  const acks: number[] = [];
  const receiving = new Receiving("a", MAX_ITEM, { ...RECEIVING_EFFECTS, ...effects });
  receiving.hello({ life: "life", session: 0, sent: 0 });
  receiving.setMarks(highWaterMark, highWaterMarkBytes);
  receiving.stream = acksTo(({ delivered }) => acks.push(delivered));
  const window = new SendWindow(LIMITS);
  const deliver = (kind: number): void => {
    window.offer(kind, Buffer.alloc(1));
    receiving.onData(Buffer.concat(window.take(GRANTED, false) ?? []));
  };
  return { receiving, acks, deliver };
}

it("items that came before are skipped, at the start of a batch or as a whole one, also while a handler waits", async () => {
  const handled: number[] = [];
  const { passed, open } = gate();
  const receiving = new Receiving("a", MAX_ITEM, {
    ...RECEIVING_EFFECTS,
    onItem: (_, item) => {
      const value = item.view()[0] as number;
      handled.push(value);
      return value === 2 ? passed : undefined;
    },
  });
  receiving.hello({ life: "life", session: 0, sent: 0 });
  /** Items whose bytes are their numbers. */
  const give = (first: number, end: number): void => {
    const items = Array.from({ length: end - first }, (_, i) => [3, 1, first + i]).flat();
    const head = [LinkFrame.BATCH, 0, 0, 0, 0, 0, first, 0, end - first];
    expect(receiving.onData(Buffer.from([...head, ...items]))).toBe(undefined);
  };
  give(0, 2);
  give(0, 2);
  give(0, 1);
  give(1, 4);
  give(2, 4);
  give(0, 5);
  expect(handled).toEqual([0, 1, 2]);
  open();
  await turn();
  give(3, 7);
  expect(handled).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(receiving).toMatchObject({ received: 7, delivered: 7 });
});

it("items that come within the handler of an earlier one, as by a stream in memory, are delivered behind those that waited", async () => {
  const handled: number[] = [];
  const { passed, open } = gate();
  const faults: string[] = [];
  const batch = (first: number, ...items: number[]): Buffer =>
    Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, first, 0, items.length, ...items.flatMap((n) => [3, 1, n])]);
  const receiving: Receiving = new Receiving("a", MAX_ITEM, {
    ...RECEIVING_EFFECTS,
    onItem: (_, item) => {
      const value = item.view()[0] as number;
      handled.push(value);
      if (value === 0) return passed;
      if (value === 2) expect(receiving.onData(batch(5, 5, 6))).toBe(undefined);
      return undefined;
    },
    onFault: (_, fault) => void faults.push(fault),
  });
  receiving.hello({ life: "life", session: 0, sent: 0 });
  receiving.onData(batch(0, 0, 1, 2, 3));
  receiving.onData(batch(4, 4));
  open();
  await turn();
  expect([handled, faults]).toEqual([[0, 1, 2, 3, 4, 5, 6], []]);
  receiving.onData(batch(7, 7));
  expect([handled.at(-1), receiving.delivered]).toEqual([7, 8]);
});

it("a one-to-one message is acknowledged at the end of the turn in which it was delivered, since a caller waits for that", async () => {
  const soon: Receiving[] = [];
  const { passed, open } = gate();
  const { receiving, acks, deliver } = ends({
    onItem: (_, { kind }) => (kind === 3 ? passed : undefined),
    acknowledgeSoon: (each) => void soon.push(each),
  });
  deliver(2);
  expect(soon).toEqual([]);
  deliver(3);
  open();
  await turn();
  expect(soon.length).toBeGreaterThan(0);
  receiving.acknowledge();
  expect(acks).toEqual([2]);
});

it("an acknowledgement goes along with items when a caller waits for it", () => {
  const { receiving, acks, deliver } = ends({});
  for (const kind of [2, 3, 2]) {
    deliver(kind);
    receiving.acknowledgeAlong();
  }
  expect(acks).toEqual([2]);
});
