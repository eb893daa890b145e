/** Two nodes that compare their retained values: what one lacks is sent, and nothing else; what is under way at a time is bounded. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  ASK_TIMEOUT,
  MAX_ANSWER_FILTERS,
  MAX_ANSWERS,
  MAX_ASK_BYTES,
  MAX_ASK_FILTERS,
  MAX_SYNCS,
  STALE_INTERVAL,
  SYNC_INTERVAL,
} from "../../../src/cluster/messaging/bounds.js";
import { ItemReader, PublishItem } from "../../../src/cluster/messaging/items.js";
import { type RetainedValue, RetainedValues } from "../../../src/cluster/messaging/retained.js";
import { RetainedAnswers } from "../../../src/cluster/messaging/retained-answers.js";
import {
  ASK,
  END,
  encodeStale,
  readAsk,
  readEnd,
  StaleReason,
  VALUE,
} from "../../../src/cluster/messaging/retained-items.js";
import { RetainedSender } from "../../../src/cluster/messaging/retained-sender.js";
import { StaleNotes } from "../../../src/cluster/messaging/retained-stale.js";
import { RetainedSync } from "../../../src/cluster/messaging/retained-sync.js";
import fc from "../../support/properties.js";

const [ONE, OTHER, GONE, LIVE] = ["1", "2", "3", "4"].map((digit) => digit.repeat(32)) as [
  string,
  string,
  string,
  string,
];

function value(topic: string, node: string, stamp: number): RetainedValue {
  return { topic, node, client: 1, subtopic: undefined, stamp, data: Buffer.from(`${stamp}`) };
}

function storeOf(self: string, values: Iterable<RetainedValue>): RetainedValues {
  const store = new RetainedValues(self, { topics: 1_000_000, bytes: 2 ** 40 });
  for (const each of values) store.keep(each);
  return store;
}

/** What a node sends, and to whom. */
type Sent = { readonly to: string; readonly item: Buffer };

function senderTo(sent: Sent[]): RetainedSender {
  return new RetainedSender({
    send: (to, _kind, item) => {
      sent.push({ to, item: Buffer.from(item) });
      return "sent";
    },
    room: () => Promise.resolve(),
  });
}

function syncOf(
  values: RetainedValues,
  sent: Sent[],
  filters: string[],
  forgotten: string[] = [],
): RetainedSync {
  let number = 0;
  return new RetainedSync(ONE, values, senderTo(sent), {
    isLive: (id) => id !== GONE,
    filters: () => filters,
    nextNumber: () => ++number,
    onUnsent: () => undefined,
    onForgotten: (id) => void forgotten.push(id),
  });
}

