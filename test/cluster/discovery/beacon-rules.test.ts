/** How often nodes beacon, 2 to 200 of them in one network, in virtual time. */
import { describe, expect, it } from "vitest";
import { BeaconRules } from "../../../src/cluster/discovery/beacon-rules.js";
import { LONG } from "../../support/long.js";

const INTERVAL = 5_000;

/** A network in which each beacon reaches all the others after 1 ms. */
class Network {
  readonly nodes: { readonly rules: BeaconRules; readonly host: string }[] = [];
  now = 0;
  beacons = 0;
  loss = 0;
  #state = 12_345;

  random = (): number => {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return this.#state / 0x8000_0000;
  };

  add(): BeaconRules {
    const rules = new BeaconRules(INTERVAL, this.random, this.now);
    this.nodes.push({ rules, host: `10.0.${this.nodes.length >> 8}.${this.nodes.length & 255}` });
    return rules;
  }

  run(ms: number): void {
    for (const end = this.now + ms; ; ) {
      const next = this.nodes.reduce((least, { rules }) => Math.min(least, rules.nextWakeUp()), end);
      this.now = Math.max(this.now, next);
      if (this.now >= end) return;
      for (const { rules, host } of this.nodes) {
        if (rules.nextWakeUp() > this.now || !rules.tick(this.now).beacons) continue;
        this.beacons += 1;
        for (const other of this.nodes)
          if (other.host !== host && this.random() >= this.loss)
            other.rules.onBeacon(this.now + 1, host, 7_946);
      }
      this.now += 1;
    }
  }
}

describe("beacons", () => {
  it("of a node that hears nobody come once in an interval", () => {
    const network = new Network();
    network.add();
    network.run(100_000);
    const before = network.beacons;
    network.run(20 * INTERVAL);
    expect(network.beacons - before).toBeGreaterThanOrEqual(19);
    expect(network.beacons - before).toBeLessThanOrEqual(21);
  });

  it.each(
    LONG ? [2, 5, 10, 50, 100, 200] : [2, 5, 10, 100],
  )("of %i nodes are not many more than of a few", (count) => {
    const network = new Network();
    for (let i = 0; i < count; i++) network.add();
    network.run(60_000);
    const before = network.beacons;
    network.run(20 * INTERVAL);
    const rate = (network.beacons - before) / 20;
    expect(rate).toBeGreaterThanOrEqual(Math.min(count, 3) * 0.9);
    // Without damping it would be as many as there are nodes.
    expect(rate).toBeLessThanOrEqual(Math.min(count + 0.2, 12));
  });

  it.each(
    LONG ? [2, 50, 200] : [2, 50],
  )("of %i nodes reach a newcomer, or its own reach them, within half a second", (count) => {
    const network = new Network();
    for (let i = 0; i < count; i++) network.add();
    network.run(300_000);
    const before = network.beacons;
    const late = network.add();
    const host = network.nodes.at(-1)?.host;
    network.run(500);
    const isHeard = network.nodes.some(({ rules }) => rules.addresses.includes(`${host}:7946`));
    expect(late.addresses.length > 0 || isHeard).toBe(true);
    expect(network.beacons - before).toBeLessThanOrEqual(20);
  });

  it("begin with one that others do not silence", () => {
    const rules = new BeaconRules(INTERVAL, () => 0.5, 0);
    for (let i = 0; i < 10; i++) rules.onBeacon(0, "10.0.0.1", 1);
    expect(rules.tick(rules.nextWakeUp()).beacons).toBe(true);
    for (let i = 0; i < 10; i++) rules.onBeacon(400, "10.0.0.1", 1);
    rules.tick(rules.nextWakeUp());
    for (let i = 0; i < 3; i++) rules.onBeacon(401, "10.0.0.1", 1);
    expect(rules.tick(rules.nextWakeUp()).beacons).toBe(false);
  });

  it("find all within seconds where a tenth of them is lost", () => {
    const network = new Network();
    network.loss = 0.1;
    for (let i = 0; i < 50; i++) network.add();
    network.run(10_000);
    for (const { rules } of network.nodes) expect(rules.addresses.length).toBeGreaterThan(0);
  });

  it("of a node that was not heard for ten minutes are forgotten, and one that leaves is at once", () => {
    const rules = new BeaconRules(INTERVAL, () => 0.5, 0);
    expect(rules.onBeacon(0, "10.0.0.1", 1)).toBe("new");
    expect(rules.onBeacon(10, "10.0.0.2", 1)).toBe("new");
    expect(rules.onBeacon(300_000, "10.0.0.1", 1)).toBe("known");
    expect(rules.tick(600_009).changed).toBe(false);
    expect(rules.tick(600_010).changed).toBe(true);
    expect(rules.addresses).toEqual(["10.0.0.1:1"]);
    expect(rules.onLeave("10.0.0.1", 1)).toBe(true);
    expect(rules.onLeave("10.0.0.1", 1)).toBe(false);
    expect(rules.addresses).toEqual([]);
  });

  it("that a stranger invents fill a bounded table, and of one host a small one", () => {
    const rules = new BeaconRules(INTERVAL, () => 0.5, 0);
    const answers = Array.from({ length: 100 }, (_, i) => rules.onBeacon(0, "10.0.0.1", i + 1));
    expect(answers.filter((each) => each === "new").length).toBe(64);
    for (let i = 0; i < 2_000; i++) rules.onBeacon(0, `10.1.${i >> 8}.${i & 255}`, 1);
    expect(rules.addresses.length).toBe(1_024);
    expect(rules.onBeacon(1, "10.0.0.1", 1)).toBe("known");
    rules.tick(600_000);
    expect(rules.addresses).toEqual(["10.0.0.1:1"]);
    expect(rules.onBeacon(600_002, "10.0.0.1", 500)).toBe("new");
  });
});
