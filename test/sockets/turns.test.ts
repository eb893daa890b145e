import { expect, test } from "vitest";
import { Mutex } from "../../src/core/waiter.js";
import { turn, watch } from "../support/settled.js";

test("a call whose signal aborts right behind it does not wait for its turn", async () => {
  const turns = new Mutex();
  const done = await turns.take();
  const controller = new AbortController();
  const call = watch(turns.take({ signal: controller.signal }));
  controller.abort();
  await turn();
  expect(call.code).toBe("ABORT_ERR");
  done();
});
