/** What waits for room at a DEALER. */
import { expect, it } from "vitest";
import { Dealer, type MessageLike, Router } from "../../../src/index.js";
import { SendQueue } from "../../../src/patterns/kit/send-queue.js";
import { deferred } from "../../support/deferred.js";

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
  const heard: string[] = [];
  const emptied = new Promise<void>((resolve) => {
    const queue = new SendQueue(dealer, () => {
      heard.push("empty");
      resolve();
    });
    expect(queue.send(["body"], { settled: (sent) => heard.push(`settled ${sent}`) })).toBe(false);
    heard.push("waits");
  });
  await emptied;
  expect(heard).toEqual(["waits", "settled true", "empty"]);
  await dealer.close({ linger: 0 });
});

it("sends once what is handed in as another one has left", async () => {
  const dealer = new OneByOne();
  const heard: string[] = [];
  await new Promise<void>((resolve) => {
    const queue = new SendQueue(dealer, resolve);
    const send = (name: string, next: readonly string[] = []): void => {
      const settled = (): void => {
        heard.push(name);
        for (const each of next) send(each);
      };
      queue.send([name], { settled });
    };
    send("1", ["2", "3", "4"]);
  });
  expect(dealer.taken).toEqual(["1", "2", "3", "4"]);
  expect(heard).toEqual(["1", "2", "3", "4"]);
  await dealer.close({ linger: 0 });
});

it("loses no message that waits until there is a peer, however many, and in order", async () => {
  const dealer = new Dealer({ maxPendingSends: 1 });
  const left: string[] = [];
  const { promise: empty, resolve: whenEmpty } = deferred();
  const queue = new SendQueue(dealer, () => whenEmpty());
  const texts = Array.from({ length: 20_000 }, (_, n) => String(n));
  for (const text of texts) queue.send([text], { settled: (sent) => sent && left.push(text) });
  expect(queue.length).toBe(texts.length);
  const router = new Router();
  dealer.connect(await router.bind("inproc://send-queue"));
  const got: string[] = [];
  while (got.length < texts.length) got.push(...(await router.receiveMany()).map(([, text]) => String(text)));
  await empty;
  expect([queue.length, left, got]).toEqual([0, texts, texts]);
  await Promise.all([dealer.close({ linger: 0 }), router.close({ linger: 0 })]);
});

it("reports what waits as not sent when the socket closes, and what comes after it", async () => {
  const dealer = new Dealer();
  const heard: string[] = [];
  const queue = new SendQueue(dealer, () => heard.push("empty"));
  const send = (name: string): void => {
    queue.send([name], { settled: (sent) => heard.push(`${name} ${sent}`) });
  };
  send("1");
  send("2");
  await dealer.close({ linger: 0 });
  send("3");
  expect(heard).toEqual(["1 false", "2 false"]);
  await Promise.resolve();
  expect(heard).toEqual(["1 false", "2 false", "3 false"]);
});
