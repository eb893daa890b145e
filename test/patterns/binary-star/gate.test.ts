/** Brokers behind the gate of a Binary Star: who is served, who votes, and whose answers leave. */
import { describe, expect, it } from "vitest";
import { frameCost } from "../../../src/core/memory.js";
import { Dealer, Request } from "../../../src/index.js";
import { BinaryStarGate } from "../../../src/patterns/binary-star/gate.js";
import { BinaryStar } from "../../../src/patterns/binary-star/star.js";
import { LoadBalancer } from "../../../src/patterns/load-balancer/load-balancer.js";
import { MajordomoBroker } from "../../../src/patterns/majordomo/broker.js";
import { MajordomoClient } from "../../../src/patterns/majordomo/client.js";
import { MajordomoWorker } from "../../../src/patterns/majordomo/worker.js";
import { PirateWorker } from "../../../src/patterns/pirate/worker.js";
import { until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { gate as held } from "../../support/gate.js";
import { watch } from "../../support/settled.js";

/** ms between two states: a test that is held up for longer than that is one of two servers that disagree. */
const HEARTBEAT = 400;
/** For brokers, workers and clients. */
const TIMES = { heartbeatInterval: 200, liveness: 4 };

const makeFolder = removeAfterEach();
const kept = closeAfterEach();

const at = (): string => `ipc://${makeFolder()}/e`;

/** The two stars; the primary's serves. */
async function pair(): Promise<[BinaryStar, BinaryStar]> {
  const [here, there] = [at(), at()];
  const options = { heartbeatInterval: HEARTBEAT };
  const primary = kept(new BinaryStar({ role: "primary", peer: there, ...options }));
  const backup = kept(new BinaryStar({ role: "backup", peer: here, ...options }));
  await Promise.all([primary.bind(here), backup.bind(there)]);
  await until(() => primary.state === "active" && backup.state === "passive", "a pair");
  return [primary, backup];
}

async function broker(gate: BinaryStarGate): Promise<{ broker: MajordomoBroker; endpoint: string }> {
  const made = kept(new MajordomoBroker({ ...TIMES, gate }));
  const endpoint = at();
  await made.bind(endpoint);
  return { broker: made, endpoint };
}

describe("a pair of Majordomo brokers", () => {
  it("has its workers at both, and serves at one; no answer leaves when it has ceased to: the other gives it, and it is handled once", async () => {
    const [primary, backup] = await pair();
    const gates = [new BinaryStarGate(primary), new BinaryStarGate(backup)] as const;
    const one = await broker(gates[0]);
    const two = await broker(gates[1]);
    let handled = 0;
    const { passed: finished, open: finish } = held();
    const handler = async (body: Buffer[]): Promise<string> => {
      handled += 1;
      if (String(body) === "slow") await finished;
      return `${body} once`;
    };
    const worker = kept(new MajordomoWorker([one.endpoint, two.endpoint], "echo", handler, TIMES));
    await until(() => one.broker.stats().workers + two.broker.stats().workers === 2, "at both");
    const client = kept(new MajordomoClient([two.endpoint, one.endpoint], TIMES));
    // The one that stands by does not answer, so the client takes the other.
    expect(String(await client.request("echo", "quick"))).toBe("quick once");
    expect(client.stats()).toMatchObject({ broker: one.endpoint, failed: 0 });
    expect(two.broker.stats().requests).toBe(0);
    expect(gates[0].stats().dropped.overflow).toBe(0);
    expect(gates[1].stats()).toMatchObject({ served: 0 });
    expect([primary.state, backup.state]).toEqual(["active", "passive"]);

    const request = client.request("echo", "slow");
    const outcome = watch(request);
    await until(() => handled === 2, "it is in flight");
    await until(() => primary.stats().peer === "passive", "a peer to hand over to");
    primary.handOver();
    finish();
    await until(() => worker.stats().answered === 2, "the first broker has the answer");
    expect(outcome.state).toBe("pending");
    expect(String(await request)).toBe("slow once");
    expect(client.stats().broker).toBe(two.endpoint);
    expect(handled).toBe(2);
  });

  it("becomes active for a client that looks for a broker, not for workers or monitoring", async () => {
    const star = kept(new BinaryStar({ role: "primary", peer: at(), heartbeatInterval: HEARTBEAT }));
    const gate = new BinaryStarGate(star);
    const { broker: alone, endpoint } = await broker(gate);
    await star.bind(at());
    kept(new MajordomoWorker(endpoint, "echo", (body) => body, TIMES));
    await until(() => alone.stats().workers === 1, "a worker");
    const monitor = kept(new Dealer());
    monitor.connect(endpoint);
    await monitor.send(["", "MDPC01", "mmi.stats", ""]);
    await until(() => gate.stats().dropped.refused === 1, "the question is dropped");
    expect(gate.stats()).toMatchObject({ received: 1, queued: 0 });
    expect(star.state).toBe("primary");
    const client = kept(new MajordomoClient(endpoint, TIMES));
    expect(String(await client.request("echo", "x"))).toBe("x");
    expect(star.state).toBe("active");
    await monitor.send(["", "MDPC01", "mmi.service", "echo"]);
    const answer = (await monitor.receive({ timeout: 5_000 })).map(String);
    expect(answer).toEqual(["", "MDPC01", "mmi.service", "200"]);
  });

  it("serves a plain client's request that voted, without a second one", async () => {
    const star = kept(new BinaryStar({ role: "primary", peer: at(), heartbeatInterval: HEARTBEAT }));
    const { endpoint } = await broker(new BinaryStarGate(star));
    await star.bind(at());
    kept(new MajordomoWorker(endpoint, "echo", (body) => body, TIMES));
    const client = kept(new MajordomoClient(endpoint, { ...TIMES, protocol: "0.2", retries: 0 }));
    expect(String(await client.request("echo", "x", { timeout: 5_000 }))).toBe("x");
  });
});

it("a load balancer serves while its star is active", async () => {
  const [primary, backup] = await pair();
  const made: LoadBalancer[] = [];
  const frontends: string[] = [];
  const backends: string[] = [];
  for (const star of [primary, backup]) {
    const balancer = kept(new LoadBalancer({ gate: new BinaryStarGate(star) }));
    made.push(balancer);
    frontends.push(await balancer.bind("frontend", at()));
    backends.push(await balancer.bind("backend", at()));
  }
  const { passed: finished, open: finish } = held();
  const handler = async (body: Buffer[]): Promise<Buffer[]> => {
    if (String(body) === "slow") await finished;
    return body;
  };
  kept(new PirateWorker(backends, handler, { dialect: "simple" }));
  await until(() => made.every((balancer) => balancer.stats().idleWorkers === 1), "a worker at both");
  const ask = async (endpoint: string | undefined, body = "x", timeout = 500): Promise<string> => {
    const socket = kept(new Request());
    socket.connect(endpoint as string);
    return String(await socket.request(body, { timeout }).catch(() => "no answer"));
  };
  expect(await ask(frontends[0])).toBe("x");
  expect(await ask(frontends[1])).toBe("no answer");
  const late = ask(frontends[0], "slow", 1_500);
  await until(() => made[0]?.stats().busyWorkers === 1, "it is in flight");
  await until(() => primary.stats().peer === "passive", "a peer to hand over to");
  primary.handOver();
  finish();
  await until(() => made[0]?.stats().replies === 2, "the answer is there");
  expect(await late).toBe("no answer");
  await until(() => backup.state === "active", "the backup serves");
  expect(await ask(frontends[1])).toBe("x");
  expect(await ask(frontends[0])).toBe("no answer");
});

it("keeps a bounded number of requests while their vote is undecided", async () => {
  const slowest = { heartbeatInterval: 2_147_483_647, liveness: 1_000 };
  const star = kept(new BinaryStar({ role: "primary", peer: at(), ...slowest }));
  await star.bind(at());
  const served: number[] = [];
  const gate = new BinaryStarGate(star, { maxQueue: 2 });
  gate.passTo(([n]) => served.push(Number(n)));
  expect([1, 2, 3].map((n) => gate.admit([Buffer.from(`${n}`)], true))).toEqual([false, false, false]);
  expect(gate.stats()).toMatchObject({ received: 3, queued: 2, dropped: { refused: 0, overflow: 1 } });
  star.resolve("active");
  await until(() => served.length === 2, "what was kept is served");
  expect(served).toEqual([2, 3]);
  expect(gate.stats()).toMatchObject({ received: 3, served: 2, queued: 0 });
  await gate.drain();
  // A draining broker still answers.
  expect([true, false].map((votes) => gate.admit([Buffer.from("4")], votes))).toEqual([false, true]);
});

it("keeps a bounded number of bytes, and reports each request that it drops", async () => {
  const star = kept(new BinaryStar({ role: "primary", peer: at(), heartbeatInterval: 10_000 }));
  await star.bind(at());
  const gate = kept(new BinaryStarGate(star, { maxQueueBytes: frameCost(150) }));
  const dropped: string[] = [];
  gate.events.on("request:dropped", ({ reason, messages }) => dropped.push(`${messages} ${reason}`));
  for (const size of [40, 40, 150]) gate.admit([Buffer.alloc(size)], true);
  expect(gate.stats()).toMatchObject({
    queued: 1,
    queuedBytes: frameCost(150),
    dropped: { refused: 0, overflow: 2 },
  });
  gate.admit([Buffer.from("no request")], false);
  await gate.drain();
  gate.admit([Buffer.from("too late")], true);
  expect(gate.stats()).toMatchObject({ received: 5, served: 0, queued: 0, queuedBytes: 0 });
  expect(dropped).toEqual(["2 overflow", "1 not-serving", "1 not-serving", "1 not-serving"]);
});
