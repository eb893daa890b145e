/**
 * Messages of whole nodes in virtual time, by schedules that fast-check makes, and makes smaller. SHOAL_LONG=1 runs 1,000 of each kind.
 */
import { describe, expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { simulate, type World } from "../../../src/testing/index.js";
import fc from "../../support/properties.js";

const LONG = process.env.SHOAL_LONG === "1";
const KEY = "01234567890123456789012345678901234567ab";
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

  /** As soon as all have met all, each publishes: it is kept until the others' interest is known. */
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

  /** Nobody was lost: each message came to each node. */
  expectAll(): void {
    for (const { id, received } of this.#lives.values())
      for (const { id: from, published } of this.#lives.values())
        for (const [on, count] of published)
          expect(received.get(`${from} ${on}`)?.count, `of ${from} to ${on} at ${id}`).toBe(count);
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
    { timeout: LONG ? 7_200_000 : 90_000 },
    () => runs(gentle, LONG ? 1_000 : 15, (run) => run.expectAll()),
  );

  it(
    "of kills, crashes, splits, pauses and leaves: in order, none twice, each in one count, and in the end all reach all",
    { timeout: LONG ? 7_200_000 : 90_000 },
    () => runs(hostile, LONG ? 1_000 : 15, () => undefined),
  );
});
