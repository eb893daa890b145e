/** A pattern of several sockets, one of which cannot be opened: the others are closed again. */
import { describe, expect, test } from "vitest";
import { Context, Pair } from "../../src/index.js";
import {
  BinaryStar,
  BinaryStarServer,
  CloneServer,
  FederatedBroker,
  LastValueCache,
  LoadBalancer,
  PirateQueue,
  SequencedPublisher,
} from "../../src/patterns/index.js";
import { until } from "../contract/support/wait.js";

const PEER = "tcp://127.0.0.1:9";
const star = { role: "primary", peer: PEER } as const;

const MAKERS: Readonly<Record<string, readonly [sockets: number, make: (context: Context) => unknown]>> = {
  BinaryStar: [2, (context) => new BinaryStar({ ...star, socketOptions: { context } })],
  BinaryStarServer: [
    3,
    (context) =>
      new BinaryStarServer(() => "", {
        star: { ...star, socketOptions: { context } },
        socketOptions: { context },
      }),
  ],
  CloneServer: [3, (context) => new CloneServer({ context })],
  "CloneServer of a pair": [7, (context) => new CloneServer({ context, pair: star })],
  FederatedBroker: [
    6,
    (context) => new FederatedBroker("a", { socketOptions: { context }, stateOptions: { context } }),
  ],
  LastValueCache: [
    2,
    (context) => new LastValueCache({ frontendOptions: { context }, backendOptions: { context } }),
  ],
  LoadBalancer: [2, (context) => new LoadBalancer({ socketOptions: { context } })],
  PirateQueue: [2, (context) => new PirateQueue({ socketOptions: { context } })],
  SequencedPublisher: [
    2,
    (context) => new SequencedPublisher({ socketOptions: { context }, replayOptions: { context } }),
  ],
};

/** How many sockets the context can open. */
function room(context: Context): number {
  const opened: Pair[] = [];
  try {
    for (;;) opened.push(new Pair({ context }));
  } catch {
    return opened.length;
  } finally {
    for (const each of opened) void each.close({ linger: 0 });
  }
}

describe.each(Object.entries(MAKERS))("%s", (_, [sockets, make]) => {
  test("leaves no socket open when one cannot be opened", async () => {
    for (let maxSockets = 1; maxSockets < sockets; maxSockets++) {
      const context = new Context({ maxSockets });
      expect(() => make(context)).toThrow(expect.objectContaining({ code: "EMFILE" }));
      await until(() => room(context) === maxSockets, `room for ${maxSockets} sockets`);
    }
    expect(() => make(new Context({ maxSockets: sockets }))).not.toThrow();
  });
});
