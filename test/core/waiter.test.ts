/** Waits by their own, without sockets. */
import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { TimeoutError } from "../../src/core/errors.js";
import { neverLate, Waiter, waitFor } from "../../src/core/waiter.js";

it("ends a wait by a signal that aborts right behind the call", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const wait = waitFor(new Promise(() => undefined), { signal }, () => new TimeoutError("ETIMEDOUT", "late"));
  controller.abort();
  await expect(wait).rejects.toMatchObject({ code: "ABORT_ERR" });
});

it("many waits have one listener at their signal, and leave none", () => {
  const { signal } = new AbortController();
  const waits = Array.from({ length: 12 }, () => new Waiter<void>(-1, signal, neverLate, () => undefined));
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  for (const wait of waits) wait.resolve();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
