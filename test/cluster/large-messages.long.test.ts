/**
 * As many nodes as a cluster is for, as programs run them, with messages, in virtual time: 1.7 GB, and minutes. SHOAL_NODES is another
 * number of them.
 */
import { expect } from "vitest";
import type { ClusterNode } from "../../src/cluster/index.js";
import { worldTest } from "../support/world-test.js";
import { startNodes } from "./simulated.js";

const it = worldTest({ shrink: false, maxEvents: 1_000_000_000, traceLines: 20, network: { loss: 0.001 } });

const NODES = Number(process.env.SHOAL_NODES ?? 500);
/** Of all. Where each node subscribes, there is a link between each two, which are a quarter of a million. */
const SUBSCRIBERS = 20;
const KILLED = 10;
const EACH = 3;

it(`${NODES} nodes have all messages, once each and in order, and lose nobody but those that are killed`, async (world) => {
  const nodes: ClusterNode[] = [];
  const lost = new Map<string, number>();
  for (let at = 0; at < NODES; at++) {
    const [node] = (await startNodes(world, [`n${at}`])).values() as Iterable<ClusterNode>;
    node?.events.on("lost", ({ member }) => void lost.set(member.name, (lost.get(member.name) ?? 0) + 1));
    nodes.push(node as ClusterNode);
    await world.advance(20);
  }
  /** Looked at now and then alone: that takes as long as a second of the cluster. */
  const until = async (condition: () => boolean): Promise<void> => {
    for (const end = world.now + 60_000; !condition(); ) {
      expect(world.now).toBeLessThan(end);
      await world.advance(1_000);
    }
  };
  await until(() => nodes.every((node) => node.members().length === NODES));

  const got = nodes.slice(0, SUBSCRIBERS).map((node) => {
    const numbers = new Map<string, string>();
    const subscription = node.subscribe("news/+", ({ topic, data }) => {
      numbers.set(topic, `${numbers.get(topic) ?? ""}${data}`);
    });
    return { numbers, subscription };
  });
  await Promise.all(got.map(({ subscription }) => subscription.ready));
  for (let number = 0; number < EACH; number++)
    for (const [at, node] of nodes.entries())
      expect(await node.publish(`news/${at}`, `${number}`)).toBe(SUBSCRIBERS);
  await until(() => got.every(({ numbers }) => [...numbers.values()].join("").length === NODES * EACH));
  for (const { numbers } of got) expect(new Set(numbers.values())).toEqual(new Set(["012"]));
  expect([...lost]).toEqual([]);

  for (let at = NODES - KILLED; at < NODES; at++) world.node(`n${at}`).kill();
  const left = nodes.splice(0, NODES - KILLED);
  await until(() => left.every((node) => node.members().length === left.length));
  await world.advance(10_000);
  expect([...lost.values()]).toEqual(Array(KILLED).fill(left.length));
  expect(await left.at(-1)?.publish("news/last", "0")).toBe(SUBSCRIBERS);
});
