/** A cluster is rolled, node by node, while work goes to whatever a resolver finds: all of it arrives, once, and no node is missed. */
import { once } from "node:events";
import { expect } from "vitest";
import { ClusterNode, type MemberResolver } from "../../src/cluster/index.js";
import { Pull, Push, Reply, Request } from "../../src/index.js";
import type { World } from "../../src/testing/index.js";
import { LONG } from "../support/long.js";
import { worldTest } from "../support/world-test.js";
import { KEY, pause } from "./simulated.js";

const it = worldTest({ network: { latency: [1, 5] } });

const NAMES = ["n0", "n1", "n2", "n3", "n4"];
const ROLLS = LONG ? 5 : 1;
/** ms in which a node that drains gets the last that was sent to it. */
const QUIET = 300;

/**
 * All that is sent to nodes that are replaced meanwhile is taken, once.
 *
 * @param open the socket of a node that works, which calls `take` for each piece of work
 * @param load begins to send work. @returns ends that, and has how much it was
 */
async function rolled(
  world: World,
  open: (take: (work: string) => void) => Pull | Reply,
  load: (resolver: MemberResolver) => () => Promise<number>,
): Promise<void> {
  const taken = new Map<string, number>();
  const counts = new Map<string, number>();
  const faults: string[] = [];
  const nodeOf = (name: string): ClusterNode => {
    const node = new ClusterNode({ name, scope: "link", key: KEY });
    for (const type of ["lost", "minority", "removed"] as const)
      node.events.on(type, () => void faults.push(`${name}: ${type}`));
    return node;
  };
  const start = (name: string): void => {
    counts.set(name, 0);
    const count = (): number => counts.get(name) as number;
    void world.node(name).start(async ({ signal }) => {
      const node = nodeOf(name);
      await node.start();
      const socket = open((work) => {
        counts.set(name, count() + 1);
        taken.set(work, (taken.get(work) ?? 0) + 1);
      });
      await socket.bind("tcp://*:5555");
      node.advertise("work", socket);
      await once(signal, "abort");
      // As an operator does it: nothing new comes, what came is finished, then it leaves.
      await node.drain();
      for (let before = -1; before !== count(); await pause(QUIET)) before = count();
      await node.leave();
      await socket.close();
      await node.close();
    });
  };

  for (const name of NAMES) start(name);
  const asking = nodeOf("asking");
  await asking.start();
  const resolver = asking.resolver({ has: ["work"] });
  const offers = (): boolean =>
    [...resolver].filter(({ endpoints }) => endpoints.work !== undefined).length === NAMES.length;
  await world.until(offers, 10_000);
  const end = load(resolver);
  for (let roll = 0; roll < ROLLS; roll++)
    for (const name of NAMES) {
      await world.until(() => (counts.get(name) as number) > 0, 10_000);
      await world.node(name).stop();
      start(name);
      await world.until(offers, 10_000);
    }
  const sent = await end();
  await world.until(() => taken.size >= sent, 10_000);
  expect([faults, asking.members().length]).toEqual([[], NAMES.length + 1]);
  expect([taken.size, Math.max(...taken.values())]).toEqual([sent, 1]);
  expect(sent).toBeGreaterThan(100 * NAMES.length);
}

it("no message of PUSH to PULL is lost", async (world) => {
  const open = (take: (work: string) => void): Pull => {
    const pull = new Pull();
    void (async () => {
      for await (const [work] of pull) take(String(work));
    })();
    return pull;
  };
  const push = new Push();
  let sent = 0;
  const load = (resolver: MemberResolver) => {
    push.connect(resolver);
    const sends: Promise<void>[] = [];
    const timer = setInterval(() => {
      for (let i = 0; i < 5; i++) sends.push(push.send(String(sent++)));
    }, 5);
    return async () => {
      clearInterval(timer);
      await Promise.all(sends);
      return sent;
    };
  };
  await rolled(world, open, load);
});

it("every request of REQ is answered, once", async (world) => {
  const open = (take: (work: string) => void): Reply => {
    const reply = new Reply();
    void (async () => {
      for await (const [work] of reply) {
        await pause(2);
        take(String(work));
        await reply.send(`${work}!`);
      }
    })();
    return reply;
  };
  let isOver = false;
  const load = (resolver: MemberResolver) => {
    const clients = Array.from({ length: 10 }, async (_, client) => {
      const request = new Request({ receiveTimeout: 20_000, sendTimeout: 20_000 });
      request.connect(resolver);
      for (let number = 0; ; number++) {
        if (isOver) return number;
        await request.send(`${client}:${number}`);
        const [answer] = await request.receive();
        expect(String(answer)).toBe(`${client}:${number}!`);
      }
    });
    return async () => {
      isOver = true;
      return (await Promise.all(clients)).reduce((sum, count) => sum + count);
    };
  };
  await rolled(world, open, load);
});
