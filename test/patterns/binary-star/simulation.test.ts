/**
 * A pair, its clients and its operator in a simulated world: never two masters without a cut between the servers, an
 * end to two masters after one, and one master soon after the last fault.
 */
import { expect } from "vitest";
import { BinaryStarClient, BinaryStarServer } from "../../../src/patterns/binary-star/server.js";
import type { World } from "../../../src/testing/index.js";
import { worldTest } from "../../support/world-test.js";

const HEARTBEAT = 200;
/** ms on the way at most: a connection takes six of them, and has to be there within a heartbeat. */
const MAX_DELAY = 20;
const LONGEST = 10 * HEARTBEAT;
/** ms after which a server gives up a handshake with a machine that lost its power. */
const HANDSHAKE = 5_000;
const TROUBLE = 8_000;
const PEACE = 12_000;
/** ms of a request: longer than the faults of both servers last. */
const PATIENCE = 10_000;
/** ms from the end of a fault until two masters have heard of each other: a connection, a state, a heartbeat of grace. */
const SETTLED = 5 * HEARTBEAT + 1_000;
const ROLES = ["primary", "backup"] as const;
type Role = (typeof ROLES)[number];
const it = worldTest({ runs: 6, long: 300, network: { latency: [1, MAX_DELAY] } });
const test = worldTest({ network: { latency: [40, 40] } });

const otherOf = (role: Role): Role => (role === "primary" ? "backup" : "primary");
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class Pair {
  readonly servers = new Map<Role, BinaryStarServer>();
  readonly wrong: string[] = [];
  /** Requests without a reply in time. */
  readonly failed: string[] = [];
  readonly answers = { primary: 0, backup: 0 };
  fences = 0;
  isOver = false;
  /** Until when each server stands still. */
  readonly #still = new Map<Role, number>();
  /** Until when the peers of a machine without power may take it for alive. */
  readonly #lost = new Map<Role, number>();

  constructor(readonly world: World) {
    for (const role of ROLES) world.node(role);
    for (const role of ROLES)
      void world.advance(world.random.integer(0, 4 * HEARTBEAT)).then(() => this.start(role));
    for (const name of ["client", "other"]) this.#ask(name);
  }

  get states(): (string | undefined)[] {
    return ROLES.map((role) => this.servers.get(role)?.star.state);
  }

  get answered(): number {
    return this.answers.primary + this.answers.backup;
  }

  start(role: Role): void {
    const { world } = this;
    if (world.node(role).running) return;
    world.node(role).start(async () => {
      const peer = `tcp://${otherOf(role)}:6000`;
      const server = new BinaryStarServer((request) => this.#answer(role, request), {
        star: { role, peer, heartbeatInterval: HEARTBEAT },
      });
      this.servers.set(role, server);
      server.star.events.on("state:changed", ({ from, state, reason }) => {
        world.note(`${role}: ${from} > ${state}, ${reason}`);
        if (state === "fenced") this.fences += 1;
      });
      await server.bind("clients", "tcp://*:5000");
      await server.bind("state", "tcp://*:6000");
    });
  }

  kill(role: Role): void {
    if (!this.world.node(role).running) return;
    this.world.node(role).kill();
    this.#startLater(role);
  }

  /** The machine loses its power: nobody ends its connections. Not beside a stop of the other: both would be fenced. */
  crash(role: Role): void {
    if (!this.world.node(role).running || this.isStill(otherOf(role))) return;
    this.#lost.set(role, this.world.now + LONGEST + HANDSHAKE);
    this.world.node(role).crash();
    this.#startLater(role);
  }

  stall(role: Role): void {
    const node = this.world.node(role);
    if (!node.running || this.world.now < (this.#lost.get(otherOf(role)) ?? 0)) return;
    const ms = this.world.random.integer(HEARTBEAT / 2, LONGEST);
    this.#still.set(role, this.world.now + ms);
    node.stall(ms);
  }

  isStill(role: Role): boolean {
    return this.world.now <= (this.#still.get(role) ?? 0);
  }

  /** The server may refuse it. @returns whether it did not */
  async operate(role: Role, action: (server: BinaryStarServer) => void): Promise<boolean> {
    const [node, server] = [this.world.node(role), this.servers.get(role)];
    if (server === undefined || !node.running || this.isStill(role)) return false;
    return node
      .run(() => action(server))
      .then(
        () => true,
        () => false,
      );
  }

  /** The operator's next step, if there is one: of two masters the loser first, of none the winner first. */
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

  /** Peace: exactly one serves in the end, and answers. */
  async end(repairs: boolean): Promise<void> {
    const { world } = this;
    world.heal();
    world.network({ loss: 0 });
    for (const role of ROLES) this.start(role);
    for (const end = world.now + PEACE; world.now < end; await world.advance(HEARTBEAT))
      if (repairs) await this.repair();
    const before = this.answered;
    await world.advance(LONGEST);
    this.isOver = true;
    expect(this.states.toSorted()).toEqual(["active", "passive"]);
    expect(this.answered).toBeGreaterThan(before);
    expect(this.wrong).toEqual([]);
  }

  #startLater(role: Role): void {
    void this.world.advance(this.world.random.integer(10, LONGEST)).then(() => this.start(role));
  }

  #answer<T>(role: Role, request: T): T {
    this.answers[role] += 1;
    const other = otherOf(role);
    const isActive = this.world.node(other).running && this.servers.get(other)?.star.state === "active";
    // One that stands still answers nobody.
    if (isActive && !this.isStill(other)) this.onRival(role);
    return request;
  }

  /** A server answers, and the other one is active, too. */
  onRival(role: Role): void {
    this.wrong.push(`at ${this.world.now} ${role} answers, and the other is active`);
  }

  #ask(name: string): void {
    const { world } = this;
    world.node(name).start(async () => {
      const endpoints = ROLES.map((role) => `tcp://${role}:5000`) as [string, string];
      if (name === "other") endpoints.reverse();
      const client = new BinaryStarClient(endpoints, { timeout: PATIENCE, attemptTimeout: 1.5 * HEARTBEAT });
      for (let n = 0; !this.isOver; n++) {
        const asked = `${name} ${n}`;
        try {
          const reply = String(await client.request(asked));
          if (reply !== asked) this.wrong.push(`${asked} has the reply ${reply}`);
        } catch (error) {
          this.failed.push(`${asked}: ${error}`);
        }
        await sleep(20);
      }
    });
  }
}

