/** Servers and clients of the three models stand still for longer than clients wait: another server answers. */
import { expect, it } from "vitest";
import {
  FreelanceClient,
  FreelanceFailoverClient,
  type FreelanceModel,
  FreelanceServer,
  FreelanceShotgunClient,
} from "../../../src/patterns/freelance/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";

const SERVERS = ["s0", "s1", "s2"];
const CLIENTS = ["c0", "c1", "c2"];
const ENDPOINTS = SERVERS.map((name) => `tcp://${name}:5000`);
const STALLS = LONG ? 60 : 30;
const ATTEMPT = 200;
/** ms of a client's stall, and of a server's, at most. */
const LONGEST = 2_500;
const LONGEST_OF_SERVER = 8_000;
/** ms for which a client runs between two stalls of it. Of the servers one runs at any time. */
const RUNS = 2_000;
const TIMEOUT = 10_000;
/** ms of a request at most: its client stood still once, and the servers that it asked one after the other did. */
const LATE = LONGEST + 5 * ATTEMPT;

function clientOf(model: FreelanceModel): FreelanceShotgunClient | FreelanceFailoverClient | FreelanceClient {
  if (model === 2) return new FreelanceShotgunClient(ENDPOINTS, { timeout: TIMEOUT });
  if (model === 1)
    return new FreelanceFailoverClient(ENDPOINTS, { timeout: TIMEOUT, attemptTimeout: ATTEMPT, retries: 50 });
  return new FreelanceClient(ENDPOINTS, { timeout: TIMEOUT, attemptTimeout: ATTEMPT });
}

it.each(
  LONG ? ([1, 2, 3] as const) : ([3] as const),
)("model %i: each request has its own reply, and none waits for a server that stands still", {
  timeout: LONG ? 600_000 : 120_000,
}, async (model) => {
  await simulate({ seed: 7, runs: LONG ? 100 : 1, network: { latency: [1, 10] } }, async (world) => {
    const late: string[] = [];
    const wrong: string[] = [];
    let isOver = false;
    let answered = 0;
    for (const [at, name] of SERVERS.entries())
      world.node(name).start(async () => {
        const identity = model === 3 ? { identity: ENDPOINTS[at] } : {};
        const server = new FreelanceServer(([text]) => `re ${String(text)}`, { model, ...identity });
        await server.bind("tcp://*:5000");
      });
    for (const name of CLIENTS)
      world.node(name).start(async () => {
        const client = clientOf(model);
        for (let k = 0; !isOver; k++) {
          const from = performance.now();
          const [reply] = await client.request(`${name}.${k}`);
          const took = performance.now() - from;
          if (String(reply) !== `re ${name}.${k}`) wrong.push(`${name}.${k}: ${String(reply)}`);
          if (took > LATE) late.push(`${name}.${k} after ${took} ms`);
          answered += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    const freeAt = new Map<string, number>();
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 600));
      const free = (name: string) => world.now >= (freeAt.get(name) ?? 0);
      const servers = SERVERS.filter(free);
      const isServer = servers.length > 1 && world.random.chance(0.5);
      const names = isServer ? servers : CLIENTS.filter(free);
      if (names.length === 0) continue;
      const name = world.random.pick(names);
      const ms = world.random.integer(100, isServer ? LONGEST_OF_SERVER : LONGEST);
      world.node(name).stall(ms);
      freeAt.set(name, world.now + ms + (isServer ? 0 : RUNS));
    }
    await world.advance(LONGEST_OF_SERVER);
    isOver = true;
    await world.advance(TIMEOUT);
    expect([late, wrong]).toEqual([[], []]);
    expect(answered).toBeGreaterThan(500);
  });
});
