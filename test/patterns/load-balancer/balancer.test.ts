/** The load-balancing broker over tcp, and with the Guide's kind of worker. */
import { describe, expect, it } from "vitest";
import { Dealer, Request } from "../../../src/index.js";
import { LoadBalancer, type LoadBalancerOptions } from "../../../src/patterns/load-balancer/load-balancer.js";
import { PirateWorker } from "../../../src/patterns/pirate/worker.js";
import { texts, until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { pythonIn, SIMPLE_WORKER } from "../pirate/python.js";

const kept = closeAfterEach();

async function start(options?: LoadBalancerOptions) {
  const balancer = kept(new LoadBalancer(options));
  const frontend = await balancer.bind("frontend", "tcp://127.0.0.1:*");
  const backend = await balancer.bind("backend", "tcp://127.0.0.1:*");
  return { balancer, frontend, backend };
}

describe("the load balancer", () => {
  it("has the endpoints of its sides, also once it is closed", async () => {
    const { balancer, frontend, backend } = await start();
    const second = await balancer.bind("backend", "tcp://127.0.0.1:*");
    const endpoints = { frontend: [frontend], backend: [backend, second] };
    expect(balancer.endpoints).toEqual(endpoints);
    await balancer.close();
    expect(balancer.endpoints).toEqual(endpoints);
  });

  it("gives each request to the worker that has been free the longest", async () => {
    const { balancer, frontend, backend } = await start();
    for (const name of ["a", "b", "c"]) {
      kept(new PirateWorker(backend, () => name, { dialect: "simple" }));
      const wanted = "abc".indexOf(name) + 1;
      await until(() => balancer.stats().idleWorkers === wanted, `worker ${name}`);
    }
    const client = kept(new Request());
    client.connect(frontend);
    const order: string[] = [];
    for (let i = 0; i < 7; i++) order.push(String(await client.request("x", { timeout: 5_000 })));
    expect(order.join("")).toBe("abcabca");
  });

  it("counts and reports replies that their client does not take", async () => {
    const { balancer, frontend, backend } = await start({ frontendOptions: { sendHighWaterMark: 1 } });
    kept(new PirateWorker(backend, () => Buffer.alloc(100_000), { dialect: "simple" }));
    const client = kept(new Dealer({ receiveHighWaterMark: 1, routingId: "slow" }));
    client.connect(frontend);
    const told = new Promise<unknown>((resolve) => balancer.events.on("reply:dropped", resolve));
    while (balancer.stats().repliesDropped === 0) {
      await client.send(["", "x"]);
      await until(() => balancer.stats().queued === 0, "the requests at the worker");
    }
    expect(await told).toMatchObject({ client: Buffer.from("slow"), reason: "client-full" });
  });

  it("counts requests without a delimiter or a body as invalid, and changes nothing else", async () => {
    const { balancer, frontend, backend } = await start();
    const bad = kept(new Dealer());
    bad.connect(frontend);
    await bad.send("no delimiter");
    await bad.send("");
    const worker = kept(new Dealer());
    worker.connect(backend);
    await worker.send("junk");
    await worker.send(["", "junk"]);
    await worker.send(["", "a", "", ""]); // A reply that nobody asked for; its sender is a worker, though.
    await until(() => balancer.stats().invalid === 4 && balancer.stats().lateReplies === 1, "the counts");
    expect(balancer.stats()).toMatchObject({ requests: 0, idleWorkers: 1 });
  });

  it.skipIf(missing("pyzmq"))("takes a REQ worker of pyzmq that says READY in letters", async () => {
    const { balancer, frontend, backend } = await start();
    const worker = pythonIn(kept)(SIMPLE_WORKER, backend, "READY", "py", "\x01py");
    await until(() => balancer.stats().idleWorkers === 1, "READY");
    const client = kept(new Request());
    client.connect(frontend);
    for (const word of ["one", "two"]) {
      expect(texts(await client.request(word, { timeout: 5_000 }))).toEqual([`py:${word}`]);
    }
    await worker.kill();
    await until(() => balancer.stats().workersLost === 1, "the loss");
  });
});
