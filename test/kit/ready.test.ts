/** A driver without a peer says why there is none. */
import { expect, it, vi } from "vitest";
import {
  FreelanceClient,
  FreelanceShotgunClient,
  LoadBalancerClient,
  PirateWorker,
} from "../../src/patterns/index.js";
import { freePort } from "../support/ports.js";

it.each([
  ["FreelanceClient", (endpoint: string) => new FreelanceClient(endpoint)],
  ["FreelanceShotgunClient", (endpoint: string) => new FreelanceShotgunClient(endpoint)],
  ["LoadBalancerClient", (endpoint: string) => new LoadBalancerClient(endpoint)],
  ["PirateWorker", (endpoint: string) => new PirateWorker(endpoint, (body) => body)],
] as const)("%s: ready rejects with the last failure", async (_, make) => {
  const driver = make(`tcp://127.0.0.1:${await freePort()}`);
  await vi.waitFor(async () => {
    const error = await driver.ready({ timeout: 20 }).catch((late: unknown) => late);
    expect(error).toMatchObject({ code: "ETIMEDOUT", message: expect.stringContaining("ECONNREFUSED") });
  }, 20_000);
  await driver.close({ linger: 0 });
});
