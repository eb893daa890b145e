/**
 * Servers, their stores and clients in a simulated world: what was acknowledged stays, in one order, nothing takes effect
 * twice, no revision has two winners, and in the end all have the same.
 */
import { expect } from "vitest";
import {
  CloneClient,
  type CloneClientStats,
  CloneConflictError,
  CloneServer,
} from "../../../src/patterns/clone/index.js";
import type { World } from "../../../src/testing/index.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";
import { worldTest } from "../../support/world-test.js";
import { DiskStore } from "./disk-store.js";

const it = worldTest({ runs: 3, long: 250, network: { latency: [1, 15] } });
const test = worldTest({ seed: 3_000, runs: 2, long: 250, network: { latency: [1, 15] } });

const HEARTBEAT = 200;
/** ms of silence after which a server may take over. */
const PATIENCE = 2 * HEARTBEAT;
/** ms that a state takes, and a timer may be late. */
const SLACK = 25;
const ROLES = ["primary", "backup"] as const;
type Role = (typeof ROLES)[number];
const ENDPOINTS = ROLES.map((role) => `tcp://${role}:5550`);
const LISTS = [ENDPOINTS, ENDPOINTS.toReversed(), ENDPOINTS.slice(0, 1), ENDPOINTS.slice(1), []];
/** ms of the time in which things break, and of the peace in which an operator resolves what is fenced. */
const TROUBLE = 7_000;
const PEACE = 3_000;
const LONGEST = 10 * HEARTBEAT;
/** Updates that a client may have in a server's queue. */
const MARK = 10;
const NUMBER = "/contest/number";
const LOCK = "/contest/lock";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Member {
  readonly name: string;
  readonly subtree: string;
  readonly servers: ListedEndpoints;
  readonly client: CloneClient;
  /** Its map by what its watch told. */
  readonly told: Map<string, string>;
  /** From its own process, whose clock they need. */
  stats: CloneClientStats;
}

interface Kind {
  /** Roles of the servers: one is alone. */
  readonly roles: readonly Role[];
  readonly stores: boolean;
  /** Nothing that was acknowledged may be lost. */
  readonly strict: boolean;
}

class Clone {
  readonly servers = new Map<Role, CloneServer>();
  readonly members: Member[] = [];
  readonly wrong: string[] = [];
  /** What was set once, and acknowledged. */
  readonly kept: string[] = [];
  diskFaults = 0;
  diverged = 0;
  kills = 0;
  takeOvers = 0;
  added = 0;
  taken = 0;
  conflicts = 0;
  isOver = false;
  /** Calls of which nobody knows whether they took effect. */
  #uncertain = 0;
  #holder: string | undefined;
  #calls = 0;
  /** The last number that was acknowledged, by key. */
  readonly #numbers = new Map<string, number>();
  readonly #refused = new Set<string>();
  readonly #winners = new Map<string, string>();
  /** What each revision set. */
  readonly #revisions = new Map<number, string>();
  readonly #effects = new Map<string, number>();
  /** Who served in each term. */
  readonly #authors = new Map<number, Role>();
  /** When an ephemeral key may end. */
  readonly #ends = new Map<string, number>();
  /** From when to when each server stood still, or was not there. */
  readonly #still = new Map<Role, [from: number, to: number][]>(ROLES.map((role) => [role, []]));

  constructor(
    readonly world: World,
    readonly kind: Kind,
  ) {
    const { random } = world;
    for (const role of kind.roles) {
      this.#still.get(role)?.push([0, Number.POSITIVE_INFINITY]);
      void world.advance(random.integer(0, 300)).then(() => this.open(role));
    }
  }

  get running(): Role[] {
    return this.kind.roles.filter((role) => this.world.node(role).running);
  }

  /** One serves, and the other has all that it has, as both say. */
  get isInStep(): boolean {
    const { roles } = this.kind;
    const stats = this.running.map((role) => this.servers.get(role)?.stats());
    const serving = stats.filter((each) => each?.serving === true);
    if (stats.length < roles.length || serving.length !== 1) return false;
    return roles.length === 1 || stats.every((each) => each?.replicated === true);
  }

