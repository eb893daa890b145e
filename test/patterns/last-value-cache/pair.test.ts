/** A cache as one of a pair: behind a gate of the test's own, and of a Binary Star. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context, Publisher, Subscriber } from "../../../src/index.js";
import type { PublisherGate } from "../../../src/kit/index.js";
import { BinaryStar, BinaryStarGate } from "../../../src/patterns/binary-star/index.js";
import { LastValueCache } from "../../../src/patterns/last-value-cache/index.js";
import { collect, until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { ANY, startCache } from "./rig.js";

const kept = closeAfterEach();

class Switch implements PublisherGate {
  votes = 0;
  #serving = false;
  #listener = (): void => undefined;

  isServing(): boolean {
    return this.#serving;
  }

  vote(): boolean {
    this.votes += 1;
    return this.#serving;
  }

  onServing(listener: () => void): void {
    this.#listener = listener;
  }

  turn(serving: boolean): void {
    this.#serving = serving;
    if (serving) this.#listener();
  }
}

describe.each([...ENGINE_NAMES])("a cache behind a gate, engine %s", (engine) => {
  const context = new Context({ engine });

  async function start() {
    const gate = new Switch();
    const { cache, publish, subscribe } = await startCache(kept, context, { gate });
    const joined = async (prefix: string): Promise<Subscriber> => {
      const before = cache.stats().subscriptions;
      const subscriber = subscribe(prefix);
      await until(() => cache.stats().subscriptions > before, "the subscription");
      return subscriber;
    };
    return { gate, cache, publish, joined };
  }

  async function untilValue(subscriber: Subscriber, last: string): Promise<string[]> {
    const values: string[] = [];
    while (values.at(-1) !== last) values.push(...(await collect(subscriber, 1)));
    return values;
  }

  it("keeps what it does not pass on, and gives all of it to each subscriber when it serves", async () => {
    const { gate, cache, publish, joined } = await start();
    const early = await joined("");
    await publish("a|1", "b|1", "a|2");
    expect(gate.votes).toBeGreaterThan(0);
    expect(cache.stats()).toMatchObject({ messages: 3, notServing: 3, topics: 2 });
    const late = await joined("b");
    expect(cache.stats().snapshots).toMatchObject({ done: 0, waiting: 0 });
    gate.turn(true);
    expect(await untilValue(early, "b|1")).toEqual(["a|2", "b|1"]);
    expect(await untilValue(late, "b|1")).toEqual(["b|1"]);
    await publish("b|2");
    expect(await untilValue(early, "b|2")).toEqual(["b|2"]);
    expect(await untilValue(late, "b|2")).toEqual(["b|2"]);
    gate.turn(false);
    await publish("b|3");
    expect(cache.stats().notServing).toBe(4);
    gate.turn(true);
    expect(await untilValue(late, "b|3")).toContain("b|3");
  });
});

it("a backup takes over from a primary that is gone, and nobody misses the last value", async () => {
  const states = { primary: "inproc://lvc-primary", backup: "inproc://lvc-backup" };
  const begin = async (role: "primary" | "backup") => {
    const peer = states[role === "primary" ? "backup" : "primary"];
    const star = kept(new BinaryStar({ role, peer, heartbeatInterval: 50 }));
    const cache = kept(new LastValueCache({ gate: new BinaryStarGate(star) }));
    const frontend = await cache.bind("frontend", ANY);
    const backend = await cache.bind("backend", ANY);
    await star.bind(states[role]);
    return { star, cache, frontend, backend };
  };
  const primary = await begin("primary");
  const backup = await begin("backup");
  await until(() => primary.star.state === "active" && backup.star.state === "passive", "the pair");
  const publisher = kept(new Publisher());
  publisher.connect(primary.frontend);
  publisher.connect(backup.frontend);
  const subscriber = kept(new Subscriber());
  subscriber.subscribe("");
  subscriber.connect(primary.backend);
  subscriber.connect(backup.backend);
  const subscriptions = (): number =>
    primary.cache.stats().subscriptions + backup.cache.stats().subscriptions;
  await until(() => subscriptions() === 2, "both subscriptions");
  await publisher.waitForSubscribers({ count: 2, timeout: 8_000 });
  await publisher.send(["a", "1"]);
  expect(await collect(subscriber, 1)).toEqual(["a|1"]);
  await until(() => backup.cache.stats().topics === 1, "the value at the backup");
  await primary.star.close();
  await primary.cache.close({ linger: 0 });
  // Each message is a vote; the backup serves once its peer has been silent long enough.
  for (let i = 2; backup.star.state !== "active"; i++) {
    await publisher.send(["a", String(i)]);
    await until(() => backup.cache.stats().messages >= i, "the message");
  }
  await publisher.send(["b", "1"]);
  const wanted = new Set([backup.cache.get("a")?.map(String).join("|"), "b|1"]);
  while (wanted.size > 0) for (const message of await collect(subscriber, 1)) wanted.delete(message);
});
