/** Brokers that are withdrawn from everybody's list, drain and come back, while clients ask: no request waits for what nobody does. */
import { once } from "node:events";
import { expect } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import type { EndpointSource } from "../../../src/sockets/endpoint-source.js";
import type { World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ network: { latency: [1, 10] } });
const test = worldTest({ long: 30, network: { latency: [1, 10] } });

const HEARTBEAT = { heartbeatInterval: 200 };
/** ms that a broker has to drain. */
const DRAIN_TIMEOUT = 30_000;
/** ms in which the others learn of a change. */
const SPREAD = 300;

/** Endpoints that all have, each a while after they changed. */
class Registry {
  readonly #world: World;
  #endpoints: readonly string[] = [];
  #wakes: (() => void)[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  change(change: (endpoints: readonly string[]) => readonly string[]): void {
    this.#endpoints = change(this.#endpoints);
    for (const wake of this.#wakes.splice(0)) wake();
  }

  /** @param order of a reader's own */
  source(order: (endpoints: readonly string[]) => readonly string[] = (all) => all): EndpointSource {
    const registry = this;
    return {
      async *endpoints() {
        for (;;) {
          const changed = new Promise<void>((resolve) => registry.#wakes.push(resolve));
          yield order(registry.#endpoints);
          await changed;
          await new Promise((resolve) => setTimeout(resolve, registry.#world.random.integer(0, SPREAD)));
        }
      },
    };
  }
}

it("a request that a worker handles for long is handled once, though its client moves to another broker", async (world) => {
  const registry = new Registry(world);
  let handled = 0;
  let cancelled = 0;
  for (const name of ["b0", "b1"])
    world.node(name).start(async () => {
      await new MajordomoBroker(HEARTBEAT).bind("tcp://*:5555");
    });
  const [first, second] = ["tcp://b0:5555", "tcp://b1:5555"] as const;
  world.node("w0").start(() => {
    const worker = new MajordomoWorker(
      registry.source(),
      "slow",
      async ([text], { signal }) => {
        handled += 1;
        signal.addEventListener("abort", () => (cancelled += 1));
        await new Promise((resolve) => setTimeout(resolve, 5_000));
        return String(text);
      },
      { ...HEARTBEAT, concurrency: 4 },
    );
    return worker.ready();
  });
  registry.change(() => [second]);
  const client = new MajordomoClient(registry.source(), { ...HEARTBEAT, timeout: 20_000 });
  await client.ready();
  const from = performance.now();
  const asked = client.request("slow", "x");
  await world.advance(1_000);
  registry.change(() => [first]);
  expect(String(await asked)).toBe("x");
  expect(performance.now() - from).toBeLessThan(6_000);
  expect({ handled, cancelled }).toEqual({ handled: 1, cancelled: 0 });
  await client.close();
});

it("a request whose worker a draining broker has lost is asked at another one, not at the end of the drain", async (world) => {
  const registry = new Registry(world);
  const [first, second] = ["tcp://b0:5555", "tcp://b1:5555"] as const;
  for (const name of ["b0", "b1"])
    world.node(name).start(async ({ signal }) => {
      const broker = new MajordomoBroker(HEARTBEAT);
      await broker.bind("tcp://*:5555");
      await once(signal, "abort");
      await broker.drain({ timeout: DRAIN_TIMEOUT }).catch(() => undefined);
      await broker.close();
    });
  world.node("w0").start(() => {
    const slow = async ([text]: readonly Buffer[]) => {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return String(text);
    };
    return new MajordomoWorker(registry.source(), "slow", slow, HEARTBEAT).ready();
  });
  registry.change(() => [first, second]);
  const client = new MajordomoClient(registry.source(), { ...HEARTBEAT, timeout: 60_000 });
  await client.ready();
  const from = performance.now();
  const asked = client.request("slow", "x");
  await world.advance(200);
  registry.change(() => [second]);
  await world.advance(SPREAD);
  const stopped = world.node("b0").stop();
  // Longer than the broker believes in it; then it is sent away, and does not come back to a broker that is in no list.
  world.node("w0").stall(1_500);
  expect(String(await asked)).toBe("x");
  expect(performance.now() - from).toBeLessThan(10_000);
  await stopped;
  await client.close();
});

test("no request waits for a broker's drain to be cut short, and none fails", async (world) => {
  const registry = new Registry(world);
  const names = ["b0", "b1", "b2"];
  const late: string[] = [];
  let isOver = false;
  let answered = 0;
  let cut = 0;
  const serve = (name: string): void => {
    world.node(name).start(async ({ signal }) => {
      const broker = new MajordomoBroker({ ...HEARTBEAT, queueTimeout: 30_000, maxDeliveries: 20 });
      await broker.bind("tcp://*:5555");
      const endpoint = `tcp://${name}:5555`;
      registry.change((all) => [...all, endpoint]);
      await once(signal, "abort");
      registry.change((all) => all.filter((each) => each !== endpoint));
      await new Promise((resolve) => setTimeout(resolve, SPREAD));
      await broker.drain({ timeout: DRAIN_TIMEOUT }).catch(() => (cut += 1));
      await broker.close();
    });
  };
  for (const name of names) serve(name);
  const peers = ["w0", "w1", "w2", "w3", "c0", "c1", "c2", "c3"];
  for (const name of peers.slice(0, 4))
    world.node(name).start(() => {
      const work = async ([text]: readonly Buffer[]) => {
        await new Promise((resolve) => setTimeout(resolve, world.random.integer(1, 60)));
        return String(text);
      };
      new MajordomoWorker(registry.source(), "echo", work, { ...HEARTBEAT, concurrency: 2 });
    });
  for (const [at, name] of peers.slice(4).entries())
    world.node(name).start(async () => {
      const turned = (all: readonly string[]) => [...all.slice(at % 3), ...all.slice(0, at % 3)];
      const client = new MajordomoClient(registry.source(turned), {
        ...HEARTBEAT,
        timeout: 60_000,
        retries: 9,
      });
      const ask = async (lane: number): Promise<void> => {
        for (let k = 0; !isOver; k++) {
          const from = performance.now();
          await client.request("echo", `${name}.${lane}.${k}`);
          const took = performance.now() - from;
          answered += 1;
          if (took > 12_000) late.push(`${name}.${lane}.${k} after ${took} ms`);
        }
      };
      await Promise.all([0, 1, 2, 3].map(ask));
    });
  // Each broker once, and twice in the long form.
  for (let round = 0; round < (LONG ? 6 : 3); round++) {
    const name = names[round % 3] as string;
    await world.advance(world.random.integer(500, 2_000));
    const stopped = world.node(name).stop();
    for (let i = 0; i < 6; i++) {
      await world.advance(world.random.integer(0, 400));
      world.node(world.random.pick(peers)).stall(world.random.integer(100, 2_500));
    }
    await stopped;
    serve(name);
  }
  isOver = true;
  await world.advance(60_000);
  expect({ late, cut }).toEqual({ late: [], cut: 0 });
  expect(answered).toBeGreaterThan(100);
});
