/** What a serving node holds of requests, by the rules alone: replies that nobody takes, and bodies that wait. */
import { describe, expect, it } from "vitest";
import type { Member } from "../../../src/cluster/node/member.js";
import { type Job, RequestServing } from "../../../src/cluster/requests/service.js";
import type { ServiceRequest } from "../../../src/cluster/requests/types.js";
import {
  BodyForm,
  type CallExtras,
  type CallItem,
  decodeRequest,
  encodeCall,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";
import { gate } from "../../support/gate.js";
import { turn } from "../../support/settled.js";

const PLAIN: CallExtras = { method: "", headers: {}, parts: 0, bytes: 0 };
const BODY = { form: BodyForm.TEXT, data: "a body" };
const LONG = "x".repeat(2_000);

/** A node with so many slots, whose caller's node takes nothing long, and what that takes of its answers. */
function serving(concurrency = 4, handler: () => unknown = () => new Promise(() => undefined)) {
  const jobs: Job[] = [];
  const taken: unknown[] = [];
  /** Lost: its link is full, and what is sent waits until it is back. */
  const caller = { isLost: false };
  const rules = new RequestServing(
    {
      find: () => (caller.isLost ? undefined : ({} as Member)),
      handlerFailed: () => undefined,
      routes: { subscribe: () => Promise.resolve(), unsubscribe: () => Promise.resolve() },
    },
    {
      sendLater: (_, item, done) => {
        if (caller.isLost) return;
        if (item.length < 1_000) taken.push(decodeRequest(item));
        done?.(item.length < 1_000 ? "sent" : "dropped");
      },
      answer: () => undefined,
    },
    { now: () => 0 },
    () => undefined,
  );
  const settings = { concurrency, maxQueue: 8, maxQueueBytes: 65_536 };
  const handle = (_: unknown, request: ServiceRequest): unknown => {
    jobs.push(request as Job);
    return handler();
  };
  const service = rules.serve("work", { handler: handle, isRaw: false }, settings);
  const receive = (bytes: Buffer): void => void rules.onItem(0, "caller", decodeRequest(bytes) as CallItem);
  const call = (id: number, extras: Partial<CallExtras> = {}): Job => {
    receive(encodeCall(id, 0, "work", { ...PLAIN, ...extras }, BODY));
    return jobs.at(-1) as Job;
  };
  return { rules, service, jobs, taken, caller, receive, call };
}

describe("a reply that is dropped, since too much waits for its caller's node", () => {
  const refusal = { op: RequestOp.FAILURE, id: 7, reason: "slow-reader", busy: 0 };

  it("has a refusal in its place, and its slot is free", () => {
    const { service, taken, call } = serving(4, () => LONG);
    const job = call(7);
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([service.running, job.state]).toEqual([0, "over"]);
  });

  it("is refused where it comes in parts, too, and sends no further one", async () => {
    let made = 0;
    const { passed: left, open: leave } = gate();
    const { service, taken, call } = serving(4, async function* () {
      try {
        for (;;) {
          made += 1;
          yield LONG;
        }
      } finally {
        leave();
      }
    });
    const job = call(7, { parts: 8, bytes: 65_536 });
    await left;
    expect(taken).toEqual([expect.objectContaining(refusal)]);
    expect([made, service.running, job.state]).toEqual([1, 0, "over"]);
  });
});

it("a request whose caller is lost here holds no slot while its refusal waits", () => {
  const { service, jobs, caller, call } = serving(1);
  caller.isLost = true;
  call(1);
  expect([service.running, jobs]).toEqual([0, []]);
  caller.isLost = false;
  call(2);
  expect(jobs.map(({ item }) => item.id)).toEqual([2]);
});

it("a request whose handler removes its caller is aborted", () => {
  const { rules, service, caller, call } = serving(1, () => {
    caller.isLost = true;
    rules.onGone("caller");
    return new Promise(() => undefined);
  });
  expect(call(1).signal.aborted).toBe(true);
  expect(service.stats()).toMatchObject({ running: 1, abandoned: 1 });
});

it("bodies of requests that wait keep nothing else of the batch that they came in", async () => {
  const { passed, open } = gate();
  const { jobs, receive, call } = serving(1, () => passed.then(() => "done"));
  call(1);
  const batch = Buffer.alloc(65_536);
  const item = encodeCall(2, 0, "work", PLAIN, BODY);
  item.copy(batch);
  receive(batch.subarray(0, item.length));
  open();
  while (jobs.length < 2) await turn();
  const { id, body } = (jobs[1] as Job).item;
  expect([id, body.toString()]).toEqual([2, BODY.data]);
  expect(body.buffer === batch.buffer).toBe(false);
});
