/**
 * A node in a process of its own, which is blocked while it publishes. Virtual time has the rest: node-simulated.test.ts those that are
 * killed, acceptance/membership.test.ts those that leave, simulation.test.ts what becomes of messages.
 */
import { expect, it, onTestFinished } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { start } from "../process/child.js";
import { BLOCK } from "../support/block.js";
import { freePort } from "../support/ports.js";
import { until } from "./nodes.js";

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
${BLOCK}
const [group, port] = process.argv.slice(1);
const node = new ClusterNode({ name: "blocked", multicast: { group, port: Number(port) } });
await node.start();
let sent = 0;
setInterval(() => void node.publish("load", String(sent++), { self: false }), 20);
console.log("ready");
process.stdin.on("data", (ms) => {
  block(Number(ms));
  console.log("unblocked");
});
`;

it("a node whose event loop is blocked for long is lost, and comes back; its messages go on, each once", async () => {
  const multicast = { group: "239.192.84.12", port: await freePort() };
  const watcher = new ClusterNode({ name: "watcher", multicast });
  const blocked = start(PROGRAM, { args: [multicast.group, String(multicast.port)], limit: 35_000 });
  onTestFinished(async () => {
    await blocked.kill();
    await watcher.close({ linger: 0 });
  });
  const seen: string[] = [];
  for (const type of ["joined", "lost", "back"] as const) watcher.events.on(type, () => void seen.push(type));
  const numbers: number[] = [];
  watcher.subscribe("load", ({ data }) => void numbers.push(Number(data)));
  await watcher.start();
  const goesOn = (): Promise<void> => {
    const before = numbers.length;
    return until(() => numbers.length > before);
  };
  expect(await blocked.line()).toBe("ready");
  await goesOn();
  // On a busy machine its silence may be noticed too late.
  while (!seen.includes("lost")) {
    blocked.process.stdin?.write("5000\n");
    expect(await blocked.line()).toBe("unblocked");
  }
  await until(() => seen.includes("back"));
  await goesOn();
  expect(seen).toEqual(["joined", "lost", "back"]);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
});
