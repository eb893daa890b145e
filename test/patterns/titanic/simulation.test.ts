/**
 * Two Titanics on one store, clients that repeat, and workers, in simulated time: kills that are staggered (each falls
 * and rises by itself, so that now one, now the other, now neither is up), a database that stops, whose answers get
 * lost after a commit and before it, messages that are lost and come twice.
 *
 * Invariants: what was acknowledged is in the store until its client closes it; a request is stored once however often
 * it is repeated; a request that can be done ends with its own reply, one that cannot as a dead letter after exactly as
 * many attempts as it has; no Titanic has more in flight than its limits allow, or keeps a service without requests.
 */
import { expect, it } from "vitest";
import { DispatchRules } from "../../../src/patterns/titanic/dispatch-rules.js";
import type { DispatchLimits } from "../../../src/patterns/titanic/options.js";
import type { TitanicClaimedRequest } from "../../../src/patterns/titanic/store.js";
import { Network } from "../../../src/testing/network.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const LIMITS: DispatchLimits = {
  timeout: 1_000_000,
  concurrency: 5,
  perService: 3,
  checkInterval: 50,
  maxCheckInterval: 400,
  retryDelay: 50,
  maxRetryDelay: 400,
  maxAttempts: 3,
  maxRetrying: 50,
  maxServices: 2,
  scanInterval: 500,
};
const CALL = 400;
const MARGIN = 600;
const SERVICES = ["good", "flaky", "poison"];
const TITANICS = ["titanic-a", "titanic-b"];
/** ms of faults, and ms of peace after them, in which everything has to end. */
const STORM = 10_000;
const PEACE = 120_000;

interface Row {
  readonly uuid: string;
  readonly service: string;
  readonly body: string;
  failures: number;
  heldUntil: number;
  /** Which claim has it. */
  holder: number;
  reply: string | undefined;
  dead: boolean;
}

/** The table that all share; it outlives every kill. */
class Database {
  readonly rows = new Map<string, Row>();
  up = true;
  /** Times that a UUID was inserted. */
  readonly inserted = new Map<string, number>();
  #claims = 0;

  constructor(readonly world: World) {}

  put(uuid: string, service: string, body: string): void {
    if (this.rows.has(uuid)) return;
    this.inserted.set(uuid, (this.inserted.get(uuid) ?? 0) + 1);
    const row = { uuid, service, body, failures: 0, heldUntil: 0, holder: 0, reply: undefined, dead: false };
    this.rows.set(uuid, row);
  }

  claim(service: string, limit: number): { holder: number; rows: Row[] } {
    const { now } = this.world.simulation;
    const holder = ++this.#claims;
    const rows = this.waiting().filter((row) => row.service === service && row.heldUntil <= now);
    for (const row of rows.slice(0, limit)) {
      row.heldUntil = now + CALL + MARGIN;
      row.holder = holder;
    }
    return { holder, rows: rows.slice(0, limit) };
  }

  /** The row as this claim has it; another may have it when the lease was over. */
  held(uuid: string, holder: number): Row | undefined {
    const row = this.rows.get(uuid);
    return row?.holder === holder && row.reply === undefined && !row.dead ? row : undefined;
  }

  waiting(): Row[] {
    return [...this.rows.values()].filter((row) => row.reply === undefined && !row.dead);
  }
}

/** A call at the broker. */
interface Call {
  readonly tag: string;
  readonly from: Titanic;
  readonly service: string;
  readonly body: string;
}

