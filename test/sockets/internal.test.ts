/** How many bytes a Router holds for one of its peers; a socket whose messages go to a reader. */
import { expect, it } from "vitest";
import { Dealer, Router } from "../../src/index.js";
import { queuedBytesFor, readAll } from "../../src/sockets/internal.js";
import { until, within } from "../contract/support/wait.js";

const ENGINE = process.env.SHOAL_ENGINE ?? "zmtp";

it.skipIf(ENGINE !== "zmtp")("are those that the kernel has not taken, for each peer by itself", async () => {
  const router = new Router({ mandatory: true, sendHighWaterMark: 100_000 });
  await router.bind("tcp://127.0.0.1:*");
  const slow = new Dealer({ routingId: "slow", receiveHighWaterMark: 1 });
  const other = new Dealer({ routingId: "other" });
  for (const dealer of [slow, other]) {
    dealer.connect(router.lastEndpoint as string);
    await dealer.send("hello");
    await within(router.receive(), "hello");
  }
  const of = (peer: string): number => queuedBytesFor(router, Buffer.from(peer));
  expect(of("nobody")).toBe(0);
  const count = 200;
  const size = 100_000;
  for (let i = 0; i < count; i++) await router.send(["slow", Buffer.alloc(size)]);
  await router.send(["other", "x"]);
  expect(String(await within(other.receive(), "the other's message"))).toBe("x");
  expect(of("slow")).toBeGreaterThan(5 * size);
  expect(of("slow")).toBeLessThan(count * (size + 9) + 1);
  expect(of("other")).toBe(0);
  for (let i = 0; i < count; i++) await within(slow.receive(), `message ${i}`);
  await until(() => of("slow") === 0, "nothing that waits");
  await Promise.all([router, slow, other].map((socket) => socket.close({ linger: 0 })));
  expect(of("slow")).toBe(0);
});

/** A Router, and a Dealer that is connected to it. */
async function pair(): Promise<{ router: Router; dealer: Dealer }> {
  const router = new Router({ receiveHighWaterMark: 0 });
  await router.bind("tcp://127.0.0.1:*");
  const dealer = new Dealer({ routingId: "dealer", sendHighWaterMark: 0 });
  dealer.connect(router.lastEndpoint as string);
  return { router, dealer };
}

it("gives a reader all that comes, in order, and turns the event loop between many", async () => {
  const { router, dealer } = await pair();
  const count = 20_000;
  for (let i = 0; i < count; i++) await dealer.send(String(i));
  await until(() => router.stats().receiveQueued === count, "all messages are queued");
  const texts: string[] = [];
  let turns = 0;
  const turn = (): void => {
    turns += 1;
    if (texts.length < count) setImmediate(turn);
  };
  const all = new Promise<void>((resolve) => {
    readAll(router, ([id, text]) => {
      expect(String(id)).toBe("dealer");
      texts.push(String(text));
      if (texts.length === 1) setImmediate(turn);
      if (texts.length === count) resolve();
    });
  });
  await within(all, "all messages");
  expect(texts).toEqual(Array.from({ length: count }, (_, i) => String(i)));
  expect(turns).toBeGreaterThan(1);
  expect(router.stats().received).toBe(count);
  // After nothing was there for a while, too.
  const last = new Promise<void>((resolve) => {
    readAll(router, () => resolve());
  });
  await dealer.send("later");
  await within(last, "a message after the others");
  await Promise.all([router, dealer].map((socket) => socket.close({ linger: 0 })));
});

it("gives a reader nothing any more when it has closed the socket", async () => {
  const { router, dealer } = await pair();
  let closed: Promise<unknown> | undefined;
  let read = 0;
  const done = new Promise<void>((resolve) => {
    readAll(router, () => {
      read += 1;
      closed = router.close({ linger: 0 });
      resolve();
    });
  });
  for (let i = 0; i < 100; i++) await dealer.send("x");
  await within(done, "the first message");
  await within(closed as Promise<unknown>, "the end");
  expect(read).toBe(1);
  await dealer.close({ linger: 0 });
});
