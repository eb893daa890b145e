/**
 * Nodes in processes of their own: killed, stopped, continued, blocked, ended, while all of them publish. The default run blocks one
 * alone. In virtual time, membership.test.ts has what is lost, and when, simulation.test.ts what becomes of messages.
 */
import { afterEach, describe, expect, it } from "vitest";
import { type ClusterEvent, ClusterNode, PROFILES } from "../../src/cluster/index.js";
import { type Child, start } from "../process/child.js";
import { BLOCK } from "../support/block.js";
import { LONG } from "../support/long.js";
import { freePort } from "../support/ports.js";

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
${BLOCK}
const [name, group, port] = process.argv.slice(1);
const node = new ClusterNode({ name, multicast: { group, port: Number(port) } });
for (const type of ["lost", "left"]) node.events.on(type, ({ member }) => console.log(type, member.name));
await node.start();
let sent = 0;
const load = setInterval(() => void node.publish("load", name + process.pid + " " + sent++, { self: false }), 20);
console.log("ready");
process.stdin.on("data", (ms) => {
  block(Number(ms));
  console.log("unblocked");
});
process.on("SIGTERM", () => {
  clearInterval(load);
  void node.leave().then(() => process.stdin.destroy());
});
`;

const group = "239.192.84.12";
const children: Child[] = [];
let watcher: ClusterNode;
/** What the watcher saw, as "type name". */
let seen: string[] = [];
/** The last number that it had of each process, and those that came after a later one, or twice. */
const last = new Map<string, number>();
const faults: string[] = [];

/** Processes, and a node here that watches them. */
async function cluster(...names: readonly string[]): Promise<Map<string, Child>> {
  const port = await freePort();
  seen = [];
  last.clear();
  watcher = new ClusterNode({ name: "watcher", multicast: { group, port } });
  for (const type of ["joined", "lost", "left", "back"] as const)
    watcher.events.on(type, ({ member }: ClusterEvent & { readonly member: { readonly name: string } }) => {
      seen.push(`${type} ${member.name.split("@")[0]}`);
    });
  await watcher.start();
  watcher.subscribe("load", ({ data }) => {
    const [of, number] = String(data).split(" ") as [string, string];
    if (Number(number) <= (last.get(of) ?? -1)) faults.push(`${of}: ${number} after ${last.get(of)}`);
    last.set(of, Number(number));
  });
  const started = new Map<string, Child>();
  for (const name of names) {
    const child = start(PROGRAM, { args: [name, group, String(port)], limit: 35_000 });
    children.push(child);
    started.set(name, child);
  }
  await Promise.all(children.map((child) => child.line()));
  await saw(...names.map((name) => `joined ${name}`));
  return started;
}

/** Until the watcher has seen all of these. */
async function saw(...what: readonly string[]): Promise<void> {
  while (!what.every((each) => seen.includes(each))) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Until each of so many processes has got further. */
async function hears(count: number): Promise<void> {
  const before = new Map(last);
  const further = (): number => [...last].filter(([of, at]) => at > (before.get(of) ?? -1)).length;
  while (further() < count) await new Promise((resolve) => setTimeout(resolve, 5));
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.process.kill("SIGKILL");
    await child.outcome;
  }
  await watcher.close({ linger: 0 });
  expect(faults.splice(0)).toEqual([]);
});

describe.runIf(LONG)("nodes in processes", () => {
  it("that are killed are known to be gone by their connections, and make no minority of those that stay", async () => {
    const processes = await cluster("a", "b", "c", "d");
    // The streams to the next nodes stand.
    while (watcher.stats().links < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    const said: string[] = [];
    for (const type of ["split", "minority"] as const) watcher.events.on(type, () => void said.push(type));
    const reasons: string[] = [];
    watcher.events.on("lost", ({ reason }) => void reasons.push(reason));
    for (const name of ["a", "b", "c"]) {
      processes.get(name)?.process.kill("SIGKILL");
      await saw(`lost ${name}`);
      expect(await processes.get("d")?.line()).toMatch(new RegExp(`^lost ${name}@`));
    }
    expect(reasons).toEqual(["connection", "connection", "connection"]);
    // Whatever is decided is decided by then.
    await new Promise((resolve) => setTimeout(resolve, 2 * PROFILES.local.stableFor));
    expect([watcher.minority, said]).toEqual([false, []]);
    await hears(1);
  });

  it("that are stopped are lost by suspicion, and back when they go on, with nobody lost to them", async () => {
    const processes = await cluster("a", "b", "c", "d");
    const stopped = processes.get("c") as Child;
    stopped.process.kill("SIGSTOP");
    await saw("lost c");
    stopped.process.kill("SIGCONT");
    await saw("back c");
    await hears(4);
    stopped.process.kill("SIGTERM");
    await saw("left c");
    expect((await stopped.outcome).stdout).toBe("ready\n");
  });

  it("that end on a signal leave: nobody suspects or loses them", async () => {
    const processes = await cluster("a", "b", "c", "d");
    processes.get("d")?.process.kill("SIGTERM");
    await saw("left d");
    expect((await processes.get("d")?.outcome)?.code).toBe(0);
    expect(await processes.get("a")?.line()).toMatch(/^left d@/);
    expect(seen.filter((what) => what.startsWith("lost"))).toEqual([]);
    await hears(3);
  });
});

it("a node whose event loop is blocked for long is lost, and comes back", async () => {
  const processes = await cluster("a", "b");
  const blocked = processes.get("a") as Child;
  await hears(2);
  // On a busy machine its silence may be noticed too late.
  while (!seen.includes("lost a")) {
    blocked.process.stdin?.write("5000\n");
    expect(await blocked.line()).toBe("unblocked");
  }
  await saw("back a");
  await hears(2);
  expect(seen.filter((what) => what.startsWith("lost"))).toEqual(["lost a"]);
});
