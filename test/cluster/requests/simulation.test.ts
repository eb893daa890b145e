/** Requests between nodes in virtual time: bursts, callers and nodes that are lost, and what both hold of requests meanwhile. */
import { describe, expect, it } from "vitest";
import type {
  ClusterNode,
  Service,
  ServiceHandler,
  ServiceRequestOptions,
} from "../../../src/cluster/index.js";
import type { ServeOptions } from "../../../src/cluster/requests/options.js";
import { ignore } from "../../../src/core/waiter.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { gate } from "../../support/gate.js";
import { LONG } from "../../support/long.js";
import { throwing } from "../messaging/throwing.js";
import { nodesTogether, pause, startNodes } from "../simulated.js";

const SETTINGS: ServeOptions = { concurrency: 4, maxQueue: 8, maxQueueBytes: 65_536 };

/** A cluster of "caller" and others, of which each may serve "work". */
class Cast {
  /** Bodies that handlers were given, and those whose signal was aborted. */
  readonly runs: string[] = [];
  readonly aborted: string[] = [];
  /** Of requests: the seconds since the start of the story, and the reply or the error. */
  readonly ended: string[] = [];
  /** ms that a handler takes. */
  ms: (body: string, node: string) => number = () => 5;

  private constructor(
    readonly world: World,
    readonly nodes: Map<string, ClusterNode>,
    readonly since: number,
  ) {}

  static async of(world: World, ...others: readonly string[]): Promise<Cast> {
    const names = ["caller", ...others];
    const nodes = await startNodes(world, names);
    await world.until(
      () => [...nodes.values()].every((node) => node.members().length === names.length),
      5_000,
    );
    return new Cast(world, nodes, world.now);
  }

  node(name = "caller"): ClusterNode {
    return this.nodes.get(name) as ClusterNode;
  }

  at<T>(name: string, what: (node: ClusterNode) => T | Promise<T>): Promise<T> {
    return this.world.node(name).run(() => what(this.node(name)));
  }

  async serve(
    name: string,
    settings: ServeOptions = SETTINGS,
    handler: ServiceHandler = (body, { signal }) => this.#handle(name, String(body), signal),
  ): Promise<Service> {
    const service = await this.at(name, (node) => node.serve("work", handler, settings));
    await service.ready;
    return service;
  }

  async #handle(name: string, body: string, signal: AbortSignal): Promise<string> {
    this.runs.push(body);
    signal.addEventListener("abort", () => this.aborted.push(body));
    await pause(this.ms(body, name));
    return `${body}!`;
  }

  /** Asks in virtual time, and notes how it ends. */
  ask(body: unknown, options: ServiceRequestOptions = {}): void {
    void this.at("caller", (node) =>
      node.request("work", body, { timeout: 60_000, self: false, ...options }).then(
        (reply) => this.note(String(reply)),
        ({ reason, code }: { reason?: string; code: string }) => this.note(reason ?? code),
      ),
    );
  }

  note(what: string): void {
    this.ended.push(`${Math.round((this.world.now - this.since) / 1_000)} s: ${what}`);
  }

  /** Until so many seconds since the start of the story. */
  async until(seconds: number): Promise<void> {
    await this.world.advance(this.since + 1_000 * seconds - this.world.now);
  }
}

type Story = (cast: Cast, world: World) => Promise<void>;

/** @param others than the caller */
async function story(seed: number, others: readonly string[], what: Story): Promise<void> {
  await simulate({ seed }, async (world) => what(await Cast.of(world, ...others), world));
}

const countOf = (list: readonly string[], fits: RegExp): number =>
  list.filter((each) => fits.test(each)).length;

