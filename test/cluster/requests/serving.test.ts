/** What a serving node holds of requests, by the rules alone: callers that give up, keys, and what waits. */
import { describe, expect, it } from "vitest";
import { type Job, RequestServing, type ServingSettings } from "../../../src/cluster/requests/serving.js";
import {
  BodyForm,
  type CallExtras,
  type CallItem,
  decodeRequest,
  encodeCall,
  encodeSign,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";
import { SERVICE, SETTINGS, World, type WorldNode } from "./request-world.js";

const PLAIN: CallExtras = { method: "", key: "", headers: undefined, parts: 0, bytes: 0 };
const BODY = "a body";

/** A node whose one slot a request without an end has, and what it answers. */
function stuck(settings: Partial<ServingSettings> = {}) {
  const world = new World(1);
  world.workOf = () => ({ ms: 1_000_000, fails: false, parts: 0 });
  const node = world.add("serving");
  world.add("caller");
  node.serve({ concurrency: 1, ...settings });
  const answers: number[] = [];
  world.carry = (_, __, item) => {
    const decoded = decodeRequest(item);
    answers.push(typeof decoded === "string" ? 0 : decoded.op);
  };
  const call = (id: number, extras: Partial<CallExtras> = {}, timeout = 0): void =>
    node.receive(
      "caller",
      encodeCall(id, timeout, SERVICE, { ...PLAIN, ...extras }, { form: BodyForm.TEXT, data: BODY }),
    );
  call(1, { key: "stuck" });
  return {
    world,
    node,
    service: node.service as NonNullable<typeof node.service>,
    answers,
    call,
    cancel: (id: number) => node.receive("caller", encodeSign(RequestOp.CANCEL, id)),
  };
}

function runningOf({ job }: WorldNode): Job {
  return job as Job;
}

describe("requests that wait, and whose callers give up", () => {
  it.each(["cancelled", "late"])("are held no longer than until as many as wait are %s", (how) => {
    const { world, answers, call, cancel, service } = stuck();
    let id = 1;
    for (let round = 1; round <= 100; round++) {
      const first = id + 1;
      for (let i = 0; i < SETTINGS.maxQueue; i++) call(++id, {}, how === "late" ? 10 : 0);
      expect(service.queued).toBe(SETTINGS.maxQueue);
      if (how === "late") world.runUntil(world.now + 20);
      else for (let gone = first; gone <= id; gone++) cancel(gone);
      expect([service.queued, service.queuedBytes]).toEqual([0, 0]);
      expect(service.queue.length).toBeLessThanOrEqual(SETTINGS.maxQueue);
    }
    expect(answers).toEqual([]);
  });

  it("leave those of others in their order", () => {
    const { world, node, call, cancel, service } = stuck();
    for (let id = 2; id <= 9; id++) call(id);
    for (const id of [2, 4, 5, 7, 8]) cancel(id);
    expect([service.queued, service.queuedBytes]).toEqual([3, 3 * BODY.length]);
    const ids: number[] = [];
    node.serving.fail(world.now, runningOf(node), "worker-failed", "");
    for (let i = 0; i < 3; i++) {
      ids.push(runningOf(node).item.id);
      node.serving.fail(world.now, runningOf(node), "worker-failed", "");
    }
    expect(ids).toEqual([3, 6, 9]);
    expect([service.running, service.queued]).toEqual([0, 0]);
  });

  it("leave room for others with their idempotency key", () => {
    const { answers, call, cancel, service } = stuck();
    let id = 1;
    for (let round = 1; round <= 10; round++) {
      const first = id + 1;
      for (let i = 1; i <= SETTINGS.maxQueue; i++) call(++id, { key: "stuck" });
      expect([service.joined, service.queuedBytes]).toEqual([
        SETTINGS.maxQueue,
        SETTINGS.maxQueue * BODY.length,
      ]);
      for (let gone = first; gone <= id; gone++) cancel(gone);
      expect([service.joined, service.queuedBytes]).toEqual([0, 0]);
    }
    expect(answers).toEqual([]);
    for (let i = 0; i <= SETTINGS.maxQueue; i++) call(++id, { key: "stuck" });
    expect(answers).toEqual([RequestOp.FAILURE]);
  });

  it("are bounded with those of all other keys", () => {
    const { world, node, answers, call, service } = stuck({ concurrency: 4 });
    const keys = ["stuck", "a", "b", "c"];
    let id = 1;
    for (const key of keys.slice(1)) call(++id, { key });
    const jobs = [...service.keyed.values()].map(({ job }) => job as Job);
    for (let i = 0; i < SETTINGS.maxQueue; i++) for (const key of keys) call(++id, { key });
    const joined = (): number[] => [...service.keyed.values()].map(({ joined }) => joined?.size ?? 0);
    expect([joined(), service.joined]).toEqual([[2, 2, 2, 2], SETTINGS.maxQueue]);
    expect(answers).toEqual(Array(3 * SETTINGS.maxQueue).fill(RequestOp.FAILURE));
    // They make room when the one that they wait for has ended, however it does.
    const [first, second] = jobs as [Job, Job];
    node.serving.fail(world.now, first, "worker-failed", "");
    expect(service.joined).toBe(SETTINGS.maxQueue - 2);
    node.serving.reply(world.now, second, { form: BodyForm.TEXT, data: "" });
    expect(service.joined).toBe(SETTINGS.maxQueue - 4);
  });
});

describe("a request whose reply may come in parts", () => {
  it("has no idempotency key: others with that key would wait for a reply that never comes", () => {
    const { world, node, answers, call } = stuck({ concurrency: 2 });
    world.workOf = () => ({ ms: 1, fails: false, parts: 0 });
    call(2, { key: "k", parts: 4, bytes: 64 });
    world.runUntil(10);
    call(3, { key: "k" });
    world.runUntil(20);
    expect(answers).toEqual([RequestOp.FAILURE, RequestOp.REPLY]);
    expect(node.serving.refused).toEqual({ "invalid-request": 1 });
  });
});

describe("a reply that is dropped, since too much waits for its caller's node", () => {
  const LONG = { form: BodyForm.TEXT, data: "x".repeat(2_000) };

  /** A request that runs at a node which takes nothing long, and what it takes of its answers. */
  function running(extras: Partial<CallExtras> = {}) {
    let job: Job | undefined;
    const taken: unknown[] = [];
    const serving = new RequestServing(
      {
        start: (started) => {
          job = started;
        },
        aborted: () => undefined,
      },
      {
        sendLater: (_, item, done) => {
          if (item.length < 1_000) taken.push(decodeRequest(item));
          done?.(item.length < 1_000 ? "sent" : "dropped");
        },
        answer: () => undefined,
      },
    );
    const service = serving.add(SERVICE, SETTINGS);
    const call = encodeCall(7, 0, SERVICE, { ...PLAIN, ...extras }, { form: BodyForm.TEXT, data: BODY });
    serving.onItem(0, "caller", decodeRequest(call) as CallItem);
    return { serving, service, taken, job: job as unknown as Job };
  }

  const refusal = { op: RequestOp.FAILURE, id: 7, reason: "slow-reader", busy: 0 };

  it("has a refusal in its place, and its slot is free", () => {
    const { serving, service, taken, job } = running();
    serving.reply(1, job, LONG);
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([service.running, job.state]).toEqual([0, "over"]);
  });

  it("is refused where it comes in parts, too, and sends no further one", () => {
    const { serving, service, taken, job } = running({ parts: 8, bytes: 65_536 });
    let done = 0;
    const count = (): void => {
      done += 1;
    };
    serving.part(job, LONG, count);
    serving.part(job, { form: BodyForm.TEXT, data: "short" }, count);
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([done, service.running, job.state]).toEqual([2, 0, "over"]);
  });
});

describe("bodies of requests that wait", () => {
  it("keep nothing else of the batch that they came in", () => {
    const { node, service } = stuck();
    const batch = Buffer.alloc(65_536);
    let at = 0;
    for (const [id, key] of [
      [2, ""],
      [3, "stuck"],
    ] as const) {
      const item = encodeCall(id, 0, SERVICE, { ...PLAIN, key }, { form: BodyForm.TEXT, data: BODY });
      item.copy(batch, at);
      node.receive("caller", batch.subarray(at, at + item.length));
      at += item.length;
    }
    const waiting = [
      service.queue.first,
      ...[...service.keyed.values()].flatMap(({ joined = [] }) => [...joined]),
    ];
    expect(waiting.map((job) => job?.item.id)).toEqual([2, 3]);
    for (const job of waiting) {
      expect(job?.item.body.toString()).toBe(BODY);
      expect(job?.item.body.buffer === batch.buffer).toBe(false);
    }
  });
});

describe("a request that runs for others with its idempotency key", () => {
  it.each(["cancelled", "late"])("is aborted when the last of them is %s", (how) => {
    const { world, node, answers, call, cancel } = stuck();
    for (const id of [2, 3]) call(id, { key: "stuck" }, how === "late" ? 10 * id : 0);
    cancel(1);
    if (how === "late") world.runUntil(20);
    else cancel(2);
    expect(node.aborted).toEqual([]);
    if (how === "late") world.runUntil(30);
    else cancel(3);
    expect(node.aborted).toEqual([BODY]);
    expect([answers, node.service?.running, node.service?.queuedBytes]).toEqual([[], 1, 0]);
  });

  it("is not aborted by those that leave while its own caller waits", () => {
    const { node, call, cancel } = stuck();
    call(2, { key: "stuck" });
    cancel(2);
    expect(node.aborted).toEqual([]);
    cancel(1);
    expect(node.aborted).toEqual([BODY]);
  });
});

describe("an idempotency key", () => {
  function call(node: WorldNode, id: number, data: string, extras: Partial<CallExtras>): void {
    const body = { form: BodyForm.JSON, data };
    node.receive("caller", encodeCall(id, 0, SERVICE, { ...PLAIN, ...extras }, body));
  }

  it("gives no reply to another body that has the same FNV-1a hash", () => {
    const { world, node, answers } = stuck({ concurrency: 4 });
    world.workOf = () => ({ ms: 1, fails: false, parts: 0 });
    const [one, other] = ['{"to":"user2665","amount":73936}', '{"to":"user5567","amount":76838}'];
    for (const [id, data] of [one, other, one].entries()) call(node, id + 2, data, { key: "order" });
    world.runUntil(20);
    expect(node.runs).toEqual([BODY, one]);
    expect(answers).toEqual([RequestOp.FAILURE, RequestOp.REPLY, RequestOp.REPLY]);
    expect(node.serving.refused).toEqual({ duplicate: 1 });
  });

  it("is a method's own, whatever bytes both have", () => {
    const { world, node } = stuck({ concurrency: 4 });
    world.workOf = () => ({ ms: 1, fails: false, parts: 0 });
    call(node, 2, "1", { method: "a", key: "b\0c" });
    call(node, 3, "1", { method: "a\0b", key: "c" });
    expect(node.runs).toEqual([BODY, "1", "1"]);
  });
});
