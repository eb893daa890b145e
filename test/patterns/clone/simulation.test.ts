/** Clone's rules under generated schedules: loss, kills, restarts, cuts, clients that come and go. */
import { expect, test } from "vitest";
import { CloneConflictError } from "../../../src/patterns/clone/client-calls.js";
import type { ServerRules } from "../../../src/patterns/clone/server-rules.js";
import type { CloneTable } from "../../../src/patterns/clone/table.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT, TRIES_MANY } from "../../support/schedules.js";
import { contents, type Server, World } from "./world.js";
import type { Client } from "./world-client.js";
import { HEARTBEAT } from "./world-link.js";

/** Schedules of each test in a default run. */
const COUNT = 3;
/** ms of trouble in each schedule, and of peace after it. */
const TROUBLE = 4_000;
const PEACE = 4_000;
/** ms of trouble where servers are killed and started in any order: long enough for both to be gone more than once. */
const STAGGERED = 12_000;

/** Updates a key of its own with growing numbers, one after the other. */
class Writer {
  acknowledged = 0;
  #sent = 0;
  stopped = false;

  constructor(
    readonly client: Client,
    readonly key: string,
    /** Set to the same number before; a client that sees the second sees the first. */
    readonly before: string | undefined,
  ) {}

  go(): void {
    if (this.stopped || this.client.gone) return;
    const { simulation } = this.client.world;
    const number = ++this.#sent;
    const again = (): void => {
      simulation.after(simulation.random.integer(0, 60), () => this.go());
    };
    const second = (): void =>
      this.client.call(
        this.key,
        String(number),
        0,
        () => {
          this.acknowledged = number;
          again();
        },
        again,
      );
    if (this.before === undefined) second();
    else this.client.call(this.before, String(number), 0, second, again);
  }
}

function numberOf(client: Client, key: string): number {
  const { table } = client.rules;
  const id = table.find(Buffer.from(key));
  return id < 0 ? 0 : Number(table.value(id));
}

/** Sets keys that nobody sets again, so that what was lost is not hidden by what came later. */
class Ledger {
  readonly acknowledged = new Set<string>();
  stopped = false;
  #sent = 0;

  constructor(readonly client: Client) {}

  go(): void {
    if (this.stopped || this.client.gone) return;
    const { simulation } = this.client.world;
    const key = `/ledger/${this.client.name}/${++this.#sent}`;
    const again = (): void => {
      simulation.after(simulation.random.integer(0, 200), () => this.go());
    };
    const settled = (): void => {
      this.acknowledged.add(key);
      again();
    };
    this.client.call(key, "kept", 0, settled, again);
  }

  /** Keys that were acknowledged, and are not in a map any more. */
  missing(table: CloneTable): string[] {
    return [...this.acknowledged].filter((key) => table.find(Buffer.from(key)) < 0);
  }
}

/**
 * Clients that want the same keys: one each adds 1 to a number, the others take and leave a lock. Every value is written by
 * one call alone, so that it says which call took effect.
 */
class Contest {
  added = 0;
  /** Calls of which nobody knows whether they took effect. */
  uncertain = 0;
  taken = 0;
  conflicts = 0;
  stopped = false;
  readonly #refused = new Set<string>();
  /** Winners by key and by the revision that they asked for. */
  readonly #winners = new Map<string, string>();
  #holder: string | undefined;
  #calls = 0;

  constructor(readonly world: World) {
    const observer = world.join("/contest/");
    observer.onChange = ({ value }) => this.#mayBeThere(value);
  }