  /** Unless it is there. */
  open(role: Role): void {
    const { world, kind } = this;
    if (world.node(role).running) return;
    const still = this.#still.get(role)?.at(-1);
    // One that has just started has to be found.
    if (still !== undefined) still[1] = Math.min(still[1], world.now + PATIENCE);
    world.node(role).start(async ({ disk }) => {
      const peer = ENDPOINTS[1 - ROLES.indexOf(role)] as string;
      const server = new CloneServer({
        heartbeatInterval: HEARTBEAT,
        maxSnapshots: 3,
        publishHighWaterMark: MARK,
        ...(kind.roles.length === 1 ? {} : { pair: { role, peer } }),
        ...(kind.stores ? { store: new DiskStore(disk, () => world.random.chance(this.diskFaults)) } : {}),
      });
      this.servers.set(role, server);
      server.events
        .on("map:diverged", () => {
          this.diverged += 1;
        })
        .on("state:changed", ({ from, state, reason }) => {
          world.note(`${role}: ${from} > ${state}, ${reason}`);
          if (state === "fenced") this.#broke(`${role} is fenced`);
          else if (reason === "fail-over") this.#tookOver(role);
        });
      await server.bind("tcp://*:5550");
    });
  }

  down(role: Role, how: "kill" | "crash" | "lose"): void {
    const node = this.world.node(role);
    if (!node.running) return;
    this.kills += 1;
    this.#still.get(role)?.push([this.world.now, Number.POSITIVE_INFINITY]);
    if (how === "kill") node.kill();
    else node.crash({ disk: how === "crash" });
  }

  stall(name: string, ms: number): void {
    const { world } = this;
    const node = world.node(name);
    if (!node.running) return;
    const still = this.#still.get(name as Role);
    const last = still?.at(-1);
    // A second one takes the place of the first.
    if (last !== undefined) last[1] = Math.min(last[1], world.now);
    still?.push([world.now, world.now + ms]);
    node.stall(ms);
  }

  join(name: string, subtree = ""): Member {
    const servers = new ListedEndpoints(this.world.random.pick(LISTS.slice(0, 2)));
    const told = new Map<string, string>();
    let member: Member | undefined;
    this.world.node(name).start(async () => {
      const client = new CloneClient(servers, { heartbeatInterval: HEARTBEAT, subtree, timeout: 20_000 });
      const made = { name, subtree, servers, client, told, stats: client.stats() };
      member = made;
      this.members.push(made);
      setInterval(() => {
        const { sets, acknowledged, conflicts, timedOut, aborted, inFlight } = client.stats();
        if (sets !== acknowledged + conflicts + timedOut + aborted + inFlight)
          this.wrong.push(`${name}: ${JSON.stringify(client.stats())}`);
        made.stats = client.stats();
      }, HEARTBEAT);
      let last = 0;
      for await (const change of client.watch()) {
        const { key, sequence, resync } = change;
        const [old, value] = [change.old?.toString(), change.value?.toString()];
        if (old !== undefined && old !== told.get(key))
          this.wrong.push(`${name} was told that ${key} was ${old}, and before ${told.get(key)}`);
        if (Number(value) < Number(told.get(key))) this.#broke(`${name} saw ${key} go back to ${value}`);
        if (value === undefined) told.delete(key);
        else told.set(key, value);
        if (!resync && sequence <= last) this.#broke(`${name} heard of ${sequence} after ${last}`);
        last = resync ? last : sequence;
        if (value !== undefined) this.#isOneOrder(sequence, `${key}=${value}`);
        else if (this.world.now < (this.#ends.get(key) ?? 0) - 2) this.#broke(`${key} ended early`);
        this.#isWhole(client);
      }
    });
    return member as unknown as Member;
  }

  leave({ name, client }: Member): void {
    const { world } = this;
    const at = this.members.findIndex((each) => each.name === name);
    this.members.splice(at, 1);
    if (!world.node(name).running) return;
    if (world.random.chance(0.5)) world.node(name).kill();
    else void world.node(name).run(() => client.close());
  }

  /** Sets a key to growing numbers, each after another key, so that a map with the second has the first. */
  write({ name, client }: Member, key: string, before?: string): void {
    this.#loop(name, 60, async (number) => {
      if (before !== undefined) await client.set(before, String(number));
      await client.set(key, String(number));
      this.#numbers.set(key, number);
    });
  }

