/** The rules of broker, worker and client under schedules of crashes, resets and partitions. */
import { expect, it } from "vitest";
import { Dialect } from "../../../src/patterns/majordomo/protocol.js";
import { Network } from "../../../src/testing/network.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";
import { BEAT, MOST_AHEAD, World } from "./world.js";

const SERVICES = ["resize", "count"] as const;
const DIALECTS = [undefined, undefined, undefined, Dialect.Mdp01, Dialect.Mdp02];
const BROKERS = ["B0", "B1"];

/** ms of the time in which things break. */
const TROUBLE = 3_000;

interface Kind {
  readonly loss: number;
  readonly duplication: number;
}

/** People come and go, things break; then nothing breaks any more, and what is asked then is answered. */
function story(simulation: Simulation, { loss, duplication }: Kind): void {
  const { random } = simulation;
  const network = new Network(simulation, { delay: [0.1, random.pick([1, 20, 80])], loss, duplication });
  const world = new World(simulation, network);
  const brokers = BROKERS.slice(0, random.integer(1, 2));
  const maxQueue = random.pick([3, 1_000]);
  for (const name of brokers) world.broker(name, { maxQueue, dedupWindow: random.pick([0, 10, 1_000]) });
  let number = 0;
  const hire = (service: string, dialect: Dialect | undefined): void => {
    world.worker(`w${++number}`, brokers, service, dialect);
  };
  for (const service of SERVICES) hire(service, random.pick(DIALECTS));
  // A plain client cannot recognize a message that came twice; on real connections none does.
  const clients = duplication > 0 ? [undefined] : DIALECTS;
  for (let i = 0; i < 3; i++) world.client(`c${i}`, brokers, random.pick(clients));

  for (let i = 0; i < 40; i++) {
    simulation.at(random.next() * TROUBLE, () => {
      const client = random.pick(world.clients);
      const service = random.pick(SERVICES);
      // Several at once, which leave together.
      for (let more = random.pick([1, 1, 4]); more > 0; more--)
        client.ask(service, random.pick(["", "", "!", "~", "*3", "*40"]), 700, 2);
    });
  }
  for (let i = random.integer(0, 14); i > 0; i--) {
    simulation.at(random.next() * TROUBLE, () => trouble(world, brokers, hire));
  }
  simulation.run(TROUBLE);

  simulation.note("no more trouble");
  network.faults = { delay: [0.1, 1], loss: 0, duplication: 0 };
  world.healAll();
  for (const name of brokers) if (!world.brokers.has(name)) world.broker(name);
  for (const service of SERVICES) hire(service, undefined);
  const allEnded = (): boolean => world.clients.every((client) => client.ended.length === client.asked);
  // The new workers take what is queued, or the next request might find the queue full.
  simulation.run(TROUBLE + 1_000);
  simulation.runUntil(allEnded, TROUBLE + 6_000);
  for (const client of world.clients) expect(client.ended.length, `${client.name}: ended`).toBe(client.asked);

  const last = world.clients.map((client) => [client, client.ask("resize", "", 3_000, 2)] as const);
  simulation.runUntil(allEnded, simulation.now + 10_000);
  // Whatever is still queued has its time, and each silent end is found out.
  simulation.run(simulation.now + 2_500);
  for (const [client] of last) {
    expect(client.ended.length, `${client.name}: ended`).toBe(client.asked);
    expect(client.ended.at(-1), "the last of all").toMatchObject({ how: "answered" });
  }
  for (const broker of world.brokers.values()) {
    broker.check();
    expect(broker.rules.stats(), broker.name).toMatchObject({ queued: 0 });
    // What was lost on a connection that stands is lost: only there may something stay with a worker.
    if (loss === 0) expect(broker.rules.stats(), broker.name).toMatchObject({ inFlight: 0 });
  }
}

function trouble(
  world: World,
  brokers: readonly string[],
  hire: (service: string, dialect: Dialect | undefined) => void,
): void {
  const { simulation } = world;
  const { random } = simulation;
  const worker = [...world.workers.values()][random.integer(0, Math.max(0, world.workers.size - 1))];
  const broker = random.pick(brokers);
  switch (random.integer(0, 7)) {
    case 0:
    case 1:
      worker?.crash();
      break;
    case 2:
      hire(random.pick(SERVICES), random.pick(DIALECTS));
      break;
    case 3:
    case 4: {
      const connections = [...world.connections];
      if (connections.length > 0) random.pick(connections).reset();
      break;
    }
    case 5: {
      const connections = [...world.connections].filter((connection) => connection.broker === broker);
      if (connections.length === 0) break;
      const connection = random.pick(connections);
      world.cutOff(connection, random.integer(1, 6) * BEAT);
      break;
    }
    case 7:
      world.brokers.get(broker)?.stop(random.integer(10, 2 * BEAT));
      break;
    case 6:
      world.brokers.get(broker)?.crash();
      simulation.after(random.integer(0, 10) * BEAT, () => {
        if (!world.brokers.has(broker)) world.broker(broker);
      });
      break;
  }
}

