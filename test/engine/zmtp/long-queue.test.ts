/** Whose long queue gets shorter: that of a program that waits for room, and not that of one that is refused, and drops. */
import { afterEach, expect, test } from "vitest";
import { Context, Dealer, Pair, Pull, Push, Subscriber, XPublisher } from "../../../src/index.js";

const LARGE = Buffer.alloc(524_288);
const MARK = 90;

const open: { close(options: { linger: number }): Promise<unknown> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close({ linger: 0 })));
});

test.each<[string, (context: Context) => [Push | Pair, Pull | Pair]]>([
  ["PUSH", (context) => [new Push({ context, sendHighWaterMark: MARK }), new Pull({ context })]],
  [
    "DEALER",
    (context) => [
      new Dealer({ context, sendHighWaterMark: MARK }) as unknown as Push,
      new Dealer({ context }) as unknown as Pull,
    ],
  ],
  [
    "XPUB, noDrop",
    (context) => {
      const to = new Subscriber({ context });
      to.subscribe();
      const from = new XPublisher({ context, sendHighWaterMark: MARK, noDrop: true });
      return [from as unknown as Push, to as unknown as Pull];
    },
  ],
  ["PAIR", (context) => [new Pair({ context, sendHighWaterMark: MARK }), new Pair({ context })]],
])("%s", { timeout: 20_000 }, async (_, make) => {
  const [from, to] = make(new Context({ engine: "zmtp" }));
  open.push(from, to);
  from.connect(await to.bind("tcp://127.0.0.1:*"));
  if (from instanceof XPublisher) await from.receive(); // Its subscription.
  await from.send("linked");
  await to.receive();
  const take = async (messages: number): Promise<void> => {
    for (let taken = 0; taken < messages; ) taken += (await to.receiveMany()).length;
  };
  /** @returns how many messages are taken at once; some of them are the kernel's already */
  const fill = (): number => {
    let messages = 0;
    while (from.trySend(LARGE)) messages += 1;
    return messages;
  };
  for (let i = 0; i < 2; i++) {
    const messages = fill();
    expect(messages).toBeGreaterThanOrEqual(MARK);
    await take(messages);
  }
  const before = fill();
  const waiting = from.send(LARGE);
  await take(before + 1);
  await waiting;
  expect(fill()).toBeLessThan(MARK);
});
