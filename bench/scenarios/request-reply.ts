import type { Scenario } from "../contract.js";
import { LATENCY_COLUMNS, latencyFigures, ofRole, processesFor, streamsOf, sumOf } from "./kit.js";

/** N clients of one server with one request in flight each. Count and warm-up are those of one client. */
export const requestReply: Scenario = {
  name: "request-reply",
  question: "How many requests a second does one server answer for N clients?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    pattern: {
      values: ["dealer-router", "req-rep"],
      smoke: ["dealer-router", "req-rep"],
      help: "socket types of clients and server",
    },
    peers: { values: [1, 10, 100], smoke: [10], help: "clients" },
  },
  count({ parameters }, smoke) {
    const count = Math.max(20, Math.round((smoke ? 2_000 : 30_000) / Number(parameters.peers)));
    return { count, warmup: Math.ceil(count / 5) };
  },
  roles({ size, parameters }, count, warmup) {
    const peers = Number(parameters.peers);
    const processes = processesFor(peers);
    const sockets = peers / processes;
    return [
      { role: "server", binds: true, ends: false, options: { backlog: 4096 } },
      {
        role: "client",
        processes,
        measured: true,
        options: { sockets },
        expects: streamsOf(sockets, size, warmup, count),
      },
    ];
  },
  result(done) {
    const clients = ofRole(done, "client");
    // Rates add up, since the processes work at the same time.
    return {
      requestsPerSecond: sumOf(clients, ({ messages, seconds }) => messages / seconds),
      ...latencyFigures(clients),
    };
  },
  columns: LATENCY_COLUMNS,
  growth: "peers",
};
