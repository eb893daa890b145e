/** Programs that a node announces: in everybody's lists until they are withdrawn, and what a withdrawal does, in which order. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { AnnouncedProgram, ClusterNamespace, ClusterNode } from "../../src/cluster/index.js";
import { ClosedError, TimeoutError } from "../../src/core/errors.js";
import { until, within } from "../contract/support/wait.js";
import { gate } from "../support/gate.js";
import { EndpointLists, hostTest as it, started } from "./simulated.js";

/** A program, and what it is asked. */
class Program implements AnnouncedProgram {
  readonly calls: string[] = [];
  constructor(readonly draining: (timeout: number | undefined) => Promise<void> = async () => undefined) {}

  drain({ timeout }: { readonly timeout?: number | undefined } = {}): Promise<void> {
    this.calls.push(`drain ${timeout}`);
    return this.draining(timeout);
  }

  async close(): Promise<void> {
    this.calls.push("close");
  }
}

const listOf = (node: ClusterNode, name: string): EndpointLists =>
  new EndpointLists(node.resolver({ has: [name] }));

const [ONE, TWO] = ["tcp://127.0.0.1:5001", "tcp://127.0.0.1:5002"];

describe("announce", () => {
  it("has the endpoints in the others' lists, and takes them out before the program drains and closes", async () => {
    const [a, b] = [await started("a"), await started("b")];
    const [kitchen, cellar] = [listOf(a, "kitchen"), listOf(a, "cellar")];
    let listed: readonly string[] | undefined;
    const program = new Program(async () => {
      listed = kitchen.last;
    });
    const announced = b.announce({ kitchen: ONE, cellar: [TWO] }, program);
    await until(() => kitchen.last?.[0] === ONE && cellar.last?.[0] === TWO, "both endpoints");
    expect(program.calls).toEqual([]);
    const withdrawn = announced.withdraw({ timeout: 7_000 });
    expect(announced.withdraw()).toBe(withdrawn); // Twice is once.
    expect(await within(withdrawn, "the withdrawal")).toBe(true);
    expect(listed).toEqual([]);
    expect(cellar.last).toEqual([]);
    expect(program.calls).toEqual(["drain 7000", "close"]);
    // The node goes on.
    expect(b.self.isDraining).toBe(false);
    b.announce({ kitchen: ONE }, new Program());
    await until(() => kitchen.last?.[0] === ONE, "the endpoint again");
  });

  it("is of no program that could not close, once that is known: its node drains nevertheless", async () => {
    const node = await started("a");
    const program = new Program();
    program.close = () => Promise.reject(new Error("it does not close"));
    await expect(node.announce({ kitchen: ONE }, program).withdraw()).rejects.toThrow("it does not close");
    await node.drain();
  });

  it("withdraws what all clusters of a node announce and serve when the node drains", async () => {
    const [a, b] = [await started("a"), await started("b")];
    const [inA, inB] = [a, b].map((node) => node.namespace("side")) as [ClusterNamespace, ClusterNamespace];
    const closed = b.namespace("closed");
    await closed.close();
    const program = new Program();
    inB.announce({}, program);
    await a.serve("inner", () => "done").ready;
    const { passed: begun, open: begin } = gate();
    const { passed: draining, open: go } = gate();
    await inB.serve("work", async () => {
      begin();
      await draining;
      return b.request("inner"); // In another cluster of the node.
    }).ready;
    const reply = inA.request("work", 1, { waitForReady: true, timeout: 5_000 });
    await begun;
    const seen = new Promise((resolve) => inA.events.once("draining", resolve));
    const drained = b.drain();
    await within(seen, "the draining member");
    go();
    expect(await within(reply, "the reply")).toBe("done");
    await within(drained, "the node's drain");
    expect(program.calls).toEqual(["drain 30000", "close"]);
    await expect(inA.request("work", 1)).rejects.toMatchObject({ reason: "no-service" });
  });

  it("closes what does not finish in time, and says so; what had closed by itself is gone", async () => {
    const node = await started("a");
    const throwing = (error: Error): Program => new Program(() => Promise.reject(error));
    const stuck = throwing(new TimeoutError("ETIMEDOUT", "it did not drain"));
    expect(await node.announce({ kitchen: ONE }, stuck).withdraw({ timeout: 1 })).toBe(false);
    expect(stuck.calls).toEqual(["drain 1", "close"]);
    const closed = throwing(new ClosedError("EBADF", "closed"));
    expect(await node.announce({ kitchen: ONE }, closed).withdraw()).toBe(true);
    const endless = new Program(() => new Promise(() => undefined));
    expect(await node.announce({ kitchen: ONE }, endless).withdraw({ timeout: 1 })).toBe(false);
    expect(endless.calls).toEqual(["drain 1", "close"]);
    const failing = throwing(new Error("no"));
    await expect(node.announce({ kitchen: ONE }, failing).withdraw()).rejects.toThrow("no");
    expect(failing.calls).toEqual(["drain 30000", "close"]);
    // A draining node has all drain at once, and waits for the others before it fails.
    const again = new Program(failing.draining);
    const slow = new Program(async () => {
      await sleep(50);
      slow.calls.push(...again.calls);
    });
    node.announce({}, slow);
    node.announce({}, again);
    await expect(node.drain()).rejects.toThrow("no");
    expect(slow.calls).toEqual(["drain 30000", "drain 30000", "close", "close"]);
  });

  it("waits for nobody when the node closes meanwhile", async () => {
    const [a, b] = [await started("a"), await started("b")];
    const kitchen = listOf(a, "kitchen");
    const program = new Program();
    const announced = b.announce({ kitchen: ONE }, program);
    await until(() => kitchen.last?.[0] === ONE, "the endpoint");
    const withdrawn = announced.withdraw();
    void b.close({ linger: 0 });
    expect(await withdrawn).toBe(true);
    expect(program.calls).toEqual(["drain 30000", "close"]);
  });

  it("refuses what is wrong, and advertises nothing of it", async () => {
    const node = await started("a");
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    const program = new Program();
    for (const endpoints of [
      { a: ONE, b: "inproc://x" },
      { a: ONE, b: [] },
      { a: ONE, "b=": TWO },
      null,
      ONE,
    ])
      expect(() => node.announce(endpoints as never, program)).toThrow(EINVAL);
    for (const wrong of [undefined, {}, { drain: () => undefined }])
      expect(() => node.announce({ a: ONE }, wrong as never)).toThrow(EINVAL);
    expect(node.self.endpoints).toEqual({});
    const announced = node.announce({ a: ONE }, program);
    for (const options of [{ timeout: -2 }, { timeout: "1" }, { linger: 1 }])
      await expect(announced.withdraw(options as never)).rejects.toEqual(EINVAL);
    expect(program.calls).toEqual([]);
  });
});

