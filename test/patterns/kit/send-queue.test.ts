/** What waits for room at a DEALER. */
import { expect, it } from "vitest";
import { Dealer, Router } from "../../../src/index.js";
import { SendQueue } from "../../../src/patterns/kit/send-queue.js";

it("keeps the heads of what waits, where they are the caller's again", async () => {
  const dealer = new Dealer();
  const router = new Router();
  const queue = new SendQueue(dealer, undefined, true);
  const head = Buffer.alloc(1);
  // Nobody is connected.
  for (let i = 1; i <= 3; i++) {
    head[0] = i;
    expect(queue.send([head, "body"])).toBe(false);
  }
  head[0] = 0;
  dealer.connect(await router.bind("tcp://127.0.0.1:*"));
  const heads: (number | undefined)[] = [];
  for (let i = 1; i <= 3; i++) heads.push((await router.receive({ timeout: 8_000 }))[1]?.[0]);
  expect(heads).toEqual([1, 2, 3]);
  await Promise.all([dealer.close({ linger: 0 }), router.close({ linger: 0 })]);
});
