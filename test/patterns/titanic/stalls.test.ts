/** A Titanic, its broker, workers and clients that stand still for longer than others believe in them. */
import { expect, it } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { Titanic, TitanicClient } from "../../../src/patterns/titanic/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { GatedStore } from "./gated-store.js";

const HEARTBEAT = { heartbeatInterval: 200 };
const BROKER = "tcp://broker:5555";
const WORKERS = ["w0", "w1"];
const CLIENTS = ["c0", "c1", "c2"];
const STALLS = LONG ? 40 : 20;
/** ms of a stall at most: longer than Titanic waits for a worker. */
const LONGEST = 2_500;
const LIMITS = {
  timeout: 1_000,
  maxAttempts: 1_000,
  retryDelay: 50,
  maxRetryDelay: 400,
  checkTimeout: 500,
  checkInterval: 50,
  maxCheckInterval: 400,
  scanInterval: 500,
};

it("what was acknowledged is stored once, and answered, while others stand still", {
  timeout: LONG ? 600_000 : 120_000,
}, async () => {
  await simulate({ seed: 13, runs: LONG ? 100 : 1, network: { latency: [1, 10] } }, async (world) => {
    const store = new GatedStore();
    const acknowledged = new Map<string, string>();
    const wrong: string[] = [];
    let isOver = false;
    let fetched = 0;
    world.node("broker").start(async () => {
      await new MajordomoBroker(HEARTBEAT).bind("tcp://*:5555");
    });
    world.node("titanic").start(() => {
      new Titanic(BROKER, store, LIMITS);
    });
    for (const name of WORKERS)
      world.node(name).start(() => {
        new MajordomoWorker(BROKER, "echo", ([text]) => `re ${String(text)}`, HEARTBEAT);
      });
    for (const name of CLIENTS)
      world.node(name).start(async () => {
        const client = new TitanicClient(new MajordomoClient(BROKER, { ...HEARTBEAT, timeout: 5_000 }));
        for (let k = 0; !isOver; k++) {
          const text = `${name}.${k}`;
          const uuid = client.newUuid();
          // One that fails is left, under the same UUID, until it is acknowledged.
          while ((await client.request("echo", text, { uuid }).catch(() => undefined)) === undefined);
          acknowledged.set(uuid, text);
          if (k % 3 === 0) {
            let reply = await client.wait(uuid, { timeout: 20_000 }).catch(() => undefined);
            while (reply === undefined)
              reply = await client.wait(uuid, { timeout: 20_000 }).catch(() => undefined);
            if (String(reply.body[0]) !== `re ${text}`) wrong.push(`${text}: ${reply.status}`);
            fetched += 1;
          }
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      });
    const everybody = ["broker", "titanic", ...WORKERS, ...CLIENTS];
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 1_000));
      world.node(world.random.pick(everybody)).stall(world.random.integer(100, LONGEST));
    }
    isOver = true;
    await world.advance(60_000);
    expect(wrong).toEqual([]);
    expect(fetched).toBeGreaterThan(10);
    for (const [uuid, text] of acknowledged) {
      const { state, ...rest } = await store.look(Buffer.from(uuid, "hex"));
      expect([text, state]).toEqual([text, "answered"]);
      expect("reply" in rest && String(rest.reply[0])).toBe(`re ${text}`);
    }
    const stored = [...store.kept.values()].map(({ request }) => String(request.body[0]));
    expect(new Set(stored).size).toBe(stored.length);
  });
});
