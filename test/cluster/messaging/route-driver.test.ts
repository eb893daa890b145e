/** The driver of routes: what `subscribe` promises, and what becomes of the routes of a node that is gone. Its links take all. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type MessagingSettings, messagingSettings } from "../../../src/cluster/messaging/options.js";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";
import { RouteChangesWriter } from "../../../src/cluster/messaging/route-wire.js";

const OTHER = "b".repeat(32);

describe("a route driver", () => {
  let driver: RouteDriver;
  let table: RouteTable;
  /** Deliveries of what was sent, in order. */
  let deliveries: ((isDelivered: boolean) => void)[];

  beforeEach(() => {
    table = new RouteTable();
    deliveries = [];
    driver = new RouteDriver({
      id: "a".repeat(32),
      table,
      settings: messagingSettings() as MessagingSettings,
      takesPart: () => true,
      links: {
        send: () => "sent",
        room: () => new Promise(() => undefined),
        session: () => 0,
        onDelivered: (_, done) => void deliveries.push(done),
      },
    });
  });
  afterEach(() => driver.close());

  it("resolves `subscribe` when all know it, at once where nobody else is", async () => {
    await driver.subscribe("a");
    driver.onMember(OTHER, "alive");
    let isKnown = false;
    const known = driver.subscribe("b").then(() => {
      isKnown = true;
    });
    await vi.waitUntil(() => deliveries.length > 0);
    expect(isKnown).toBe(false);
    for (let done = deliveries.shift(); done !== undefined; done = deliveries.shift()) done(true);
    await known;
    await driver.subscribe("b");
  });

  it("takes the routes of a node that is gone out of the table, though nothing else changes it", async () => {
    driver.onMember(OTHER, "alive");
    const routes = new RouteChangesWriter();
    for (let i = 0; i < 200; i++) routes.add(`of/other/${i}`, true);
    expect(driver.onItem(OTHER, routes.take({ isFirst: true, isLast: true }))).toBeUndefined();
    expect(table.filters).toBe(200);
    driver.onMember(OTHER, "gone");
    expect([table.size, table.unswept]).toEqual([0, 200]);
    await expect.poll(() => [table.filters, table.unswept]).toEqual([0, 0]);
  });

  it("rejects `subscribe` after 10 s when a live node acknowledges nothing", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      driver.onMember(OTHER, "alive");
      let error: unknown;
      driver.subscribe("x").catch((reason: unknown) => {
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
    } finally {
      vi.useRealTimers();
    }
  });

  it("rejects what waits when it closes, and leaves no rejection unhandled", async () => {
    driver.onMember(OTHER, "alive");
    const ready = driver.subscribe("y");
    void driver.subscribe("z");
    driver.close();
    await expect(ready).rejects.toMatchObject({ code: "EAGAIN" });
    await expect(driver.subscribe("late")).rejects.toMatchObject({ code: "EBADF" });
  });
});
