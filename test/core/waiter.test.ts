/** Waits by their own, without sockets. */
import { expect, it } from "vitest";
import { TimeoutError } from "../../src/core/errors.js";
import { waitFor } from "../../src/core/waiter.js";

it("ends a wait by a signal that aborts right behind the call", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const wait = waitFor(new Promise(() => undefined), { signal }, () => new TimeoutError("ETIMEDOUT", "late"));
  controller.abort();
  await expect(wait).rejects.toMatchObject({ code: "ABORT_ERR" });
});
