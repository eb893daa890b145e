/**
 * Three sites in a simulated world: workers that die, sites that are killed and come back, links between sites that are cut or
 * reset, brokers of pairs that cease to serve for a while. While a site lives, each request that it accepted ends with exactly one
 * reply, at the peer that asked, once a worker lives anywhere that it can reach; what it queues is bounded by what was asked.
 */
import { expect } from "vitest";
import { Dealer } from "../../../src/index.js";
import { FederatedBroker } from "../../../src/patterns/federation/index.js";
import { PirateWorker } from "../../../src/patterns/pirate/index.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ runs: 8, long: 250, network: { latency: [1, 30] } });

const NAMES = ["A", "B", "C"] as const;
const STORM = 15_000;
const END = 60_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Site {
  broker?: FederatedBroker;
  /** Its clients, which end with it. Their routing ids may be names of sites, too. */
  clients: Dealer[];
  /** What was asked and not answered. */
  readonly open: Set<string>;
  /** What was not when the broker ceased to serve, which sends no answers then. */
  readonly dropped: Set<string>;
  serving: boolean;
}

it("every accepted request is answered exactly once while its site lives", async (world) => {
  const { random } = world;
  const sites = new Map<string, Site>();
  const wrong: string[] = [];
  let count = 0;
  const listen = async (client: Dealer, { open, dropped }: Site): Promise<void> => {
    for await (const [, body] of client)
      if (!open.delete(String(body)) && !dropped.delete(String(body)))
        wrong.push(`a reply to nobody, or twice: ${body}`);
  };
  const start = (name: string): void => {
    if (world.node(name).running) return;
    const site: Site = { clients: [], open: new Set(), dropped: new Set(), serving: true };
    sites.set(name, site);
    world.node(name).start(async () => {
      const gate = {
        isServing: () => site.serving,
        admit: (message: Buffer[]) => {
          if (!site.serving) site.open.delete(String(message.at(-1)));
          return site.serving;
        },
        passTo: () => undefined,
      };
      const broker = new FederatedBroker(name, { stateInterval: 1_000, maxDeliveries: 1_000, gate });
      site.broker = broker;
      for (const [at, side] of (["frontend", "backend", "cloud", "state"] as const).entries())
        await broker.bind(side, `tcp://*:${5_001 + at}`);
      for (const other of NAMES)
        if (other !== name)
          broker.join({ name: other, cloud: `tcp://${other}:5003`, state: `tcp://${other}:5004` });
    });
    const clients = world.node(`clients-${name}`);
    if (clients.running) clients.kill();
    clients.start(() => {
      for (const routingId of ["c1", name === "A" ? "B" : "A"]) {
        const client = new Dealer({ routingId });
        client.connect(`tcp://${name}:5001`);
        site.clients.push(client);
        void listen(client, site);
      }
    });
  };
  const hire = (name: string): string => {
    const worker = `w${++count}`;
    world.node(worker).start(() => {
      const handler = async ([body]: Buffer[]): Promise<Buffer> => {
        await sleep(random.integer(1, 2_000));
        return body as Buffer;
      };
      new PirateWorker(`tcp://${name}:5002`, handler, { dialect: "simple", reconnectInterval: 50 });
    });
    return worker;
  };
  const ask = (name: string): void => {
    const site = sites.get(name) as Site;
    if (!world.node(name).running || !site.serving || site.clients.length === 0) return;
    const asked = `r${++count}`;
    site.open.add(asked);
    const client = random.pick(site.clients);
    void world.node(`clients-${name}`).run(() => client.send(["", asked]));
  };
  const check = (): void => {
    for (const name of NAMES) {
      if (!world.node(name).running) continue;
      const stats = sites.get(name)?.broker?.stats();
      if (stats === undefined) continue;
      const { queuedLocal, busyWorkers, atSites, requestsLocal, repliesLocal } = stats;
      expect(requestsLocal - repliesLocal, name).toBeLessThanOrEqual(queuedLocal + busyWorkers + atSites);
    }
  };
  for (const name of NAMES) start(name);
  const things: (() => void)[] = [];
  for (let i = random.integer(1, 6); i > 0; i--) {
    const worker = hire(random.pick(NAMES));
    if (random.chance(0.5)) things.push(() => world.node(worker).kill());
  }
  for (let i = random.integer(5, 40); i > 0; i--) things.push(() => ask(random.pick(NAMES)));
  for (let i = random.integer(0, 5); i > 0; i--)
    things.push(() => {
      const name = random.pick(NAMES);
      const other = random.pick(NAMES.filter((site) => site !== name));
      const later = world.advance(random.integer(1, 8_000));
      random.pick([
        () => {
          if (world.node(name).running) world.node(name).kill();
          void later.then(() => start(name));
        },
        () => {
          world.cut(name, other);
          void later.then(() => world.heal(name, other));
        },
        () => world.reset(name, other),
        () => {
          const site = sites.get(name) as Site;
          site.serving = false;
          for (const asked of site.open) site.dropped.add(asked);
          site.open.clear();
          void later.then(() => {
            site.serving = true;
          });
        },
      ])();
    });
  const schedule = things.map((run) => ({ at: random.next() * STORM, run }));
  for (const { at, run } of schedule.sort((a, b) => a.at - b.at)) {
    await world.advance(Math.max(0, at - world.now));
    run();
    check();
  }
  await world.advance(STORM + 8_000 - world.now);
  hire(random.pick(NAMES));
  await world.advance(END + 40 * 2_000);
  check();
  for (const [name, { open, broker }] of sites) {
    expect([...open], `unanswered at ${name}`).toEqual([]);
    expect(broker?.stats()).toMatchObject({ queuedLocal: 0, atSites: 0 });
  }
  expect(wrong).toEqual([]);
});
