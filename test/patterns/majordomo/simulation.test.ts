/** Brokers, workers and clients in a simulated world of crashes, resets, cuts and stops: what becomes of each request. */
import { expect } from "vitest";
import type { Raw } from "../../../src/index.js";
import {
  MajordomoBroker,
  type MajordomoBrokerOptions,
  MajordomoClient,
  type MajordomoHandlerResult,
  MajordomoWorker,
} from "../../../src/patterns/majordomo/index.js";
import type { World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ runs: 5, long: 250, network: { latency: [0.1, 20] } });
const test = worldTest({ seed: 2_000, runs: 12, long: 250, network: { latency: [0.1, 20] } });

const TIMES = { heartbeatInterval: 100, liveness: 3 };
const PROTOCOLS = ["auto", "auto", "auto", "0.1", "0.2"] as const;
const CLIENTS = ["c0", "c1", "c2"];
/** ms of the time in which things break. */
const TROUBLE = 3_000;
const _LIMIT = { timeout: LONG ? 1_200_000 : 120_000 };
/** Bytes of a piece, of which seventeen are made before one is read. */
const PIECE = 4_000;
const MOST_AHEAD = 18;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** How many pieces a request asks for that ends with "*" and their number; 0: one whole reply. */
const piecesOf = (asked: string): number => Number(/\*(\d+)$/.exec(asked)?.[1] ?? 0);

class Crew {
  readonly brokers = new Map<string, MajordomoBroker>();
  readonly clients = new Map<string, MajordomoClient>();
  readonly workers: string[] = [];
  readonly names: readonly string[];
  readonly wrong: string[] = [];
  readonly failed: string[] = [];
  asked = 0;
  ended = 0;
  /** Pieces that were made before they were read, at most. */
  ahead = 0;
  readonly #read = new Map<string, number>();
  readonly #endpoints: readonly string[];
  #hired = 0;

