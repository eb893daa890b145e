/** Operations that are published: wrapped, ended once, and never the reason why a call behaves otherwise. */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endedWith, Operation, withAdded } from "../../src/core/diagnostics.js";
import { ClosedError } from "../../src/core/errors.js";

const ends = channel("test.operation.end");
const seen: Operation[] = [];
const listener = (operation: unknown): void => void seen.push(operation as Operation);

beforeEach(() => ends.subscribe(listener));

afterEach(() => {
  ends.unsubscribe(listener);
  seen.length = 0;
});

function begin(): Operation {
  return new Operation(ends);
}

describe("an operation", () => {
  it("runs within its wrappers, the last one outermost", () => {
    const operation = begin();
    const order: string[] = [];
    for (const name of ["inner", "outer"])
      operation.wrap((run) => {
        order.push(`${name} in`);
        const result = run();
        order.push(`${name} out`);
        return result;
      });
    expect(operation.run(() => order.push("run"))).toBe(3);
    expect(order).toEqual(["outer in", "inner in", "run", "inner out", "outer out"]);
  });

  it("ends with a promise, which goes on as it would", async () => {
    expect(await begin().endWith(Promise.resolve(7))).toBe(7);
    await expect(begin().endWith(Promise.reject(undefined))).rejects.toBeUndefined();
    expect(seen.map(({ error }) => error instanceof Error)).toEqual([false, true]);
    // What closing causes is no unhandled rejection: it would fail this run.
    void begin().endWith(Promise.reject(new ClosedError("EAGAIN", "closed")));
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toHaveLength(3);
  });

  it("ends with a call's result, error or promise", async () => {
    expect(begin().observe(() => 7)).toBe(7);
    expect(() =>
      begin().observe(() => {
        throw undefined;
      }),
    ).toThrow();
    expect(await begin().observe(async () => 8)).toBe(8);
    expect(seen.map(({ error }) => error instanceof Error)).toEqual([false, true, false]);
  });

  it("runs each step of an iteration within its wrapper", async () => {
    const operation = begin();
    const storage = new AsyncLocalStorage<string>();
    const inside: (string | undefined)[] = [];
    operation.wrap((run) => storage.run("within", run));
    async function* parts(): AsyncGenerator<number, string> {
      try {
        inside.push(storage.getStore());
        yield 1;
        inside.push(storage.getStore());
        yield 2;
        return "last";
      } finally {
        inside.push(storage.getStore());
      }
    }
    const steps = operation.runEach(parts())[Symbol.asyncIterator]();
    expect([await steps.next(), await steps.next()]).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
    ]);
    expect(await steps.return?.()).toEqual({ done: true, value: undefined });
    expect(inside).toEqual(["within", "within", "within"]);
  });
});

async function* parts(error?: Error): AsyncGenerator<number, undefined> {
  yield 1;
  if (error !== undefined) throw error;
  return undefined;
}

it("a reply in parts ends its operation when it is read, left, or fails", async () => {
  for await (const _ of endedWith(parts(), begin()));
  for await (const _ of endedWith(parts(), begin())) break;
  const error = new Error("x");
  await expect(async () => {
    for await (const _ of endedWith(parts(error), begin()));
  }).rejects.toBe(error);
  expect(seen.map((operation) => operation.error)).toEqual([undefined, undefined, error]);
});

it("headers of subscribers are left out where there is no room for them", () => {
  const own = { a: "1" };
  expect(withAdded(own, undefined, 2, 100)).toBe(own);
  expect(withAdded(own, { b: "2" }, 2, 4)).toEqual({ a: "1", b: "2" });
  expect(withAdded(own, { b: "2" }, 1, 100)).toBe(own);
  expect(withAdded(own, { b: "2" }, 2, 3)).toBe(own);
  expect(withAdded(undefined, { b: "2" }, 2, 100)).toEqual({ b: "2" });
  // The program's mistake is for the check of its own headers.
  expect(withAdded("text" as never, { b: "2" }, 2, 100)).toBe("text");
  expect(withAdded({ a: 1 } as never, { b: "2" }, 2, 100)).toEqual({ a: 1, b: "2" });
});