  add(client: Client): void {
    this.#next(client, () => {
      const [revision, value] = entryOf(client, "/contest/number");
      this.#try(client, "/contest/number", revision, String(Number(value.split(" ")[0]) + 1), (won) => {
        if (won) this.added += 1;
        this.add(client);
      });
    });
  }

  lock(client: Client): void {
    this.#next(client, () => {
      this.#try(client, "/contest/lock", 0, "taken", (won, mine) => {
        if (!won) {
          this.lock(client);
          return;
        }
        if (this.#holder !== undefined) throw new Error(`${this.#holder} and ${mine} hold the lock`);
        this.taken += 1;
        this.#holder = mine;
        this.#next(client, () => {
          this.#holder = undefined;
          this.#release(client, mine);
        });
      });
    });
  }

  check({ map: { table } }: ServerRules): void {
    for (const key of ["/contest/number", "/contest/lock"]) {
      const id = table.find(Buffer.from(key));
      if (id >= 0) this.#mayBeThere(String(table.value(id)));
    }
    const id = table.find(Buffer.from("/contest/number"));
    const number = id < 0 ? 0 : Number(String(table.value(id)).split(" ")[0]);
    if (number < this.added || number > this.added + this.uncertain)
      throw new Error(`the number is ${number}; added ${this.added}, uncertain ${this.uncertain}`);
  }

  #release(client: Client, mine: string): void {
    const [revision, value] = entryOf(client, "/contest/lock");
    if (revision > 0 && value === mine) {
      this.#try(client, "/contest/lock", revision, "", () => this.#release(client, mine));
      return;
    }
    this.lock(client);
  }

  #next(client: Client, action: () => void): void {
    const { simulation } = this.world;
    simulation.after(simulation.random.integer(0, 80), () => {
      if (!this.stopped && !client.gone) action();
    });
  }

  #try(
    client: Client,
    key: string,
    revision: number,
    value: string,
    done: (won: boolean, written: string) => void,
  ): void {
    const written = value === "" ? "" : `${value} by ${client.name}, call ${++this.#calls}`;
    const name = `${key} at ${revision}`;
    client.call(
      key,
      written,
      0,
      () => {
        // A key that is not there has no revision of its own: it may be created again and again.
        const other = revision === 0 ? undefined : this.#winners.get(name);
        if (other !== undefined) throw new Error(`${other} and ${client.name} won ${name}`);
        this.#winners.set(name, client.name);
        done(true, written);
      },
      (error) => {
        if (error instanceof CloneConflictError) {
          this.conflicts += 1;
          // A repeated answer has what the key is by then.
          if (revision > 0 && error.revision === revision)
            throw new Error(`a conflict with the revision itself, ${name}`);
          if (written !== "") this.#refused.add(written);
        } else this.uncertain += 1;
        done(false, written);
      },
      revision,
    );
  }

  #mayBeThere(value: string | undefined): void {
    if (value !== undefined && this.#refused.has(value))
      throw new Error(`${value} was refused, and is there`);
  }
}

/** @returns the revision and value of a key as a client has it; 0 when it is not there */
function entryOf({ rules: { table } }: Client, key: string): [revision: number, value: string] {
  const id = table.find(Buffer.from(key));
  return id < 0 ? [0, "0"] : [table.sequence(id), String(table.value(id))];
}

function contest(simulation: Simulation, world: World): () => Contest {
  let contest: Contest | undefined;
  simulation.after(700, () => {
    contest = new Contest(world);
    for (let n = 0; n < 2; n++) contest.add(world.join(n === 0 ? "" : "/contest/"));
    for (let n = 0; n < 2; n++) contest.lock(world.join());
  });
  return () => contest as Contest;
}

interface Story {
  readonly world: World;
  readonly writers: Writer[];
}

/** Clients that write, some that only listen, and some that leave. */
function begin(simulation: Simulation, world: World, strict: boolean): Story {
  const { random } = simulation;
  for (const server of world.servers) simulation.at(random.integer(0, 300), () => server.start());
  const writers: Writer[] = [];
  const seen = new Map<Client, Map<string, number>>();
  const observe = (client: Client): void => {
    const numbers = new Map<string, number>();
    seen.set(client, numbers);
    const check = (): void => {
      const x = numberOf(client, "/a/x");
      const y = numberOf(client, "/a/y");
      if (strict && client.subtree !== "/b/" && y > x)
        throw new Error(`${client.name} has a torn map: y ${y}, x ${x}`);
    };
    client.onChange = ({ key, value }) => {
      if (!key.startsWith("/a/") && !key.startsWith("/b/")) return;
      const number = Number(value ?? 0);
      if (strict && number < (numbers.get(key) ?? 0))
        throw new Error(`${client.name} saw ${key} go from ${numbers.get(key)} back to ${number}`);
      numbers.set(key, number);
    };
    client.onSynced = check;
  };
  simulation.after(500, () => {
    for (const [key, before] of [
      ["/a/y", "/a/x"],
      ["/b/z", undefined],
    ] as const) {
      const writer = new Writer(world.join(), key, before);
      observe(writer.client);
      writers.push(writer);
      writer.go();
    }
    for (const subtree of ["", "/a/", "/b/", "/nothing/"]) observe(world.join(subtree));
  });
  const churn = (): void => {
    if (simulation.now > TROUBLE) return;
    const client = world.join(random.pick(["", "/a/"]));
    observe(client);
    client.call(
      `/e/${simulation.now}`,
      "ephemeral",
      random.integer(20, 900),
      () => undefined,
      () => undefined,
    );
    client.call(
      "/shared",
      client.name,
      0,
      () => undefined,
      () => undefined,
    );
    simulation.after(random.integer(50, 2_000), () => world.leave(client));
    simulation.after(random.integer(100, 1_500), churn);
  };
  simulation.after(600, churn);
  return { world, writers };
}

