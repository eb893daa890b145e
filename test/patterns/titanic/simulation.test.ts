/**
 * Two Titanics on one store, brokers, workers and clients in a simulated world: each falls and rises by itself, so that
 * now one, now the other, now neither is up, and each stands still; the store stops, and its answers get lost before a
 * commit and after it.
 *
 * What was acknowledged is in the store until its client closes it, stored once however often it is repeated; a request
 * that can be done ends with its own reply, one that cannot as a dead letter after exactly as many attempts as it has; no
 * Titanic has more in flight than its limits allow.
 */
import { expect } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import {
  StoreError,
  Titanic,
  type TitanicClaimedRequest,
  TitanicClient,
  type TitanicDeath,
} from "../../../src/patterns/titanic/index.js";
import type { World } from "../../../src/testing/index.js";
import { worldTest } from "../../support/world-test.js";
import { MemoryStore, type Row, waiting } from "./memory-store.js";

const it = worldTest({ runs: 2, long: 250, network: { latency: [0.1, 10] } });

const HEARTBEAT = { heartbeatInterval: 200 };
const BROKERS = ["b0", "b1"];
const ENDPOINTS = BROKERS.map((name) => `tcp://${name}:5555`);
const TITANICS = ["t0", "t1"];
const SERVICES = ["good", "flaky", "poison"];
const LIMITS = {
  timeout: 400,
  concurrency: 5,
  perService: 3,
  checkInterval: 50,
  maxCheckInterval: 400,
  checkTimeout: 500,
  retryDelay: 50,
  maxRetryDelay: 400,
  maxAttempts: 3,
  maxRetrying: 50,
  maxServices: 2,
  scanInterval: 500,
};
/** ms of faults, and ms of peace after them, in which everything has to end. */
const STORM = 5_000;
const PEACE = 120_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The table that all share; it outlives every kill. */
class Table extends Map<string, Row> {
  /** Times that a UUID was inserted. */
  readonly inserted = new Map<string, number>();
  up = true;
  storm = true;

  constructor(readonly world: World) {
    super();
  }

  override set(uuid: string, row: Row): this {
    this.inserted.set(uuid, (this.inserted.get(uuid) ?? 0) + 1);
    return super.set(uuid, row);
  }
}

/** One process's way to it. */
class Connection extends MemoryStore {
  readonly #table: Table;
  /** Service of each request that was claimed and is not settled. */
  readonly #flying = new Map<string, string>();

  constructor(table: Table) {
    super(table);
    this.#table = table;
  }

  /** What this process may have in flight. */
  check(): void {
    const services = [...this.#flying.values()];
    expect(services.length).toBeLessThanOrEqual(LIMITS.concurrency);
    for (const name of SERVICES)
      expect(services.filter((each) => each === name).length).toBeLessThanOrEqual(LIMITS.perService);
  }

  override async claim(service: Buffer, limit: number, lease: number): Promise<TitanicClaimedRequest[]> {
    const claimed = await super.claim(service, limit, lease);
    for (const { uuid } of claimed) this.#flying.set(uuid.toString("hex"), String(service));
    return claimed;
  }

  override release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    this.#flying.delete(uuid.toString("hex"));
    return super.release(uuid, delay, failed);
  }

  override markDead(uuid: Buffer, death: TitanicDeath): Promise<boolean> {
    this.#flying.delete(uuid.toString("hex"));
    return super.markDead(uuid, death);
  }

  override async answer(uuid: Buffer, reply: readonly Buffer[]): Promise<boolean> {
    const isFirst = await super.answer(uuid, reply);
    this.#flying.delete(uuid.toString("hex"));
    return isFirst;
  }

  protected override now(): number {
    return this.#table.world.now;
  }

  /** The process, or the connection, may end before it arrives, and before its answer. */
  protected override async operate<T>(_: string, commit: () => T): Promise<T> {
    const { world, up, storm } = this.#table;
    const { random } = world;
    await sleep(random.integer(1, 20));
    const isCut = storm && random.chance(0.1);
    if (!up || (isCut && random.chance(0.5))) throw new StoreError("failed", "The database did not get it");
    const result = commit();
    await sleep(random.integer(1, 20));
    if (isCut) throw new StoreError("outcome-unknown", "The database's answer was lost");
    return result;
  }
}

let acknowledgements = 0;
let deaths = 0;

