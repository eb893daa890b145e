/**
 * Messages of whole nodes in virtual time, by schedules that fast-check makes, and makes smaller. SHOAL_LONG=1 runs 150 of each kind.
 */
import { describe, expect, it } from "vitest";
import { ClusterNode, type ClusterNodeOptions } from "../../../src/cluster/index.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";
import { KEY, startNodes } from "../simulated.js";
import { MemoryProtocol } from "./memory-protocol.js";

const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];

const name = fc.constantFrom(...NAMES);
const topic = fc.constantFrom("x", "y");
const publish = fc.record({
  kind: fc.constant("publish" as const),
  name,
  topic,
  count: fc.integer({ min: 1, max: 30 }),
  waits: fc.boolean(),
});
const advance = fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(300) });
const reset = fc.record({ kind: fc.constant("reset" as const), name, other: name });

/** What members survive: connections that are reset, cuts that end before anybody is given up, short stalls. */
const gentle = fc.oneof(
  { weight: 6, arbitrary: publish },
  { weight: 3, arbitrary: advance },
  { weight: 2, arbitrary: reset },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("stall" as const), name, ms: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("blink" as const), name, ms: fc.nat(250) }) },
);
const hostile = fc.oneof(
  { weight: 12, arbitrary: gentle },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const), name, ms: fc.nat(3_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), name, ms: fc.nat(6_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("split" as const), name, ms: fc.nat(8_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pause" as const), name, ms: fc.nat(8_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), name, ms: fc.nat(1_000) }) },
);
type Act = typeof hostile extends fc.Arbitrary<infer T> ? T : never;

/** A process of a node. */
class Life {
  readonly node: ClusterNode;
  readonly id: string;
  /** By topic: numbers that it published. */
  readonly published = new Map<string, number>();
  /** By publisher's life and topic: how many came, and the last one. */
  readonly received = new Map<string, { count: number; last: number }>();

  constructor(id: string) {
    this.id = id;
    this.node = new ClusterNode({ name: id.charAt(0), scope: "link", key: KEY });
  }
}

class Run {
  readonly #world: World;
  readonly #lives = new Map<Name, Life>();
  readonly #faults: string[] = [];
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async start(of: Name): Promise<void> {
    this.#count += 1;
    const id = `${of}${this.#count}`;
    await this.#world.node(of).start(async () => {
      const life = new Life(id);
      await life.node.start();
      for (const filter of ["x", "y", "end"])
        life.node.subscribe(filter, ({ topic: on, data }) => this.#onMessage(life, on, String(data)));
      this.#lives.set(of, life);
    });
  }

  #onMessage(at: Life, on: string, data: string): void {
    const [from, text] = data.split(" ") as [string, string];
    const key = `${from} ${on}`;
    const seen = at.received.get(key) ?? { count: 0, last: -1 };
    at.received.set(key, seen);
    const number = Number(text);
    if (number <= seen.last) this.#faults.push(`${at.id} got ${key} ${number} after ${seen.last}`);
    seen.count += 1;
    seen.last = number;
  }

  #publish(from: Life, on: string, count: number, waits: boolean): void {
    const first = from.published.get(on) ?? 0;
    from.published.set(on, first + count);
    for (let i = first; i < first + count; i++)
      from.node.publish(on, `${from.id} ${i}`, { onFull: waits ? "wait" : "drop" }).catch((error: Error) => {
        // It left while this waited for room.
        if (!("code" in error) || error.code !== "EAGAIN") this.#faults.push(String(error));
      });
  }

  async do(step: Act): Promise<void> {
    const world = this.#world;
    if (step.kind === "advance") return world.advance(step.ms);
    const { name: of } = step;
    const life = this.#lives.get(of) as Life;
    const machine = world.node(of);
    switch (step.kind) {
      case "publish":
        await machine.run(() => this.#publish(life, step.topic, step.count, step.waits));
        return;
      case "reset":
        if (step.other !== of) world.reset(of, step.other);
        return;
      case "stall":
      case "pause":
        machine.stall(step.ms);
        return world.advance(step.ms + 1);
      case "blink":
      case "split":
        world.split([of]);
        world.split(
          [of],
          NAMES.filter((each) => each !== of),
        );
        await world.advance(step.ms);
        world.heal();
        return;
      case "leave":
        await machine.run(() => life.node.leave());
        machine.kill();
        break;
      case "kill":
        machine.kill();
        break;
      case "crash":
        machine.crash();
        break;
    }
    await world.advance(step.ms);
    await this.start(of);
  }

  #all(holds: (life: Life) => boolean): boolean {
    return [...this.#lives.values()].every(holds);
  }

  async meet(): Promise<void> {
    const { length } = NAMES;
    const ids = (): string[] => [...this.#lives.values()].map(({ node }) => node.id);
    await this.#world.until(
      () =>
        this.#all(({ node }) => {
          const live = node.resolve().map(({ id }) => id);
          return live.length === length && ids().every((id) => live.includes(id));
        }),
      20_000,
    );
  }

  /** As soon as all have met all, each publishes: it goes to all whose interest is not known. */
  async greet(): Promise<void> {
    await this.meet();
    for (const of of NAMES) {
      const life = this.#lives.get(of) as Life;
      await this.#world.node(of).run(() => this.#publish(life, "x", 3, false));
    }
    // So long it is waited for at most, faults or not.
    await this.#world.advance(1_100);
  }

  /** Everything is as it should be: who is there, what each is interested in, and what was counted. */
  async end(): Promise<void> {
    const world = this.#world;
    world.heal();
    await this.meet();
    // What one publishes now comes to all, once.
    await world.advance(12_000);
    for (const of of NAMES) {
      const life = this.#lives.get(of) as Life;
      await world.node(of).run(() => this.#publish(life, "end", 1, false));
    }
    const ids = [...this.#lives.values()].map(({ id }) => id);
    await world.until(
      () => this.#all(({ received }) => ids.every((id) => received.get(`${id} end`)?.count === 1)),
      5_000,
    );
    await world.advance(1_000);
    expect(this.#faults).toEqual([]);
    for (const { id, node, received } of this.#lives.values()) {
      const { links, waiting, directPending } = node.stats().messaging as NonNullable<
        ReturnType<ClusterNode["stats"]>["messaging"]
      >;
      expect({ waiting, directPending }).toEqual({ waiting: 0, directPending: 0 });
      for (const { name: peer, sent, delivered, waiting: kept, dropped, lost } of links.peers)
        expect(delivered + kept + dropped + lost, `${id} to ${peer}`).toBe(sent);
      for (const other of ids) expect(received.get(`${other} end`)?.count).toBe(1);
    }
  }

  /**
   * Each message came to each node, but for what was counted as lost: a connection that is reset right before a cut is taken for the end of
   * its process.
   */
  expectAll(): void {
    for (const { id, node, received } of this.#lives.values())
      for (const { id: from, node: publisher, published } of this.#lives.values()) {
        const { peers } = (
          publisher.stats().messaging as NonNullable<ReturnType<ClusterNode["stats"]>["messaging"]>
        ).links;
        const lost = peers.find((peer) => peer.id === node.id)?.lost ?? 0;
        let missing = 0;
        for (const [on, count] of published) missing += count - (received.get(`${from} ${on}`)?.count ?? 0);
        expect(missing, `of ${from} at ${id}`).toBeLessThanOrEqual(lost);
      }
  }
}

function runs(steps: fc.Arbitrary<Act>, numRuns: number, over: (run: Run) => void): Promise<void> {
  return fc.assert(
    fc.asyncProperty(fc.nat(0x7fff_fffe), fc.array(steps, { maxLength: 12 }), async (seed, acts) => {
      await simulate({ seed, shrink: false }, async (world) => {
        const run = new Run(world);
        for (const of of NAMES) await run.start(of);
        if (seed % 2 === 0) await run.greet();
        for (const act of acts) await run.do(act);
        await run.end();
        if (seed % 2 === 0) over(run);
      });
    }),
    { numRuns },
  );
}

describe("messages of nodes, by any schedule", () => {
  it(
    "of resets, short cuts and stalls: all arrive, once, in order",
    { timeout: LONG ? 1_200_000 : 90_000 },
    () => runs(gentle, LONG ? 150 : 3, (run) => run.expectAll()),
  );

  it(
    "of kills, crashes, splits, pauses and leaves: in order, none twice, each in one count, and in the end all reach all",
    { timeout: LONG ? 1_200_000 : 90_000 },
    () => runs(hostile, LONG ? 150 : 3, () => undefined),
  );
});

/** Nodes that live by their heartbeats alone: nobody is probed, and one that is silent is kept for 10 minutes. */
async function beating(
  world: World,
  messaging: Readonly<Record<string, ClusterNodeOptions["messaging"]>>,
): Promise<Record<string, ClusterNode>> {
  const started = startNodes(world, Object.keys(messaging), (name) => ({
    profile: "tcl",
    messaging: messaging[name],
  }));
  const nodes = Object.fromEntries(await started);
  const { length } = Object.keys(messaging);
  await world.until(() => Object.values(nodes).every((node) => node.resolve().length === length), 30_000);
  // Their details have come.
  await world.advance(5_000);
  return nodes;
}

describe("a node to which no protocol of messages works", () => {
  it("is given up by all with their next beat, not by the one alone that had a message for it", async () => {
    await simulate({ seed: 5 }, async (world) => {
      // Of these, a alone has links.
      const nodes = await beating(world, { a: true, b: true, c: false, d: false });
      const { a, b } = nodes as { a: ClusterNode; b: ClusterNode };
      const service = a.member("b");
      world.node("b").crash();
      let error: unknown;
      await world.node("a").run(() => {
        a.sendTo(service as NonNullable<typeof service>, "x", { timeout: -1 }).catch((reason: unknown) => {
          error = reason;
        });
      });
      const { a: first, c, d } = nodes as Record<string, ClusterNode>;
      for (const node of [first, c, d]) expect(node?.member(b.id)?.state).toBe("alive");
      // The longest time between two heartbeats.
      await world.until(() => [first, c, d].every((node) => node?.resolve().length === 3), 130_000);
      expect(error).toMatchObject({ code: "EHOSTUNREACH" });
    });
  });

  it("stays a member of all while it lives, and gets what waited when one works again", async () => {
    await simulate({ seed: 6 }, async (world) => {
      const broken = new MemoryProtocol("wire");
      const wired = { protocols: [broken.protocol] };
      broken.fails = true;
      const nodes = await beating(world, { a: wired, b: wired, c: false, d: false });
      const { a, b } = nodes as { a: ClusterNode; b: ClusterNode };
      const got: string[] = [];
      await world.node("b").run(() => void b.subscribe("self", ({ data }) => void got.push(String(data))));
      const before = b.stats().packetsSent;
      let sent = false;
      await world.node("a").run(() => {
        void a
          .sendTo(a.member("b") as NonNullable<ReturnType<typeof a.member>>, "x", { timeout: -1 })
          .then(() => {
            sent = true;
          });
      });
      // It is asked for a sign of life, again and again, and gives it: an idle one heartbeats once in 2 minutes.
      await world.advance(20_000);
      expect(broken.attempts).toBeGreaterThan(5);
      expect(b.stats().packetsSent - before).toBeGreaterThan(5);
      await world.advance(300_000);
      for (const node of Object.values(nodes)) expect(node.resolve()).toHaveLength(4);
      expect([sent, got]).toEqual([false, []]);
      broken.fails = false;
      await world.until(() => sent, 5_000);
      expect(got).toEqual(["x"]);
    });
  });
});

describe("the routes of a lost node", () => {
  it("are kept for messaging.grace, and go then", async () => {
    await simulate({ seed: 7 }, async (world) => {
      const nodes = await startNodes(world, ["a", "b"], { messaging: { grace: 30_000 } });
      for (const [each, node] of nodes)
        await world.node(each).run(() => void node.subscribe("t", () => undefined));
      const routes = (): number | undefined => nodes.get("a")?.stats().messaging?.routes.routes;
      const publish = (): Promise<number> =>
        world.node("a").run(() => (nodes.get("a") as ClusterNode).publish("t", "", { self: false }));
      await world.until(() => routes() === 1, 5_000);
      let lostAt = -1;
      nodes.get("a")?.events.on("lost", () => {
        lostAt = world.now;
      });
      world.cut("a", "b");
      await world.until(() => lostAt >= 0, 10_000);
      expect(await publish()).toBe(0);
      await world.advance(lostAt + 20_000 - world.now);
      expect(routes()).toBe(1);
      world.heal();
      // It is a target as soon as it is back: nothing is asked.
      await world.until(() => nodes.get("a")?.resolve().length === 2, 5_000);
      expect(await publish()).toBe(1);
      lostAt = -1;
      world.cut("a", "b");
      await world.until(() => lostAt >= 0, 10_000);
      await world.advance(lostAt + 29_900 - world.now);
      expect(routes()).toBe(1);
      await world.advance(200);
      expect(routes()).toBe(0);
    });
  });
});