/** Peace: everything is up, heard and whole again, and everybody has the same. */
function end(simulation: Simulation, { world, writers }: Story, strict: boolean): void {
  world.cut = false;
  world.unreachable.clear();
  world.diskFaults = 0;
  for (const server of world.servers) server.start();
  const until = simulation.now + PEACE;
  const repair = (): void => {
    const [winner, loser] = world.servers;
    const resolve = (server: Server, choice: "active" | "passive"): boolean =>
      server.star?.fence !== undefined && server.operate((star, now) => star.resolve(choice, now));
    void (
      resolve(loser, "passive") ||
      resolve(winner, "active") ||
      resolve(loser, "active") ||
      resolve(winner, "passive")
    );
    if (simulation.now < until - 3_000) simulation.after(HEARTBEAT, repair);
  };
  repair();
  simulation.run(until - 2_000);
  for (const writer of writers) writer.stopped = true;
  world.loss = 0;
  const settled = (): boolean => {
    const active = world.active?.rules;
    if (active === undefined || !world.inStep) return false;
    return world.clients.every(
      ({ rules }) => rules.state === "live" && rules.stats(simulation.now).inFlight === 0,
    );
  };
  simulation.run(simulation.now + 1_500);
  if (!simulation.runUntil(settled, simulation.now + 20_000)) throw new Error("not settled in the end");
  simulation.run(simulation.now + 3 * HEARTBEAT);
  const [a, b] = world.servers.map(({ rules }) => (rules === undefined ? "down" : contents(rules.map.table)));
  if (a !== b) throw new Error(`the servers differ:\n${a}\n--\n${b}`);
  for (const client of world.clients) {
    const { subtree, rules } = client;
    const expected = contents((world.active as Server).rules?.map.table as never, subtree);
    if (contents(rules.table) !== expected)
      throw new Error(`${client.name} has\n${contents(rules.table)}\n-- instead of --\n${expected}`);
  }
  if (/^\/e\//m.test(a as string)) throw new Error("an ephemeral key is left");
  if (!strict) return;
  for (const { key, acknowledged, client } of writers)
    if (numberOf(client, key) < acknowledged)
      throw new Error(`${key} is ${numberOf(client, key)}, acknowledged was ${acknowledged}`);
}

test("what was acknowledged survives the kill of any one server, in one order, nothing is applied twice, and no revision has two winners", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  let kills = 0;
  let acknowledged = 0;
  let won = 0;
  let conflicts = 0;
  const tried = runSchedules(
    (simulation) => {
      const world = new World(
        simulation,
        simulation.random.chance(0.5) ? 0 : 0.03,
        simulation.random.chance(0.3),
      );
      const story = begin(simulation, world, true);
      const contested = contest(simulation, world);
      const strike = (): void => {
        if (simulation.now > TROUBLE) return;
        // One at a time: the other has to have everything first.
        if (world.inStep && world.servers.every(({ up }) => up)) {
          const victim = simulation.random.pick(world.servers);
          victim.kill();
          kills += 1;
          simulation.after(simulation.random.integer(10, 2_000), () => victim.start());
        }
        simulation.after(simulation.random.integer(50, 1_500), strike);
      };
      simulation.after(1_000, strike);
      simulation.run(TROUBLE);
      contested().stopped = true;
      end(simulation, story, true);
      for (const writer of story.writers) acknowledged += writer.acknowledged;
      contested().check((world.active as Server).rules as ServerRules);
      won += contested().added + contested().taken;
      conflicts += contested().conflicts;
    },
    { count: COUNT },
  );
  if (!TRIES_MANY) return;
  expect(kills).toBeGreaterThan(tried);
  expect(acknowledged).toBeGreaterThan(tried * 20);
  expect(won).toBeGreaterThan(tried * 10);
  expect(conflicts).toBeGreaterThan(tried * 5);
});

test("clients whose list of servers changes lose nothing that was acknowledged, and have the map in the end", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  let acknowledged = 0;
  const tried = runSchedules(
    (simulation) => {
      const { random } = simulation;
      const world = new World(simulation, random.chance(0.5) ? 0 : 0.03, random.chance(0.3));
      const story = begin(simulation, world, true);
      const lists = [["primary", "backup"], ["backup", "primary"], ["primary"], ["backup"], []];
      const change = (): void => {
        if (simulation.now > STAGGERED) return;
        for (const client of world.clients) if (random.chance(0.3)) client.list(random.pick(lists));
        simulation.after(random.integer(50, 4_000), change);
      };
      const strike = (): void => {
        if (simulation.now > STAGGERED) return;
        if (world.inStep && world.servers.every(({ up }) => up)) {
          const victim = random.pick(world.servers);
          victim.kill();
          simulation.after(random.integer(10, 2_000), () => victim.start());
        }
        simulation.after(random.integer(1_000, 6_000), strike);
      };
      simulation.after(600, change);
      simulation.after(1_000, strike);
      simulation.run(STAGGERED);
      for (const client of world.clients) client.list(random.pick(lists.slice(0, 2)));
      end(simulation, story, true);
      for (const writer of story.writers) acknowledged += writer.acknowledged;
    },
    { count: COUNT },
  );
  if (TRIES_MANY) expect(acknowledged).toBeGreaterThan(tried * 20);
});

