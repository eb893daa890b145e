/**
 * Three sites in simulated time: workers that die, sites that crash and come back, links between sites that are cut,
 * brokers of pairs that cease to serve for a while.
 *
 * Invariants, while a site lives: each request that it accepted ends with exactly one reply, once a worker lives
 * anywhere it can reach; replies go to the peer that asked; what it queues is bounded by what was asked; nothing is
 * passed on twice.
 */
import { describe, expect, it } from "vitest";
import { CLOUD, FederationRules, LOCAL } from "../../../src/patterns/federation/rules.js";
import { readyFrames } from "../../../src/patterns/kit/worker-protocol.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const NAMES = ["A", "B", "C"] as const;
const STORM = 15_000;
const END = 60_000;

interface Living {
  readonly rules: FederationRules;
  readonly timer: RulesTimer;
  readonly workers: Set<string>;
  /** Accepted and not answered: who asked, by what was asked. */
  readonly open: Map<string, string>;
  serving: boolean;
}

class World {
  readonly sites = new Map<string, Living>();
  readonly #cut = new Set<string>();
  #count = 0;
  #incarnation = 0;

  constructor(readonly simulation: Simulation) {}

  /** Between two sites: what is sent arrives if both ends and the link are as they were. */
  #between(from: string, to: string, what: string, arrive: (there: Living) => void): boolean {
    const there = this.sites.get(to);
    if (there === undefined || this.#cut.has(link(from, to))) return false;
    this.simulation.note(`${from} -> ${to}: ${what}`);
    const here = this.sites.get(from);
    this.simulation.after(this.simulation.random.integer(1, 30), () => {
      if (this.sites.get(to) !== there || this.sites.get(from) !== here || this.#cut.has(link(from, to)))
        return;
      arrive(there);
      there.timer.update();
    });
    return true;
  }

  start(name: string): void {
    const { simulation } = this;
    simulation.note(`${name} is up`);
    // Its connections are new ones: a site that had not noticed the end of the old ones does now.
    for (const { rules } of this.sites.values()) {
      rules.siteLeft(name);
      rules.askingSiteLeft(Buffer.from(name));
    }
    const workers = new Set<string>();
    const open = new Map<string, string>();
    const id = Buffer.from(name);
    let living: Living | undefined;
    const rules: FederationRules = new FederationRules(
      { stateInterval: 1_000, liveness: 3, maxQueue: 100, maxQueueBytes: 1_000_000, maxDeliveries: 1_000 },
      {
        toWorker: ([worker, ...frames]) => {
          const key = String(worker);
          if (!workers.has(key)) return false;
          simulation.after(simulation.random.integer(1, 2_000), () => {
            if (!workers.has(key) || this.sites.get(name)?.rules !== rules) return;
            rules.workerMessage(worker as Buffer, frames);
          });
          return true;
        },
        reply: (envelope, body) => {
          const asked = String(body[0]);
          simulation.note(`${name}: reply to ${asked}`);
          expect(open.get(asked), "a reply to nobody, or the wrong one, or twice").toBe(String(envelope[0]));
          open.delete(asked);
        },
        siteRequest: (site, address, body) =>
          this.#between(name, site, `request ${body}`, ({ rules: there }) => {
            there.request([id, address], body, CLOUD);
          }),
        siteReply: ([site, address], body) => {
          if (!(living?.serving ?? true))
            expect(String(body), "an answer of one that stands by").toMatch(/^shoal.error/);
          this.#between(name, String(site), `reply ${body}`, ({ rules: there }) => {
            there.siteReplied(name, address as Buffer, body);
          });
        },
        publish: (capacity) => {
          for (const other of NAMES) {
            if (other === name) continue;
            this.#between(name, other, `state ${capacity}`, ({ rules: there }) => {
              there.siteState(name, capacity, simulation.now);
            });
          }
        },
        isServing: () => living?.serving ?? true,
        event: (event) => simulation.note(`${name}: ${event.type}`),
      },
      simulation.now,
      Buffer.from([++this.#incarnation]),
    );
    living = { rules, timer: new RulesTimer(simulation, rules), workers, open, serving: true };
    this.sites.set(name, living);
  }

  /** The other broker of its pair serves from now on, or does not any more. */
  serve(name: string, serving: boolean): void {
    const site = this.sites.get(name);
    if (site === undefined) return;
    this.simulation.note(`${name} ${serving ? "serves" : "stands by"}`);
    site.serving = serving;
  }

  crash(name: string): void {
    this.simulation.note(`${name} is down`);
    this.sites.get(name)?.timer.stop();
    this.sites.delete(name);
    for (const other of NAMES) if (other !== name) this.#part(name, other);
  }

  /** A connection between two sites ends; each hears of it now or never, when it is silent. */
  #part(a: string, b: string): void {
    for (const [here, there] of [
      [a, b],
      [b, a],
    ] as const) {
      const site = this.sites.get(here);
      if (site === undefined || this.simulation.random.chance(0.3)) continue;
      site.rules.siteLeft(there);
      site.rules.askingSiteLeft(Buffer.from(there));
    }
  }

  cut(a: string, b: string): void {
    this.simulation.note(`${a} | ${b}: cut`);
    this.#cut.add(link(a, b));
  }

  heal(a: string, b: string): void {
    this.simulation.note(`${a} | ${b}: healed`);
    this.#cut.delete(link(a, b));
    this.#part(a, b); // A connection that was cut for long is a new one afterwards: what was on its way is gone.
    for (const site of [a, b]) {
      const rules = this.sites.get(site)?.rules;
      rules?.siteLeft(site === a ? b : a);
    }
  }

  addWorker(name: string): string {
    const worker = `w${++this.#count}`;
    const site = this.sites.get(name);
    site?.workers.add(worker);
    site?.rules.workerMessage(Buffer.from(worker), readyFrames("simple"));
    return worker;
  }

  removeWorker(name: string, worker: string): void {
    const site = this.sites.get(name);
    if (site?.workers.delete(worker)) site.rules.workerLeft(Buffer.from(worker));
  }

  ask(name: string): void {
    const site = this.sites.get(name);
    if (site === undefined || !site.serving) return; // The gate has it.
    const asked = `r${++this.#count}`;
    // Routing ids that are sites' names, too: a client may be called so.
    const client = this.simulation.random.pick(["c1", "c2", "A", "B"]);
    site.open.set(asked, client);
    this.simulation.note(`${name}: ${client} asks ${asked}`);
    site.rules.request([Buffer.from(client)], [Buffer.from(asked)], LOCAL);
    this.check(site);
  }

  check({ rules, open }: Living): void {
    const { queuedLocal, busyWorkers, atSites, requestsLocal, repliesLocal } = rules.stats();
    expect(requestsLocal - repliesLocal, "the accounts").toBe(open.size);
    expect(open.size).toBeLessThanOrEqual(queuedLocal + busyWorkers + atSites);
  }
}

