/** What a serving node holds of requests, by the rules alone: replies that nobody takes, keys, and bodies that wait. */
import { describe, expect, it } from "vitest";
import { type Job, RequestServing } from "../../../src/cluster/requests/serving.js";
import {
  BodyForm,
  type CallExtras,
  type CallItem,
  decodeRequest,
  encodeCall,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";

const PLAIN: CallExtras = { method: "", key: "", headers: {}, parts: 0, bytes: 0 };
const BODY = { form: BodyForm.TEXT, data: "a body" };
const LONG = { form: BodyForm.TEXT, data: "x".repeat(2_000) };

/** A node with so many slots, whose caller's node takes nothing long, and what that takes of its answers. */
function serving(concurrency = 4) {
  const jobs: Job[] = [];
  const taken: unknown[] = [];
  const rules = new RequestServing(
    { start: (job) => jobs.push(job), aborted: () => undefined },
    {
      sendLater: (_, item, done) => {
        if (item.length < 1_000) taken.push(decodeRequest(item));
        done?.(item.length < 1_000 ? "sent" : "dropped");
      },
      answer: () => undefined,
    },
  );
  const service = rules.add("work", { concurrency, maxQueue: 8, maxQueueBytes: 65_536, keepReplies: 60_000 });
  const receive = (bytes: Buffer): void => void rules.onItem(0, "caller", decodeRequest(bytes) as CallItem);
  const call = (id: number, extras: Partial<CallExtras> = {}): Job => {
    receive(encodeCall(id, 0, "work", { ...PLAIN, ...extras }, BODY));
    return jobs.at(-1) as Job;
  };
  return { rules, service, jobs, taken, receive, call };
}

describe("a reply that is dropped, since too much waits for its caller's node", () => {
  const refusal = { op: RequestOp.FAILURE, id: 7, reason: "slow-reader", busy: 0 };

  it("has a refusal in its place, and its slot is free", () => {
    const { rules, service, taken, call } = serving();
    const job = call(7);
    rules.reply(1, job, LONG);
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([service.running, job.state]).toEqual([0, "over"]);
  });

  it("is refused where it comes in parts, too, and sends no further one", () => {
    const { rules, service, taken, call } = serving();
    const job = call(7, { parts: 8, bytes: 65_536 });
    let done = 0;
    const count = (): void => {
      done += 1;
    };
    rules.part(job, LONG, count);
    rules.part(job, BODY, count);
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([done, service.running, job.state]).toEqual([2, 0, "over"]);
  });
});

describe("an idempotency key", () => {
  it("is a method's own, whatever bytes both have", () => {
    const { jobs, call } = serving();
    call(2, { method: "a", key: "b\0c" });
    call(3, { method: "a\0b", key: "c" });
    expect(jobs).toHaveLength(2);
  });

  it("is none of a reply in parts: others with that key would wait for a reply that never comes", () => {
    const { rules, jobs, call } = serving();
    call(2, { key: "k", parts: 4, bytes: 64 });
    call(3, { key: "k" });
    expect(jobs.map(({ item }) => item.id)).toEqual([3]);
    expect(rules.refused).toEqual({ "invalid-request": 1 });
  });
});

describe("bodies of requests that wait", () => {
  it("keep nothing else of the batch that they came in", () => {
    const { service, receive, call } = serving(1);
    call(1, { key: "stuck" });
    const batch = Buffer.alloc(65_536);
    let at = 0;
    for (const [id, key] of [
      [2, ""],
      [3, "stuck"],
    ] as const) {
      const item = encodeCall(id, 0, "work", { ...PLAIN, key }, BODY);
      item.copy(batch, at);
      receive(batch.subarray(at, at + item.length));
      at += item.length;
    }
    const waiting = [
      service.queue.first,
      ...[...service.keyed.values()].flatMap(({ joined = [] }) => [...joined]),
    ];
    expect(waiting.map((job) => job?.item.id)).toEqual([2, 3]);
    for (const job of waiting) {
      expect(job?.item.body.toString()).toBe(BODY.data);
      expect(job?.item.body.buffer === batch.buffer).toBe(false);
    }
  });
});