/** One Titanic process: the rules, and what dies with it. */
class Titanic {
  readonly #world: World;
  readonly #name: string;
  readonly #rules: DispatchRules;
  readonly #timer: RulesTimer;
  readonly #calls = new Map<string, (reply: string | undefined) => void>();
  readonly #holders = new Map<string, number>();
  /** Services of deliveries that have not settled, by tag. */
  readonly #flying = new Map<string, string>();
  readonly #lostClaims = new Set<number>();
  #tags = 0;
  alive = true;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    const { simulation } = world;
    this.#rules = new DispatchRules(
      LIMITS,
      {
        check: (service) => this.#later(() => this.#rules.checked(service, world.workerUp, simulation.now)),
        claim: (service, limit) => this.#claim(service, limit),
        deliver: (request) => this.#deliver(request),
        giveUp: () => undefined, // The world ends deliveries by itself.
        release: (request, delay, failed) => {
          const uuid = request.uuid.toString();
          const holder = this.#holders.get(uuid) ?? -1;
          this.#holders.delete(uuid);
          this.#ask(() => {
            const row = world.database.held(uuid, holder);
            if (row === undefined) return;
            row.heldUntil = simulation.now + delay;
            row.holder = 0;
            if (failed) row.failures += 1;
          });
        },
        bury: (request) => {
          const uuid = request.uuid.toString();
          const holder = this.#holders.get(uuid) ?? -1;
          this.#ask(() => {
            const row = world.database.held(uuid, holder);
            if (row === undefined) return;
            row.failures += 1;
            row.dead = true;
          });
        },
        scan: () =>
          this.#ask(
            () => new Set(world.database.waiting().map(({ service }) => service)),
            (found) => {
              const names = [...found].slice(0, LIMITS.maxServices);
              this.#rules.found(
                names.map((name) => Buffer.from(name)),
                simulation.now,
              );
            },
            () => this.#rules.found(undefined, simulation.now),
          ),
      },
      simulation.now,
      () => simulation.random.next(),
    );
    this.#timer = new RulesTimer(simulation, this.#rules);
    world.network.join(name, (from, frames) => this.#receive(from, frames.map(String)));
  }

  check(isOver: boolean): void {
    const { services, inFlight, retrying } = this.#rules.stats();
    if (services > LIMITS.maxServices) throw new Error(`${this.#name} has ${services} services`);
    if (isOver && services + inFlight + retrying > 0)
      throw new Error(`${this.#name} has ${JSON.stringify(this.#rules.stats())} left over`);
  }

  kill(): void {
    this.alive = false;
    this.#timer.stop();
    this.#world.network.crash(this.#name);
  }

  #receive(from: string, [command, ...rest]: string[]): void {
    const { network, database } = this.#world;
    const reply = (...frames: string[]): void => void network.send(this.#name, from, frames);
    if (command === "store") {
      const [uuid, service, body] = rest as [string, string, string];
      this.#ask(
        () => database.put(uuid, service, body),
        () => {
          // The commit is done: only now it is acknowledged.
          this.#rules.stored(Buffer.from(service), this.#world.simulation.now);
          reply("stored", uuid);
        },
        () => reply("unknown", uuid),
      );
    } else if (command === "look") {
      const [uuid] = rest as [string];
      this.#ask(
        () => ({ ...database.rows.get(uuid) }),
        (row) => {
          if (row.uuid === undefined) reply("missing", uuid);
          else if (row.dead) reply("dead", uuid);
          else if (row.reply !== undefined) reply("answer", uuid, row.reply);
        },
      );
    } else if (command === "close") {
      this.#ask(
        () => database.rows.delete(rest[0] as string),
        () => reply("closed", rest[0] as string),
      );
    }
    this.#timer.update();
  }

  /** The broker passes what came of a call; without a reply the handler failed. */
  called(tag: string, reply: string | undefined): void {
    this.#calls.get(tag)?.(reply);
    this.#timer.update();
  }

  #claim(service: Buffer, limit: number): void {
    const { database, simulation } = this.#world;
    const lost = [...this.#lostClaims];
    let claim: { holder: number; rows: Row[] } | undefined;
    this.#ask(
      () => {
        for (const row of database.waiting()) if (lost.includes(row.holder)) row.heldUntil = 0;
        claim = database.claim(service.toString(), limit);
        return claim.rows.map((row) => ({ ...row }));
      },
      (rows) => {
        for (const holder of lost) this.#lostClaims.delete(holder);
        for (const { uuid, holder } of rows) this.#holders.set(uuid, holder);
        const requests = rows.map((row) => ({
          uuid: Buffer.from(row.uuid),
          service,
          body: [Buffer.from(row.body)],
          expires: Number.POSITIVE_INFINITY,
          attempts: row.failures + 1,
        }));
        this.#rules.claimed(service, requests, limit, simulation.now);
      },
      () => {
        if (claim !== undefined) this.#lostClaims.add(claim.holder);
        this.#rules.claimed(service, [], limit, simulation.now);
      },
    );
  }

  #deliver(request: TitanicClaimedRequest): void {
    const { simulation } = this.#world;
    const tag = `${this.#name}.${++this.#tags}`;
    const service = request.service.toString();
    this.#flying.set(tag, service);
    const ofService = [...this.#flying.values()].filter((each) => each === service).length;
    if (this.#flying.size > LIMITS.concurrency || ofService > LIMITS.perService)
      throw new Error(`${this.#flying.size} in flight, ${ofService} for ${service}`);
    const settle = (end: "answered" | "failed" | "timed-out" | "undelivered"): void => {
      this.#flying.delete(tag);
      this.#rules.settled(request, end, simulation.now);
      this.#timer.update();
    };
    const cancel = simulation.after(CALL, () => {
      if (!this.alive || !this.#calls.delete(tag)) return;
      this.#world.giveUp(tag);
      settle(this.#world.workerUp ? "timed-out" : "undelivered");
    });
    this.#calls.set(tag, (reply) => {
      cancel();
      this.#calls.delete(tag);
      if (reply === undefined) settle("failed");
      else this.#keep(request, reply, simulation.now + MARGIN, settle);
    });
    this.#world.call({ tag, from: this, service, body: String(request.body[0]) });
  }

  /** As the dispatcher does: a reply that the store did not take is offered again. */
  #keep(
    request: TitanicClaimedRequest,
    reply: string,
    deadline: number,
    settle: (end: "answered" | "undelivered") => void,
  ): void {
    const { database, simulation } = this.#world;
    const uuid = request.uuid.toString();
    this.#ask(
      () => {
        const row = database.rows.get(uuid);
        if (row !== undefined && row.reply === undefined && !row.dead) row.reply = reply;
      },
      () => {
        this.#holders.delete(uuid);
        settle("answered");
      },
      () => {
        if (simulation.now + LIMITS.retryDelay > deadline) settle("undelivered");
        else
          simulation.after(LIMITS.retryDelay, () => {
            if (this.alive) this.#keep(request, reply, deadline, settle);
          });
      },
    );
  }

  #later(run: () => void): void {
    const { simulation } = this.#world;
    simulation.after(simulation.random.integer(1, 30), () => {
      if (!this.alive) return;
      run();
      this.#timer.update();
    });
  }

  /**
   * Has the database do something: it arrives, is committed after some time, and the answer comes back. The process, or
   * the connection, may end before each of these.
   */
  #ask<T>(
    commit: () => T,
    then: (result: T) => void = () => undefined,
    failed = (): void => undefined,
  ): void {
    const { database, simulation, storm } = this.#world;
    const { random } = simulation;
    simulation.after(random.integer(1, 40), () => {
      const isCut = storm && random.chance(0.1);
      if (!database.up || (isCut && random.chance(0.5))) {
        this.#later(failed);
        return;
      }
      const result = commit();
      this.#later(() => (isCut ? failed() : then(result)));
    });
  }
}

