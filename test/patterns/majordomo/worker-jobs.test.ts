/** The requests in a worker's hands when their connection has no room, or their client no wish for more. */
import { beforeEach, describe, expect, it } from "vitest";
import { frameCost } from "../../../src/core/memory.js";
import {
  Body,
  Command,
  encode,
  encodeHeaders,
  type FromWorker,
} from "../../../src/patterns/majordomo/protocol.js";
import { type Job, type JobsOptions, WorkerJobs } from "../../../src/patterns/majordomo/worker-jobs.js";
import type {
  MajordomoHandler,
  MajordomoRequestContext,
} from "../../../src/patterns/majordomo/worker-options.js";
import { WorkerSession } from "../../../src/patterns/majordomo/worker-rules.js";
import { turn } from "../../contract/support/wait.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { deliveryOf, idOf } from "./messages.js";

/** Whether the connection has room. */
let hasRoom: boolean;
/** What waits for it. */
let waiting: { message: FromWorker; settle: (sent: boolean) => void }[];
/** Commands of the worker, and the last frame: "3 piece". */
let said: string[];
/** The tags of the requests that they are about. */
let saidOf: number[];
let session: WorkerSession;
let jobs: WorkerJobs;

function make(handler: MajordomoHandler, given: Partial<JobsOptions> = {}): void {
  hasRoom = true;
  waiting = [];
  said = [];
  saidOf = [];
  const room = { concurrency: 1, capacity: 10 };
  const times = { heartbeatInterval: 1_000, liveness: 3, reconnectInterval: 100, reconnectMaxInterval: 100 };
  session = new WorkerSession(
    { service: Buffer.from("echo"), ...room, name: "w", dialect: undefined, ...times },
    {
      open: () => true,
      close: () => {
        for (const { settle } of waiting.splice(0)) settle(false);
      },
      send: () => undefined,
      reply: (message) => {
        if (!hasRoom) return new Promise((settle) => waiting.push({ message: { ...message }, settle }));
        say(message);
        return true;
      },
      start: (request) => jobs.start(session, request),
      cancel: (tag) => jobs.cancel(session, tag),
      credit: (tag, bytes) => jobs.credit(session, tag, bytes),
      joined: () => undefined,
      left: () => jobs.abandon(session),
      fault: () => undefined,
    },
    () => 0,
  );
  const options: JobsOptions = {
    service: "echo",
    concurrency: 1,
    prefetch: 10,
    dedupWindow: 100,
    dedupBytes: 1_000_000,
    maxReplyBytes: 1_000,
    creditTimeout: 0,
    requestCodec: undefined,
    replyCodec: undefined,
    ...given,
  };
  jobs = new WorkerJobs(options, handler as MajordomoHandler<unknown, unknown>, () => undefined);
  session.start(0);
  register();
}

function say(message: FromWorker): void {
  const [head, ...body] = encode("worker", message);
  said.push(`${head?.[6]} ${String(body.at(-1) ?? "")}`);
  saidOf.push((head as Buffer).readUInt32BE(7));
}

function relieve(): void {
  hasRoom = true;
  for (const { message, settle } of waiting.splice(0)) {
    say(message);
    settle(true);
  }
}

const register = (): void => session.receive({ kind: "negotiated", extended: true, heartbeatInterval: 0 }, 0);

function give(tag: number, sequence = tag): void {
  session.receive(deliveryOf(tag, { ...idOf(sequence), oldest: sequence }), 0);
}
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await turn();
};
const { Final: FINAL, Partial: PARTIAL, Failure: FAILURE } = Command;

it("a reply for which there is no room is stale when its connection ends, and its handler free", async () => {
  make(([body]) => body as Buffer);
  hasRoom = false;
  give(1);
  const idle = jobs.whenIdle();
  session.disconnected(1);
  await idle;
  expect([jobs.running, jobs.unsentBytes, jobs.counters.stale]).toEqual([0, 0, 1]);
  session.tick(1_000);
  register();
  hasRoom = true;
  give(2);
  expect(said).toEqual([`${FINAL} 2`]);
});

it("a request that waits until pieces were sent begins then, not only when the next one ends", async () => {
  let end = (): void => undefined;
  const pieces = async function* () {
    yield Buffer.alloc(2_000);
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  };
  make(([body]) => (String(body) === "1" ? pieces() : body) as never, { concurrency: 2 });
  hasRoom = false;
  give(1);
  await turns();
  give(2);
  expect([jobs.running, jobs.queued]).toEqual([1, 1]);
  relieve();
  await turns();
  expect([jobs.queued, said.at(-1)]).toEqual([0, `${FINAL} 2`]);
  end();
  await turns();
  expect(jobs.running).toBe(0);
});

