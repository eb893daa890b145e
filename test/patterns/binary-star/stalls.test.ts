/** A pair whose servers stand still for longer than the other one waits, while that one is killed and starts again. */
import { expect, it } from "vitest";
import { BinaryStarClient } from "../../../src/patterns/binary-star/client.js";
import { BinaryStarServer } from "../../../src/patterns/binary-star/server.js";
import { type SimulatedNode, simulate, type World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";

const HEARTBEAT = 200;
/** ms of a stall at most. */
const LONGEST = 10 * HEARTBEAT;
const FAULTS = 40;
const SERVERS = ["primary", "backup"] as const;
type Role = (typeof SERVERS)[number];

const running = new Map<Role, BinaryStarServer>();

function start(world: World, role: Role): SimulatedNode {
  const peer = SERVERS.find((each) => each !== role);
  return world.node(role).start(async () => {
    const server = new BinaryStarServer(([text]) => `${role} ${String(text)}`, {
      star: { role, peer: `tcp://${peer}:6000`, heartbeatInterval: HEARTBEAT },
    });
    running.set(role, server);
    server.star.events.on("state:changed", ({ from, state, reason }) =>
      world.note(`${role}: ${from} > ${state}, ${reason}`),
    );
    await server.bind("clients", "tcp://*:5000");
    await server.bind("state", "tcp://*:6000");
  }) as never;
}

const states = (): (string | undefined)[] => SERVERS.map((role) => running.get(role)?.star.state);

it("no server is fenced where one stands still while the other starts again, and one of them answers", {
  timeout: LONG ? 1_200_000 : 120_000,
}, async () => {
  let answered = 0;
  await simulate({ seed: 3, runs: LONG ? 200 : 1, network: { latency: [1, 10] } }, async (world) => {
    let isOver = false;
    for (const role of SERVERS) start(world, role);
    world.node("client").start(async () => {
      const endpoints = [`tcp://${SERVERS[0]}:5000`, `tcp://${SERVERS[1]}:5000`] as const;
      const client = new BinaryStarClient(endpoints, { timeout: 5_000, attemptTimeout: 300 });
      while (!isOver) {
        const done = await client.request("x").catch(() => undefined);
        if (done !== undefined) answered += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    await world.until(() => states().includes("active") && states().includes("passive"), 10_000);
    for (let i = 0; i < FAULTS; i++) {
      await world.advance(world.random.integer(20, 10 * HEARTBEAT));
      const role = world.random.pick([...SERVERS]);
      const other = SERVERS.find((each) => each !== role) as Role;
      world.node(role).stall(world.random.integer(HEARTBEAT, LONGEST));
      if (!world.random.chance(0.5)) continue;
      await world.advance(world.random.integer(0, LONGEST));
      world.node(other).kill();
      await world.advance(world.random.integer(0, HEARTBEAT));
      start(world, other);
      expect(states(), `after fault ${i}`).not.toContain("fenced");
    }
    await world.advance(LONGEST + 10 * HEARTBEAT);
    expect(states()).not.toContain("fenced");
    const before = answered;
    await world.advance(20 * HEARTBEAT);
    expect(states().filter((state) => state === "active")).toHaveLength(1);
    expect(answered).toBeGreaterThan(before);
    isOver = true;
  });
});