it("readers of one node's resolvers have the members in different orders, each always in the same", async () => {
  const a = await started("a");
  const nodes = await Promise.all(
    [6_000, 6_001, 6_002, 6_003].map((port) =>
      started(`m${port}`, { advertise: { work: `tcp://127.0.0.1:${port}` } }),
    ),
  );
  const resolver = a.resolver({ has: ["work"] });
  const lists = Array.from({ length: 64 }, () => listOf(a, "work"));
  await until(() => lists.every(({ last }) => last?.length === 4), "all lists");
  const firsts = new Map<string, number>();
  for (const { last } of lists) firsts.set(`${last?.[0]}`, (firsts.get(`${last?.[0]}`) ?? 0) + 1);
  expect(firsts.size).toBe(4);
  expect(Math.max(...firsts.values())).toBeLessThan(40); // 16 on average.
  // One that goes changes nothing about the order of the others.
  const before = lists.map(({ last }) => [...(last ?? [])]);
  const [gone] = [...resolver];
  await nodes.find(({ self }) => self.id === gone?.id)?.leave();
  await until(() => lists.every(({ last }) => last?.length === 3), "the lists without it");
  for (const [at, { last }] of lists.entries())
    expect(last).toEqual(before[at]?.filter((endpoint) => last?.includes(endpoint)));
});