describe("many requests", () => {
  it("all get a reply, whatever the nodes' room, and whoever is late or fails", { timeout: 120_000 }, () => {
    const runs = LONG ? 400 : 5;
    return simulate({ seed: 1_000, runs }, async (world) => {
      const { random } = world;
      const servers = ["a", "b", "c"].slice(0, random.integer(1, 3));
      const cast = await Cast.of(world, ...servers);
      const failing = random.pick(["", "", servers[0] as string]);
      // Slow ones are so once.
      const isFirst = (body: string): boolean => countOf(cast.runs, new RegExp(`^${body}$`)) === 1;
      cast.ms = (body) => (body.startsWith("slow") && isFirst(body) ? 500 : random.integer(0, 20));
      const serving = random.chance(0.3) ? [...servers, "caller"] : servers;
      const fail = throwing(new Error("it fails"));
      for (const name of serving) {
        const settings = { concurrency: random.integer(1, 4), maxQueue: random.integer(0, 8) };
        await cast.serve(name, settings, name === failing ? fail : undefined);
      }
      cast.node(failing === "" ? "caller" : failing).events.on("handler:failed", ignore);
      let asked = 0;
      for (let round = random.integer(1, 4); round > 0; round--) {
        for (let i = random.integer(1, 60); i > 0; i--) {
          asked += 1;
          const isSlow = random.chance(0.05);
          const terms: ServiceRequestOptions = isSlow
            ? { idempotent: true, attemptTimeout: 50 }
            : random.pick([{}, { self: true }]);
          cast.ask(`${isSlow ? "slow" : ""} ${asked}`, { timeout: -1, retries: 100, ...terms });
        }
        await world.advance(random.pick([0, 20, 300]));
      }
      await world.until(() => cast.ended.length === asked, 60_000);
      const others = cast.ended.filter((each) => !/(!|worker-failed)$/.test(each));
      expect(others).toEqual([]);
      for (const node of cast.nodes.values())
        expect(node.stats().requests).toMatchObject({ pending: 0, pendingBytes: 0 });
    });
  });
});

it("a request of a caller that its node took for lost is made again where it is idempotent, and fails where it is not", () =>
  story(4, ["s"], async (cast, world) => {
    cast.ms = () => 10_000;
    await cast.serve("s");
    cast.ask("a", { idempotent: true });
    cast.ask("b");
    await world.advance(100);
    world.node("caller").stall(6_000);
    await cast.until(30);
    expect(cast.aborted.sort()).toEqual(["a", "b"]);
    expect(cast.runs).toEqual(["a", "b", "a"]);
    expect(cast.ended.map((each) => each.replace(/^\d+ s: /, "")).sort()).toEqual(["a!", "worker-lost"]);
  }));

it("a request whose handler is at work for long is not asked after more often than each 30 s", () =>
  story(5, ["s"], async (cast, world) => {
    cast.ms = () => 300_000;
    await cast.serve("s");
    await world.advance(5_000);
    const peers = () => cast.node().stats().messaging?.links.peers ?? [];
    const sent = (): number => peers().reduce((sum, each) => sum + each.sent, 0);
    const before = sent();
    cast.ask("long", { timeout: -1 });
    await world.advance(310_000);
    expect(countOf(cast.ended, /long!$/)).toBe(1);
    // The request, 2, 6, 14 and 30 s after it, and then every 30 s.
    expect(sent() - before).toBe(1 + 4 + 8);
    expect(cast.node("s").stats().requests?.refused).toEqual({});
  }));

describe("a streamed request", () => {
  /** Parts, with a pause before each. */
  async function* parts(count: number, ms: number): AsyncGenerator<number> {
    for (let i = 1; i <= count; i++) {
      await pause(ms);
      yield i;
    }
  }

  /** Reads a stream of "work", and notes its end. */
  function read(cast: Cast, maxQueue: number, onPart: (part: number) => Promise<void> | void = ignore): void {
    void cast.at("caller", async (node) => {
      try {
        for await (const part of node.requestStream("work", "", { timeout: -1, self: false, maxQueue }))
          await onPart(part as number);
        cast.note("end");
      } catch (error) {
        cast.note((error as { reason: string }).reason);
      }
    });
  }

  it("ends by itself, however slowly its parts come, and though they need no credit", () =>
    story(6, ["s"], async (cast) => {
      await cast.serve("s", SETTINGS, () => parts(200, 1_000));
      read(cast, 1_000);
      await cast.until(210);
      expect(cast.ended).toEqual([expect.stringMatching(/^20[0-2] s: end$/)]);
    }));

  it("of a caller that took its node for lost holds its slot no longer than its caller may be silent", () =>
    story(8, ["s"], async (cast, world) => {
      const service = await cast.serve("s", SETTINGS, () => parts(100_000, 1));
      read(cast, 2, () => pause(5_000));
      await world.advance(100);
      world.node("s").stall(8_000);
      await cast.until(30);
      expect(cast.ended).toEqual([expect.stringMatching(/^\d+ s: worker-lost$/)]);
      await cast.until(110);
      expect(service.stats()).toMatchObject({ running: 0, abandoned: 1 });
    }));
});

