/** A program's `receiveTimeout` for the sockets of a pattern does not end its reading. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { closeAfterEach } from "../support/close-after-each.js";
import { SERVICES } from "./services.js";

const kept = closeAfterEach();

it.each(Object.entries(SERVICES))("goes on reading: %s", async (_, start) => {
  const ask = await start(kept, { socketOptions: { receiveTimeout: 1 } });
  for (const word of ["one", "two"]) {
    expect(String(await ask(word))).toBe(word);
    // Longer than the time of a receive.
    const began = performance.now();
    while (performance.now() - began < 10) await turn();
  }
});