test("whatever is cut, lost, killed or full, all have the same in the end, and no ephemeral key is left", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  runSchedules(
    (simulation) => {
      const { random } = simulation;
      const world = new World(simulation, 0.05, random.chance(0.5), 0.05);
      const story = begin(simulation, world, false);
      const actions = [
        () => world.cutServers(),
        () => {
          world.cut = false;
        },
        () => {
          const server = random.pick(world.servers);
          world.unreachable.add(server.name);
          for (const connection of [...server.connections]) {
            connection.end();
            server.connections.delete(connection);
          }
        },
        () => world.unreachable.clear(),
        () => {
          const victim = random.pick(world.servers);
          victim.kill();
          simulation.after(random.integer(10, 2_000), () => victim.start());
        },
        () => random.pick(world.servers).operate((star, now) => star.handOver(now)),
      ];
      const strike = (): void => {
        if (simulation.now > TROUBLE) return;
        random.pick(actions)();
        simulation.after(random.integer(20, 1_200), strike);
      };
      simulation.after(500, strike);
      simulation.run(TROUBLE);
      end(simulation, story, false);
    },
    { count: COUNT },
  );
});

/** Trouble in any order, with stores; every key that was acknowledged is looked for in the end. */
function runStaggered(
  strikes: (simulation: Simulation, world: World) => readonly (() => void)[],
  contended: boolean,
  check: (missing: readonly string[], world: World) => void,
): void {
  let kept = 0;
  const tried = runSchedules(
    (simulation) => {
      const { random } = simulation;
      const world = new World(simulation, 0, true);
      const story = begin(simulation, world, false);
      const contested = contended ? contest(simulation, world) : undefined;
      const ledgers: Ledger[] = [];
      simulation.after(700, () => {
        for (let n = 0; n < 2; n++) ledgers.push(new Ledger(world.join()));
        for (const ledger of ledgers) ledger.go();
      });
      const actions = strikes(simulation, world);
      const strike = (): void => {
        if (simulation.now > STAGGERED) return;
        random.pick(actions)();
        simulation.after(random.integer(10, 1_500), strike);
      };
      simulation.after(1_000, strike);
      simulation.run(STAGGERED);
      for (const ledger of ledgers) ledger.stopped = true;
      if (contested !== undefined) contested().stopped = true;
      end(simulation, story, false);
      const rules = (world.active as Server).rules as ServerRules;
      const { table } = rules.map;
      contested?.().check(rules);
      for (const ledger of ledgers) {
        kept += ledger.acknowledged.size;
        check(ledger.missing(table), world);
      }
    },
    { count: COUNT },
  );
  if (TRIES_MANY) expect(kept).toBeGreaterThan(tried * 5);
}

function killOrStart({ random }: Simulation, world: World): void {
  const victim = random.pick(world.servers);
  if (victim.up) victim.kill();
  else victim.start();
}

test("with stores, kills and restarts in any order lose nothing that was acknowledged, and no revision has two winners", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  runStaggered(
    (simulation, world) => [() => killOrStart(simulation, world)],
    true,
    (missing) => {
      if (missing.length > 0) throw new Error(`acknowledged and lost: ${missing}`);
    },
  );
});

test("with cuts and the operator's word, too, what was acknowledged is in the map, or its loss is reported", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  let lost = 0;
  runStaggered(
    (simulation, world) => [
      () => killOrStart(simulation, world),
      () => killOrStart(simulation, world),
      () => world.cutServers(),
      () => {
        world.cut = false;
      },
      () => simulation.random.pick(world.servers).operate((star, now) => star.handOver(now)),
      () => simulation.random.pick(world.servers).operate((star, now) => star.resolve("active", now)),
    ],
    false,
    (missing, world) => {
      if (missing.length > 0 && world.diverged === 0) throw new Error(`acknowledged and lost: ${missing}`);
      lost += missing.length;
    },
  );
  console.log(`${lost} lost, and reported`);
});
