import type { Scenario } from "../contract.js";
import { ofRole, positive, streamsOf } from "./kit.js";

/**
 * A server with a full map, and a client that starts again for each load: from `new CloneClient` to the complete map.
 * Both report the memory growth of the first load, since later loads reuse freed memory.
 */
export const cloneSnapshot: Scenario = {
  name: "clone-snapshot",
  question: "How long does a new client take to have a map of N keys?",
  metric: { name: "milliseconds", unit: "ms", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    keys: { values: [100_000], smoke: [1_000], help: "keys of the map; 1000000 takes a minute" },
  },
  count({ parameters }, smoke) {
    positive(parameters, "keys");
    return smoke ? { count: 1, warmup: 0 } : { count: 5, warmup: 1 };
  },
  scales: false, // The question is about this map.
  timeout: 120,
  roles({ size, parameters }, count) {
    return [
      { role: "server", binds: true, ends: false },
      { role: "client", measured: true, expects: streamsOf(count, size, 0, Number(parameters.keys)) },
    ];
  },
  result(done, { parameters }) {
    const [client] = ofRole(done, "client");
    const [server] = ofRole(done, "server");
    const milliseconds = (client?.latency?.["50"] ?? Number.NaN) / 1e3;
    const { bytes = Number.NaN } = client?.extra ?? {};
    const growthOf = (report: typeof client) => (report?.extra?.rssGrowth ?? Number.NaN) / bytes;
    return {
      milliseconds,
      keysPerSecond: (Number(parameters.keys) / milliseconds) * 1e3,
      // 1: as much memory as the bytes of keys and values.
      held: (client?.extra?.memory ?? Number.NaN) / bytes,
      clientGrowth: growthOf(client),
      serverGrowth: growthOf(server),
    };
  },
  columns: [
    { name: "keysPerSecond", title: "keys", unit: "keys/s" },
    { name: "held", title: "map's memory", unit: "× data" },
    { name: "clientGrowth", title: "client grew", unit: "× data" },
    { name: "serverGrowth", title: "server grew", unit: "× data" },
  ],
  growth: "keys",
};
