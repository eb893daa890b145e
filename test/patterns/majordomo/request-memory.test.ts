/** What is kept of requests for their repetition: forgotten in time, and at a bounded cost whatever clients take for numbers. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { NumberTable } from "../../../src/core/collections/number-table.js";
import { Link } from "../../../src/core/collections/queues.js";
import type { ClientId } from "../../../src/patterns/majordomo/protocol.js";
import {
  type ClientMemory,
  type Repeatable,
  RequestMemory,
} from "../../../src/patterns/majordomo/request-memory.js";

/** The id of a client. */
const clientOf = (low: number): ClientId => ({ high: 0, low });

class Request implements Repeatable {
  memory: ClientMemory | undefined = undefined;
  keptBytes = 0;
  readonly place: Link<Repeatable> = new Link<Repeatable>(this);
  constructor(readonly sequence: number) {}
  own(): void {}
}

afterEach(() => {
  vi.restoreAllMocks();
});

/** Values that all calls of `between` may look at, by the tables' sizes. */
function countLooks(): () => number {
  let looks = 0;
  const between = NumberTable.prototype.between;
  vi.spyOn(NumberTable.prototype, "between").mockImplementation(function (
    this: NumberTable<unknown>,
    first,
    end,
  ) {
    looks += Math.min(end - first, this.size);
    return between.call(this, first, end);
  });
  return () => looks;
}

/** Another request, with its answer. */
function keep(memory: RequestMemory, client: ClientMemory, sequence: number): void {
  const entry = new Request(sequence);
  memory.begin(client, entry);
  memory.keep(entry, 10);
}

/** Requests whose numbers are `step` apart, `open` of them at a time. @returns what is kept after each */
function run(requests: number, step: number, open: number): number[] {
  const memory = new RequestMemory(20_000, 2 ** 30);
  const client = memory.clientOf(clientOf(0), undefined);
  const kept: number[] = [];
  for (let i = 0; i < requests; i++) {
    memory.settle(client, Math.max(0, i - open) * step);
    keep(memory, client, i * step);
    kept.push(memory.kept);
  }
  return kept;
}

describe("settled requests", () => {
  it("are forgotten in steps of a few while a client counts one by one", () => {
    const looks = countLooks();
    expect(Math.max(...run(5_000, 1, 100))).toBeLessThan(100 + 2 * 64);
    expect(looks()).toBeLessThan(4 * 5_000);
  });

  it.each([
    2 ** 17,
    2 ** 32,
    65_537,
    1_000,
  ])("cost a bounded look for each that is %i from the next", (step) => {
    const looks = countLooks();
    const kept = run(30_000, step, 20_000);
    expect(looks()).toBeLessThan(64 * 30_000);
    expect(Math.max(...kept)).toBeLessThanOrEqual(20_000);
  });

  it("are forgotten in the end, however far apart they lie", () => {
    expect(run(30_000, 2 ** 17, 100).at(-1)).toBeLessThan(1_000);
  });

  it("of a client are forgotten with it when the last one is pushed out", () => {
    const memory = new RequestMemory(10, 2 ** 30);
    const clients = Array.from({ length: 11 }, (_, i) => memory.clientOf(clientOf(i), undefined));
    for (const client of clients) keep(memory, client, 1);
    const known = clients.map((client, i) => memory.clientOf(clientOf(i), undefined) === client);
    expect(known).toEqual(clients.map((_, i) => i > 0));
    memory.begin(clients[0] as ClientMemory, new Request(2));
    expect(memory.clientOf(clientOf(0), undefined)).toBe(clients[0]);
  });

  it("leave no room behind in the table of a client whose last one was pushed out", () => {
    const memory = new RequestMemory(20_000, 2 ** 30);
    const first = memory.clientOf(clientOf(1), undefined);
    const second = memory.clientOf(clientOf(2), undefined);
    for (let i = 0; i < 1_000; i++) keep(memory, first, i);
    for (let i = 0; i < 20_000; i++) keep(memory, second, i);
    expect(first.entries.size).toBe(0);
    expect(first.entries.costOfBetween(0, 2 ** 30)).toBeLessThanOrEqual(256);
  });

  it("of a client forgotten meanwhile are found by its earlier connection, too", () => {
    const memory = new RequestMemory(1, 2 ** 30);
    const before = memory.clientOf(clientOf(0), undefined);
    for (const client of [before, memory.clientOf(clientOf(1), undefined)]) keep(memory, client, 1);
    const entry = new Request(2);
    memory.begin(memory.clientOf(clientOf(0), undefined), entry);
    expect(memory.clientOf(clientOf(0), before).entries.get(2)).toBe(entry);
  });
});