  /** Sets keys that nobody sets again, so that what was lost is not hidden by what came later. */
  keep({ name, client }: Member): void {
    this.#loop(name, 200, async (number) => {
      const key = `/ledger/${name}/${number}`;
      await client.set(key, "kept");
      this.kept.push(key);
    });
  }

  /** Adds 1 to a number that others add to, too. */
  add({ name, client }: Member): void {
    this.#loop(name, 80, async () => {
      const { revision, value } = client.entry(NUMBER) ?? { revision: 0, value: "0" };
      if (await this.#try(client, NUMBER, revision, `${Number.parseInt(String(value), 10) + 1}`))
        this.added += 1;
    });
  }

  /** Takes and leaves a lock. */
  lock({ name, client }: Member): void {
    this.#loop(name, 80, async () => {
      const mine = await this.#try(client, LOCK, 0, "taken");
      if (mine === undefined) return;
      if (this.#holder !== undefined) this.#broke(`${this.#holder} and ${mine} hold the lock`);
      this.#holder = mine;
      this.taken += 1;
      await sleep(this.world.random.integer(0, 80));
      this.#holder = undefined;
      for (;;) {
        const entry = client.entry(LOCK);
        if (String(entry?.value) !== mine) return;
        await this.#try(client, LOCK, entry?.revision as number, "");
      }
    });
  }

  /** Comes, sets what does not last, and goes. */
  visit(number: number): void {
    const { random } = this.world;
    const member = this.join(`visitor${number}`, random.pick(["", "/e/"]));
    const ttl = random.integer(20, 900);
    const key = `/e/${number}`;
    this.#ends.set(key, this.world.now + ttl);
    void this.world
      .node(member.name)
      .run(() => Promise.allSettled([member.client.set(key, "ends", { ttl })]))
      .catch(() => undefined);
    void this.world.advance(random.integer(50, 2_000)).then(() => this.leave(member));
  }

  /** What holds at any time. */
  check(): void {
    for (const role of this.running) {
      const stats = this.servers.get(role)?.stats();
      if (stats?.serving !== true || stats.term === 0) continue;
      const author = this.#authors.get(stats.term) ?? role;
      expect(author, `term ${stats.term}`).toBe(role);
      this.#authors.set(stats.term, author);
    }
    expect(this.wrong).toEqual([]);
  }

  /** Peace: everything is up, heard and whole again, and all have the same. */
  async end(): Promise<void> {
    const { world, kind, members } = this;
    world.heal();
    this.diskFaults = 0;
    for (const role of kind.roles) this.open(role);
    for (const { servers } of members) servers.set(...ENDPOINTS);
    for (const end = world.now + PEACE; world.now < end; ) {
      await this.repair();
      await world.advance(HEARTBEAT);
    }
    this.isOver = true;
    const isDone = ({ stats: { state, inFlight } }: Member): boolean => state === "live" && inFlight === 0;
    // Not after every event, which takes long.
    for (const end = world.now + 30_000; !(this.isInStep && members.every(isDone)); ) {
      if (world.now > end) throw new Error("They do not settle");
      await world.advance(50);
    }
    await world.advance(5 * HEARTBEAT);
    this.check();
    const whole = mapOf(members[0]?.client as CloneClient);
    for (const role of kind.roles) {
      const server = this.servers.get(role) as CloneServer;
      expect(server.stats(), role).toMatchObject({ entries: whole.size, inFlight: 0 });
      for (const [key, [value]] of whole) expect(String(server.get(key)), `${key} at ${role}`).toBe(value);
    }
    for (const { name, subtree, client, told } of members) {
      const expected = [...whole].filter(([key]) => key.startsWith(subtree));
      expect([...mapOf(client)], name).toEqual(expected);
      expect([...told].sort(), name).toEqual(expected.map(([key, [value]]) => [key, value]));
    }
    expect([...whole.keys()].filter((key) => key.startsWith("/e/"))).toEqual([]);
    const missing = this.kept.filter((key) => !whole.has(key));
    if (kind.strict || (kind.stores && this.diverged === 0))
      expect(missing, "acknowledged, and lost").toEqual([]);
    if (!kind.strict) return;
    for (const [key, number] of this.#numbers)
      expect(Number(whole.get(key)?.[0]), key).toBeGreaterThanOrEqual(number);
    const number = Number.parseInt(whole.get(NUMBER)?.[0] ?? "0", 10);
    expect(number).toBeGreaterThanOrEqual(this.added);
    expect(number).toBeLessThanOrEqual(this.added + this.#uncertain);
    const values = [...this.#revisions.values()].map((text) => text.slice(text.indexOf("=") + 1));
    const seen = values.filter((value) => this.#refused.has(value));
    expect(seen, "refused, and seen").toEqual([]);
  }

  /** The operator does the next step, if there is one: of two masters the loser first, of none the winner first. */
  async repair(): Promise<void> {
    for (const [role, choice] of [
      ["backup", "passive"],
      ["primary", "active"],
      ["backup", "active"],
      ["primary", "passive"],
    ] as const) {
      const star = this.servers.get(role)?.star;
      if (star?.state === "fenced" && (await this.operate(role, () => star.resolve(choice)))) return;
    }
  }

  /** The server that serves sets more in one turn than fits into the queues of its clients, which miss it. */
  flood(): void {
    for (const role of this.running)
      void this.operate(role, (server) => {
        for (let n = 0; n < MARK + 10; n++) server.set(`/a/flood${n}`, `flood ${++this.#calls}`);
      });
  }

  /** @returns whether the server let the operator do it */
  async operate(role: Role, action: (server: CloneServer) => void): Promise<boolean> {
    const [node, server] = [this.world.node(role), this.servers.get(role)];
    if (server === undefined || !node.running) return false;
    return node
      .run(() => action(server))
      .then(
        () => true,
        () => false,
      );
  }

  #loop(name: string, pause: number, step: (number: number) => Promise<void>): void {
    const { random } = this.world;
    void this.world.node(name).run(async () => {
      for (let number = 1; !this.isOver; number++) {
        await step(number).catch(() => undefined);
        await sleep(random.integer(0, pause));
      }
    });
  }

  /** @returns what was written, if it took effect; `undefined` otherwise */
  async #try(client: CloneClient, key: string, revision: number, value: string): Promise<string | undefined> {
    const written = value === "" ? "" : `${value} by call ${++this.#calls}`;
    const at = `${key} at ${revision}`;
    try {
      if (written === "") await client.delete(key, { revision });
      else await client.set(key, written, { revision });
    } catch (error) {
      if (!(error instanceof CloneConflictError)) this.#uncertain += 1;
      else {
        this.conflicts += 1;
        // A repeated answer has what the key is by then.
        if (revision > 0 && error.revision === revision) this.#broke(`${at}: a conflict with itself`);
        if (written !== "") this.#refused.add(written);
      }
      return undefined;
    }
    // A key that is not there has no revision of its own: it may be created again and again.
    const other = revision === 0 ? undefined : this.#winners.get(at);
    if (other !== undefined) this.#broke(`${other} and ${written} won ${at}`);
    this.#winners.set(at, written);
    return written;
  }

  /** A promise of servers that hear each other and lose no disk. */
  #broke(what: string): void {
    if (this.kind.strict) this.wrong.push(what);
  }

  /** No two calls write the same. */
  #isOneOrder(revision: number, what: string): void {
    const before = this.#revisions.get(revision) ?? what;
    if (before !== what) this.#broke(`${revision} is ${before}, and ${what}`);
    const first = this.#effects.get(what) ?? revision;
    if (first !== revision) this.#broke(`${what} took effect at ${first}, and at ${revision}`);
    this.#revisions.set(revision, what);
    this.#effects.set(what, revision);
  }

  #isWhole(client: CloneClient): void {
    const [x, y] = ["/a/x", "/a/y"].map((key) => Number(client.get(key) ?? 0)) as [number, number];
    if (y > x) this.#broke(`a torn map: y ${y}, x ${x}`);
  }

  /** Not from one that runs, which is silent for a heartbeat at most: for the rest of the patience it stood still. */
  #tookOver(role: Role): void {
    this.takeOvers += 1;
    const { now } = this.world;
    let still = 0;
    for (const [from, to] of this.#still.get(ROLES[1 - ROLES.indexOf(role)] as Role) ?? [])
      still += Math.max(0, Math.min(to, now) - Math.max(from, now - PATIENCE));
    if (still < PATIENCE - HEARTBEAT - SLACK) this.#broke(`${role} took over from one that ran`);
  }
}

