/** How many bytes a Router holds for one of its peers; a socket whose messages go to a reader. */
import { expect, it } from "vitest";
import { Dealer, Publisher, Router, Subscriber } from "../../src/index.js";
import { queuedBytesFor, readBatches, receiveAs } from "../../src/sockets/internal.js";
import { until, within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { freePort } from "../support/ports.js";

const itOfZmtp = it.skipIf((process.env.SHOAL_ENGINE ?? "zmtp") !== "zmtp");
const own = closeAfterEach();

itOfZmtp("are those that the kernel has not taken, for each peer by itself", async () => {
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

/** A Publisher, and a Subscriber to what it sends with a prefix. */
async function pair(prefix = ""): Promise<{ publisher: Publisher; subscriber: Subscriber }> {
  const publisher = own(new Publisher({ sendHighWaterMark: 0 }));
  await publisher.bind("tcp://127.0.0.1:*");
  const subscriber = own(new Subscriber({ receiveHighWaterMark: 0 }));
  subscriber.subscribe(prefix);
  subscriber.connect(publisher.lastEndpoint as string);
  await within(publisher.waitForSubscribers(), "its subscription");
  return { publisher, subscriber };
}

itOfZmtp("turns the event loop between many batches for a reader", async () => {
  const { publisher, subscriber } = await pair();
  const count = 20_000;
  for (let i = 0; i < count; i++) await publisher.send(String(i));
  await until(() => subscriber.stats().receiveQueued === count, "all messages are queued");
  let read = 0;
  let turns = 0;
  const turn = (): void => {
    turns += 1;
    if (read < count) setImmediate(turn);
  };
  readBatches(subscriber, ({ messages }) => {
    if (read === 0) setImmediate(turn);
    read += messages;
    // Longer than a reader may take without a turn.
    for (const end = performance.now() + 1; performance.now() < end; );
  });
  await until(() => read === count, "all messages");
  expect(turns).toBeGreaterThan(1);
  // After nothing was there for a while, too.
  await publisher.send("later");
  await until(() => read === count + 1, "a message after the others");
});

itOfZmtp("gives a reader nothing any more when it has closed the socket", async () => {
  const { publisher, subscriber } = await pair();
  for (let i = 0; i < 3_000; i++) await publisher.send("x");
  await until(() => subscriber.stats().receiveQueued === 3_000, "all messages are queued");
  let read = 0;
  const closed = new Promise<unknown>((resolve) => {
    readBatches(subscriber, () => {
      read += 1;
      resolve(subscriber.close({ linger: 0 }));
    });
  });
  await within(closed, "the end");
  expect(read).toBe(1);
});

it("a socket that closes does not connect again where all its messages have arrived", async () => {
  const router = own(new Router());
  await router.bind("inproc://all-arrived");
  let joins = 0;
  router.events.on("peer:join", () => {
    joins += 1;
  });
  const dealer = new Dealer({ reconnectInterval: 1, reconnectMaxInterval: 1 });
  dealer.connect("inproc://all-arrived");
  dealer.connect(`tcp://127.0.0.1:${await freePort()}`);
  await Promise.all([dealer.send("a"), dealer.send("b")]);
  await dealer.close({ linger: 100 });
  expect(joins).toBe(1);
});

it("gives calls what a function makes of a message, or of the next one, and nothing once that has closed it", async () => {
  const [publisher, subscriber] = [own(new Publisher()), own(new Subscriber())];
  subscriber.subscribe();
  subscriber.connect(await publisher.bind("inproc://receive-as"));
  const seen: string[] = [];
  const messages = receiveAs(subscriber, ([frame]) => {
    seen.push(String(frame));
    if (String(frame) === "close") void subscriber.close();
    return String(frame) === "drop" ? undefined : `${frame}!`;
  });
  await publisher.waitForSubscribers();
  const calls = [messages.receive(), messages.receiveMany({ max: 1 })];
  for (const text of ["drop", "a", "drop", "b", "drop", "c", "close", "d"]) await publisher.send(text);
  expect(await within(Promise.all(calls), "two messages")).toEqual(["a!", ["b!"]]);
  expect(await messages.receive()).toBe("c!");
  await expect(messages.receive()).rejects.toMatchObject({ code: "EAGAIN" });
  expect(seen.at(-1)).toBe("close");
  await expect(messages.receive()).rejects.toMatchObject({ code: "EBADF" });
});
