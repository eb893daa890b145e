import type { Scenario } from "../contract.js";
import { FAN_OUT_COLUMNS, fanOutFigures, processesFor, streamsOf } from "./kit.js";

/**
 * One publisher and N subscribers, each of which gets everything: full queues make the publisher wait (XPUB_NODROP),
 * since a run with drops is invalid. The subscribers share one or two processes.
 */
export const fanOut: Scenario = {
  name: "fan-out",
  question: "How many messages a second reach N subscribers of one publisher?",
  metric: { name: "deliveriesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    peers: { values: [1, 10, 100, 1_000], smoke: [1, 10], help: "subscribers" },
  },
  count({ size, parameters }, smoke) {
    const peers = Number(parameters.peers);
    const deliveries = smoke ? 10_000 : Math.min(300_000, 2 ** 29 / size);
    const count = Math.max(20, Math.round(deliveries / peers));
    return { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size, parameters }, count, warmup) {
    const peers = Number(parameters.peers);
    const processes = processesFor(peers);
    const sockets = peers / processes;
    return [
      {
        role: "publisher",
        binds: true,
        options: { backlog: 4096 },
        expects: { messages: count, bytes: count * size },
      },
      {
        role: "subscriber",
        processes,
        measured: true,
        options: { sockets },
        expects: streamsOf(sockets, size, warmup, count),
      },
    ];
  },
  result: (done, { size }) => fanOutFigures(done, "subscriber", size),
  columns: FAN_OUT_COLUMNS,
  growth: "peers",
};
