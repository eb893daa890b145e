/**
 * A pair of servers and its clients stand still for longer than the others wait: what was acknowledged stays, one server serves, and none takes over from
 * one that runs.
 */
import { expect, it } from "vitest";
import { CloneClient, CloneServer } from "../../../src/patterns/clone/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";

const HEARTBEAT = 200;
const SERVERS = ["primary", "backup"] as const;
const CLIENTS = ["c0", "c1"];
const ENDPOINTS = SERVERS.map((name) => `tcp://${name}:5550`);
const STALLS = LONG ? 40 : 20;
/** ms of a stall at most. */
const LONGEST = 10 * HEARTBEAT;
/** ms of silence after which a server may take over. */
const PATIENCE = 2 * HEARTBEAT;
/** ms that a state takes, and a timer may be late. */
const SLACK = 20;

/** From when to when a node stood still. */
type Stalls = [from: number, to: number][];

/** @returns ms of a time during which it stood still */
function timeStill(stalls: Stalls, from: number, to: number): number {
  return stalls.reduce((ms, [start, end]) => ms + Math.max(0, Math.min(end, to) - Math.max(start, from)), 0);
}

it("no acknowledged update is lost, and no server is fenced, where servers and clients stand still", {
  timeout: LONG ? 1_200_000 : 120_000,
}, async () => {
  let takeOvers = 0;
  await simulate({ seed: 5, runs: LONG ? 30 : 1, network: { latency: [1, 10] } }, async (world) => {
    const servers: CloneServer[] = [];
    const clients: CloneClient[] = [];
    /** Keys of each client whose values were acknowledged; each is set once. */
    const acknowledged: string[][] = CLIENTS.map(() => []);
    let isOver = false;
    const stalls: Record<string, Stalls> = { primary: [], backup: [], c0: [], c1: [] };
    const early: string[] = [];
    for (const [at, role] of SERVERS.entries())
      world.node(role).start(async () => {
        const peer = ENDPOINTS[1 - at] as string;
        const server = new CloneServer({ pair: { role, peer }, heartbeatInterval: HEARTBEAT });
        servers[at] = server;
        server.events.on("state:changed", ({ from, state, reason }) => {
          world.note(`${role}: ${from} > ${state}, ${reason}`);
          if (reason !== "fail-over") return;
          takeOvers += 1;
          // One that runs is silent for a heartbeat at most: for the rest of the patience it stood still.
          const still = timeStill(
            stalls[SERVERS[1 - at] as string] as Stalls,
            world.now - PATIENCE,
            world.now,
          );
          if (still < PATIENCE - HEARTBEAT - SLACK) early.push(`${role} at ${world.now}: ${still} ms`);
        });
        await server.bind("tcp://*:5550");
      });
    for (const [at, name] of CLIENTS.entries())
      world.node(name).start(async () => {
        const client = new CloneClient(at === 0 ? ENDPOINTS : ENDPOINTS.toReversed(), {
          heartbeatInterval: HEARTBEAT,
          timeout: 5_000,
        });
        clients[at] = client;
        for (let number = 1; !isOver; number++) {
          const key = `${name}/${number}`;
          const done = await client.set(key, "x").then(
            () => true,
            () => false,
          );
          if (done) acknowledged[at]?.push(key);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    // It asks either server again and again, also while the other one serves: that is a vote for whom it asks.
    world.node("impatient").start(() => {
      new CloneClient(ENDPOINTS, { heartbeatInterval: HEARTBEAT / 8 });
    });
    await world.until(() => servers.some((server) => server?.stats().replicated), 10_000);
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 5 * HEARTBEAT));
      const name = world.random.pick([...SERVERS, ...CLIENTS]);
      const duration = world.random.integer(HEARTBEAT, LONGEST);
      const ofNode = stalls[name] as Stalls;
      // A second stall counts in place of the first.
      const last = ofNode.at(-1);
      if (last !== undefined) last[1] = Math.min(last[1], world.now);
      ofNode.push([world.now, world.now + duration]);
      world.node(name).stall(duration);
      expect(
        servers.map(({ star }) => star?.state),
        `after stall ${i}`,
      ).not.toContain("fenced");
    }
    await world.advance(LONGEST + 20 * HEARTBEAT);
    const before = acknowledged.map(({ length }) => length);
    await world.advance(20 * HEARTBEAT);
    for (const [at, number] of before.entries()) expect(acknowledged[at]?.length).toBeGreaterThan(number);
    isOver = true;
    expect(early).toEqual([]);
    await world.advance(10 * HEARTBEAT);
    expect(servers.map(({ star }) => star?.state).toSorted()).toEqual(["active", "passive"]);
    for (const map of [...servers, ...clients])
      expect(acknowledged.flat().filter((key) => map.get(key) === undefined)).toEqual([]);
  });
  expect(takeOvers).toBeGreaterThan(0);
});
