import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

/** All clients connect at once. A connection counts when its first message has returned. */
export const connectionStorm: Scenario = {
  name: "connection-storm",
  question: "How many new connections a second does one server take, each with a message and its reply?",
  metric: { name: "connectionsPerSecond", unit: "conn/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [16],
  smokeSizes: [16],
  parameters: {
    connections: { values: [100, 1_000], smoke: [50], help: "connections opened at once" },
    before: {
      values: [10, 10_000],
      smoke: [10],
      help: "connections opened before: 10 leave a runtime's code cold, as in a new process; 10000 warm it up",
    },
  },
  count({ parameters }) {
    return { count: Number(parameters.connections), warmup: Number(parameters.before) };
  },
  scales: false,
  roles({ size }, count, warmup) {
    return [
      // A longer queue of connections to accept: a refused one would wait a second to try again.
      { role: "server", binds: true, ends: false, options: { backlog: 4096 } },
      {
        role: "client",
        measured: true,
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
    ];
  },
  result([client]) {
    const { messages = 0, seconds = 0 } = client ?? {};
    return { connectionsPerSecond: messages / seconds };
  },
  growth: "connections",
};
