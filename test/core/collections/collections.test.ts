import { describe, expect, it } from "vitest";
import { Link, LinkedList } from "../../../src/core/collections/linked-list.js";
import { Deadlines, type Due } from "../../../src/core/deadlines.js";

describe("a linked list", () => {
  it("lets members leave from anywhere, and stand in one list only", () => {
    const one = new LinkedList<number>();
    const two = new LinkedList<number>();
    const links = [1, 2, 3, 4].map((value) => new Link(value));
    for (const link of links) one.push(link);
    links[1]?.unlink();
    links[0]?.unlink();
    two.push(links[3] as Link<number>);
    one.unshift(links[0] as Link<number>);
    expect([...one]).toEqual([1, 3]);
    expect([...two]).toEqual([4]);
    expect([one.length, one.first, one.shift(), one.shift(), one.shift()]).toEqual([2, 1, 1, 3, undefined]);
  });

  it("goes on when the member at hand leaves", () => {
    const list = new LinkedList<Link<number>[]>();
    const all = [1, 2, 3].map(() => new Link<Link<number>[]>([]));
    for (const link of all) list.push(link);
    let seen = 0;
    for (const _ of list) all[seen++]?.unlink();
    expect([seen, list.length]).toEqual([3, 0]);
  });
});

it("deadlines come due in time, in few lists, and not when they were set again", () => {
  class Timed implements Due {
    deadline = 0;
    readonly link = new Link<Timed>(this);
    constructor(readonly name: string) {}
  }
  const deadlines = new Deadlines<Timed>();
  const [a, b, c] = ["a", "b", "c"].map((name) => new Timed(name)) as [Timed, Timed, Timed];
  deadlines.set(a.link, 0, 1_000);
  deadlines.set(b.link, 0, 10);
  deadlines.set(c.link, 0, 10);
  expect(deadlines.next()).toBe(10);
  deadlines.set(b.link, 5, 1_000);
  expect([...deadlines.take(10)]).toEqual([c]);
  expect(a.deadline).toBeGreaterThanOrEqual(1_000);
  expect(a.deadline).toBeLessThanOrEqual(1_125);
  a.link.unlink();
  expect([...deadlines.take(5_000)]).toEqual([b]);
  expect(deadlines.next()).toBeUndefined();
});
