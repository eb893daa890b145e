/** Brokers that are killed, drain, stand still and return: each that stands has its clients again within the time that the docs name. */
import { expect, it } from "vitest";
import { LONGEST_PAUSE } from "../../../src/patterns/majordomo/client-fail-back.js";
import { Network } from "../../../src/testing/network.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";
import { BEAT, type SimulatedClient, World } from "./world.js";

const BROKERS = ["B0", "B1", "B2"];
/** Each broker is the first of some clients' lists. */
const ORDERS = [
  [0, 1, 2],
  [1, 2, 0],
  [2, 0, 1],
  [0, 2, 1],
].map((order) => order.map((at) => BROKERS[at] as string));

/** ms in which brokers go and come. */
const TROUBLE = 2_000;
/** ms in which a client learns of another list. */
const SPREAD = 300;
/**
 * ms in which a client finds that its broker is silent, and another one answers: `liveness` intervals, and as long as it has
 * patience with one broker.
 */
const FOUND = (3 + 8) * BEAT;
/** ms from then on until it is at the first of its list: the longest pause, and an interval for each broker that precedes its own. */
const BACK = (LONGEST_PAUSE + BROKERS.length - 1) * BEAT;

function rolls(simulation: Simulation): void {
  const { random } = simulation;
  const world = new World(simulation, new Network(simulation, { delay: [0.1, 10], loss: 0, duplication: 0 }));
  for (const name of BROKERS) world.broker(name);
  world.worker("w1", BROKERS, "resize");
  const clients = ORDERS.map((order, at) => ({ client: world.client(`c${at}`, order), order }));
  /** Whether the clients' lists have those brokers alone that stand. */
  const follows = random.chance(0.5);
  const listed = new Set(BROKERS);
  const list = (name: string, isThere: boolean): void => {
    if (!follows) return;
    if (isThere) listed.add(name);
    else listed.delete(name);
    for (const { client, order } of clients)
      simulation.after(random.integer(0, SPREAD), () =>
        client.setEndpoints(order.filter((each) => listed.has(each))),
      );
  };
  const isAway = new Set<string>();
  const comeBack = (name: string): void => {
    // It may be in the lists before it answers.
    const isEarly = random.chance(0.5);
    if (isEarly) list(name, true);
    simulation.after(isEarly ? random.integer(0, 2 * SPREAD) : 0, () => {
      world.broker(name);
      isAway.delete(name);
      if (!isEarly) list(name, true);
    });
  };
  const goAway = (name: string): void => {
    const broker = world.brokers.get(name);
    if (broker === undefined || isAway.has(name)) return;
    isAway.add(name);
    const away = random.integer(0, 10) * BEAT;
    if (random.chance(0.5)) {
      broker.crash();
      simulation.after(random.integer(0, SPREAD), () => list(name, false));
      simulation.after(SPREAD + away, () => comeBack(name));
      return;
    }
    list(name, false);
    broker.drain();
    const watch = (): void => {
      if (world.brokers.has(name)) simulation.after(10, watch);
      else simulation.after(away, () => comeBack(name));
    };
    watch();
  };
  for (let i = random.integer(1, 8); i > 0; i--)
    simulation.at(random.next() * TROUBLE, () => {
      const name = random.pick(BROKERS);
      if (random.chance(0.7)) goAway(name);
      else if (random.chance(0.5)) world.brokers.get(name)?.stop(random.integer(10, 4 * BEAT));
      else random.pick([...world.connections]).reset();
    });
  let isOver = false;
  const ask = (client: SimulatedClient): void => {
    if (isOver) return;
    client.ask("resize", "", 2_000, 20);
    simulation.after(random.integer(10, 6 * BEAT), () => ask(client));
  };
  for (const { client } of clients) ask(client);

  simulation.run(TROUBLE);
  simulation.runUntil(() => isAway.size === 0, TROUBLE + 20_000);
  expect([...isAway], "brokers that have not come back").toEqual([]);
  simulation.note("all brokers stand");
  simulation.run(simulation.now + SPREAD + 4 * BEAT + FOUND + BACK);
  for (const { client, order } of clients) expect(client.rules.stats().broker, client.name).toBe(order[0]);
  isOver = true;
  const allEnded = (): boolean => clients.every(({ client }) => client.ended.length === client.asked);
  simulation.runUntil(allEnded, simulation.now + 60_000);
  for (const { client } of clients) {
    expect(client.ended.length, `${client.name}: ended`).toBe(client.asked);
    // Where the others are away, a caller learns that the only broker stops.
    const failed = client.ended.filter(({ how, why }) => how === "failed" && !why.includes("stopping"));
    expect(failed).toEqual([]);
  }
}

it(
  "each broker that stands has its clients again, whatever brokers were killed, drained and came back",
  () => {
    runSchedules(rolls, { first: 4_000_000, count: 40 });
  },
  SCHEDULES_TIMEOUT,
);