describe("a request that waits for a node which serves it", () => {
  it("goes to one that comes while the only one drains, and fails at once where it does not wait", () =>
    story(9, ["s", "t"], async (cast) => {
      const service = await cast.serve("s");
      void cast.at("s", () => service.drain());
      cast.ask("a", { waitForReady: true });
      cast.ask("b");
      await cast.until(5);
      await cast.serve("t");
      await cast.until(20);
      expect(cast.ended).toEqual(["0 s: stopping", expect.stringMatching(/^[5-7] s: a!$/)]);
    }));

  it("goes to the one that had it when that serves again, whatever its retries are", () =>
    story(10, ["s", "t"], async (cast, world) => {
      for (const name of ["s", "t"]) await cast.serve(name);
      cast.ms = () => 1_000;
      cast.ask("a", { waitForReady: true, idempotent: true });
      cast.ask("b", { idempotent: true });
      await world.advance(100);
      world.node("s").kill();
      world.node("t").kill();
      await cast.until(30);
      for (const [name, again] of await startNodes(world, ["t"])) cast.nodes.set(name, again);
      await cast.serve("t");
      await cast.until(50);
      expect(cast.ended.map((each) => each.replace(/^\d+ s: /, ""))).toEqual(["worker-lost", "a!"]);
    }));
});

describe("what a serving node holds", () => {
  /** A node whose one slot a request has, until it is to end. */
  async function stuck(cast: Cast, settings: ServeOptions = {}) {
    const { passed: released } = gate();
    const handler: ServiceHandler = async (body, { signal }) => {
      cast.runs.push(String(body));
      signal.addEventListener("abort", () => cast.aborted.push(String(body)));
      if (String(body).startsWith("stuck")) await released;
      return `${body}!`;
    };
    const service = await cast.serve("s", { ...SETTINGS, concurrency: 1, ...settings }, handler);
    const ask = (body: string, more: ServiceRequestOptions = {}): void =>
      cast.ask(body, { timeout: -1, retries: 0, ...more });
    ask("stuck");
    await cast.world.until(() => cast.runs.length === 1, 1_000);
    return { service, ask };
  }

  it.each(["cancelled", "late"])("of waiting requests is freed when these are %s", (how) =>
    story(11, ["s"], async (cast, world) => {
      const { service, ask } = await stuck(cast);
      for (let round = 0; round < 20; round++) {
        const stop = new AbortController();
        const options = how === "late" ? { timeout: 20 } : { signal: stop.signal };
        for (let i = 0; i < 8; i++) ask("x", options);
        await world.advance(10);
        expect(service.stats()).toMatchObject({ running: 1, queued: 8 });
        expect(service.stats().queuedBytes).toBeGreaterThan(8);
        stop.abort();
        await world.advance(50);
        expect(service.stats()).toMatchObject({ running: 1, queued: 0, queuedBytes: 0 });
      }
      expect([service.stats().refused, cast.aborted]).toEqual([0, []]);
    }));

  it("of a reply that its caller's link has no room for ends when the caller is lost", () =>
    simulate({ seed: 16 }, async (world) => {
      const messaging = { highWaterMarkBytes: 1_000 };
      const [caller, s] = await nodesTogether(world, ["caller", "s"], { messaging });
      const service = await world.node("s").run(() =>
        s.serve("work", async () => {
          await pause(100);
          return "x".repeat(700);
        }),
      );
      await service.ready;
      const ask = (): Promise<unknown> => caller.request("work", "", { timeout: -1, self: false });
      void world.node("caller").run(ask).catch(ignore);
      await world.advance(50);
      world.node("caller").crash();
      const to = s.addressOf(caller.id);
      void world.node("s").run(() => s.sendTo(to, "x".repeat(400), { timeout: -1 }).catch(ignore));
      await world.advance(100);
      expect(service.stats().running).toBe(1);
      await world.until(() => s.members().length === 1, 10_000);
      await world.advance(50);
      expect(service.stats().running).toBe(0);
    }));
});
