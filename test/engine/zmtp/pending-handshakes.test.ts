/** Which of the handshakes under way gives way to a new one. */
import { describe, it } from "vitest";
import { HandshakeStage, networkOf, PendingHandshakes } from "../../../src/engine/zmtp/pending-handshakes.js";
import { Random } from "../../fuzz/seed.js";
import { LONG } from "../../support/long.js";
import { expect } from "../../support/quick-expect.js";

const SEEDS = LONG ? 200 : 100;

const { refused, silent, begun, secured } = HandshakeStage;

/** Keys with the stages that they have now. */
function pendingWith(stages: Map<string, HandshakeStage>): PendingHandshakes<string> {
  return new PendingHandshakes((key) => stages.get(key) ?? silent);
}

describe("the handshake that gives way", () => {
  it("is of the address that has the most of them, whatever its stage", () => {
    const stages = new Map<string, HandshakeStage>();
    const pending = pendingWith(stages);
    pending.add("honest", "10.0.0.1");
    for (let i = 0; i < 3; i++) {
      pending.add(`flood ${i}`, "10.0.0.2");
      stages.set(`flood ${i}`, secured);
    }
    expect(pending.weakest()).toBe("flood 0");
    expect(pending.size).toBe(4);
  });

  it("is of the stage that most of an address are in, and of those the oldest", () => {
    const stages = new Map<string, HandshakeStage>();
    const pending = pendingWith(stages);
    for (const key of ["a", "b", "c", "d", "e"]) pending.add(key, "::1");
    for (const key of ["a", "b"]) stages.set(key, begun);
    stages.set("c", secured);
    const order: (string | undefined)[] = [];
    for (let i = 0; i < 6; i++) {
      const key = pending.weakest();
      order.push(key);
      if (key !== undefined) expect(pending.delete(key)).toBe(true);
    }
    expect(order).toEqual([expect.stringMatching(/^[ad]$/), ...Array(4).fill(expect.any(String)), undefined]);
    expect(new Set(order).size).toBe(6);
    expect(pending.delete("a")).toBe(false);
    expect([...pending.keys()]).toEqual([]);
  });

  it("is one that is refused, if there is one", () => {
    const stages = new Map([["refused", refused]]);
    const pending = pendingWith(stages);
    for (const key of ["a", "b", "c"]) pending.add(key, "10.0.0.1");
    pending.add("refused", "10.0.0.2");
    expect(pending.weakest()).toBe("refused");
    pending.delete("refused");
    expect(pending.weakest()).toBe("a");
  });

  it.each([
    ["say nothing", silent, begun],
    ["say something and stop", begun, secured],
    ["complete TLS and stop", secured, begun],
  ])("is of those that %s, and no peer of their address that has got further, or less far", (_, theirs, its) => {
    const stages = new Map<string, HandshakeStage>([["honest", its]]);
    const pending = pendingWith(stages);
    pending.add("honest", "10.0.0.1");
    for (let i = 0; i < 2_000; i++) {
      pending.add(`flood ${i}`, "10.0.0.1");
      stages.set(`flood ${i}`, theirs);
      if (pending.size <= 10) continue;
      const weakest = pending.weakest();
      expect(weakest).not.toBe("honest");
      pending.delete(weakest as string);
    }
  });

  it("is in its group's stage, in any order of comings, goings and steps, and none is lost", () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const stages = new Map<string, HandshakeStage>();
      const pending = pendingWith(stages);
      const known: { key: string; address: string }[] = [];
      const stageNow = (key: string): HandshakeStage => stages.get(key) ?? silent;
      for (let step = 0; step < 300; step++) {
        const kind = random.below(5);
        const one = known[random.below(known.length || 1)];
        if (kind < 3) {
          const key = `${step}`;
          const address = `10.0.0.${random.below(4)}`;
          known.push({ key, address });
          pending.add(key, address);
        } else if (kind === 3 && one !== undefined) {
          if (stageNow(one.key) < secured) stages.set(one.key, (stageNow(one.key) + 1) as HandshakeStage);
        } else if (one !== undefined) {
          known.splice(known.indexOf(one), 1);
          expect(pending.delete(one.key)).toBe(true);
        }
        expect(pending.size).toBe(known.length);
        const found = pending.weakest();
        const weakest = known.find(({ key }) => key === found);
        expect(weakest === undefined).toBe(known.length === 0);
      }
      while (pending.size > 0) pending.delete(pending.weakest() as string);
      expect(pending.weakest()).toBeUndefined();
    }
  });
});

describe("a network", () => {
  it.each([
    ["10.1.2.3", "10.1.2.3"],
    ["::1", "0:0:0:0"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["2001:db8:0:0:1:2:3:4", "2001:db8:0:0"],
    ["2001:0db8:0:1::", "2001:db8:0:1"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["/run/socket", "/run/socket"],
  ])("of %s is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
