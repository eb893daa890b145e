import type { Scenario } from "../contract.js";
import { ofRole } from "./kit.js";

/** Every connection has carried one message each way before it counts. Collectors run first. */
export const idleMemory: Scenario = {
  name: "idle-memory",
  question: "How much memory does an idle connection cost the server?",
  metric: { name: "kilobytesPerConnection", unit: "kB", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [16],
  smokeSizes: [16],
  parameters: {
    connections: { values: [100, 1_000], smoke: [50], help: "connections that stay open" },
  },
  count({ parameters }) {
    return { count: Number(parameters.connections), warmup: 0 };
  },
  scales: false,
  roles(_chosen, count) {
    return [
      {
        role: "server",
        binds: true,
        measured: true,
        options: { backlog: 4096 },
        expects: { messages: count },
      },
      { role: "client", expects: { messages: count } },
    ];
  },
  result(done) {
    const perConnection = (role: string) =>
      (ofRole(done, role)[0]?.extra?.bytesPerConnection ?? Number.NaN) / 1e3;
    return {
      // A process that already had the memory does not grow.
      kilobytesPerConnection: Math.max(0, perConnection("server")),
      kilobytesPerClient: Math.max(0, perConnection("client")),
    };
  },
  columns: [{ name: "kilobytesPerClient", title: "client's side", unit: "kB" }],
  growth: "connections",
};
