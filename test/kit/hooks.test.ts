/** What a program gives, such as objects that are not what their types say: the call is refused, and later ones go on. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Codec } from "../../src/index.js";
import { CloneClient } from "../../src/patterns/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { abortListeners } from "../support/settled.js";
import { type Ask, SERVICES } from "./services.js";

const kept = closeAfterEach();

/** What `encode` returns for a text of this name, or throws. */
const ENCODED: Readonly<Record<string, () => unknown>> = {
  throws: () => {
    throw new Error("no");
  },
  undefined: () => undefined,
  object: () => ({}),
  bigint: () => 1n,
  promise: async () => "late",
  "empty list": () => [],
  "nested list": () => [["a"]],
};

const codec: Codec<string> = {
  name: "text",
  encode: (value) => (ENCODED[value]?.() ?? (value in ENCODED ? undefined : value)) as string,
  decode: String,
};

// Those that take a codec of requests.
const { BinaryStarClient: _, ...CLIENTS } = SERVICES;

describe.each(Object.entries(CLIENTS))("a %s", (_, start) => {
  test("refuses a request that its codec does not encode to a frame, and sends the next", async () => {
    const ask = await start(kept, { codec });
    const refused = Object.keys(ENCODED).map((name) => ask(name));
    const sent = ask("fine");
    for (const [i, result] of (await Promise.allSettled(refused)).entries()) {
      const code = i === 0 ? "ERR_INVALID_MESSAGE" : "EINVAL";
      expect(result, Object.keys(ENCODED)[i]).toMatchObject({ status: "rejected", reason: { code } });
    }
    expect(String(await sent)).toBe("fine");
  });

  test("refuses a signal whose listener cannot be removed, and sends the next request", async () => {
    const ask = await start(kept, { codec });
    const signal = { aborted: false, addEventListener: () => undefined } as unknown as AbortSignal;
    await expect(ask("never", { signal })).rejects.toMatchObject({ code: "EINVAL" });
    expect(String(await ask("fine"))).toBe("fine");
  });
});

test.each(
  Object.entries(SERVICES),
)("a receiveTimeout for the sockets of a %s does not end its reading", async (_, start) => {
  const ask = await start(kept, { socketOptions: { receiveTimeout: 1 } });
  for (const word of ["one", "two"]) {
    expect(String(await ask(word))).toBe(word);
    // Longer than the time of a receive.
    const began = performance.now();
    while (performance.now() - began < 10) await turn();
  }
});

const NOBODY = "tcp://127.0.0.1:9";
const asking: Readonly<Record<string, () => Promise<Ask>>> = {
  ...Object.fromEntries(Object.entries(SERVICES).map(([name, start]) => [name, () => start(kept)])),
  CloneClient: async () => {
    const client = kept(new CloneClient(NOBODY));
    return (body, options) => client.set(body, "v", options) as Promise<never>;
  },
};

test.each(
  Object.entries(asking),
)("a %s has one listener at a signal for fifty calls, of which Node would warn, and none when they end", async (_, start) => {
  const ask = await start();
  const controller = new AbortController();
  const calls = Array.from({ length: 50 }, (__, i) => ask(`${i}`, { signal: controller.signal }));
  expect(abortListeners(controller.signal)).toBe(1);
  controller.abort();
  for (const result of await Promise.allSettled(calls))
    expect(result).toMatchObject({ status: "rejected", reason: { code: "ABORT_ERR" } });
  expect(abortListeners(controller.signal)).toBe(0);
});