  constructor(
    readonly world: World,
    readonly options: MajordomoBrokerOptions = {},
    protocols: readonly (typeof PROTOCOLS)[number][] = ["auto"],
  ) {
    this.names = ["b0", "b1"].slice(0, world.random.integer(1, 2));
    this.#endpoints = this.names.map((name) => `tcp://${name}:5555`);
    for (const name of this.names) this.open(name);
    for (const name of CLIENTS) {
      const protocol = world.random.pick(protocols);
      world.node(name).start(() => {
        this.clients.set(name, new MajordomoClient(this.#endpoints, { ...TIMES, protocol, maxInFlight: 5 }));
      });
    }
  }

  /** Unless it is there. */
  open(name: string): void {
    if (this.world.node(name).running) return;
    this.world.node(name).start(async () => {
      const broker = new MajordomoBroker({ ...TIMES, queueTimeout: 2_000, ...this.options });
      this.brokers.set(name, broker);
      await broker.bind("tcp://*:5555");
    });
  }

  hire(service: string, protocol: (typeof PROTOCOLS)[number] = "auto"): string {
    const name = `w${++this.#hired}`;
    this.world.node(name).start(() => {
      const handler = ([body]: Buffer[]): MajordomoHandlerResult<Raw> =>
        piecesOf(String(body)) > 0 ? this.#pieces(service, String(body)) : this.#reply(service, String(body));
      const own = { concurrency: 2, prefetch: 1, reconnectInterval: 50, reconnectMaxInterval: 400, protocol };
      const worker = new MajordomoWorker(this.#endpoints, service, handler, { ...TIMES, ...own });
      worker.events.on("handler:failed", () => undefined);
    });
    return name;
  }

  /** Asks for one, or several, which leave together. @param name a client's; one of all otherwise */
  ask(service: string, suffix: string, options: { timeout: number; retries: number }, name?: string): void {
    const { random } = this.world;
    const client = name ?? random.pick(CLIENTS);
    for (let more = name === undefined ? random.pick([1, 1, 4]) : 1; more > 0; more--) {
      const asked = `${client}-${++this.asked}${suffix}`;
      void this.world.node(client).run(async () => {
        try {
          await this.#call(client, service, asked, options);
        } catch (error) {
          const { code, message } = error as { code?: string; message: string };
          this.failed.push(`${asked}: ${message}`);
          if (code !== "ERR_SERVICE" && code !== "ETIMEDOUT") this.wrong.push(`${asked}: ${message}`);
        }
        this.ended += 1;
      });
    }
  }

  /** One of what may happen. */
  break(): void {
    const { random } = this.world;
    const { world } = this;
    const broker = random.pick(this.names);
    const peer = random.pick([...this.workers, ...CLIENTS]);
    switch (random.integer(0, 7)) {
      case 0:
      case 1:
        if (this.workers.length > 0)
          world.node(this.workers.splice(random.integer(0, this.workers.length - 1), 1)[0] as string).kill();
        break;
      case 2:
        this.workers.push(this.hire("resize", random.pick(PROTOCOLS)));
        break;
      case 3:
      case 4:
        world.reset(peer, broker);
        break;
      case 5:
        world.cut(peer, broker);
        void world.advance(random.integer(100, 600)).then(() => world.heal(peer, broker));
        break;
      case 6:
        if (world.node(broker).running) world.node(broker).kill();
        void world.advance(random.integer(0, 1_000)).then(() => this.open(broker));
        break;
      default: {
        const name = random.pick([broker, broker, peer]);
        if (world.node(name).running) world.node(name).stall(random.integer(10, 2_500));
      }
    }
  }

  /** Does these things at any time of the trouble. */
  async during(things: readonly (() => void)[]): Promise<void> {
    const { world } = this;
    const schedule = things.map((run) => ({ at: world.random.next() * TROUBLE, run }));
    for (const { at, run } of schedule.sort((a, b) => a.at - b.at)) {
      await world.advance(Math.max(0, at - world.now));
      run();
      this.check();
    }
    await world.advance(Math.max(0, TROUBLE - world.now));
    world.heal();
    for (const name of this.names) this.open(name);
  }

  async end(timeout: number): Promise<void> {
    await this.world.until(() => this.ended === this.asked, timeout);
    this.check();
    expect(this.wrong).toEqual([]);
  }

  /** What holds at any time. */
  check(): void {
    for (const [name, broker] of this.brokers) {
      const { requests, answered, failed, abandoned, queued, inFlight } = broker.stats();
      expect(requests, name).toBe(answered + failed + abandoned + queued + inFlight);
    }
  }

  /** Whatever is still queued has its time, and each silent end is found out. */
  async rest(): Promise<void> {
    await this.world.advance(2_500);
    for (const [name, broker] of this.brokers)
      expect(broker.stats(), name).toMatchObject({ queued: 0, inFlight: 0 });
    for (const [name, client] of this.clients)
      expect(client.stats(), name).toMatchObject({ pending: 0, inFlight: 0 });
  }

  async #call(name: string, service: string, asked: string, options: object): Promise<void> {
    const client = this.clients.get(name) as MajordomoClient;
    const count = piecesOf(asked);
    if (count === 0) {
      const got = (await client.request(service, asked, options)).map(String);
      if (got.join("|") !== `${service}:${asked}`) this.wrong.push(`${asked} was answered ${got.join("|")}`);
      return;
    }
    const pause = this.world.random.pick([0, 2, 30]);
    let came = 0;
    for await (const [head] of client.stream(service, asked, options)) {
      if (String(head) !== `${service}:${asked}#${came}`) this.wrong.push(`${asked}: ${came} is ${head}`);
      came += 1;
      this.#read.set(asked, came);
      await sleep(pause);
    }
    if (came !== count) this.wrong.push(`${asked} ended after ${came} pieces`);
  }

  async #reply(service: string, asked: string): Promise<string> {
    await sleep(this.world.random.integer(0, 60));
    if (asked.endsWith("!")) throw new Error(asked);
    return `${service}:${asked}`;
  }

  async *#pieces(service: string, asked: string): AsyncGenerator<(string | Buffer)[], undefined> {
    for (let n = 0; n < piecesOf(asked); n++) {
      this.ahead = Math.max(this.ahead, n + 1 - (this.#read.get(asked) ?? 0));
      yield [`${service}:${asked}#${n}`, Buffer.alloc(PIECE)];
      await sleep(this.world.random.integer(0, 5));
    }
    return undefined;
  }
}

const times = (count: number, thing: () => void): (() => void)[] =>
  Array.from({ length: count }, () => thing);

it("every request ends, with its own answer or an error, whatever breaks", async (world) => {
  const { random } = world;
  const options = { maxQueue: random.pick([3, 1_000]), dedupWindow: random.pick([0, 10, 1_000]) };
  const crew = new Crew(world, options, PROTOCOLS);
  for (const service of ["resize", "count"]) crew.workers.push(crew.hire(service, random.pick(PROTOCOLS)));
  const attempts = { timeout: 700, retries: 2 };
  const ask = (): void =>
    crew.ask(random.pick(["resize", "count"]), random.pick(["", "", "!", "*3", "*40"]), attempts);
  await crew.during([...times(40, ask), ...times(random.integer(0, 14), () => crew.break())]);
  for (const service of ["resize", "count"]) crew.hire(service);
  await crew.end(6_000);
  // Brokers go on, and the new workers take what is queued, or the next request might find the queue full.
  await world.advance(3_500);
  crew.failed.length = 0;
  for (const name of CLIENTS) crew.ask("resize", "", { timeout: 3_000, retries: 2 }, name);
  await crew.end(10_000);
  expect(crew.failed).toEqual([]);
  await crew.rest();
});

test("no request is lost while one worker lives, nor waits until its attempt is over", async (world) => {
  const crew = new Crew(world, { maxDeliveries: 1_000 });
  crew.hire("resize"); // Nobody knows this one to kill it.
  const ask = (): void => crew.ask("resize", "", { timeout: 20_000, retries: 30 });
  await crew.during([...times(40, ask), ...times(world.random.integer(2, 10), () => crew.break())]);
  await crew.end(60_000);
  expect(crew.failed).toEqual([]);
  // Heartbeats find out what was lost: no request waits until its attempt is over.
  expect(world.now).toBeLessThan(TROUBLE + 10_000);
});

it("answers in pieces are whole or fail, never far ahead of their readers, and leave their workers free", async (world) => {
  const { random } = world;
  const crew = new Crew(world);
  for (let i = 0; i < 3; i++) crew.workers.push(crew.hire("count"));
  const ask = (): void => crew.ask("count", random.pick(["*1", "*20", "*60"]), { timeout: 700, retries: 2 });
  await crew.during([...times(12, ask), ...times(random.integer(0, 8), () => crew.break())]);
  crew.hire("count");
  await crew.end(60_000);
  // In the first round a client may find out that its broker has begun a new life, which ends what it has begun.
  for (let round = 0; round < 2; round++) {
    crew.failed.length = 0;
    for (const name of CLIENTS) crew.ask("count", "*50", { timeout: 3_000, retries: 2 }, name);
    await crew.end(10_000);
  }
  expect(crew.failed).toEqual([]);
  expect(crew.ahead).toBeLessThanOrEqual(MOST_AHEAD);
  await crew.rest();
});
