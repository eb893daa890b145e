/**
 * Patterns in a cluster, found by resolvers: their members are rolled, killed and stopped under load, and others take over. No request
 * fails, and nothing that was acknowledged is lost. 5 brokers have 40 workers and 400 clients.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { PostgresServer } from "../patterns/titanic/postgres-server.js";
import { missing } from "../support/peers.js";
import { SEEDS_NOW } from "../support/seed.js";
import { type Blow, Crew, type LoadCounts } from "./cluster-crew.js";

/** Each kind of blow comes three times. */
const BLOWS = 9;
/** Requests of each load between two blows. */
const WORK = 100;
const LIMIT = 600_000;
/** ms between heartbeats; silence is found after three of them. */
const BEAT = "200";
/**
 * For many clients and workers at each of many brokers: beats every 200 ms over two thousand connections would be 20,000 messages a
 * second, which take both processors of a small machine, so that silence is found where there is none.
 */
const SLOW_BEAT = "2000";

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
  console.info(`${asked} requests, ${JSON.stringify(blows)}, none failed`);
}

/** Of those that went in peace each message came, once. */
function expectSequenced(counts: LoadCounts): void {
  expect(counts).toMatchObject({ wrong: 0, errors: {} });
  const { came, twice } = counts.more as { came: Record<string, number>; twice: number };
  const published = crew.lastLines.flatMap((line) => {
    const [, id, last] = /^last (\w+) (\d+)$/.exec(line) ?? [];
    return id === undefined ? [] : [[id, Number(last)]];
  });
  expect(twice).toBe(0);
  expect(published.length).toBeGreaterThanOrEqual(2);
  expect(published.map(([id]) => [id, came[id as string]])).toEqual(published);
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "shoal-crew-"));
  closers.push(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("members of a cluster that are rolled, killed and stopped under load", () => {
  it("brokers and workers of Majordomo: each request is answered", { timeout: LIMIT }, async () => {
    crewOf("majordomo");
    const brokers = crew.join("broker", 3, "majordomoBroker", BEAT);
    await Promise.all([brokers, crew.join("worker", 2, "majordomoWorker", BEAT, "1")]);
    const running = await crew.load("majordomoLoad", BEAT, "24");
    await crew.trouble([running], 4 * BLOWS, ["broker", "worker"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("load balancers and their workers: each request is answered", { timeout: LIMIT }, async () => {
    crewOf("balancer");
    await Promise.all([crew.join("broker", 2, "balancer"), crew.join("worker", 2, "balancedWorker")]);
    const running = await crew.load("balancedLoad", "requests");
    await crew.trouble([running], BLOWS, ["broker", "worker"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("sites of a federation: each request is answered", { timeout: LIMIT }, async () => {
    crewOf("federation");
    await crew.join("site", 3, "federatedSite");
    const running = await crew.load("balancedLoad", "sites");
    await crew.trouble([running], BLOWS, ["site"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it("servers of Freelance: each request is answered", { timeout: LIMIT }, async () => {
    crewOf("freelance");
    await crew.join("server", 3, "freelanceServer");
    const running = await crew.load("freelanceLoad");
    await crew.trouble([running], 3 * BLOWS, ["server"], 200);
    expectAll(await running.end(), crew.blows);
  });

  it.skipIf(missing("postgresql"))(
    "front ends of Titanic on one store: no request that was acknowledged is lost",
    { timeout: LIMIT },
    async () => {
      const database = await PostgresServer.start();
      closers.push(() => database.stop());
      crewOf("titanic");
      const fronts = crew.join("front", 2, "titanicFront", database.connectionString);
      await Promise.all([fronts, crew.join("worker", 2, "majordomoWorker", BEAT, "1", "fronts")]);
      const running = await crew.load("titanicLoad");
      await crew.trouble([running], BLOWS, ["front", "worker"], WORK);
      const counts = await running.end();
      expectAll(counts, crew.blows);
      expect(counts.more).toMatchObject({ kept: counts.asked, lost: 0 });
    },
  );

  it("a pair of Clone's servers, by their roles: no update that was acknowledged is lost", {
    timeout: LIMIT,
  }, async () => {
    crewOf("clone");
    await Promise.all(["primary", "backup"].map((role) => crew.join(role, 1, "cloneServer", role)));
    const running = await crew.load("cloneLoad");
    // One goes at a time, when the other one has everything.
    await crew.trouble([running], 6 * BLOWS, ["primary", "backup"], WORK, ["kill", "roll", "kill"]);
    const counts = await running.end();
    expectAll(counts, crew.blows);
    expect(counts.more).toMatchObject({ lost: 0, back: 0 });
  });

  it("both servers of a pair at once, with their stores: no update is lost", {
    timeout: LIMIT,
  }, async () => {
    crewOf("both");
    const folder = makeFolder();
    await Promise.all(["primary", "backup"].map((role) => crew.join(role, 1, "cloneServer", role, folder)));
    const running = await crew.load("cloneLoad");
    for (let round = 0; round < 20; round++) {
      await running.more(WORK);
      const both = [...crew.of("primary"), ...crew.of("backup")];
      await Promise.all(both.map((each) => crew.end(each, false)));
      await Promise.all(both.map((each) => crew.restart(each)));
    }
    await running.more(WORK);
    const counts = await running.end();
    expectAll(counts, crew.blows);
    expect(counts.more).toMatchObject({ lost: 0, back: 0 });
  });

  it("sequenced publishers: a subscriber has every message of those that went in peace, once", {
    timeout: LIMIT,
  }, async () => {
    crewOf("sequenced");
    await crew.join("publisher", 2, "sequencedPublisher");
    const running = await crew.load("sequencedLoad");
    await crew.trouble([running], BLOWS, ["publisher"], 100);
    for (const each of crew.of("publisher")) await crew.end(each, true);
    expectSequenced(await running.end());
  });

  it("last value caches: each value comes by one of them, and a newcomer has the last of each topic", {
    timeout: LIMIT,
  }, async () => {
    crewOf("values");
    await crew.join("cache", 2, "valueCache", makeFolder());
    const running = await crew.load("valueLoad");
    await crew.trouble([running], BLOWS, ["cache"], 100);
    const counts = await running.end();
    expectAll(counts, crew.blows);
    expect(counts.more).toEqual({ topics: 40, isThere: true });
  });

  it("proxies at the edge of a cluster: each message that is routed passes, and no other", {
    timeout: LIMIT,
  }, async () => {
    crewOf("edge");
    const outside = `${crew.cluster}-outside`;
    await crew.join("edge", 2, "edgeProxy", outside);
    const running = await crew.load("edgeLoad", outside);
    await crew.trouble([running], BLOWS, ["edge"], 100);
    const counts = await running.end();
    expectAll(counts, crew.blows);
    expect(counts.more).toEqual({ others: 0 });
  });
});

const [BROKERS, WORKERS, CLIENTS] = [5, 40, 400];
const PROCESSES = 4;
/** Requests of each process of clients from one broker's roll to the next. */
const BETWEEN = 500;

it(`${BROKERS} brokers, ${WORKERS} workers, ${CLIENTS} clients: all brokers are rolled under load, and no request fails`, {
  timeout: LIMIT,
}, async () => {
  crewOf("rolled");
  await crew.join("broker", BROKERS, "majordomoBroker", SLOW_BEAT);
  await crew.join("worker", PROCESSES, "majordomoWorker", SLOW_BEAT, String(WORKERS / PROCESSES));
  const clients = String(CLIENTS / PROCESSES);
  const loads = await Promise.all(
    Array.from({ length: PROCESSES }, () => crew.load("majordomoLoad", SLOW_BEAT, clients)),
  );
  for (const each of crew.of("broker")) {
    await Promise.all(loads.map((running) => running.more(BETWEEN)));
    await crew.deal("roll", each);
  }
  await Promise.all(loads.map((running) => running.more(BETWEEN)));
  const counts = await Promise.all(loads.map((running) => running.end()));
  for (const each of counts) expectAll(each, crew.blows);
});
