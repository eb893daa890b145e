/** Servers of the three models are killed, reset and cut off, and they and clients stand still for longer than clients wait: another server answers. */
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
/** ms for which a node runs between two faults of it. Of the servers one runs at any time. */
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
)("model %i: each request has its own reply, and none waits for a server that is killed, cut off or stands still", {
  timeout: LONG ? 600_000 : 120_000,
}, async (model) => {
  await simulate({ seed: 7, runs: LONG ? 100 : 1, network: { latency: [1, 10] } }, async (world) => {
    const late: string[] = [];
    const wrong: string[] = [];
    let isOver = false;
    let answered = 0;
    const serve = (name: string): void => {
      world.node(name).start(async () => {
        const identity = model === 3 ? { identity: `tcp://${name}:5000` } : {};
        const server = new FreelanceServer(([text]) => `re ${String(text)}`, { model, ...identity });
        await server.bind("tcp://*:5000");
      });
    };
    SERVERS.forEach(serve);
    const clients: ReturnType<typeof clientOf>[] = [];
    for (const name of CLIENTS)
      world.node(name).start(async () => {
        const client = clientOf(model);
        clients.push(client);
        const ask = async (lane: number): Promise<void> => {
          for (let k = 0; !isOver; k++) {
            const text = `${name}.${lane}.${k}`;
            const from = performance.now();
            const [reply] = await client.request(text);
            const took = performance.now() - from;
            if (String(reply) !== `re ${text}`) wrong.push(`${text}: ${String(reply)}`);
            if (took > LATE) late.push(`${text} after ${took} ms`);
            answered += 1;
            await new Promise((resolve) => setTimeout(resolve, 60));
          }
        };
        await Promise.all([0, 1, 2].map(ask));
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
      // A server that is back is another one until its clients have found it.
      freeAt.set(name, world.now + ms + RUNS);
      const what = isServer ? world.random.integer(0, 3) : 0;
      if (what === 1) {
        world.node(name).kill();
        void world.advance(ms).then(() => serve(name));
      } else if (what === 2) {
        for (const client of CLIENTS) world.cut(name, client);
        void world.advance(ms).then(() => {
          for (const client of CLIENTS) world.heal(name, client);
        });
      } else world.node(name).stall(ms);
      world.reset(world.random.pick(SERVERS), world.random.pick(CLIENTS));
    }
    await world.advance(LONGEST_OF_SERVER);
    isOver = true;
    await world.advance(TIMEOUT);
    expect([late, wrong]).toEqual([[], []]);
    expect(answered).toBeGreaterThan(500);
    for (const client of clients) {
      expect(client.stats()).toMatchObject({ pending: 0 });
      if (client instanceof FreelanceClient)
        expect(client.servers().map(({ alive, asked }) => [alive, asked])).toEqual(
          SERVERS.map(() => [true, 0]),
        );
    }
  });
});
