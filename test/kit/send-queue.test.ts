/** What waits for room at a DEALER. */
import { expect, it } from "vitest";
import { Dealer, type MessageLike, Router } from "../../src/index.js";
import { SendQueue } from "../../src/kit/sockets.js";

/** Has room for what waits, one by one. */
class OneByOne extends Dealer {
  readonly taken: string[] = [];

  override trySend(): boolean {
    return false;
  }

  override async send(message: MessageLike): Promise<void> {
    this.taken.push(String(message));
  }
}

it("reports a message that has left after it has said that it waits", async () => {
  const dealer = new OneByOne();
  let emptied = 0;
  const queue = new SendQueue(dealer, () => {
    emptied += 1;
  });
  const sending = queue.send(["body"]);
  expect([sending, queue.length]).toEqual([expect.any(Promise), 1]);
  expect([await sending, queue.length, emptied]).toEqual([true, 0, 1]);
  await dealer.close({ linger: 0 });
});

it("sends once what is handed in as another one has left", async () => {
  const dealer = new OneByOne();
  const heard: string[] = [];
  const queue = new SendQueue(dealer);
  const send = async (name: string, next: readonly string[] = []): Promise<void> => {
    await queue.send([name]);
    heard.push(name);
    await Promise.all(next.map((each) => send(each)));
  };
  await send("1", ["2", "3", "4"]);
  expect(dealer.taken).toEqual(["1", "2", "3", "4"]);
  expect(heard).toEqual(["1", "2", "3", "4"]);
  await dealer.close({ linger: 0 });
});

it("loses no message that waits until there is a peer, however many, and in order", async () => {
  const dealer = new Dealer({ maxPendingSends: 1 });
  const left: string[] = [];
  const queue = new SendQueue(dealer);
  const texts = Array.from({ length: 20_000 }, (_, n) => String(n));
  const sending = texts.map(async (text) => (await queue.send([text])) && left.push(text));
  expect(queue.length).toBe(texts.length);
  const router = new Router();
  dealer.connect(await router.bind("inproc://send-queue"));
  const got: string[] = [];
  while (got.length < texts.length) got.push(...(await router.receiveMany()).map(([, text]) => String(text)));
  await Promise.all(sending);
  expect([queue.length, left, got]).toEqual([0, texts, texts]);
  await Promise.all([dealer.close({ linger: 0 }), router.close({ linger: 0 })]);
});

it("reports what waits as not sent when the socket closes, and what comes after it", async () => {
  const dealer = new Dealer();
  const queue = new SendQueue(dealer);
  const sending = [queue.send(["1"]), queue.send(["2"])];
  await dealer.close({ linger: 0 });
  expect(await Promise.all([...sending, queue.send(["3"])])).toEqual([false, false, false]);
});