it(
  "every request ends once, with its own answer or an error, whatever breaks",
  () => {
    runSchedules((simulation) => story(simulation, { loss: 0, duplication: 0 }), { count: 5 });
  },
  SCHEDULES_TIMEOUT,
);

it(
  "the same when messages are lost and come twice",
  () => {
    runSchedules((simulation) => story(simulation, { loss: 0.03, duplication: 0.03 }), {
      first: 1_000_000,
      count: 5,
    });
  },
  SCHEDULES_TIMEOUT,
);

/** One worker lives all the time, though its connections do not: so nothing that is asked needs to fail. */
function survival(simulation: Simulation): void {
  const { random } = simulation;
  const world = new World(simulation, new Network(simulation, { delay: [0.1, 20], loss: 0, duplication: 0 }));
  const brokers = BROKERS.slice(0, random.integer(1, 2));
  for (const name of brokers) world.broker(name, { maxDeliveries: 1_000 });
  let number = 0;
  const hire = (service: string): void => {
    world.worker(`w${++number}`, brokers, service);
  };
  hire("resize");
  world.workers.clear(); // Nobody finds this one to kill it.
  for (let i = 0; i < 3; i++) world.client(`c${i}`, brokers);
  for (let i = 0; i < 40; i++) {
    simulation.at(random.next() * TROUBLE, () => {
      const client = random.pick(world.clients);
      for (let more = random.pick([1, 1, 4]); more > 0; more--) client.ask("resize", "", 2_000, 20);
    });
  }
  for (let i = random.integer(2, 10); i > 0; i--) {
    simulation.at(random.next() * TROUBLE, () => trouble(world, brokers, () => hire("resize")));
  }
  simulation.run(TROUBLE);
  world.healAll();
  for (const name of brokers) if (!world.brokers.has(name)) world.broker(name);
  const allEnded = (): boolean => world.clients.every((client) => client.ended.length === client.asked);
  simulation.runUntil(allEnded, TROUBLE + 60_000);
  for (const { ended } of world.clients) {
    expect(ended.filter(({ how }) => how === "failed")).toEqual([]);
  }
  expect(allEnded()).toBe(true);
  // A reply lost with its client's connection is fetched at the end of an attempt; all else heartbeats find out.
  expect(simulation.now).toBeLessThan(TROUBLE + 5_000);
}

it(
  "no request is lost while one worker lives",
  () => {
    runSchedules(survival, { first: 2_000_000, count: 12 });
  },
  SCHEDULES_TIMEOUT,
);

/** Long answers to readers of any speed, while brokers stand still, connections break and workers are killed. */
function streams(simulation: Simulation): void {
  const { random } = simulation;
  const world = new World(simulation, new Network(simulation, { delay: [0.1, 20], loss: 0, duplication: 0 }));
  const brokers = BROKERS.slice(0, random.integer(1, 2));
  for (const name of brokers) world.broker(name);
  let number = 0;
  const hire = (service: string): void => {
    world.worker(`w${++number}`, brokers, service);
  };
  for (let i = 0; i < 3; i++) hire("count");
  for (let i = 0; i < 3; i++) world.client(`c${i}`, brokers);
  for (let i = 0; i < 12; i++) {
    const pieces = random.pick(["*1", "*20", "*60"]);
    simulation.at(random.next() * TROUBLE, () => random.pick(world.clients).ask("count", pieces, 700, 2));
  }
  for (let i = random.integer(0, 8); i > 0; i--) {
    simulation.at(random.next() * TROUBLE, () => trouble(world, brokers, () => hire("count")));
  }
  simulation.run(TROUBLE);
  world.healAll();
  for (const name of brokers) if (!world.brokers.has(name)) world.broker(name);
  hire("count");
  const allEnded = (): boolean => world.clients.every((client) => client.ended.length === client.asked);
  simulation.runUntil(allEnded, TROUBLE + 60_000);
  // A connection that was cut late is reset after that time.
  simulation.run(Math.max(simulation.now, TROUBLE + 1_000));
  for (const client of world.clients) {
    expect(client.ended.length, `${client.name}: ended`).toBe(client.asked);
    expect(client.mostAhead, `${client.name}: bytes ahead of a reader`).toBeLessThanOrEqual(MOST_AHEAD);
  }
  // In the first round a client may find out that its broker has begun a new life, which ends what it has begun.
  for (let round = 0; round < 2; round++) {
    for (const client of world.clients) client.ask("count", "*50", 3_000, 2);
    simulation.runUntil(allEnded, simulation.now + 10_000);
  }
  for (const client of world.clients) expect(client.ended.at(-1)).toMatchObject({ how: "answered" });
  simulation.run(simulation.now + 2_500);
  for (const { name, rules } of world.brokers.values()) {
    expect(rules.stats(), name).toMatchObject({ queued: 0, inFlight: 0 });
  }
}

it(
  "answers in pieces are whole or fail, never far ahead of their readers, and leave their workers free",
  () => {
    runSchedules(streams, { first: 3_000_000, count: 3 });
  },
  SCHEDULES_TIMEOUT,
);
