/** When handshakes end that are too many: once what came in a turn of the event loop is read. */
import { describe, expect, it } from "vitest";
import { HandshakeLimit } from "../../../src/engine/zmtp/handshake-limit.js";
import { HandshakeStage } from "../../../src/engine/zmtp/pending-handshakes.js";
import { turn } from "../../support/settled.js";

function limited(limit: number) {
  const stages = new Map<string, HandshakeStage>();
  const evicted: string[] = [];
  const handshakes: HandshakeLimit<string> = new HandshakeLimit(
    (key) => stages.get(key) ?? HandshakeStage.silent,
    () => limit,
    (key) => {
      evicted.push(key);
      handshakes.delete(key);
    },
  );
  return { handshakes, stages, evicted };
}

describe("handshakes past the limit", () => {
  it("go on until the end of the turn: a peer that is read by then is left", async () => {
    const { handshakes, stages, evicted } = limited(3);
    handshakes.add("honest", "10.0.0.1");
    for (let i = 0; i < 5; i++) handshakes.add(`flood ${i}`, "10.0.0.1");
    expect(evicted).toEqual([]);
    stages.set("honest", HandshakeStage.begun);
    await turn();
    expect(evicted).toEqual(["flood 0", "flood 1", "flood 2"]);
    expect([...handshakes.keys()].sort()).toEqual(["flood 3", "flood 4", "honest"]);
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
});
