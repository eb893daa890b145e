/** What every iterator of pushed values does, whoever pushes. */
import { expect, it } from "vitest";
import { PushIterator } from "../../src/core/push-iterator.js";

class Numbers extends PushIterator<number, string> {
  readonly heard: string[] = [];

  protected read(value: number): string {
    if (value < 0) throw new Error(`bad ${value}`);
    return `n${value}`;
  }

  protected override onEnd(): void {
    this.heard.push("end");
  }

  protected override onLeft(): void {
    this.heard.push("left");
  }
}

const done = { done: true, value: undefined };
const value = (text: string) => ({ done: false, value: text });

it("gives values in order, to reads before and after them, and then the end", async () => {
  const numbers = new Numbers();
  const early = [numbers.next(), numbers.next()];
  for (const number of [1, 2, 3]) numbers.push(number);
  numbers.end();
  numbers.end(new Error("too late"));
  expect(await Promise.all([...early, numbers.next(), numbers.next()])).toEqual([
    value("n1"),
    value("n2"),
    value("n3"),
    done,
  ]);
  await numbers.return();
  expect(numbers.heard).toEqual(["end"]);
});

it("fails once, behind the values, and wakes every read that waits", async () => {
  const numbers = new Numbers();
  numbers.push(1);
  const reads = [numbers.next(), numbers.next(), numbers.next()];
  numbers.end(new Error("broken"));
  expect(await Promise.allSettled(reads)).toMatchObject([
    { value: value("n1") },
    { reason: { message: "broken" } },
    { value: done },
  ]);
  expect(await numbers.next()).toEqual(done);
});

it("ends where a value cannot be read: a loop does not leave an iterator that failed", async () => {
  const numbers = new Numbers();
  numbers.push(-1);
  numbers.push(2);
  await expect(numbers.next()).rejects.toThrow("bad -1");
  expect([await numbers.next(), numbers.ended, numbers.heard]).toEqual([done, true, ["end", "left"]]);
});

it("drops what a reader leaves behind, an error, too", async () => {
  const numbers = new Numbers();
  for (const number of [1, 2]) numbers.push(number);
  for await (const text of numbers) {
    expect(text).toBe("n1");
    break;
  }
  expect([await numbers.next(), numbers.heard]).toEqual([done, ["end", "left"]]);
  const broken = new Numbers();
  broken.end(new Error("broken"));
  await broken.return();
  expect([await broken.next(), broken.heard]).toEqual([done, ["end"]]);
});
