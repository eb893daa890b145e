/** Any number of calls of a client share one signal: Node would warn of a leak from the eleventh listener on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  BinaryStarClient,
  CloneClient,
  FreelanceClient,
  FreelanceFailoverClient,
  FreelanceShotgunClient,
  LoadBalancerClient,
  PirateClient,
} from "../../src/patterns/index.js";
import { abortListeners } from "../support/settled.js";

const folder = mkdtempSync(join(tmpdir(), "shoal-signals-"));
const [a, b] = [`ipc://${folder}/a`, `ipc://${folder}/b`];
afterAll(() => rmSync(folder, { recursive: true }));

interface Client {
  request(body: string, options: { readonly signal: AbortSignal }): Promise<unknown>;
  close(): Promise<void>;
}

const CLIENTS: Record<string, () => Client> = {
  BinaryStarClient: () => new BinaryStarClient([a, b]),
  CloneClient: () => {
    const client = new CloneClient([a, b]);
    return { request: (body, options) => client.set(body, "v", options), close: () => client.close() };
  },
  FreelanceClient: () => new FreelanceClient([a, b]),
  FreelanceFailoverClient: () => new FreelanceFailoverClient([a, b]),
  FreelanceShotgunClient: () => new FreelanceShotgunClient([a, b]),
  LoadBalancerClient: () => new LoadBalancerClient([a, b]),
  PirateClient: () => new PirateClient([a, b]),
};

test.for(
  Object.keys(CLIENTS),
)("%s has one listener for fifty calls, and none when they end", async (name) => {
  const client = (CLIENTS[name] as () => Client)();
  const controller = new AbortController();
  const calls = Array.from({ length: 50 }, (_, i) => client.request(`${i}`, { signal: controller.signal }));
  expect(abortListeners(controller.signal)).toBe(1);
  controller.abort();
  for (const result of await Promise.allSettled(calls))
    expect(result).toMatchObject({ status: "rejected", reason: { code: "ABORT_ERR" } });
  expect(abortListeners(controller.signal)).toBe(0);
  await client.close();
});
