import { expect, it } from "vitest";
import { Link } from "../../../src/core/collections/queues.js";
import { Deadlines, type Due } from "../../../src/core/timers.js";

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