it("a stopping worker returns what comes, but for a repetition of a request that it handles", async () => {
  let finish = (): void => undefined;
  const handler = (): Promise<string> => new Promise((resolve) => (finish = () => resolve("done")));
  make(handler, { concurrency: 3 });
  give(1);
  jobs.returnWaiting();
  give(2);
  give(3, 1);
  expect([jobs.running, said.map((line) => line[0]), saidOf]).toEqual([1, ["7", "7"], [2, 1]]);
  finish();
  await turns();
  expect(said.at(-1)).toBe(`${FINAL} done`);
});

it("an answer is kept without its request", async () => {
  make(() => "answer");
  const ask = (): WeakRef<Buffer> => {
    const request = Buffer.alloc(1_000);
    session.receive(deliveryOf(1, { ...idOf(1), oldest: 1, body: Body.of([request]) }), 0);
    return new WeakRef(request);
  };
  const request = ask();
  await turn();
  collectGarbage();
  expect(request.deref()).toBeUndefined();
  give(2, 1);
  expect(said).toEqual([`${FINAL} answer`, `${FINAL} answer`]);
});

it("a reply that throws when it is looked at is a failure of its handler, also where a promise gives it", async () => {
  const odd = {
    get [Symbol.asyncIterator](): never {
      throw Object.assign(new Error("no next"), { expose: true });
    },
  };
  make(([body]) => (String(body) === "1" ? odd : Promise.resolve(odd)) as never);
  give(1);
  give(2);
  await turns();
  expect(said).toEqual([expect.stringMatching(/^\d+ .*no next/), expect.stringMatching(/^\d+ .*no next/)]);
  expect(said.every((each) => each.startsWith(`${FAILURE} `))).toBe(true);
  expect(jobs.running).toBe(0);
});

it("a handler's thenable that settles twice, or throws afterwards, gives one answer", async () => {
  const handler = ([body]: Buffer[]): unknown => ({
    // biome-ignore lint/suspicious/noThenProperty: a thenable of a program
    then: (resolve: (text: string) => void, reject: (error: Error) => void) => {
      resolve(String(body));
      resolve("again");
      reject(new Error("late"));
      throw new Error("later");
    },
  });
  make(handler as MajordomoHandler);
  give(1);
  give(2);
  await turns();
  expect(said).toEqual([`${FINAL} 1`, `${FINAL} 2`]);
  expect(jobs.counters).toMatchObject({ answered: 2, failed: 0 });
});

it("no handler begins while more than maxReplyBytes wait for room", async () => {
  make(() => Buffer.alloc(600), { concurrency: 10 });
  hasRoom = false;
  for (let tag = 1; tag <= 5; tag++) give(tag);
  expect([jobs.running, jobs.queued, jobs.unsentBytes]).toEqual([2, 3, 2 * frameCost(600)]);
  relieve();
  await turns();
  expect(said).toHaveLength(5);
});

describe("an answer in pieces", () => {
  let made: number;
  let ended: boolean;
  const flood = async function* (): AsyncGenerator<Buffer, undefined> {
    try {
      while (made < 100) {
        made += 1;
        yield Buffer.alloc(4_000);
      }
    } finally {
      ended = true;
    }
    return undefined;
  };
  const begin = (): void => {
    made = 0;
    ended = false;
    make(flood);
  };
  beforeEach(begin);

  it("goes on with what is granted, and neither ends nor goes on by less than its last piece took too much", async () => {
    give(1);
    await turns();
    // 65,536 are used up by seventeen of 4,073, and the last one began within them.
    expect([made, said.length]).toEqual([18, 17]);
    for (const [bytes, sent] of [
      [1, 17],
      [10_000, 19],
      [1_000_000, 101],
    ] as const) {
      session.receive({ kind: "credit", number: 1, bytes }, 0);
      await turns();
      expect(said).toHaveLength(sent);
    }
    expect(said.at(-1)).toBe(`${FINAL} `);
  });

  it.each([
    ["cancelled", () => jobs.cancel(session, 1)],
    ["given by a broker that is lost", () => session.disconnected(1)],
  ])("ends its generator when it is %s, whatever it waits for, and the worker goes on", async (_, end) => {
    for (const isFull of [false, true]) {
      begin();
      hasRoom = !isFull;
      give(1);
      await turns();
      end();
      relieve();
      await turns();
      expect([ended, jobs.running, jobs.unsentBytes]).toEqual([true, 0, 0]);
    }
  });

  it("is never whole for a handler that stops early because it was aborted", async () => {
    make(async function* (_, { signal }) {
      while (!signal.aborted) yield Buffer.alloc(4_096);
      return undefined;
    });
    give(1);
    await turns();
    jobs.cancel(session, 1);
    await turns();
    expect(said.map((text) => text.slice(0, 1))).toEqual([
      ...Array<string>(16).fill(String(PARTIAL)),
      String(FAILURE),
    ]);
    expect(jobs.counters).toMatchObject({ cancelled: 1, answered: 0 });
  });

  it("fails when nobody reads on in time", async () => {
    make(flood, { creditTimeout: 1 });
    give(1);
    await jobs.whenIdle();
    expect([ended, said.at(-1)?.slice(0, 1)]).toEqual([true, String(FAILURE)]);
    expect(jobs.counters).toMatchObject({ failed: 1 });
  });
});

