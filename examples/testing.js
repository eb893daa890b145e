// @ts-check
/** A test in virtual time: a Majordomo service loses its broker, and a request survives it, under 20 seeds. */
import assert from "node:assert/strict";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { simulate } from "shoal/testing";

// Programs as they are in production: no option, import or clock is different here.
async function broker() {
  await new MajordomoBroker().bind("tcp://*:5555");
}

function worker() {
  new MajordomoWorker("tcp://broker:5555", "price", async ([fish]) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    return `${fish}: 12`;
  });
}

const report = await simulate({ runs: 20, network: { latency: [1, 20], loss: 0.01 } }, async (world) => {
  const node = world.node("broker");
  void node.start(broker);
  void world.node("worker").start(worker);

  const client = new MajordomoClient("tcp://broker:5555");
  assert.equal(String(await client.request("price", "tuna")), "tuna: 12");

  // The power fails while a request is in flight, and the connections hang.
  const answer = client.request("price", "cod", { timeout: 60_000 });
  await world.advance(world.random.integer(0, 600));
  node.crash();
  await world.advance(10_000);
  void node.start(broker);

  assert.equal(String(await answer), "cod: 12");
});

assert.equal(report.runs, 20);
assert.ok(report.time > 10_000, "ten virtual seconds, in some real milliseconds");

// What fails has a seed that repeats it.
await assert.rejects(
  simulate({ seed: 4, shrink: false }, async (world) => {
    await world.advance(1_000);
    throw new Error("planted");
  }),
  /Seed 4: planted\nRepeat it with SHOAL_SEED=4/,
);

console.log(
  `20 brokers lost and back: ${report.events} events of the last one, in ${Math.round(report.time)} virtual ms`,
);
