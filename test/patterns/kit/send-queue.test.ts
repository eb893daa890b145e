/** What waits for room at a DEALER. */
import { expect, it } from "vitest";
import { Dealer, type MessageLike } from "../../../src/index.js";
import { SendQueue } from "../../../src/patterns/kit/send-queue.js";

/** Has room from the second look on, as over libzmq, whose own thread makes it between two looks. */
class SoonWritable extends Dealer {
  #looked = false;

  override trySend(): boolean {
    const had = this.#looked;
    this.#looked = true;
    return had;
  }
}

it("reports a message that has left after it has said that it waits", async () => {
  const dealer = new SoonWritable();
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
