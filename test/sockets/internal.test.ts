/** How many bytes a Router holds for one of its peers. */
import { expect, it } from "vitest";
import { Dealer, Router } from "../../src/index.js";
import { queuedBytesFor } from "../../src/sockets/internal.js";
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
