/** Requests to nodes in processes of their own that are killed and rolled under load. */

import { afterEach, describe, expect, test } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { type Child, start } from "../../process/child.js";
import { freePort } from "../../support/ports.js";

const SERVERS = 10;
const ROLLS = SERVERS;
const KILLS = SERVERS - 1;
/** ms for each of them, beyond those of the test. */
const EACH = 10_000;

/** SIGTERM drains it. */
const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
const [name, group, port] = process.argv.slice(1);
const node = new ClusterNode({ name, group, multicast: { port: Number(port) }, registry: false });
await node.start();
let handled = 0;
await node.serve("work", async (body) => {
  await new Promise((resolve) => setTimeout(resolve, body % 5));
  handled += 1;
  return { body, by: name };
}).ready;
console.log("ready");
process.on("SIGTERM", async () => {
  await node.drain();
  await node.close();
  console.log("handled " + handled);
  process.exit();
});
`;

const PORT = await freePort();
const children = new Set<Child>();
let made = 0;
let node: ClusterNode | undefined;

afterEach(async () => {
  for (const child of children) {
    child.process.kill("SIGKILL");
    await child.outcome;
  }
  children.clear();
  await node?.close({ linger: 0 });
});

async function startServer(group: string): Promise<Child> {
  made += 1;
  const child = start(PROGRAM, { args: [`server${made}`, group, String(PORT)], limit: 120_000 });
  children.add(child);
  expect(await child.line()).toBe("ready");
  return child;
}

interface Load {
  readonly by: Map<string, number>;
  readonly errors: Error[];
  /** Until so many more have been answered. */
  answered(more: number): Promise<void>;
  stop(): Promise<void>;
}

/** Callers; each reply is compared to what was asked. */
function load(caller: ClusterNode, idempotent: boolean): Load {
  const by = new Map<string, number>();
  const errors: Error[] = [];
  let count = 0;
  let next = 0;
  let isOver = false;
  let waits: { readonly at: number; resolve(): void }[] = [];
  const loops = Array.from({ length: 32 }, async () => {
    while (!isOver) {
      next += 1;
      const asked = next;
      try {
        const reply = await caller.request<{ body: number; by: string }>("work", asked, {
          idempotent,
          timeout: 60_000,
        });
        expect(reply.body).toBe(asked);
        by.set(reply.by, (by.get(reply.by) ?? 0) + 1);
        count += 1;
        for (const { at, resolve } of waits) if (at <= count) resolve();
        waits = waits.filter(({ at }) => at > count);
      } catch (error) {
        errors.push(error as Error);
      }
    }
  });
  return {
    by,
    errors,
    answered: (more) => new Promise((resolve) => waits.push({ at: count + more, resolve })),
    async stop() {
      isOver = true;
      await Promise.all(loops);
    },
  };
}

async function begin(
  idempotent: boolean,
): Promise<{ group: string; servers: Child[]; work: Load; caller: ClusterNode }> {
  const group = `request-chaos-${process.pid}-${made}`;
  const caller = new ClusterNode({ name: "caller", group, multicast: { port: PORT }, registry: false });
  node = caller;
  await caller.start();
  const servers = await Promise.all(Array.from({ length: SERVERS }, () => startServer(group)));
  while ((await caller.requestMany("work", 0).catch(() => undefined))?.replies.length !== SERVERS)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return { group, servers, caller, work: load(caller, idempotent) };
}

describe("nodes in processes of their own", () => {
  test(
    "rolled one after the other with drain, they fail no request, though it is not idempotent",
    async () => {
      const { group, servers, work, caller } = await begin(false);
      for (let roll = 0; roll < ROLLS; roll++) {
        const server = servers.shift() as Child;
        await work.answered(200);
        servers.push(await startServer(group));
        server.process.kill("SIGTERM");
        const { code } = await server.outcome;
        expect(code).toBe(0);
        children.delete(server);
      }
      await work.answered(200);
      await work.stop();
      expect(work.errors.map(({ message }) => message)).toEqual([]);
      expect(caller.stats().requests).toMatchObject({ failed: 0, pending: 0 });
      expect(work.by.size).toBeGreaterThan(SERVERS);
    },
    180_000 + ROLLS * EACH,
  );

  test(
    "killed with -9 under load, they fail no idempotent request",
    async () => {
      const { servers, work, caller } = await begin(true);
      for (let kill = 0; kill < KILLS; kill++) {
        const server = servers.shift() as Child;
        await work.answered(200);
        server.process.kill("SIGKILL");
        await server.outcome;
        children.delete(server);
      }
      await work.answered(200);
      await work.stop();
      expect(work.errors.map(({ message }) => message)).toEqual([]);
      expect(caller.stats().requests?.pending).toBe(0);
      expect(caller.stats().requests?.retried).toBeGreaterThan(0);
    },
    180_000 + KILLS * EACH,
  );
});
