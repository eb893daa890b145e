/** Messages of nodes in processes of their own: killed, stopped, continued, under a publisher that goes on. messages-simulated.test.ts has such faults in virtual time. */

import { afterEach, describe, expect, test } from "vitest";
import { type ClusterMessage, ClusterNode } from "../../../src/cluster/index.js";
import { type Child, start } from "../../process/child.js";
import { freePort } from "../../support/ports.js";

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
const [name, group, port] = process.argv.slice(1);
const node = new ClusterNode({ name, group, multicast: { port: Number(port) }, registry: false, profile: "wan" });
const joined = new Promise((resolve) => node.events.once("joined", resolve));
await node.start();
await joined;
let last = -1;
let expected = 0;
let wrong = 0;
await node.subscribe("numbers", ({ data }) => {
  const number = Number(data);
  if (number <= last) wrong += 1;
  last = number;
  expected += 1;
}).ready;
await node.subscribe("self", async ({ data, sender }) => {
  await node.sendTo(sender, JSON.stringify({ last, count: expected, wrong, asked: String(data) }));
}).ready;
console.log("ready");
process.on("SIGTERM", () => void node.close().then(() => process.exit()));
`;

/** Each message has its topic and its number, so that one that comes under another topic shows. */
const TOPICS_READER = `
import { ClusterNode } from "shoal/cluster";
const [group, port] = process.argv.slice(1);
const node = new ClusterNode({ name: "topics", group, multicast: { port: Number(port) }, registry: false });
await node.start();
const last = new Map();
let wrong = 0;
await node.subscribe("topics/#", ({ topic, data }) => {
  const [to, number] = String(data).split(" ");
  if (to !== topic || Number(number) <= (last.get(topic) ?? -1)) wrong += 1;
  last.set(topic, Number(number));
}).ready.catch(() => undefined);
console.log("ready");
process.stdin.on("data", () => console.log(JSON.stringify({ wrong, topics: last.size, last: [...new Set(last.values())] })));
`;

/** It publishes in the very turn in which it meets another node, and reports how many nodes got each. */
const EAGER = `
import { ClusterNode } from "shoal/cluster";
const [name, group, port, first] = process.argv.slice(1);
const node = new ClusterNode({ name, group, multicast: { port: Number(port) }, registry: false });
const counts = [];
let next = Number(first);
node.events.on("joined", () => {
  for (let i = 0; i < 10; i++) counts.push(node.publish("numbers", String(next++)));
});
await node.start();
process.stdin.once("data", async () => {
  console.log(JSON.stringify(await Promise.all(counts)));
  await node.close();
  process.exit();
});
`;

/** ms that a reader stands still: less than a suspicion takes, and so long that it is lost. */
const STOPS = [3_000, 15_000, 60_000];

const PORT = await freePort();
const children: Child[] = [];
let node: ClusterNode | undefined;

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.process.kill("SIGCONT");
    child.process.kill("SIGKILL");
    await child.outcome;
  }
  await node?.close({ linger: 0 });
});

async function begin(...names: readonly string[]): Promise<{ publisher: ClusterNode; readers: Child[] }> {
  const group = `processes-${process.pid}`;
  node = new ClusterNode({
    name: "publisher",
    group,
    multicast: { port: PORT },
    registry: false,
    profile: "wan",
  });
  await node.start();
  const readers = names.map((name) => start(PROGRAM, { args: [name, group, String(PORT)], limit: 40_000 }));
  children.push(...readers);
  await Promise.all(readers.map((reader) => reader.line()));
  return { publisher: node, readers };
}

/** What a reader says that it has, after all that was published before. */
async function ask(
  publisher: ClusterNode,
  name: string,
): Promise<{ last: number; count: number; wrong: number }> {
  const answers = publisher.subscribe("self");
  const service = publisher.member(name);
  if (service === undefined) throw new Error(`no member ${name}`);
  await publisher.sendTo(service, "?");
  for await (const { data } of answers as AsyncIterable<ClusterMessage>) return JSON.parse(String(data));
  throw new Error("closed");
}

/** Publishes numbers from one on. @returns the next one */
async function publish(publisher: ClusterNode, from: number, count: number): Promise<number> {
  for (let i = from; i < from + count; i++) {
    await publisher.publish("numbers", `${i}`);
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return from + count;
}

describe("messages between processes", () => {
  test("arrive in order, all of them, while one reader is killed and another one is stopped for a while", async () => {
    const { publisher, readers } = await begin("a", "b");
    let next = await publish(publisher, 0, 1_000);
    expect(await ask(publisher, "a")).toMatchObject({ last: 999, count: 1_000, wrong: 0 });
    const lost = new Promise<void>((resolve) => {
      publisher.events.on("lost", ({ member }) => {
        if (member.name.startsWith("b@")) resolve();
      });
    });
    const b = publisher.member("b");
    readers[1]?.process.kill("SIGKILL");
    next = await publish(publisher, next, 1_000);
    await lost;
    // One to one to the dead one fails with the reason.
    await expect(publisher.sendTo(b as NonNullable<typeof b>, "?")).rejects.toMatchObject({
      code: "EHOSTUNREACH",
    });
    next = await publish(publisher, next, 1_000);
    expect(await ask(publisher, "a")).toMatchObject({ last: next - 1, count: next, wrong: 0 });
    // Each copy is in exactly one count.
    const { links } = publisher.stats().messaging as NonNullable<
      ReturnType<ClusterNode["stats"]>["messaging"]
    >;
    for (const { sent, delivered, waiting, dropped, lost: gone } of links.peers)
      expect(delivered + waiting + dropped + gone).toBe(sent);
  }, 60_000);

  test("that are published as soon as another node is met are not lost, in either order of their starts", async () => {
    const group = `eager-${process.pid}`;
    for (let round = 0; round < 4; round++) {
      const reader = new ClusterNode({ name: "reader", group, multicast: { port: PORT }, registry: false });
      node = reader;
      const got: number[] = [];
      const all: { resolve?: () => void } = {};
      const arrived = new Promise<void>((resolve) => {
        all.resolve = resolve;
      });
      const begins = async (): Promise<void> => {
        await reader.start();
        // Not awaited: it is ready when the other one knows it.
        reader.subscribe("numbers", ({ data }) => {
          got.push(Number(data));
          if (got.length === 10) all.resolve?.();
        });
      };
      const first = 100 * round;
      if (round % 2 === 0) await begins();
      const writer = start(EAGER, { args: ["writer", group, String(PORT), String(first)], limit: 40_000 });
      children.push(writer);
      if (round % 2 === 1) await begins();
      await arrived;
      expect(got).toEqual(Array.from({ length: 10 }, (_, i) => first + i));
      writer.tell("end");
      expect(JSON.parse(await writer.line())).toEqual(new Array(10).fill(1));
      await writer.outcome;
      await reader.close({ linger: 0 });
    }
  }, 60_000);

  test("keep their topics where a reader stands still after these have aliases, lost meanwhile or not", async () => {
    const group = `topics-${process.pid}`;
    const publisher = new ClusterNode({
      name: "publisher",
      group,
      multicast: { port: PORT },
      registry: false,
    });
    node = publisher;
    await publisher.start();
    const reader = start(TOPICS_READER, { args: [group, String(PORT)], limit: 240_000 });
    children.push(reader);
    expect(await reader.line()).toBe("ready");
    let number = 0;
    /** To each topic once. @returns how many of them went to the reader */
    const round = async (): Promise<number> => {
      let sent = 0;
      for (let i = 0; i < 20; i++) sent += await publisher.publish(`topics/${i}`, `topics/${i} ${number}`);
      number += 1;
      return sent;
    };
    const untilAllGo = async (): Promise<void> => {
      while ((await round()) < 20) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    const hasTheLast = async (): Promise<void> => {
      let answer: { wrong: number; topics: number; last: number[] };
      do {
        reader.tell("?");
        answer = JSON.parse(await reader.line());
      } while (answer.topics < 20 || answer.last.length > 1 || answer.last[0] !== number - 1);
      expect(answer.wrong).toBe(0);
    };
    await untilAllGo();
    for (const stop of STOPS) {
      for (let i = 0; i < 50; i++) await round();
      await hasTheLast();
      reader.process.kill("SIGSTOP");
      const end = performance.now() + stop;
      while (performance.now() < end) {
        await round();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      reader.process.kill("SIGCONT");
      await untilAllGo();
      for (let i = 0; i < 50; i++) await round();
      await hasTheLast();
    }
    const peers = publisher.stats().messaging?.links.peers ?? [];
    expect(peers).toHaveLength(1);
    for (const { sent, delivered, waiting, dropped, lost } of peers) {
      expect(delivered).toBeGreaterThan(0);
      expect(delivered + waiting + dropped + lost).toBe(sent);
    }
  }, 240_000);

  test("wait for a reader that is stopped, without loss, and others do not wait for it", async () => {
    const { publisher, readers } = await begin("a", "b");
    await publish(publisher, 0, 100);
    readers[1]?.process.kill("SIGSTOP");
    const next = await publish(publisher, 100, 2_000);
    expect(await ask(publisher, "a")).toMatchObject({ last: next - 1, count: next, wrong: 0 });
    readers[1]?.process.kill("SIGCONT");
    // Shorter than a suspicion: it was a member all the time.
    expect(await ask(publisher, "b")).toMatchObject({ last: next - 1, count: next, wrong: 0 });
  }, 60_000);
});