let answered = 0;

it(
  "without a cut between the servers there are never two masters, whatever is killed, or stopped, or loses its power",
  async (world) => {
    const { random } = world;
    const pair = new Pair(world);
    while (world.now < TROUBLE) {
      await world.advance(random.integer(50, LONGEST));
      const role = random.pick(ROLES);
      const handOver = (): void => void pair.operate(role, ({ star }) => star.handOver());
      random.pick([pair.kill, pair.kill, pair.stall, pair.stall, pair.crash, handOver]).call(pair, role);
      expect(pair.fences).toBe(0);
      expect(pair.wrong).toEqual([]);
    }
    await pair.end(false);
    expect([pair.fences, pair.failed]).toEqual([0, []]);
    answered += pair.answered;
  },
  (runs) => expect(answered).toBeGreaterThan(runs * 20),
);

let fences = 0;

it(
  "two masters take a cut, and end soon after it: both are fenced until the operator resolves",
  async (world) => {
    const { random } = world;
    if (random.chance(0.5)) world.network({ loss: 0.1 });
    const pair = new Pair(world);
    let disturbedUntil = 0;
    pair.onRival = (role) => {
      const peace = world.now - disturbedUntil;
      if (peace > SETTLED)
        pair.wrong.push(`${role} answers, and the other is active, ${peace} ms after a fault`);
    };
    const cut = (): void => {
      const [from, to] = random.pick([ROLES, ROLES.toReversed()]);
      world.cut(from as Role, to as Role, { oneWay: random.chance(0.3) });
    };
    while (world.now < TROUBLE) {
      await world.advance(random.integer(50, LONGEST));
      const role = random.pick(ROLES);
      const strikes = [cut, cut, () => world.heal(), pair.kill, pair.crash, pair.stall];
      random
        .pick([...strikes, pair.repair, () => pair.operate(role, ({ star }) => star.handOver())])
        .call(pair, role);
      disturbedUntil = Number.POSITIVE_INFINITY;
      expect(pair.wrong).toEqual([]);
    }
    disturbedUntil = world.now + LONGEST;
    fences += pair.fences;
    await pair.end(true);
  },
  (runs) => runs > 100 && expect(fences).toBeGreaterThan(runs / 10),
);

test("a server hears its peer soon after a power failure, whatever their connection did", async (world) => {
  const pair = new Pair(world);
  const backup = world.node("backup");
  await world.until(() => pair.states.includes("active") && pair.states.includes("passive"));
  const { star } = pair.servers.get("primary") as BinaryStarServer;
  for (let ms = 0; ms < 600; ms += 30) {
    backup.kill();
    await world.advance(LONGEST);
    pair.start("backup");
    await world.advance(ms);
    // Half of them stand still first, so that the primary may have connected, and not been greeted.
    const stands = ms % 60 === 0;
    if (stands) backup.stall();
    await world.advance(HEARTBEAT);
    backup.crash();
    await world.advance(HEARTBEAT);
    pair.start("backup");
    const before = star.stats().statesReceived;
    await world.until(() => star.stats().statesReceived > before + 1, stands ? 6_000 : SETTLED);
  }
  pair.isOver = true;
});