function link(a: string, b: string): string {
  return [a, b].sort().join();
}

describe("a federation's rules", () => {
  it(
    "answer every accepted request exactly once while its site lives",
    () => {
      runSchedules(
        (simulation) => {
          const { random } = simulation;
          const world = new World(simulation);
          for (const name of NAMES) world.start(name);
          for (let i = random.integer(1, 6); i > 0; i--) {
            const name = random.pick(NAMES);
            const worker = world.addWorker(name);
            if (random.chance(0.5))
              simulation.at(random.integer(0, STORM), () => world.removeWorker(name, worker));
          }
          for (let i = random.integer(5, 40); i > 0; i--) {
            const name = random.pick(NAMES);
            simulation.at(random.integer(0, STORM), () => world.ask(name));
          }
          for (let i = random.integer(0, 4); i > 0; i--) {
            const begin = random.integer(0, STORM - 1);
            const end = random.integer(begin, STORM);
            const name = random.pick(NAMES);
            const other = random.pick(NAMES.filter((site) => site !== name));
            if (random.chance(0.5)) {
              simulation.at(begin, () => world.sites.has(name) && world.crash(name));
              simulation.at(end, () => !world.sites.has(name) && world.start(name));
            } else {
              simulation.at(begin, () => world.cut(name, other));
              simulation.at(end, () => world.heal(name, other));
            }
          }
          for (let i = random.integer(0, 3); i > 0; i--) {
            const name = random.pick(NAMES);
            const begin = random.integer(0, STORM - 1);
            simulation.at(begin, () => world.serve(name, false));
            simulation.at(random.integer(begin, STORM), () => world.serve(name, true));
          }
          // A worker may have come to where nobody serves.
          for (const name of NAMES) simulation.at(STORM, () => world.serve(name, true));
          simulation.at(STORM, () => world.addWorker(random.pick([...world.sites.keys()])));
          simulation.run(END + 40 * 2_000);
          for (const [name, site] of world.sites) {
            world.check(site);
            expect([...site.open.keys()], `unanswered at ${name}`).toEqual([]);
            expect(site.rules.stats()).toMatchObject({ queuedLocal: 0, atSites: 0 });
          }
        },
        { count: 90 },
      );
    },
    SCHEDULES_TIMEOUT,
  );
});