describe("a request that two brokers give", () => {
  /** Brokers that the worker is registered with. */
  let one: WorkerSession;
  let two: WorkerSession;
  let begun: {
    readonly body: string;
    readonly signal: AbortSignal;
    readonly reply: (body: string) => void;
  }[];
  /** "tag command text" of each answer. */
  const answers = (): string[] => said.map((text, i) => `${saidOf[i]} ${text}`);
  const giveBy = (by: WorkerSession, tag: number, sequence: number): void => {
    session = by;
    give(tag, sequence);
  };
  /** The only handler has the first; the second waits for it, and both brokers have given it. */
  const giveOneThatWaits = (): void => {
    giveBy(one, 1, 1);
    giveBy(one, 2, 2);
    giveBy(two, 102, 2);
  };
  const slow: MajordomoHandler = ([body], { signal }) =>
    new Promise((resolve) => {
      begun.push({ body: String(body), signal, reply: resolve });
    });
  const makeTwo = (handler: MajordomoHandler): void => {
    make(handler);
    one = session;
    const shared = jobs;
    make(handler);
    jobs = shared;
    two = session;
  };

  beforeEach(() => {
    begun = [];
    makeTwo(slow);
  });

  it("is handled once, and its newest delivery gets the answer: the one before ends at once", async () => {
    giveBy(one, 1, 1);
    giveBy(two, 101, 1);
    expect(answers()).toEqual([expect.stringMatching(`^1 ${FAILURE} `)]);
    begun[0]?.reply("done");
    await turns();
    expect(answers().slice(1)).toEqual([`101 ${FINAL} done`]);
    expect([begun.length, one.inFlight, two.inFlight, jobs.running]).toEqual([1, 0, 0, 0]);
    expect(jobs.counters).toMatchObject({ requests: 2, duplicates: 1, answered: 1, cancelled: 1 });
  });

  it("is the second's, too, when it still waits for a handler, and is aborted when the second cancels it", async () => {
    giveOneThatWaits();
    expect(answers()).toEqual([expect.stringMatching(`^2 ${FAILURE} `)]);
    jobs.cancel(one, 2);
    begun[0]?.reply("first");
    await turns();
    expect(begun[1]?.signal.aborted).toBe(false);
    jobs.cancel(two, 102);
    expect(begun[1]?.signal.aborted).toBe(true);
    begun[1]?.reply("late");
    await turns();
    expect([one.inFlight, two.inFlight, jobs.running]).toEqual([0, 0, 0]);
  });

  it("is handled again when it comes after the first piece of its answer", async () => {
    let handled = 0;
    makeTwo(async function* () {
      handled += 1;
      yield "a";
      return "end";
    });
    hasRoom = false;
    giveBy(one, 1, 1);
    await turns();
    giveBy(two, 101, 1);
    relieve();
    await turns();
    for (const tag of [1, 101])
      expect(answers().filter((text) => text.startsWith(`${tag} `))).toEqual([
        `${tag} ${PARTIAL} a`,
        `${tag} ${FINAL} end`,
      ]);
    expect(handled).toBe(2);
  });

  it("is whole for the registration that gave it again after the connection was lost", async () => {
    giveBy(one, 1, 1);
    one.disconnected(1);
    one.tick(1_000);
    register();
    giveBy(one, 2, 1);
    begun[0]?.reply("done");
    await turns();
    expect([answers(), begun.length, jobs.counters.stale]).toEqual([[`2 ${FINAL} done`], 1, 1]);
  });

  it("goes back to the second when the worker stops", () => {
    giveOneThatWaits();
    jobs.returnWaiting();
    expect(answers().at(-1)).toBe(`102 ${FAILURE} The worker is stopping.`);
    // One that comes before the broker knows that is not a repetition of what is over, and goes back, too.
    giveBy(two, 103, 2);
    expect(answers().at(-1)).toBe(`103 ${FAILURE} The worker is stopping.`);
  });
});

it("an answer that is kept for long holds no received chunk by its request's headers", () => {
  const contexts: MajordomoRequestContext[] = [];
  make((_, context) => contexts.push(context) && "answer", { dedupWindow: 10_000 });
  const encoded = encodeHeaders({ trace: "a1" });
  for (let tag = 1; tag <= 2_049; tag++) {
    const chunk = tag === 1 ? Buffer.alloc(65_536) : Buffer.alloc(encoded.length);
    chunk.set(encoded);
    const headers = chunk.subarray(0, encoded.length);
    session.receive(deliveryOf(tag, { ...idOf(tag), oldest: 1, headers }), 0);
  }
  const first = contexts[0] as Job;
  expect(first.headers).toEqual({ trace: "a1" });
  expect(first.delivery.headers.buffer.byteLength).toBeLessThan(65_536);
});
