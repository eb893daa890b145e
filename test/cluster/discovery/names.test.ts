/** Look-ups of host names, in virtual time. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Names, namesOf } from "../../../src/cluster/discovery/discovery.js";
import type { HostPort } from "../../../src/cluster/net/addresses.js";

let zone: Record<string, string[] | Error>;
let asked: string[];
let alone: boolean;
let changed: number;
let failed: number;
let names: Names;

beforeEach(() => {
  vi.useFakeTimers();
  zone = {};
  asked = [];
  alone = false;
  changed = 0;
  failed = 0;
  names = namesOf(
    (error) => {
      if (error === undefined) changed += 1;
      else failed += 1;
    },
    () => alone,
    async ({ host, port }: HostPort) => {
      asked.push(host);
      await new Promise((resolve) => setTimeout(resolve, 5));
      const found = zone[host] ?? [];
      if (found instanceof Error) throw found;
      return found.map((address) => `${address}:${port}`);
    },
  );
});

afterEach(() => {
  names.stop();
  vi.useRealTimers();
});

describe("names", () => {
  it("keep their addresses while look-ups fail", async () => {
    zone.db = ["10.0.0.1"];
    names.set(new Set(["db:7946"]));
    await vi.advanceTimersByTimeAsync(10);
    zone.db = [];
    await vi.advanceTimersByTimeAsync(80_000);
    zone.db = new Error("EAI_AGAIN");
    await vi.advanceTimersByTimeAsync(80_000);
    expect(failed).toBeGreaterThanOrEqual(2);
    expect(names.get("db:7946")).toEqual(["10.0.0.1:7946"]);
  });

  it("are looked up more often by a node that is alone", async () => {
    alone = true;
    names.set(new Set(["db:7946"]));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(asked.length).toBeGreaterThanOrEqual(4);
    expect(asked.length).toBeLessThanOrEqual(9);
  });

  it("are looked up on time though others come and go every second", async () => {
    zone.db = ["10.0.0.1"];
    for (let i = 0; i < 100; i++) {
      names.set(new Set(["db:7946", `other-${i}:1`]));
      await vi.advanceTimersByTimeAsync(1_000);
    }
    const lookUps = asked.filter((host) => host === "db").length;
    expect(lookUps).toBeGreaterThanOrEqual(2);
    expect(lookUps).toBeLessThanOrEqual(3);
    expect(names.get("other-3:1")).toEqual([]);
  });

  it("are not looked up any more once nobody names them, or it is stopped", async () => {
    names.set(new Set(["db:7946"]));
    await vi.advanceTimersByTimeAsync(10);
    names.set(new Set());
    await vi.advanceTimersByTimeAsync(200_000);
    expect(asked).toEqual(["db"]);
    names.set(new Set(["x:1"]));
    names.stop();
    zone.x = ["10.0.0.1"];
    await vi.advanceTimersByTimeAsync(200_000);
    expect(asked).toEqual(["db", "x"]);
    expect(changed).toBe(0);
  });
});
