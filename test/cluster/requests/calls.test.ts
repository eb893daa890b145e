/** Requests by the rules of their caller alone. */
import { expect, it } from "vitest";
import type { Call, CallTerms } from "../../../src/cluster/requests/call.js";
import { RequestCalls } from "../../../src/cluster/requests/calls.js";
import { BodyForm, decodeRequest, type RequestItem, RequestOp } from "../../../src/cluster/requests/wire.js";
import { randomOf } from "../simulation/world.js";

const TERMS: CallTerms = {
  service: "work",
  extras: undefined,
  body: { form: BodyForm.TEXT, data: "" },
  timeout: -1,
  attemptTimeout: -1,
  retries: 3,
  retryDelay: 20,
  maxRetryDelay: 1_000,
  idempotent: false,
  waitForReady: false,
  self: true,
  node: undefined,
};

/** A caller that knows some nodes, of which `w2` may take nothing, and an answer to all that it sends. */
class Caller {
  now = 0;
  /** Nodes that were sent a request, in their order, and requests without an answer. */
  readonly sent: string[] = [];
  readonly #open: { readonly to: string; readonly item: RequestItem }[] = [];
  result: "sent" | "full" | "unreachable" = "sent";
  tries = 0;
  replies = 0;
  retried = 0;
  onFailed = (error: Error): void => expect.fail(error.message);
  readonly calls: RequestCalls;

  constructor(...ids: readonly string[]) {
    const candidates = ids.map((id) => ({ id, distance: id === "self" ? 0 : 1 }));
    this.calls = new RequestCalls({
      candidates: () => candidates,
      version: () => 0,
      isSettling: () => false,
      queues: {
        send: (to, bytes) => {
          this.tries += 1;
          if (this.tries > 1_000) throw new Error("without an end");
          if (to === "w2" && this.result !== "sent") return this.result;
          this.sent.push(to);
          this.#open.push({ to, item: decodeRequest(bytes) as RequestItem });
          return "sent";
        },
        sendLater: () => undefined,
      },
      nameOf: (id) => id,
      refuse: () => undefined,
      random: randomOf(7),
      report: ({ type }) => (this.retried += type === "request:retried" ? 1 : 0),
    });
    // It knows the nodes from now on.
    this.ask(1);
    this.answer();
    this.sent.length = 0;
  }

  ask(count: number, terms: Partial<CallTerms> = {}): Call[] {
    const reply = () => (this.replies += 1);
    const fail = (error: Error): void => this.onFailed(error);
    const ask = () => this.calls.call(this.now, { ...TERMS, ...terms }, { reply, fail });
    return Array.from({ length: count }, ask);
  }

  /** Answers all that was sent, and what is sent then. */
  answer(reason?: string): void {
    const load = { busy: 0, slots: 4 };
    for (let sent = this.#open.shift(); sent !== undefined; sent = this.#open.shift()) {
      const { id } = sent.item;
      const reply = { op: RequestOp.REPLY, id, ...load, form: BodyForm.NONE, body: Buffer.alloc(0) };
      const failure = { op: RequestOp.FAILURE, id, ...load, reason, message: "", details: undefined };
      const item = reason === undefined ? reply : failure;
      this.calls.onItem(this.now, sent.to, item as unknown as RequestItem);
      if (reason !== undefined) return;
    }
  }

  runUntil(time: number): void {
    for (let at = this.calls.nextWakeUp(); at !== undefined && at <= time; at = this.calls.nextWakeUp()) {
      this.now = Math.max(this.now, at);
      this.calls.tick(this.now);
    }
    this.now = time;
  }
}

it("a node whose link is full is asked again, as often as a request may be repeated; then it is overloaded", () => {
  const caller = new Caller("w2");
  const failed: unknown[] = [];
  caller.onFailed = (error) => failed.push((error as { reason?: string }).reason);
  caller.result = "full";
  caller.ask(2);
  caller.runUntil(25);
  expect([caller.tries, failed]).toEqual([5, []]);
  caller.runUntil(1_000);
  expect([caller.tries, failed]).toEqual([9, ["overloaded", "overloaded"]]);
});

it("the next node gets what the link to one has no room for, at once", () => {
  const caller = new Caller("w1", "w2");
  caller.result = "full";
  caller.ask(20);
  expect(caller.sent).toEqual(Array(20).fill("w1"));
});

it("the only node is asked again after times that grow, where it does not serve and the request waits for one", () => {
  const caller = new Caller("w1");
  caller.ask(1, { waitForReady: true });
  for (let time = 0; time < 10_000; time += 10) {
    caller.answer("stopping");
    caller.runUntil(time);
  }
  expect(caller.sent.length).toBeLessThan(40);
  caller.answer();
  caller.runUntil(12_000);
  caller.answer();
  expect(caller.replies).toBe(2);
});

it("a request that may not go to its own node is made again at the only other one, which refused it", () => {
  const caller = new Caller("self", "w1");
  caller.ask(1, { self: false, retries: 1 });
  caller.answer("stopping");
  caller.runUntil(100);
  caller.answer();
  expect([caller.sent, caller.replies]).toEqual([["w1", "w1"], 2]);
});

it("requests that are late are repeated as often as they may be, and reported; then they fail", () => {
  const caller = new Caller("w1");
  const failed: Error[] = [];
  caller.onFailed = (error) => failed.push(error);
  caller.ask(10, { idempotent: true, attemptTimeout: 50, retries: 1 });
  caller.runUntil(75);
  expect([caller.sent.length, caller.retried, caller.calls.counts.retried]).toEqual([20, 10, 10]);
  caller.runUntil(1_000);
  expect(failed.map((error) => (error as { code?: string }).code)).toEqual(Array(10).fill("ETIMEDOUT"));
});

it("a refused request that is not repeated is not reported as such", () => {
  const caller = new Caller("w1");
  caller.onFailed = () => undefined;
  for (const reason of ["overloaded", "stopping"]) {
    caller.ask(1, { retries: 0 });
    caller.answer(reason);
  }
  expect([caller.sent, caller.retried]).toEqual([["w1", "w1"], 0]);
});
