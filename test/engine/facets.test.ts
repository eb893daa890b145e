/** A relay takes messages in batches, which a socket that keeps the newest message only cannot have. */
import { expect, test } from "vitest";
import { SocketType } from "../../src/core/socket-type.js";
import type { EngineListener } from "../../src/engine/engine.js";
import { selectEngine } from "../../src/engine/select.js";
import "../../src/index.js";

const LISTENER: EngineListener = {
  engineOnReadable: () => undefined,
  engineOnWritable: () => undefined,
  engineOnEvent: () => undefined,
  engineAuthenticate: undefined,
};

test.each(["Push", "Pull", "Dealer"] as const)("a %s that conflates has no relay", async (type) => {
  const context = selectEngine("zmtp").createContext({}, false);
  const socket = context.open(SocketType[type], { conflate: true }, LISTENER);
  expect([socket.relaySource, socket.relaySink]).toEqual([undefined, undefined]);
  await socket.close(0);
});
