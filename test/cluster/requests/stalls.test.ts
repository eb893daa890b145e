/**
 * Nodes that stand still for longer than others believe in them. A request with a key waits while its caller or those that serve stand still, and at most a
 * few seconds longer: what it takes to notice that a node is lost, or back. None fails.
 */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { KEY, pause } from "../simulated.js";

const SERVING = ["a", "b"];
const CALLING = ["c", "d", "e"];
const STALLS = LONG ? 40 : 8;
const TIMEOUT = 60_000;
/** ms during which the caller and all that serve ran, and a request was not answered. */
const PATIENCE = 3_000;

/** From when to when each node stood still. */
type Stalls = ReadonlyMap<string, readonly (readonly [from: number, to: number])[]>;

/** @returns ms of a time during which none of the nodes stood still */
function timeAwake(stalls: Stalls, names: readonly string[], from: number, to: number): number {
  const all = names.flatMap((name) => stalls.get(name) ?? []).sort(([one], [other]) => one - other);
  let at = from;
  let awake = 0;
  for (const [start, end] of all) {
    awake += Math.max(0, Math.min(start, to) - at);
    at = Math.max(at, end);
  }
  return awake + Math.max(0, to - at);
}

it("a request is answered soon where its nodes do not stand still, and none fails", {
  timeout: LONG ? 1_200_000 : 90_000,
}, async () => {
  await simulate({ seed: 10, runs: LONG ? 80 : 1, network: { latency: [1, 10] } }, async (world) => {
    const late: string[] = [];
    const stalls = new Map<string, [number, number][]>();
    let answered = 0;
    let calling = CALLING.length;
    let isOver = false;
    for (const name of [...SERVING, ...CALLING])
      world.node(name).start(async () => {
        const seeds = ["a:7000", "b:7000"];
        const node = new ClusterNode({ name, scope: "link", key: KEY, port: 7000, seeds });
        await node.start();
        if (SERVING.includes(name)) {
          node.serve("echo", async (body) => {
            await pause(200);
            return body;
          });
          return;
        }
        for (let k = 0; !isOver; k++) {
          const from = world.now;
          const idempotencyKey = `${name}.${k}`;
          await node.request("echo", k, { timeout: TIMEOUT, idempotencyKey, waitForReady: true });
          answered += 1;
          const took = timeAwake(stalls, [name, ...SERVING], from, world.now);
          if (took > PATIENCE) late.push(`${idempotencyKey} after ${took} ms`);
          await pause(LONG ? 20 : 100);
        }
        calling -= 1;
      });
    await world.advance(3_000);
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 1_500));
      const name = world.random.pick([...SERVING, ...CALLING]);
      const duration = world.random.integer(100, 4_000);
      const ofNode = stalls.get(name) ?? [];
      stalls.set(name, ofNode);
      // A second stall counts in place of the first.
      const last = ofNode.at(-1);
      if (last !== undefined) last[1] = Math.min(last[1], world.now);
      ofNode.push([world.now, world.now + duration]);
      world.node(name).stall(duration);
    }
    isOver = true;
    await world.until(() => calling === 0, TIMEOUT + 5_000);
    expect(late).toEqual([]);
    expect(answered).toBeGreaterThan(STALLS);
  });
});
