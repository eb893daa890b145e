/** What a message costs while nobody observes it: so many reads of one property, which are counted. */
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { Pull, Push } from "../../src/index.js";
import { MemorySessionStore, SessionClient, SessionServer } from "../../src/sessions/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { CHANNELS } from "./support/collector.js";

const MESSAGES = 100;

let reads = 0;
const own = closeAfterEach();
afterEach(() => {
  for (const channel of CHANNELS) Reflect.deleteProperty(channel, "hasSubscribers");
});

function count(): void {
  reads = 0;
  for (const channel of CHANNELS)
    Object.defineProperty(channel, "hasSubscribers", {
      configurable: true,
      get: () => {
        reads += 1;
        return false;
      },
    });
}

describe("a message that nobody observes costs", () => {
  it("three reads between sockets", async () => {
    const [push, pull] = [own(new Push()), own(new Pull())];
    push.connect(await pull.bind("tcp://127.0.0.1:0"));
    await push.ready();
    expect(CHANNELS.length).toBeGreaterThan(10);
    count();
    for (let i = 0; i < MESSAGES; i++) {
      await push.send("x");
      await pull.receive();
    }
    expect(reads / MESSAGES).toBeLessThanOrEqual(3);
    expect(reads).toBeGreaterThan(0);
  });

  it("four reads to a handler of the same node", async () => {
    const node = own(new ClusterNode({ cluster: `cost-${process.pid}`, registry: false }));
    await node.start();
    let handled = 0;
    let done!: () => void;
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    await node.subscribe("t", () => {
      handled += 1;
      if (handled === MESSAGES) done();
    }).ready;
    count();
    for (let i = 0; i < MESSAGES; i++) await node.publish("t", "x");
    await all;
    expect(reads / MESSAGES).toBeLessThanOrEqual(4);
    expect(reads).toBeGreaterThan(0);
  });

  it("eighteen reads from a session's client to its acknowledgement, with all that the server does for it", async () => {
    const server = own(new SessionServer({ store: new MemorySessionStore(), pollInterval: 60_000 }));
    const client = own(new SessionClient(await server.bind("tcp://127.0.0.1:0"), { id: "cost" }));
    await client.subscribe("t");
    count();
    for (let i = 0; i < MESSAGES; i++) {
      await client.publish("t", "x");
      (await client.receive({ timeout: 10_000 })).acknowledge();
    }
    expect(reads / MESSAGES).toBeLessThanOrEqual(18);
    expect(reads).toBeGreaterThan(0);
  });
});
