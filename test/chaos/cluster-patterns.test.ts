/**
 * Patterns in a cluster, found by resolvers: their members are rolled, killed and stopped under load, and others take over. No request
 * fails, and nothing that was acknowledged is lost.
 *
 *   SHOAL_LONG=1     200 blows for each pattern, 10 brokers with 100 workers and 1,000 clients; SHOAL_CHAOS=N: N blows
 */
import { afterEach, describe, expect, it } from "vitest";
import { PostgresServer } from "../patterns/titanic/postgres-server.js";
import { type Blow, Crew, type LoadCounts } from "../support/cluster-crew.js";
import { missing } from "../support/peers.js";
import { SEEDS_NOW } from "../support/seed.js";
import { LONG } from "./blows.js";
import { FEDERATION, FREELANCE, LOAD_BALANCER, MAJORDOMO, TITANIC } from "./cluster-programs.js";

const BLOWS = Number(process.env.SHOAL_CHAOS ?? "") || (LONG ? 200 : 3);
const LIMIT = LONG ? 1_800_000 : 90_000;

let crew: Crew;
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await crew.close();
  for (const close of closers.splice(0)) await close();
});

function crewOf(what: string): Crew {
  crew = new Crew(what, LIMIT, SEEDS_NOW.base);
  return crew;
}

/** Every request has its answer, and nothing else. */
function expectAll(counts: LoadCounts, blows: Readonly<Record<Blow, number>>): void {
  const { asked, done, wrong, errors } = counts;
  expect({ done, wrong, errors }).toEqual({ done: asked, wrong: 0, errors: {} });
  if (LONG) console.info(`${asked} requests, ${JSON.stringify(blows)}, none failed`);
}

describe("members of a cluster that are rolled, killed and stopped under load", () => {
  it("brokers and workers of Majordomo: each request is answered", { timeout: LIMIT }, async () => {
    const { broker, worker, load } = MAJORDOMO;
    crewOf("majordomo");
    await Promise.all([crew.join("broker", 3, broker), crew.join("worker", 2, worker, "1")]);
    const running = await crew.load(load, "24");
    await crew.trouble(running, BLOWS, ["broker", "worker"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("load balancers and their workers: each request is answered", { timeout: LIMIT }, async () => {
    const { broker, worker, load } = LOAD_BALANCER;
    crewOf("balancer");
    await Promise.all([crew.join("broker", 2, broker), crew.join("worker", 2, worker)]);
    const running = await crew.load(load);
    await crew.trouble(running, BLOWS, ["broker", "worker"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("sites of a federation: each request is answered", { timeout: LIMIT }, async () => {
    const { site, load } = FEDERATION;
    crewOf("federation");
    await crew.join("site", 3, site);
    const running = await crew.load(load);
    await crew.trouble(running, BLOWS, ["site"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("servers of Freelance: each request is answered", { timeout: LIMIT }, async () => {
    const { server, load } = FREELANCE;
    crewOf("freelance");
    await crew.join("server", 3, server);
    const running = await crew.load(load);
    await crew.trouble(running, BLOWS, ["server"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it.skipIf(missing("postgresql"))(
    "front ends of Titanic on one store: no request that was acknowledged is lost",
    { timeout: LIMIT },
    async () => {
      const { front, worker, load } = TITANIC;
      const database = await PostgresServer.start();
      closers.push(() => database.stop());
      crewOf("titanic");
      const fronts = crew.join("front", 2, front, database.connectionString);
      await Promise.all([fronts, crew.join("worker", 2, worker, "1")]);
      const running = await crew.load(load);
      // What a killed one had is given to another after half a minute.
      const kinds: Blow[] = LONG ? ["roll", "kill", "stop"] : ["roll", "stop"];
      await crew.trouble(running, BLOWS, ["front", "worker"], 50, kinds);
      const counts = await running.end();
      expectAll(counts, crew.blows);
      expect(counts.more).toMatchObject({ kept: counts.asked, lost: 0 });
    },
  );
});

/** The bar, and a smaller form of it. */
const [BROKERS, WORKERS, CLIENTS] = LONG ? [10, 100, 1_000] : [3, 10, 100];
const PROCESSES = LONG ? 4 : 1;

it(`${BROKERS} brokers, ${WORKERS} workers, ${CLIENTS} clients: all brokers are rolled under load, and no request fails`, {
  timeout: LIMIT,
}, async () => {
  const { broker, worker, load } = MAJORDOMO;
  crewOf("rolled");
  await crew.join("broker", BROKERS, broker);
  await crew.join("worker", PROCESSES, worker, String(WORKERS / PROCESSES));
  const loads = await Promise.all(
    Array.from({ length: PROCESSES }, () => crew.load(load, String(CLIENTS / PROCESSES))),
  );
  for (const each of crew.of("broker")) {
    await Promise.all(loads.map((running) => running.more(500)));
    await crew.deal("roll", each);
  }
  await Promise.all(loads.map((running) => running.more(500)));
  const counts = await Promise.all(loads.map((running) => running.end()));
  for (const each of counts) expectAll(each, crew.blows);
  // They are shared by all brokers, those that came last among them.
  for (const { more } of counts) expect(more?.brokers).toBe(BROKERS);
});
