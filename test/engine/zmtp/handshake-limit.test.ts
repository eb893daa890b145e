/** Which handshakes end that are too many, and when: once what came in a turn of the event loop is read. */
import { describe, expect, it } from "vitest";
import { HandshakeLimit, networkOf } from "../../../src/engine/zmtp/handshake-limit.js";
import { turn } from "../../support/settled.js";

function limited(limit: number) {
  const evicted: string[] = [];
  const handshakes: HandshakeLimit<string> = new HandshakeLimit(
    () => limit,
    (key) => {
      evicted.push(key);
      handshakes.delete(key);
    },
  );
  return { handshakes, evicted };
}

describe("handshakes past the limit", () => {
  it("go on until the end of the turn: a peer that has completed its own by then has left", async () => {
    const { handshakes, evicted } = limited(3);
    handshakes.add("honest", "10.0.0.1");
    for (let i = 0; i < 5; i++) handshakes.add(`flood ${i}`, "10.0.0.1");
    expect(evicted).toEqual([]);
    handshakes.delete("honest");
    await turn();
    expect(evicted).toEqual(["flood 0", "flood 1"]);
    expect(handshakes.size).toBe(3);
  });

  it("are never more than twice as many", async () => {
    const { handshakes, evicted } = limited(3);
    for (let i = 0; i < 100; i++) {
      handshakes.add(`flood ${i}`, "10.0.0.1");
      expect(handshakes.size).toBeLessThanOrEqual(6);
    }
    expect(evicted).toHaveLength(94);
    await turn();
    expect(handshakes.size).toBe(3);
  });

  it("are of the network that has the most, the oldest first: a flood ends its own", async () => {
    const { handshakes, evicted } = limited(10);
    for (let i = 0; i < 4; i++) handshakes.add(`honest ${i}`, `10.0.0.${i}`);
    for (let i = 0; i < 2_000; i++) {
      handshakes.add(`flood ${i}`, i % 2 === 0 ? "2001:db8::1" : `2001:db8::${(i % 1_000) + 2}`);
      if (i % 10 === 0) await turn();
    }
    await turn();
    expect(evicted).toEqual(Array.from({ length: 1_994 }, (_, i) => `flood ${i}`));
  });

  it("of one that is over are forgotten", () => {
    const { handshakes, evicted } = limited(1);
    expect(handshakes.evictOne()).toBe(false);
    for (const key of ["a", "b"]) handshakes.add(key, "10.0.0.1");
    handshakes.delete("a");
    handshakes.delete("a");
    expect(handshakes.evictOne()).toBe(true);
    expect([handshakes.evictOne(), handshakes.size, evicted]).toEqual([false, 0, ["b"]]);
  });
});

it.each([
  ["10.1.2.3", "10.1.2.3"],
  ["::1", "0:0:0:0"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["2001:db8:0:0:1:2:3:4", "2001:db8:0:0"],
  ["2001:0db8:0:1::", "2001:db8:0:1"],
  ["2001::1:2:3:4:5:6", "2001:0:1:2"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["/run/socket", "/run/socket"],
])("the network of %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
