import type { Scenario } from "../contract.js";
import { ofRole, PATTERN_REFERENCES, positive, processesFor, streamsOf, sumOf } from "./kit.js";

/**
 * A server sets keys as fast as its slowest client reads, at most two windows ahead, and every client keeps the map.
 * At the end each client must hold the last value of every key, without a gap before.
 */
export const clone: Scenario = {
  name: "clone",
  question: "How many ordered updates a second reach the maps of N clients?",
  metric: { name: "updatesPerSecond", unit: "upd/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    peers: { values: [1, 100], smoke: [1, 4], help: "clients; their updates are counted together" },
    keys: { values: [1_000], smoke: [100], help: "keys that are updated in turn" },
  },
  count({ size, parameters }, smoke) {
    positive(parameters, "keys");
    const deliveries = smoke ? 10_000 : Math.min(300_000, 2 ** 29 / size);
    const count = Math.max(200, Math.round(deliveries / positive(parameters, "peers")));
    // A cold first run would give too low a count for implementations that are fast once they are compiled.
    return { count, warmup: smoke ? Math.ceil(count / 10) : count };
  },
  warmups: 3, // Plain sockets deliver twice as much after 4,500,000 as after 1,500,000.
  roles({ size, parameters }, count, warmup) {
    const peers = Number(parameters.peers);
    const processes = processesFor(peers);
    const sockets = peers / processes;
    const total = warmup + count;
    const held = Math.min(Number(parameters.keys), total);
    const messages = sockets * count;
    return [
      {
        role: "server",
        binds: true,
        options: { backlog: 4096, processes },
        expects: { messages: count, bytes: count * size },
      },
      {
        role: "client",
        processes,
        connects: ["server", "server/backend"],
        measured: true,
        options: { sockets },
        // The checksum is that of the final maps.
        expects: { ...streamsOf(sockets, size, total - held, held), messages, bytes: messages * size },
      },
    ];
  },
  result(done, { size }) {
    const clients = ofRole(done, "client");
    const seconds = Math.max(...clients.map((report) => report.seconds));
    const updates = sumOf(clients, ({ messages, extra }) => extra?.updates ?? messages);
    const updatesPerSecond = updates / seconds;
    const peers = sumOf(clients, ({ extra }) => extra?.sockets ?? Number.NaN);
    return {
      updatesPerSecond,
      publishedPerSecond: updatesPerSecond / peers,
      megabytesPerSecond: (updatesPerSecond * size) / 1e6,
    };
  },
  columns: [
    { name: "publishedPerSecond", title: "published", unit: "upd/s" },
    { name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" },
  ],
  growth: "peers",
  references: PATTERN_REFERENCES,
};
