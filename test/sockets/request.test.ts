/** How long one attempt of `request` takes at most: sending and waiting together. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Context, Request } from "../../src/index.js";
import { FakeEngine } from "../support/fake-engine.js";
import { turn, watch } from "../support/settled.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

async function pass(ms: number): Promise<void> {
  vi.advanceTimersByTime(ms);
  await turn();
  await turn();
}

test("an attempt whose message waited for room has only the rest of its time for the reply", async () => {
  const engine = new FakeEngine();
  const request = new Request({ context: new Context({ engine }) });
  const fake = engine.last;
  fake.room = 0;
  const answer = watch(request.request("question", { attemptTimeout: 100, retries: 1 }));
  await turn();
  await pass(60);
  fake.room = 1;
  await turn();
  expect(fake.accepted).toEqual(["question"]);
  await pass(39);
  expect(fake.accepted).toHaveLength(1);
  fake.room = 1;
  await pass(1);
  expect(fake.accepted, "the second attempt has begun").toHaveLength(2);
  await pass(99);
  expect(answer.state).toBe("pending");
  await pass(1);
  expect(answer.code).toBe("ETIMEDOUT");
  await request.close({ linger: 0 });
});
