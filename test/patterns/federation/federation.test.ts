/** Brokers of two and three sites over tcp. */
import { describe, expect, it } from "vitest";
import { Dealer, Publisher, Request, Router, Subscriber } from "../../../src/index.js";
import { FederatedBroker, type FederatedBrokerOptions } from "../../../src/patterns/federation/broker.js";
import { type PirateHandler, PirateWorker } from "../../../src/patterns/pirate/worker.js";
import { texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { gate } from "../../support/gate.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";

const ANY = "tcp://127.0.0.1:*";

const kept = closeAfterEach();

interface SiteOfTest {
  readonly name: string;
  readonly broker: FederatedBroker;
  readonly frontend: string;
  readonly backend: string;
  readonly cloud: string;
  readonly state: string;
}

async function startSite(name: string, options?: FederatedBrokerOptions): Promise<SiteOfTest> {
  const broker = kept(new FederatedBroker(name, { stateInterval: 50, ...options }));
  return {
    name,
    broker,
    frontend: await broker.bind("frontend", ANY),
    backend: await broker.bind("backend", ANY),
    cloud: await broker.bind("cloud", ANY),
    state: await broker.bind("state", ANY),
  };
}

async function startSites(): Promise<[SiteOfTest, SiteOfTest]> {
  const [a, b] = [await startSite("A"), await startSite("B")];
  a.broker.join(b);
  b.broker.join(a);
  for (const { broker } of [a, b])
    await until(() => Object.keys(broker.stats().sites).length === 1, "the other site");
  return [a, b];
}

function work(site: SiteOfTest, handler: PirateHandler): PirateWorker {
  return kept(new PirateWorker(site.backend, handler, { dialect: "simple" }));
}

function client(site: SiteOfTest): Request {
  const request = kept(new Request());
  request.connect(site.frontend);
  return request;
}

describe("a federation", () => {
  it("joins the sites of a source as they come and go, by the names that they say", async () => {
    const [a, b, c] = [await startSite("A"), await startSite("B"), await startSite("C")];
    const [cloud, state] = [new ListedEndpoints([a.cloud]), new ListedEndpoints([a.state])];
    // Its own endpoints may be among them.
    const all = (sites: readonly SiteOfTest[]): void => {
      cloud.set(...sites.map((site) => site.cloud));
      state.set(...sites.map((site) => site.state));
    };
    for (const { broker } of [a, b, c]) broker.join({ cloud, state });
    all([a, b]);
    work(b, () => "B");
    await until(() => a.broker.stats().sites.B !== undefined, "the other site");
    const request = client(a);
    expect(texts(await within(request.request("1"), "the answer of B"))).toEqual(["B"]);
    all([a, c]);
    work(c, () => "C");
    await b.broker.close();
    expect(texts(await within(request.request("2"), "the answer of C"))).toEqual(["C"]);
    expect(Object.keys(a.broker.stats().sites)).not.toContain("A");
  });

  it("does local work locally, and spills over only when no own worker is free", async () => {
    const [a, b] = await startSites();
    const { passed: released, open: release } = gate();
    work(a, ([body]) => (String(body) === "slow" ? released.then(() => "A slow") : "A"));
    work(b, () => "B");
    await until(() => a.broker.stats().idleWorkers === 1 && a.broker.stats().sites.B === 1, "the workers");
    for (let i = 0; i < 3; i++)
      expect(texts(await client(a).request("x", { timeout: 5_000 }))).toEqual(["A"]);
    const slow = client(a).request("slow", { timeout: 5_000 });
    await until(() => a.broker.stats().busyWorkers === 1, "the slow one");
    expect(texts(await client(a).request("x", { timeout: 5_000 }))).toEqual(["B"]);
    release();
    expect(texts(await slow)).toEqual(["A slow"]);
    expect(a.broker.stats()).toMatchObject({ requestsLocal: 5, repliesLocal: 5, sentToSites: 1, atSites: 0 });
    expect(b.broker.stats()).toMatchObject({ requestsCloud: 1, repliesCloud: 1, requestsLocal: 0 });
  });

  it("gives requests to a site that is back at another endpoint, while the one where it ended is still listed", async () => {
    const a = await startSite("A");
    const b = await startSite("B");
    const [cloud, state] = [new ListedEndpoints([b.cloud]), new ListedEndpoints([b.state])];
    a.broker.join({ cloud, state });
    await until(() => a.broker.stats().sites.B !== undefined, "the site");
    await b.broker.close({ linger: 0 });
    await until(() => a.broker.stats().sites.B === undefined, "its end");
    const again = await startSite("B");
    work(again, () => "B");
    // Its state is known before it can be asked.
    state.set(b.state, again.state);
    await until(() => a.broker.stats().sites.B === 1, "its state");
    const answer = client(a).request("x", { timeout: 5_000 });
    await until(() => a.broker.stats().requestsLocal === 1, "the request");
    cloud.set(b.cloud, again.cloud);
    expect(texts(await answer)).toEqual(["B"]);
  });

  it("gives requests to a site that has started again, while a connection to the one before stands", async () => {
    const a = await startSite("A");
    // A host that went down: nothing comes from it, and nothing ends.
    const before = kept(new Router({ routingId: "B" }));
    const [dead, b] = [await before.bind(ANY), await startSite("B")];
    const [cloud, state] = [new ListedEndpoints([dead]), new ListedEndpoints([b.state])];
    const joined = new Promise((resolve) => before.events.once("peer:join", resolve));
    a.broker.join({ cloud, state });
    await joined;
    await before.unbind(dead);
    const asked = client(a).request("x", { timeout: 5_000 });
    work(b, () => "B");
    expect(texts(await within(before.receive(), "the request at the one before")).at(-1)).toBe("x");
    cloud.set(dead, b.cloud);
    expect(texts(await asked)).toEqual(["B"]);
  });

  it("loses a site that is silent, though its connection stands", async () => {
    const a = await startSite("A", { stateInterval: 30 });
    const { cloud, state } = await plainSite("B", a.broker);
    await state.waitForSubscribers();
    const lost = new Promise((resolve) => a.broker.events.on("site:left", resolve));
    await state.send(["B", "1"]);
    const answer = client(a).request("x", { timeout: 10_000 });
    expect(texts(await cloud.receive({ timeout: 5_000 })).at(-1)).toBe("x");
    expect(await within(lost, "the loss")).toMatchObject({ site: "B", reason: "silent", returned: 1 });
    work(a, () => "own");
    expect(texts(await answer)).toEqual(["own"]);
  });

  it("hands a request back when its last worker has gone", async () => {
    const [a, b] = await startSites();
    const { passed: began, open: begin } = gate();
    const dying = kept(new Dealer());
    dying.connect(b.backend);
    await dying.send(["", "READY"]);
    await until(() => a.broker.stats().sites.B === 1, "B's worker");
    const answer = client(a).request("x", { timeout: 10_000 });
    await dying.receive({ timeout: 5_000 });
    await dying.close({ linger: 0 });
    await until(() => a.broker.stats().returned === 1, "the return");
    work(a, () => {
      begin();
      return "own";
    });
    await within(began, "own work");
    expect(texts(await answer)).toEqual(["own"]);
    expect(b.broker.stats()).toMatchObject({ requestsCloud: 1, handedBack: 1, queuedCloud: 0 });
  });

  it("drains while another site has requests: it hands them back, but for those that have begun", async () => {
    const [a, b] = await startSites();
    const { passed: released, open: release } = gate();
    work(b, () => released.then(() => "B"));
    await until(() => a.broker.stats().sites.B === 1, "B's worker");
    const begun = client(a).request("x", { timeout: 10_000 });
    await until(() => b.broker.stats().busyWorkers === 1, "a busy worker");
    const asking = kept(new Router({ routingId: "C" }));
    asking.connect(b.cloud, { routingId: "B" });
    await asking.ready();
    await asking.send(["B", "c", "", "queued"]);
    await until(() => b.broker.stats().queuedCloud === 1, "a queued request");
    const drained = b.broker.drain();
    await asking.send(["B", "c", "", "late"]);
    for (let i = 0; i < 2; i++)
      expect(texts(await asking.receive({ timeout: 5_000 }))).toContain("no-service");
    release();
    await within(drained, "the drain");
    expect(texts(await begun)).toEqual(["B"]);
    await until(() => b.broker.stats().idleWorkers === 1, "an idle worker");
    expect(a.broker.stats().sites.B).toBe(0);
    const local = client(a).request("y", { timeout: 10_000 });
    work(a, () => "own");
    expect(texts(await local)).toEqual(["own"]);
    expect(b.broker.stats()).toMatchObject({ requestsCloud: 3, repliesCloud: 1, handedBack: 2 });
  });

  it("reports a worker that starts again with a request, and the request that it repeats", async () => {
    const { broker, frontend, backend } = await startSite("A");
    const told: unknown[] = [];
    broker.events.on("worker:left", ({ reason }) => told.push(reason));
    broker.events.on("request:repeated", ({ client, deliveries }) => told.push([String(client), deliveries]));
    const [asking, worker] = [kept(new Dealer({ routingId: "me" })), kept(new Dealer())];
    asking.connect(frontend);
    worker.connect(backend);
    await asking.send(["", "x"]);
    for (let lives = 0; lives < 2; lives++) {
      await worker.send(["", "READY"]);
      await worker.receive({ timeout: 5_000 });
    }
    expect(told).toEqual(["restarted", ["me", 2]]);
  });

  it("speaks with the Guide's brokers: two-frame states, ROUTER to ROUTER by name", async () => {
    const a = await startSite("A", { liveness: 0 });
    const { cloud, state } = await plainSite("B", a.broker);
    const states = kept(new Subscriber());
    states.connect(a.state);
    states.subscribe();
    expect(texts(await states.receive({ timeout: 5_000 }))).toEqual(["A", "0"]);
    await state.waitForSubscribers();
    await state.send(["B", "1"]);
    const answer = client(a).request("x", { timeout: 5_000 });
    const [from, address, empty, body] = await cloud.receive({ timeout: 5_000 });
    expect([String(from), String(empty), String(body)]).toEqual(["A", "", "x"]);
    await cloud.send([from as Buffer, address as Buffer, "", "cloud"]);
    expect(texts(await answer)).toEqual(["cloud"]);
    // And the other way: B asks A.
    const asking = kept(new Router({ routingId: "B" }));
    asking.connect(a.cloud, { routingId: "A" });
    work(a, () => "A");
    await until(() => a.broker.stats().idleWorkers === 1, "the worker");
    await asking.ready();
    await asking.send(["A", "\x01client", "", "y"]);
    expect(texts(await asking.receive({ timeout: 5_000 }))).toEqual(["A", "\x01client", "", "A"]);
  });

  it("puts other sites' requests behind its own", async () => {
    const a = await startSite("A");
    const asking = kept(new Router({ routingId: "B" }));
    asking.connect(a.cloud, { routingId: "A" });
    await asking.ready();
    const own = kept(new Dealer());
    own.connect(a.frontend);
    const order: string[] = [];
    const { passed: released, open: release } = gate();
    work(a, async ([body]) => {
      if (String(body) === "first") await released;
      else order.push(String(body));
      return "done";
    });
    await own.send(["", "first"]);
    await until(() => a.broker.stats().busyWorkers === 1, "a busy worker");
    for (let i = 0; i < 3; i++) await asking.send(["A", "c", "", `cloud${i}`]);
    await until(() => a.broker.stats().queuedCloud === 3, "the cloud's");
    for (let i = 0; i < 3; i++) await own.send(["", `own${i}`]);
    await until(() => a.broker.stats().queuedLocal === 3, "the own");
    release();
    await until(() => order.length === 6, "all done");
    expect(order).toEqual(["own0", "own1", "own2", "cloud0", "cloud1", "cloud2"]);
  });
});

/** A gate of the test's own: what is not served is dropped. */
function gateOf() {
  const gate = {
    serving: false,
    isServing: () => gate.serving,
    admit: () => gate.serving,
    passTo: () => undefined,
  };
  return gate;
}

it("a site that is a pair serves by one of its two: their workers are at both, and other sites give their requests to that one", async () => {
  const gates = [gateOf(), gateOf()] as const;
  const a = await startSite("A");
  const b1 = await startSite("B1", { gate: gates[0] });
  const b2 = await startSite("B2", { gate: gates[1] });
  for (const b of [b1, b2]) {
    a.broker.join(b);
    b.broker.join(a);
  }
  gates[0].serving = true;
  work(b1, ([body]) => `B1 ${body}`);
  work(b2, ([body]) => `B2 ${body}`);
  await until(() => b2.broker.stats().idleWorkers === 1, "a worker at the one that stands by");
  const spare = (): unknown[] => [a.broker.stats().sites.B1, a.broker.stats().sites.B2];
  await until(() => spare().join() === "1,0", "something to spare at the one that serves only");
  expect(texts(await client(a).request("1", { timeout: 5_000 }))).toEqual(["B1 1"]);
  expect(texts(await client(b1).request("2", { timeout: 5_000 }))).toEqual(["B1 2"]);
  const early = client(b2).request("3", { timeout: 200 });
  await expect(early).rejects.toMatchObject({ code: "ETIMEDOUT" });
  gates[0].serving = false;
  gates[1].serving = true;
  await until(() => spare().join() === "0,1", "the other serves");
  expect(texts(await client(a).request("4", { timeout: 5_000 }))).toEqual(["B2 4"]);
  expect(texts(await client(b2).request("5", { timeout: 5_000 }))).toEqual(["B2 5"]);
  expect(b1.broker.stats()).toMatchObject({ requestsCloud: 1, requestsLocal: 1 });
});

it("a broker binds the sides that it has, and no other", async () => {
  const site = await startSite("A");
  await site.broker.bind("cloud", ANY);
  const { endpoints } = site.broker;
  const counts = Object.entries(endpoints).map(([side, list]) => `${list.length} ${side}`);
  expect(counts).toEqual(["1 frontend", "1 backend", "2 cloud", "1 state"]);
  expect(endpoints.cloud[0]).toBe(site.cloud);
  for (const side of ["front", "toString", undefined])
    await expect(site.broker.bind(side as never, ANY)).rejects.toMatchObject({ code: "EINVAL" });
  await site.broker.close({ linger: 0 });
  expect(site.broker.endpoints).toEqual(endpoints);
  await expect(site.broker.bind("state", ANY)).rejects.toMatchObject({ code: "EBADF" });
});

/** What the Guide's broker has towards another, which joins it. */
async function plainSite(name: string, other: FederatedBroker): Promise<{ cloud: Router; state: Publisher }> {
  const cloud = kept(new Router({ routingId: name }));
  const state = kept(new Publisher());
  other.join({ name, cloud: await cloud.bind(ANY), state: await state.bind(ANY) });
  return { cloud, state };
}
