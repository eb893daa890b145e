/** Which of the handshakes under way gives way to a new one. */
import { describe, expect, it } from "vitest";
import { HandshakeStage, networkOf, PendingHandshakes } from "../../../src/engine/zmtp/pending-handshakes.js";
import { Random } from "../../fuzz/seed.js";

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

  it("is of one address the one that has got least far, and of those the oldest", () => {
    const stages = new Map<string, HandshakeStage>([
      ["begun", begun],
      ["secured", secured],
      ["refused", refused],
    ]);
    const pending = pendingWith(stages);
    for (const key of ["secured", "begun", "silent 1", "silent 2", "refused"]) pending.add(key, "::1");
    const order: string[] = [];
    for (let key = pending.weakest(); key !== undefined; key = pending.weakest()) {
      order.push(key);
      expect(pending.delete(key)).toBe(true);
      expect(pending.delete(key)).toBe(false);
    }
    expect(order).toEqual(["refused", "silent 1", "silent 2", "begun", "secured"]);
    expect(pending.size).toBe(0);
    expect([...pending.keys()]).toEqual([]);
  });

  it("is the one that a look at all of them finds, in any order of comings, goings and steps", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const stages = new Map<string, HandshakeStage>();
      const pending = pendingWith(stages);
      const known: { key: string; address: string }[] = [];
      for (let step = 0; step < 300; step++) {
        const kind = random.below(5);
        const one = known[random.below(known.length || 1)];
        if (kind < 3) {
          const key = `${step}`;
          const address = `10.0.0.${random.below(4)}`;
          known.push({ key, address });
          pending.add(key, address);
        } else if (kind === 3 && one !== undefined) {
          const now = stages.get(one.key) ?? silent;
          if (now < secured) stages.set(one.key, (now + 1) as HandshakeStage);
        } else if (one !== undefined) {
          known.splice(known.indexOf(one), 1);
          expect(pending.delete(one.key)).toBe(true);
        }
        expect(pending.size).toBe(known.length);
        const found = pending.weakest();
        const weakest = known.find(({ key }) => key === found);
        if (known.length === 0) {
          expect(weakest).toBeUndefined();
          continue;
        }
        const countOf = (address: string): number => known.filter((each) => each.address === address).length;
        const most = Math.max(...known.map(({ address }) => countOf(address)));
        expect(countOf(weakest?.address ?? "")).toBe(most);
        const peers = known.filter(({ address }) => address === weakest?.address);
        const least = Math.min(...peers.map(({ key }) => stages.get(key) ?? silent));
        expect(stages.get(weakest?.key ?? "") ?? silent).toBe(least);
      }
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