class World {
  readonly network: Network;
  readonly database = new Database(this);
  readonly titanics = new Map<string, Titanic>();
  readonly acknowledged = new Set<string>();
  readonly ended = new Map<string, string>();
  readonly done = new Map<string, number>();
  readonly #calls = new Map<string, Call>();
  #workers = 0;
  workerUp = false;
  /** Whether workers fall at all; while they do not, nothing that can be done may die. */
  readonly workersFall: boolean;
  storm = true;
  asked = 0;

  constructor(readonly simulation: Simulation) {
    const { random } = simulation;
    this.workersFall = random.chance(0.5);
    this.network = new Network(simulation, {
      delay: [0.1, random.pick([2, 30])],
      loss: random.pick([0, 0.02, 0.1]),
      duplication: random.pick([0, 0.05]),
    });
  }

  /** The broker, which loses nothing: what a worker had that falls goes to the one that rises. */
  call(call: Call): void {
    this.#calls.set(call.tag, call);
    if (this.workerUp) this.#work(call);
  }

  giveUp(tag: string): void {
    this.#calls.delete(tag);
  }

  workerRises(): void {
    this.workerUp = true;
    this.#workers += 1;
    for (const call of this.#calls.values()) this.#work(call);
  }

  #work({ tag, from, service, body }: Call): void {
    const { simulation } = this;
    const worker = this.#workers;
    simulation.after(simulation.random.integer(1, this.storm ? 300 : 20), () => {
      if (!this.workerUp || worker !== this.#workers) return;
      this.done.set(body, (this.done.get(body) ?? 0) + 1);
      const fails =
        service === "poison" || (service === "flaky" && this.storm && simulation.random.chance(0.1));
      if (this.#calls.delete(tag) && from.alive) from.called(tag, fails ? undefined : `${service}:${body}`);
    });
  }

  /** A client: leaves a request until it is acknowledged, asks until there is a reply, and closes it now and then. */
  client(number: number): void {
    const { network, simulation } = this;
    const { random } = simulation;
    const name = `client-${number}`;
    const uuid = String(number).padStart(4, "0");
    const service = random.pick(SERVICES);
    const body = `body ${number}`;
    const closes = random.chance(0.3);
    this.asked += 1;
    network.join(name, (_, frames) => {
      const [what, , text] = frames.map(String) as [string, string, string];
      if (what === "stored") this.acknowledged.add(uuid);
      if (what === "missing" && this.acknowledged.has(uuid) && !this.ended.has(uuid))
        throw new Error(`${uuid} was acknowledged, and is missing`);
      if (what === "answer") {
        if (text !== `${service}:${body}`) throw new Error(`${uuid} got ${text}`);
        this.ended.set(uuid, "answered");
      }
      if (what === "dead") {
        if (service === "good" && !this.workersFall)
          throw new Error(`${uuid} is dead, and could have been done`);
        this.ended.set(uuid, "dead");
      }
    });
    const ask = (): void => {
      const titanic = random.pick(TITANICS);
      if (!this.acknowledged.has(uuid)) network.send(name, titanic, ["store", uuid, service, body]);
      else if (!this.ended.has(uuid)) network.send(name, titanic, ["look", uuid]);
      else {
        if (closes) network.send(name, titanic, ["close", uuid]);
        return;
      }
      simulation.after(random.integer(50, 400), ask);
    };
    ask();
  }

  check(isOver = false): void {
    for (const titanic of this.titanics.values()) if (titanic.alive) titanic.check(isOver);
    for (const uuid of this.acknowledged) {
      if (!this.database.rows.has(uuid) && !this.ended.has(uuid))
        throw new Error(`${uuid} was acknowledged, and is not in the store`);
    }
    for (const { uuid, failures, dead } of this.database.rows.values()) {
      if (failures > LIMITS.maxAttempts) throw new Error(`${uuid} failed ${failures} times`);
      if (dead && failures !== LIMITS.maxAttempts) throw new Error(`${uuid} died of ${failures} failures`);
    }
  }
}

/** Each node falls and rises by itself: what is down comes back before, with, or after the other. */
function stagger(world: World, name: string, rise: () => void, fall: () => void): void {
  const { simulation } = world;
  const { random } = simulation;
  const next = (isUp: boolean): void => {
    simulation.after(random.integer(isUp ? 200 : 10, isUp ? 2_500 : 800), () => {
      if (!world.storm) {
        if (!isUp) rise();
        return;
      }
      simulation.note(`${name} ${isUp ? "falls" : "rises"}`);
      (isUp ? fall : rise)();
      next(!isUp);
    });
  };
  rise();
  next(true);
}

let acknowledgements = 0;
let repeats = 0;
let deaths = 0;

function story(simulation: Simulation): void {
  const { random } = simulation;
  const world = new World(simulation);
  const { database, titanics, network } = world;
  for (const name of TITANICS) {
    const fall = (): void => titanics.get(name)?.kill();
    stagger(world, name, () => titanics.set(name, new Titanic(world, name)), fall);
  }
  const falls = (): void => {
    world.workerUp = false;
  };
  if (world.workersFall) stagger(world, "worker", () => world.workerRises(), falls);
  else world.workerRises();
  if (random.chance(0.5)) {
    const set = (up: boolean) => () => {
      database.up = up;
    };
    stagger(world, "database", set(true), set(false));
  }
  const clients = random.integer(1, 25);
  for (let number = 0; number < clients; number++)
    simulation.after(random.integer(0, STORM / 2), () => world.client(number));
  for (let time = 0; time < STORM; time += 500) {
    simulation.run(time);
    world.check();
  }
  world.storm = false;
  network.faults = { ...network.faults, loss: 0, duplication: 0 };
  const over = simulation.runUntil(() => world.ended.size === clients, STORM + PEACE);
  expect(over, `${world.ended.size} of ${clients} ended`).toBe(true);
  simulation.run(simulation.now + 5_000);
  world.check(true);
  for (const [uuid, times] of database.inserted) {
    const how = world.ended.get(uuid);
    expect(times, `${uuid} (${how}) was stored`).toBe(1);
  }
  acknowledgements += world.acknowledged.size;
  repeats += [...world.done.values()].filter((times) => times > 1).length;
  deaths += [...world.ended.values()].filter((how) => how === "dead").length;
}

it("loses nothing acknowledged to kills that are staggered, stores nothing twice, and ends everything", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  const tried = runSchedules(story, { count: 175 });
  console.info(
    `${tried} schedules: ${acknowledgements} acknowledged, ${deaths} died, ${repeats} done more than once`,
  );
  expect(acknowledgements).toBeGreaterThan(0);
});
