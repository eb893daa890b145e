/** Brokers of a pair that stand still for longer than the other waits, while that one is killed and starts again; workers and clients, too. */
import { expect, it } from "vitest";
import { BinaryStar, BinaryStarGate } from "../../../src/patterns/binary-star/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { simulate, type World } from "../../../src/testing/index.js";

const HEARTBEAT = 200;
const BROKERS = ["primary", "backup"] as const;
type Role = (typeof BROKERS)[number];
const WORKERS = ["w0", "w1", "w2"];
const CLIENTS = ["c0", "c1"];
const ENDPOINTS = BROKERS.map((role) => `tcp://${role}:5555`);
const FAULTS = 40;
/** ms of a stall at most. */
const LONGEST = 10 * HEARTBEAT;
const TIMEOUT = 60_000;

it("no broker is fenced, and every request has its own reply", {
  timeout: 600_000,
}, async () => {
  await simulate({ seed: 11, runs: 100, network: { latency: [1, 10] } }, async (world) => {
    const stars = new Map<Role, BinaryStar>();
    const states = (): (string | undefined)[] => BROKERS.map((role) => stars.get(role)?.state);
    const wrong: string[] = [];
    let isOver = false;
    let answered = 0;
    for (const role of BROKERS) startBroker(world, role, stars);
    for (const name of WORKERS)
      world.node(name).start(() => {
        const work = async ([text]: readonly Buffer[]) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          return `re ${String(text)}`;
        };
        new MajordomoWorker(ENDPOINTS, "echo", work, { heartbeatInterval: HEARTBEAT });
      });
    for (const name of CLIENTS)
      world.node(name).start(async () => {
        const client = new MajordomoClient(ENDPOINTS, { heartbeatInterval: HEARTBEAT });
        for (let k = 0; !isOver; k++) {
          const [reply] = await client.request("echo", `${name}.${k}`, { timeout: TIMEOUT, retries: 50 });
          if (String(reply) !== `re ${name}.${k}`) wrong.push(`${name}.${k}: ${String(reply)}`);
          answered += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    await world.until(() => states().includes("active") && states().includes("passive"), 10_000);
    for (let i = 0; i < FAULTS; i++) {
      await world.advance(world.random.integer(20, 10 * HEARTBEAT));
      if (world.random.chance(0.3)) {
        world.node(world.random.pick([...WORKERS, ...CLIENTS])).stall(world.random.integer(100, LONGEST));
        continue;
      }
      const role = world.random.pick([...BROKERS]);
      const other = BROKERS.find((each) => each !== role) as Role;
      world.node(role).stall(world.random.integer(HEARTBEAT, LONGEST));
      if (!world.random.chance(0.5)) continue;
      await world.advance(world.random.integer(0, LONGEST));
      world.node(other).kill();
      await world.advance(world.random.integer(0, HEARTBEAT));
      startBroker(world, other, stars);
      expect(states(), `after fault ${i}`).not.toContain("fenced");
    }
    await world.advance(LONGEST + 20 * HEARTBEAT);
    const before = answered;
    await world.advance(20 * HEARTBEAT);
    expect(states().toSorted()).toEqual(["active", "passive"]);
    expect(answered).toBeGreaterThan(before);
    isOver = true;
    await world.advance(TIMEOUT);
    expect(wrong).toEqual([]);
  });
});

function startBroker(world: World, role: Role, stars: Map<Role, BinaryStar>): void {
  const peer = BROKERS.find((each) => each !== role);
  world.node(role).start(async () => {
    const star = new BinaryStar({ role, peer: `tcp://${peer}:6000`, heartbeatInterval: HEARTBEAT });
    stars.set(role, star);
    star.events.on("state:changed", ({ from, state, reason }) =>
      world.note(`${role}: ${from} > ${state}, ${reason}`),
    );
    const gate = new BinaryStarGate(star);
    await new MajordomoBroker({ gate, heartbeatInterval: HEARTBEAT }).bind("tcp://*:5555");
    await star.bind("tcp://*:6000");
  });
}
