/** A pair of servers and its clients stand still for longer than the others wait: what was acknowledged stays, and one server serves. */
import { expect, it } from "vitest";
import { CloneClient, CloneServer } from "../../../src/patterns/clone/index.js";
import { simulate } from "../../../src/testing/index.js";

const LONG = process.env.SHOAL_LONG === "1";
const HEARTBEAT = 200;
const SERVERS = ["primary", "backup"] as const;
const CLIENTS = ["c0", "c1"];
const ENDPOINTS = SERVERS.map((name) => `tcp://${name}:5550`);
const STALLS = 40;
/** ms of a stall at most. */
const LONGEST = 10 * HEARTBEAT;

it("no acknowledged update is lost, and no server is fenced, where servers and clients stand still", {
  timeout: LONG ? 600_000 : 120_000,
}, async () => {
  await simulate({ seed: 5, runs: LONG ? 100 : 2, network: { latency: [1, 10] } }, async (world) => {
    const servers: CloneServer[] = [];
    const clients: CloneClient[] = [];
    /** Keys of each client whose values were acknowledged; each is set once. */
    const acknowledged: string[][] = CLIENTS.map(() => []);
    let isOver = false;
    for (const [at, role] of SERVERS.entries())
      world.node(role).start(async () => {
        const peer = ENDPOINTS[1 - at] as string;
        const server = new CloneServer({ pair: { role, peer }, heartbeatInterval: HEARTBEAT });
        servers[at] = server;
        server.star?.events.on("state:changed", ({ from, state, reason }) =>
          world.note(`${role}: ${from} > ${state}, ${reason}`),
        );
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
    await world.until(() => servers.some((server) => server?.stats().replicated), 10_000);
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 5 * HEARTBEAT));
      world.node(world.random.pick([...SERVERS, ...CLIENTS])).stall(world.random.integer(HEARTBEAT, LONGEST));
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
    await world.advance(10 * HEARTBEAT);
    expect(servers.map(({ star }) => star?.state).toSorted()).toEqual(["active", "passive"]);
    for (const map of [...servers, ...clients])
      expect(acknowledged.flat().filter((key) => map.get(key) === undefined)).toEqual([]);
  });
});
