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

it("ends where a value cannot be read: a loop does not leave an iterator that failed", async () => {
  const numbers = new Numbers();
  numbers.push(-1);
  numbers.push(2);
  await expect(numbers.next()).rejects.toThrow("bad -1");
  expect([await numbers.next(), numbers.ended, numbers.heard]).toEqual([done, true, ["end", "left"]]);
});