/** A map in the order of its keys, with the revisions. */
function mapOf(client: CloneClient): Map<string, [value: string, revision: number]> {
  const entries = [...client].map(([key, value]): [string, [string, number]] => [
    key,
    [String(value), client.entry(key)?.revision as number],
  ]);
  return new Map(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Everything that clients do, while things break. */
async function live(clone: Clone, strikes: readonly (() => void)[]): Promise<void> {
  const { world } = clone;
  const { random } = world;
  const whole = clone.join("whole");
  clone.write(clone.join("writer-y", "/a/"), "/a/y", "/a/x");
  clone.write(whole, "/b/z");
  clone.join("part", "/a/");
  clone.join("nothing", "/nothing/");
  for (let n = 0; n < 2; n++) {
    clone.keep(clone.join(`ledger${n}`, "/ledger/"));
    clone.add(clone.join(`adder${n}`, "/contest/"));
    clone.lock(clone.join(`locker${n}`, "/contest/"));
  }
  // It asks either server again and again, which is a vote for whom it asks.
  world.node("impatient").start(() => {
    new CloneClient(ENDPOINTS, { heartbeatInterval: HEARTBEAT / 8 });
  });
  const visits = async (): Promise<void> => {
    for (let n = 0; world.now < TROUBLE; n++) {
      await world.advance(random.integer(100, 1_500));
      clone.visit(n);
    }
  };
  void visits();
  await world.advance(1_000);
  while (world.now < TROUBLE) {
    random.pick(strikes)();
    clone.check();
    await world.advance(random.integer(10, 1_000));
  }
}

const total = { kept: 0, kills: 0, takeOvers: 0, won: 0, conflicts: 0, gaps: 0 };

it(
  "what was acknowledged survives, in one order, and nothing takes effect twice",
  async (world) => {
    const { random } = world;
    const roles = random.chance(0.2) ? ROLES.slice(0, 1) : ROLES;
    const stores = roles.length === 1 || random.chance(0.6);
    const clone = new Clone(world, { roles, stores, strict: true });
    if (stores) clone.diskFaults = random.pick([0, 0.05]);
    const kill = (): void => {
      // Without a store, one at a time: the other has to have everything first.
      if (!stores && !clone.isInStep) return;
      const role = random.pick(roles);
      const mayLose = roles.length > 1 && clone.isInStep;
      clone.down(role, random.pick(mayLose ? ["kill", "crash", "lose"] : ["kill", "crash"]));
      void world.advance(random.integer(10, 2_000)).then(() => clone.open(role));
    };
    const anybody = (): string => random.pick([...roles, ...clone.members.map(({ name }) => name)]);
    const cut = (): void => {
      const [role, { name }] = [random.pick(roles), random.pick(clone.members)];
      const [from, to] = random.chance(0.5) ? [role, name] : [name, role];
      world.cut(from, to, { oneWay: random.chance(0.5) });
      void world.advance(random.integer(100, LONGEST)).then(() => world.heal(role, name));
    };
    const relist = (): void => {
      for (const { servers } of clone.members) if (random.chance(0.3)) servers.set(...random.pick(LISTS));
    };
    const stall = (): void => clone.stall(anybody(), random.integer(10, LONGEST));
    const reset = (): void => world.reset(random.pick(roles), random.pick(clone.members).name);
    await live(clone, [kill, kill, kill, cut, stall, stall, reset, relist, () => clone.flood()]);
    await clone.end();
    total.kept += clone.kept.length;
    total.kills += clone.kills;
    total.takeOvers += clone.takeOvers;
    total.won += clone.added + clone.taken;
    total.conflicts += clone.conflicts;
    for (const { stats } of clone.members) total.gaps += stats.gaps;
  },
  (runs) => {
    expect(total.kept).toBeGreaterThan(runs * 20);
    expect(total.kills).toBeGreaterThan(runs);
    expect(total.takeOvers).toBeGreaterThan(0);
    expect(total.won).toBeGreaterThan(runs * 10);
    expect(total.conflicts).toBeGreaterThan(runs * 5);
    expect(total.gaps).toBeGreaterThan(0);
  },
);

let lost = 0;

test(
  "after cuts between the servers, lost disks and an operator's word all have the same, and a loss is reported",
  async (world) => {
    const { random } = world;
    const stores = random.chance(0.6);
    const clone = new Clone(world, { roles: ROLES, stores, strict: false });
    if (stores) clone.diskFaults = random.pick([0, 0.05]);
    const role = (): Role => random.pick(ROLES);
    const kill = (): void => {
      const victim = role();
      clone.down(victim, random.pick(stores ? ["kill", "crash"] : ["kill", "crash", "lose"]));
      void world.advance(random.integer(10, 2_000)).then(() => clone.open(victim));
    };
    const nodes = (): string[] => [...ROLES, ...clone.members.map(({ name }) => name)];
    await live(clone, [
      kill,
      kill,
      () => world.cut("primary", "backup"),
      () => world.cut("primary", "backup", { oneWay: true }),
      () => world.cut("backup", "primary", { oneWay: true }),
      () => world.heal("primary", "backup"),
      () => world.cut(role(), random.pick(clone.members).name),
      () => world.heal(),
      () => world.reset("primary", "backup"),
      () => world.reset(role(), random.pick(clone.members).name),
      () => clone.stall(random.pick(nodes()), random.integer(10, LONGEST)),
      () => {
        const name = role();
        if (world.node(name).running) world.node(name).suspend(random.integer(10, LONGEST));
      },
      () => void clone.operate(role(), (server) => server.star?.handOver()),
      () => void clone.operate(role(), (server) => server.star?.resolve("active")),
      () => void clone.repair(),
      () => clone.flood(),
    ]);
    await clone.end();
    lost += clone.diverged;
  },
  () => expect(lost).toBeGreaterThan(0),
);

it("a server that hears nothing after a pause waits, since the other may have served", async (world) => {
  const servers = new Map<Role, CloneServer>();
  const starts = (role: Role, peer: Role) =>
    world.node(role).start(async () => {
      const server = new CloneServer({
        heartbeatInterval: HEARTBEAT,
        pair: { role, peer: `tcp://${peer}:5550` },
      });
      servers.set(role, server);
      await server.bind("tcp://*:5550");
    });
  starts("primary", "backup");
  starts("backup", "primary");
  const states = (role: Role) => servers.get(role)?.stats();
  let client: CloneClient | undefined;
  world.node("client").start(() => {
    client = new CloneClient(ENDPOINTS, { heartbeatInterval: HEARTBEAT });
  });
  await world.advance(3_000);
  expect(states("primary")).toMatchObject({ serving: true, replicated: true });
  // It never hears that the other one took over, acknowledged an update, and died.
  world.reset(...ROLES);
  world.node("primary").stall(2_000);
  const set = world.node("client").run(() => client?.set("key", "value"));
  await world.advance(1_700);
  await set;
  world.node("backup").crash({ disk: true });
  await world.advance(PEACE);
  expect(states("primary")?.serving).toBe(false);
  // The other one comes back, and one of them serves.
  starts("backup", "primary");
  await world.advance(PEACE);
  expect(ROLES.filter((role) => states(role)?.serving)).toHaveLength(1);
});
