/** Generated stories of a link with nodes of ours and of zyre's: what holds in each, and where all end up in each. */
import { expect, test } from "vitest";
import type { Simulation } from "../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT, TRIES_MANY } from "../support/schedules.js";
import { type Node, World } from "./world.js";

const GROUPS = ["a", "b", "c"];

/** Time in which all that went wrong is put right: zyre forgets a peer after 30 s, and finds it again by its next beacon. */
const QUIET = 65_000;

let messages = 0;
let restarts = 0;

function step(world: World, most: number, zyres: number): void {
  const { random } = world.simulation;
  const { live } = world;
  const node = live.length === 0 ? undefined : random.pick(live);
  const kind = random.integer(0, 11);
  if (kind <= 1 || node === undefined) {
    if (live.length < most) world.start(random.integer(1, most) <= zyres);
    return;
  }
  switch (kind) {
    case 2:
    case 3:
      node.join(random.pick(GROUPS));
      return;
    case 4:
      node.leave(random.pick(GROUPS));
      return;
    case 5:
      world.kill(node);
      return;
    case 6:
      world.stop(node);
      return;
    case 7: {
      const boxes = [...node.mailboxes.values()];
      if (boxes.length > 0) world.cut(random.pick(boxes));
      return;
    }
    case 8:
      world.stall(node, random.integer(100, 45_000));
      return;
    case 9:
      // Again at its port, with another uuid.
      if (zyres > 0) return;
      restarts += 1;
      world.kill(node);
      world.start(false, node.port);
      return;
    default:
      node.rules.shout(random.pick(GROUPS), [Buffer.from("said")]);
      for (const uuid of node.shown.keys()) node.rules.whisper(uuid, [Buffer.from("whispered")]);
  }
}

/**
 * All that live know each other and their groups, and a message of each reaches each, once: but for two of zyre's. When their HELLOs
 * cross they restart each other without end, in which nodes of ours have no part.
 */
function expectOneView(world: World): void {
  const meet = (node: Node, other: Node): boolean => node !== other && !(node.zyre && other.zyre);
  for (const node of world.live) {
    const expected = world.live.filter((other) => meet(node, other));
    const shown = world.nodes.filter((other) => meet(node, other) && node.shown.has(other.uuid));
    expect(shown.map(({ uuid }) => uuid).sort(), `peers of ${node.uuid}`).toEqual(
      expected.map(({ uuid }) => uuid).sort(),
    );
    for (const other of expected)
      expect(
        [...(node.shown.get(other.uuid) ?? [])].sort(),
        `groups of ${other.uuid} at ${node.uuid}`,
      ).toEqual([...other.groups].sort());
    for (const other of expected) node.rules.whisper(other.uuid, [Buffer.from(`to ${other.uuid}`)]);
    for (const group of GROUPS) node.rules.shout(group, [Buffer.from(`in ${group}`)]);
  }
  const before = new Map<Node, number>(world.live.map((node) => [node, node.seen.length]));
  world.simulation.run(world.now + 100);
  for (const node of world.live)
    for (const other of world.live) {
      if (!meet(node, other)) continue;
      const got = node.seen.slice(before.get(node)).filter(({ uuid }) => uuid === other.uuid);
      expect(got.map(({ text }) => text).filter((text) => text !== "")).toEqual([
        `to ${node.uuid}`,
        ...GROUPS.filter((group) => node.groups.has(group)).map((group) => `in ${group}`),
      ]);
      messages += got.length;
    }
}

function story(most: number, zyres: number): (simulation: Simulation) => void {
  return (simulation) => {
    const world = new World(simulation);
    const { random } = simulation;
    world.loss = random.pick([0, 0.1, 0.5]);
    const steps = random.integer(5, 40);
    for (let i = 0; i < steps; i++) {
      step(world, most, zyres);
      simulation.run(world.now + random.pick([0, 3, 200, 1_500, 20_000]));
    }
    world.loss = 0;
    simulation.run(world.now + QUIET + 45_000);
    expectOneView(world);
    for (const node of world.live) {
      if (!("refused" in node.rules)) continue;
      const { refused, junk } = node.rules as unknown as Record<"refused" | "junk", Record<string, number>>;
      expect(refused.status, "status").toBe(0);
      expect(Object.values(junk).every((count) => count === 0)).toBe(true);
    }
  };
}

test(
  "nodes that are killed, stopped, cut off and stalled end up with one picture",
  () => {
    runSchedules(story(6, 0), { count: 70 });
    if (TRIES_MANY) expect(Math.min(messages, restarts)).toBeGreaterThan(100);
  },
  SCHEDULES_TIMEOUT,
);

test(
  "so do they among nodes of zyre's, none of which aborts",
  () => {
    runSchedules(story(6, 3), { count: 40, first: 10_001 });
  },
  SCHEDULES_TIMEOUT,
);