/** What is under way has gone. */
async function pause(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** One node asks the other one until all is answered. @returns the values that were sent, and the largest question */
async function compare(
  values: RetainedValues,
  others: RetainedValues,
  filters: string[],
): Promise<{ got: RetainedValue[]; most: number }> {
  const asks: Sent[] = [];
  const answers: Sent[] = [];
  const sync = syncOf(values, asks, filters);
  const answering = new RetainedAnswers(OTHER, others, 1_048_576, senderTo(answers), {
    isLive: (id) => id !== GONE,
    count: () => undefined,
  });
  const got: RetainedValue[] = [];
  let most = 0;
  sync.want(OTHER, "values");
  for (let quiet = 0; quiet < 3; quiet++) {
    await pause();
    for (const { item } of asks.splice(0)) {
      quiet = 0;
      most = Math.max(most, item.length);
      const reader = new ItemReader();
      reader.start(item, 1);
      const ask = readAsk(reader);
      expect(item[0]).toBe(ASK);
      expect(ask && answering.onAsk(ONE, ask, item.length)).toBe(true);
    }
    for (const { item } of answers.splice(0)) {
      quiet = 0;
      const reader = new ItemReader();
      reader.start(item, 1);
      const request = reader.varint();
      expect(sync.get(request)?.peer).toBe(OTHER);
      if (item[0] === END) sync.onEnd(OTHER, request, readEnd(reader) as number[]);
      else {
        expect(item[0]).toBe(VALUE);
        const read = new PublishItem();
        expect(read.readHead(item, reader.at, item.length)).toBe(true);
        const topic = item.toString("utf8", read.reader.nameStart, read.reader.nameEnd);
        read.readTail();
        const sent = value(topic, read.origin, read.stamp);
        got.push(sent);
        values.keep(sent);
      }
    }
  }
  sync.close();
  return { got, most };
}

test("what a node asks costs as much as what the asked one answers for, and not as much as all that it has", async () => {
  const values = storeOf(
    ONE,
    Array.from({ length: 2_000 }, (_, i) => value(`t/${i}`, LIVE, i + 1)),
  );
  const sent: Sent[] = [];
  let looks = 0;
  let number = 0;
  const sync = new RetainedSync(ONE, values, senderTo(sent), {
    isLive: () => {
      looks += 1;
      return true;
    },
    filters: () => ["#"],
    nextNumber: () => ++number,
    onUnsent: () => undefined,
    onForgotten: () => undefined,
  });
  for (let i = 0; i < MAX_SYNCS; i++) sync.want(`peer ${i}`, "values");
  await new Promise((resolve) => setImmediate(resolve));
  expect(sent).toHaveLength(MAX_SYNCS);
  expect(looks).toBe(MAX_SYNCS);
  sync.close();
});

describe("comparing retained values", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
  afterEach(() => void vi.useRealTimers());

  test("sends what is another value here, and nothing else, whatever each has", async () => {
    const values = fc.uniqueArray(
      fc.record({
        topic: fc.nat(60).map((i) => `t/${i}`),
        node: fc.constantFrom(ONE, OTHER, GONE, LIVE),
        stamp: fc.integer({ min: 1, max: 4 }),
      }),
      { selector: ({ topic }) => topic, size: "max", maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(values, values, async (mine, theirs) => {
        const made = (all: typeof mine) => all.map(({ topic, node, stamp }) => value(topic, node, stamp));
        const [one, other] = [storeOf(ONE, made(mine)), storeOf(OTHER, made(theirs))];
        const lacking = made(theirs).filter(({ topic, node, stamp }) => {
          const known = one.get(topic);
          return (node === OTHER || node === GONE) && (known?.node !== node || known.stamp !== stamp);
        });
        const { got } = await compare(one, other, ["t/#"]);
        const order = (all: RetainedValue[]) => all.map(({ topic }) => topic).sort();
        expect(order(got)).toEqual(order(lacking));
        expect((await compare(one, other, ["u/#"])).got).toEqual([]);
      }),
    );
  });

  test("costs some bytes a value where few differ, and has no question larger than its bound", async () => {
    const topics = Array.from({ length: 8_000 }, (_, i) => `sensors/${i}/temperature`);
    const other = storeOf(
      OTHER,
      topics.map((topic) => value(topic, GONE, 5)),
    );
    const one = storeOf(
      ONE,
      topics.map((topic, i) => value(topic, GONE, i % 4_000 === 0 ? 4 : 5)),
    );
    const few = await compare(one, other, ["#"]);
    expect(few.got.map(({ topic }) => topic).sort()).toEqual(topics.filter((_, i) => i % 4_000 === 0).sort());
    expect(few.most).toBeLessThan(16_384);
    // Where all differ their fingerprints go in several questions.
    const all = await compare(
      storeOf(
        ONE,
        topics.map((topic) => value(topic, GONE, 4)),
      ),
      other,
      ["#"],
    );
    expect(all.got).toHaveLength(topics.length);
    expect(all.most).toBeGreaterThan(MAX_ASK_BYTES / 2);
    expect(all.most).toBeLessThan(MAX_ASK_BYTES * 1.1);
  });

  test("is under way with some nodes at a time, and one that does not answer holds up the others for some time", async () => {
    const sent: Sent[] = [];
    const sync = syncOf(storeOf(ONE, []), sent, ["#"]);
    const peers = Array.from({ length: 2 * MAX_SYNCS + 1 }, (_, i) => `${i}`);
    for (const peer of peers) sync.want(peer, "values");
    await pause();
    expect(sent.map(({ to }) => to)).toEqual(peers.slice(0, MAX_SYNCS));
    sync.onEnd("0", 1, []);
    await pause();
    expect(sent.map(({ to }) => to)).toEqual(peers.slice(0, MAX_SYNCS + 1));
    vi.advanceTimersByTime(ASK_TIMEOUT);
    await pause();
    expect(sent).toHaveLength(2 * MAX_SYNCS + 1);
    sync.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is done once more for all that happened meanwhile, once its interval is over", async () => {
    const sent: Sent[] = [];
    const forgotten: string[] = [];
    const sync = syncOf(storeOf(ONE, []), sent, ["#"], forgotten);
    const asked = (): boolean[] =>
      sent.splice(0).map(({ item }) => {
        const reader = new ItemReader();
        reader.start(item, 1);
        return readAsk(reader)?.isInterest === true;
      });
    sync.want(OTHER, "values");
    await pause();
    for (let i = 0; i < 100; i++) sync.want(OTHER, i === 50 ? "interest" : "values");
    sync.onEnd(OTHER, 1, []);
    await pause();
    expect(asked()).toEqual([false]);
    vi.advanceTimersByTime(SYNC_INTERVAL);
    await pause();
    expect(asked()).toEqual([true]);
    // One that forgot what it was asked is asked from the front, also without an answer to that.
    for (let i = 0; i < 100; i++) sync.want(OTHER, "forgotten");
    expect(forgotten).toEqual([]);
    vi.advanceTimersByTime(SYNC_INTERVAL);
    await pause();
    expect([asked(), forgotten]).toEqual([[true], [OTHER]]);
    sync.close();
  });

  test("ends, whatever buckets are said to differ", async () => {
    const sent: Sent[] = [];
    const values = Array.from({ length: 100 }, (_, i) => value(`t/${i}`, GONE, 5));
    const sync = syncOf(storeOf(ONE, values), sent, ["#"]);
    sync.want(OTHER, "values");
    await pause();
    // Eight buckets; 8 is none. After fingerprints none differs.
    sync.onEnd(OTHER, 1, [0, 7, 8, 4_095]);
    sync.onEnd(OTHER, 1, [0]);
    sync.onEnd(LIVE, 2, [0]);
    await pause();
    for (let request = 2; request < 10; request++) {
      sync.onEnd(OTHER, request, [0, 1]);
      await pause();
    }
    expect(sent).toHaveLength(2);
    sync.close();
  });
});

describe("notes that a node may lack values", () => {
  test("go at once, then once in an interval with what happened meanwhile; what is more has less with it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const sent: Sent[] = [];
      const notes = new StaleNotes(senderTo(sent), () => undefined);
      const next = async (): Promise<string[]> => {
        vi.advanceTimersByTime(STALE_INTERVAL);
        await pause();
        return sent.splice(0).map(({ item }) => item.toString("hex"));
      };
      const note = (...of: [number, string?]): string => encodeStale(...of).toString("hex");
      for (const node of [GONE, LIVE, LIVE]) notes.lost(OTHER, node);
      await pause();
      expect(sent.splice(0)).toHaveLength(1);
      expect(await next()).toEqual([note(StaleReason.LOST, LIVE)]);
      for (let i = 0; i < 100; i++) notes.lost(OTHER, `${i}`.padStart(32, "0"));
      expect(await next()).toEqual([note(StaleReason.MISSED)]);
      notes.missed(OTHER);
      notes.forgot(OTHER);
      expect(await next()).toEqual([note(StaleReason.FORGOT)]);
      expect(await next()).toEqual([]);
      notes.close();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("are for one whose questions are too many, which are not kept", () => {
    const answering = new RetainedAnswers(OTHER, storeOf(OTHER, []), 1_048_576, senderTo([]), {
      isLive: () => true,
      count: () => undefined,
    });
    const ask = { request: 1, isInterest: false, filters: ["#"], known: { is: "nothing" } } as const;
    for (let i = 0; i < MAX_ANSWERS; i++) expect(answering.onAsk(ONE, ask, 1)).toBe(true);
    expect(answering.onAsk(ONE, ask, 1)).toBe(false);
    expect(answering.onAsk(LIVE, ask, 1)).toBe(true);
    const filters = Array.from({ length: MAX_ASK_FILTERS }, (_, i) => `${i}`);
    const most = MAX_ANSWER_FILTERS / MAX_ASK_FILTERS;
    for (let i = 0; i < most; i++) expect(answering.onAsk(GONE, { ...ask, filters }, 1)).toBe(true);
    expect(answering.onAsk(GONE, ask, 1)).toBe(false);
    expect(answering.onGone(ONE)).toBe(true);
    expect(answering.onAsk(ONE, ask, 1)).toBe(true);
    answering.close();
  });
});
