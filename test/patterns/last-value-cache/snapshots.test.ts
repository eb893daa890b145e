/** Who gets what of the cache, when, and what ends it. */
import { describe, expect, it } from "vitest";
import { Snapshots } from "../../../src/patterns/last-value-cache/snapshots.js";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";

function create(options: { max?: number; topics?: readonly string[] } = {}) {
  const { max = 100, topics = ["a", "b", "c", "d"] } = options;
  const bounds = { maxTopics: 100, maxBytes: 10_000, maxTopicBytes: 10, maxValueBytes: 100 };
  const cache = new ValueCache(bounds, { evicted: () => undefined, uncached: () => undefined });
  for (const topic of topics) cache.update([Buffer.from(topic), Buffer.from("1")]);
  const sent: string[] = [];
  const full = new Set<string>();
  const gone = new Set<string>();
  const unwanted = new Set<string>();
  const snapshots = new Snapshots<string>(
    cache,
    {
      send: ([topic], joiner) => {
        if (gone.has(joiner)) return "gone";
        if (full.has(joiner)) return "full";
        sent.push(`${joiner}:${topic}`);
        return "sent";
      },
      wants: (joiner, prefix) => !gone.has(joiner) && !unwanted.has(prefix),
      done: (prefix, count) => sent.push(`done ${prefix} ${count}`),
    },
    max,
  );
  return { snapshots, sent, full, gone, unwanted };
}

describe("Snapshots", () => {
  it("gives each joiner its own values, and joiners their turns", () => {
    const { snapshots, sent } = create();
    snapshots.request("", "x");
    snapshots.request("", "y");
    for (let n = 0; n < 3; n++) snapshots.step(2);
    expect(sent).toEqual(["x:a", "x:b", "y:a", "y:b", "x:c", "x:d"]);
    while (snapshots.busy) snapshots.step(2);
    expect(sent.slice(6)).toEqual(["y:c", "y:d", "done  4", "done  4"]);
    expect(snapshots.stats()).toMatchObject({ waiting: 0, done: 2, values: 8, merged: 0 });
  });

  it("serves a joiner's subscriptions in their order, those of one prefix that have not begun together", () => {
    const { snapshots, sent } = create();
    for (const prefix of ["b", "a", "b", "c"]) snapshots.request(prefix, "x");
    expect(snapshots.stats()).toMatchObject({ waiting: 3, merged: 1 });
    snapshots.step(1);
    snapshots.request("b", "x");
    while (snapshots.busy) snapshots.step(10);
    expect(sent).toEqual(["x:b", "done b 1", "x:a", "done a 1", "x:c", "done c 1", "x:b", "done b 1"]);
  });

  it("keeps no more for a joiner without room than what it has, however often it subscribes and cancels", () => {
    const { snapshots, full, unwanted } = create();
    snapshots.request("a", "x");
    full.add("x");
    snapshots.step(1);
    for (let n = 0; n < 1_000; n++) {
      snapshots.request(`prefix ${n}`, "x");
      unwanted.add(`prefix ${n}`);
      expect(snapshots.stats().parked).toBeLessThan(40);
    }
    full.clear();
    snapshots.ready("x");
    while (snapshots.busy) snapshots.step(10);
    expect(snapshots.stats()).toMatchObject({ waiting: 0, parked: 0, done: 1, abandoned: 1_000 });
  });
});
