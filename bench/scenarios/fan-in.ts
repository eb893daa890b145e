import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";
import { processesFor } from "./kit.js";

/** N producers, one consumer. Message k comes from producer k mod N, so the consumer can check the order of each. */
export const fanIn: Scenario = {
  name: "fan-in",
  question: "How many messages a second does one consumer take from N producers?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    peers: { values: [1, 10, 100, 1_000], smoke: [10], help: "producers" },
  },
  count({ size, parameters }, smoke) {
    const peers = Number(parameters.peers);
    const count = Math.max(10 * peers, Math.round(smoke ? 5_000 : Math.min(200_000, 2 ** 29 / size)));
    // Every producer connects in the warm-up.
    return { count, warmup: Math.max(5 * peers, Math.ceil(count / 10)) };
  },
  roles({ size, parameters }, count, warmup) {
    const peers = Number(parameters.peers);
    const processes = processesFor(peers);
    return [
      {
        role: "consumer",
        binds: true,
        measured: true,
        options: { peers, backlog: 4096 },
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
      { role: "producer", processes, options: { peers, sockets: peers / processes } },
    ];
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "peers",
};
