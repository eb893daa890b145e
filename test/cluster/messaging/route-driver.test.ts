/** The driver of routes, over links in memory: what `subscribe` promises, and who is a target. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { DriverNet, type DriverNode } from "./route-links.js";

let net = new DriverNet();
afterEach(() => {
  net.close();
  net = new DriverNet();
});

/** Nodes that have met. */
function nodesOf(count: number): DriverNode[] {
  return Array.from({ length: count }, () => net.add());
}

describe("a route driver", () => {
  it("resolves `subscribe` when all know it, at once where nobody else is", async () => {
    const alone = net.add();
    await alone.driver.subscribe("a");
    const other = net.add();
    const { version } = other.driver;
    await alone.driver.subscribe("b");
    expect(other.targets("b")).toEqual([alone.id]);
    expect(other.driver.version).toBeGreaterThan(version);
    await expect.poll(() => other.targets("a")).toEqual([alone.id]);
    await alone.driver.subscribe("b");
  });

  it("takes the routes of a node that is gone out of the table, though nothing else changes it", async () => {
    const [a, b] = nodesOf(2) as [DriverNode, DriverNode];
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => a.driver.subscribe(`of/a/${i}`)));
    expect(b.table.filters).toBe(2_000);
    b.driver.onMember(a.id, "gone");
    expect([b.table.size, b.table.unswept]).toEqual([0, 2_000]);
    await expect.poll(() => [b.table.filters, b.table.unswept]).toEqual([0, 0]);
  });

  it("rejects `subscribe` after 10 s when a live node acknowledges nothing", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const [a, b] = nodesOf(2) as [DriverNode, DriverNode];
      b.isSilent = true;
      const ready = a.driver.subscribe("x");
      let error: unknown;
      ready.catch((reason: unknown) => {
        error = reason;
      });
      for (let i = 0; i < 500 && error === undefined; i++) {
        vi.advanceTimersByTime(50);
        await new Promise(setImmediate);
      }
      expect(error).toMatchObject({
        code: "ETIMEDOUT",
        message: expect.stringContaining("1 of the other nodes"),
      });
      expect(b.targets("x")).toEqual([a.id]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("rejects what waits when it closes, and leaves no rejection unhandled", async () => {
    const [a, b] = nodesOf(2) as [DriverNode, DriverNode];
    b.isFull = true;
    const ready = a.driver.subscribe("y");
    void a.driver.subscribe("z");
    a.driver.close();
    await expect(ready).rejects.toMatchObject({ code: "EAGAIN" });
    await expect(a.driver.subscribe("late")).rejects.toMatchObject({ code: "EBADF" });
  });
});