it(
  "loses nothing acknowledged to kills that are staggered, stores nothing twice, and ends everything",
  async (world) => {
    const { random } = world;
    const table = new Table(world);
    const connections = new Map<string, Connection>();
    const wrong: string[] = [];
    /** How each that was acknowledged ended, by UUID in hex; absent: it has not. */
    const acknowledged = new Set<string>();
    const closed = new Set<string>();
    const ended = new Map<string, "answered" | "dead">();
    const start: Record<string, () => void> = {};
    for (const name of BROKERS)
      start[name] = () =>
        world.node(name).start(async () => void (await new MajordomoBroker(HEARTBEAT).bind("tcp://*:5555")));
    for (const name of TITANICS)
      start[name] = () =>
        world.node(name).start(() => {
          const connection = new Connection(table);
          connections.set(name, connection);
          const titanic = new Titanic(ENDPOINTS, connection, LIMITS);
          setInterval(() => {
            const { inFlight, services } = titanic.stats();
            if (inFlight > LIMITS.concurrency || services > LIMITS.maxServices)
              wrong.push(`${name}: ${inFlight} in flight, ${services} services`);
          }, 100);
        });
    /** Whether a request may fail that can be done. */
    const workersFall = random.chance(0.5);
    for (const name of ["w0", "w1"])
      start[name] = () =>
        world.node(name).start(() => {
          for (const service of SERVICES) {
            const handle = async ([text]: Buffer[]): Promise<string> => {
              await sleep(random.integer(1, table.storm && workersFall ? 300 : 20));
              if (service === "poison" || (service === "flaky" && table.storm && random.chance(0.1)))
                throw new Error("no");
              return `${service}:${String(text)}`;
            };
            const worker = new MajordomoWorker(ENDPOINTS, service, handle, HEARTBEAT);
            worker.events.on("handler:failed", () => undefined);
          }
        });
    /** Each falls and rises by itself: what is down comes back before, with, or after the others. */
    const stagger = async (name: string): Promise<void> => {
      const node = world.node(name);
      start[name]?.();
      for (;;) {
        await world.advance(random.integer(200, 2_500));
        if (!table.storm) return;
        if (random.chance(0.3)) {
          node.stall(random.integer(100, 1_500));
          continue;
        }
        if (random.chance(0.5)) node.kill();
        else node.crash();
        await world.advance(random.integer(10, 800));
        start[name]?.();
      }
    };
    const falling = [
      ...TITANICS,
      ...(workersFall ? ["w0", "w1"] : []),
      ...(random.chance(0.5) ? BROKERS : []),
    ];
    for (const name of Object.keys(start)) if (!falling.includes(name)) start[name]?.();
    for (const name of falling) void stagger(name);
    const isUnstable = random.chance(0.5);
    const clients = random.integer(1, 8);
    let asked = 0;
    const ask = async (client: TitanicClient, service: string): Promise<void> => {
      const text = `body ${++asked}`;
      const uuid = client.newUuid();
      const key = uuid.toLowerCase();
      // One that fails is left, under the same UUID, until it is acknowledged.
      while ((await client.request(service, text, { uuid }).catch(() => undefined)) === undefined)
        await sleep(random.integer(50, 400));
      acknowledged.add(key);
      while (!ended.has(key)) {
        const reply = await client.wait(uuid, { timeout: 5_000, interval: 100 }).catch(() => undefined);
        if (reply?.status === "200") {
          if (String(reply.body[0]) !== `${service}:${text}`) wrong.push(`${text} got ${reply.body[0]}`);
          ended.set(key, "answered");
        } else if (reply?.status === "503") {
          if (service === "good" && !workersFall) wrong.push(`${text} is dead, and could have been done`);
          ended.set(key, "dead");
        } else if (reply?.status === "400") wrong.push(`${text} was acknowledged, and is missing`);
      }
      if (!random.chance(0.3)) return;
      closed.add(key);
      await client.forget(uuid).catch(() => undefined);
    };
    for (let number = 0; number < clients; number++)
      world.node(`c${number}`).start(async () => {
        await sleep(random.integer(0, STORM / 2));
        const client = new TitanicClient(new MajordomoClient(ENDPOINTS, { ...HEARTBEAT, timeout: 2_000 }));
        const service = random.pick(SERVICES);
        for (let more = random.pick([1, 8]); more > 0; more--) void ask(client, service);
      });
    const check = (): void => {
      expect(wrong).toEqual([]);
      for (const connection of connections.values()) connection.check();
      for (const key of acknowledged)
        if (!closed.has(key)) expect(table.has(key), `${key} was acknowledged`).toBe(true);
      for (const [key, times] of table.inserted) if (!closed.has(key)) expect(times, key).toBe(1);
      for (const { failures, death } of table.values()) {
        expect(failures).toBeLessThan(LIMITS.maxAttempts);
        if (death !== undefined)
          expect([death.attempts, failures]).toEqual([LIMITS.maxAttempts, LIMITS.maxAttempts - 1]);
      }
    };
    while (world.now < STORM) {
      await world.advance(100);
      table.up = !isUnstable || world.now % 2_500 < 2_000;
      if (random.chance(0.05))
        world.node(`c${random.integer(0, clients - 1)}`).stall(random.integer(100, 2_500));
      check();
    }
    table.up = true;
    table.storm = false;
    for (const end = world.now + PEACE; ended.size < asked; await world.advance(100))
      if (world.now > end) throw new Error(`${ended.size} of ${asked} ended`);
    await world.advance(5_000);
    // The lease of one that was killed ends after 30 s; then another one goes on.
    await world.until(() => waiting(table).every(({ holder }) => holder === undefined), 45_000);
    check();
    acknowledgements += acknowledged.size;
    deaths += [...ended.values()].filter((how) => how === "dead").length;
  },
  (runs) => {
    expect(acknowledgements).toBeGreaterThan(runs);
    expect(deaths).toBeGreaterThan(0);
  },
);
