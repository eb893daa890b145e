/** What a site does with the states that others publish: their names and numbers are whatever they say. */
import { describe, expect, it } from "vitest";
import { parseState, stateFrames } from "../../../src/patterns/federation/broker.js";
import {
  CLOUD,
  type FederationEvent,
  FederationRules,
  LOCAL,
} from "../../../src/patterns/federation/rules.js";

function lonelySite(
  liveness: number,
  isConnected = false,
): { rules: FederationRules; events: FederationEvent[] } {
  const events: FederationEvent[] = [];
  const rules = new FederationRules(
    { stateInterval: 1_000, liveness, maxQueue: 10, maxQueueBytes: 1_000_000, maxDeliveries: 2 },
    {
      toWorker: () => true,
      reply: () => undefined,
      siteRequest: () => isConnected,
      siteReply: () => undefined,
      publish: () => undefined,
      isServing: () => true,
      event: (event) => events.push(event),
    },
    0,
    Buffer.alloc(8),
  );
  return { rules, events };
}

describe("states of other sites", () => {
  it.each([0, 3])("are believed of a bounded number of names, with a liveness of %i", (liveness) => {
    const { rules, events } = lonelySite(liveness);
    for (let i = 0; i < 20_000; i++) rules.siteState(`site ${i}`, 1, 0);
    expect(Object.keys(rules.stats().sites)).toHaveLength(1_024);
    expect(rules.stats().invalid).toBe(20_000 - 1_024);
    // Each of them is found to be absent, and the request waits here for one that is not.
    rules.request([Buffer.from("client")], [Buffer.from("body")], LOCAL);
    expect(events.filter(({ type }) => type === "site:left")).toHaveLength(1_024);
    expect(rules.stats()).toMatchObject({ queuedLocal: 1, atSites: 0, sites: {} });
    rules.siteState("another", 1, 0);
    expect(events.at(-1)).toMatchObject({ type: "site:left", site: "another", returned: 1 });
  });

  it("of names that offer nothing give their places to others, however long a silent one is believed", () => {
    const { rules, events } = lonelySite(0, true);
    for (let i = 0; i < 2_000; i++) rules.siteState(`site ${i}`, 0, 0);
    rules.siteState("real", 1, 0);
    expect(Object.keys(rules.stats().sites)).toHaveLength(1_024);
    expect(rules.stats()).toMatchObject({ invalid: 0, sites: { real: 1 } });
    expect(events.at(-2)).toMatchObject({ type: "site:left", reason: "too-many", returned: 0 });
    rules.request([Buffer.from("client")], [Buffer.from("body")], LOCAL);
    for (let i = 0; i < 2_000; i++) rules.siteState(`another ${i}`, 0, 0);
    expect(rules.stats()).toMatchObject({ atSites: 1, sites: { real: 0 } });
  });

  it.each([
    [20, 1, 10],
    [1, 600_000, 2],
  ])("may promise any number of workers: %i requests at a time of %i bytes each are with one of them", (each, bytes, most) => {
    const { rules } = lonelySite(0, true);
    rules.siteState("liar", 999_999_999, 0);
    for (let sent = 0; sent < 1_000 && rules.room > 0; sent += each)
      for (let i = 0; i < each; i++) rules.request([Buffer.from("client")], [Buffer.alloc(bytes)], LOCAL);
    expect(rules.stats()).toMatchObject({ atSites: most });
    expect(rules.room).toBe(0);
  });

  it("have a name that a routing id can be", () => {
    const framesOf = (site: string): Buffer[] =>
      stateFrames({ site, capacity: 1 }).map((each) => Buffer.from(each));
    expect(parseState(framesOf("s".repeat(255)))).toEqual({ site: "s".repeat(255), capacity: 1 });
    expect(parseState(framesOf("s".repeat(256)))).toBeUndefined();
  });
});

describe("a request of another site", () => {
  it("is handled although the site's own clients always have more", () => {
    const sent: string[] = [];
    const answered: string[] = [];
    const rules = new FederationRules(
      { stateInterval: 1_000, liveness: 3, maxQueue: 10, maxQueueBytes: 1_000_000, maxDeliveries: 2 },
      {
        toWorker: (frames) => sent.push(String(frames[2])) > 0,
        reply: () => undefined,
        siteRequest: () => false,
        siteReply: (envelope) => answered.push(String(envelope[0])),
        publish: () => undefined,
        isServing: () => true,
        event: () => undefined,
      },
      0,
      Buffer.alloc(8),
    );
    const worker = Buffer.from("worker");
    const empty = Buffer.alloc(0);
    rules.workerMessage(worker, [empty, Buffer.from("READY")]);
    for (let i = 0; i < 3; i++) rules.request([Buffer.from(`client ${i}`)], [Buffer.from("body")], LOCAL);
    rules.request([Buffer.from("site")], [Buffer.from("body")], CLOUD);
    for (let i = 3; answered.length === 0 && i < 100; i++) {
      rules.workerMessage(worker, [empty, Buffer.from(sent.at(-1) as string), empty, Buffer.from("done")]);
      rules.request([Buffer.from(`client ${i}`)], [Buffer.from("body")], LOCAL);
    }
    expect(answered).toEqual(["site"]);
    expect(sent.indexOf("site")).toBeGreaterThan(3); // Its own clients go first.
  });
});
