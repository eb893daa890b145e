import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

/** REQ to REP and back: the server binds, the client measures. */
export const latency: Scenario = {
  name: "latency",
  question: "How long does a round trip take, one message in flight at a time?",
  metric: { name: "medianMicroseconds", unit: "µs", better: "lower" },
  transports: ["tcp", "ipc", "inproc"],
  sizes: [1, 64, 1024, 65_536, 1_048_576],
  smokeSizes: [64],
  parameters: {},
  count({ size }, smoke) {
    const count = size >= 1_048_576 ? 500 : size >= 65_536 ? 2_000 : 5_000;
    return smoke ? { count: 500, warmup: 100 } : { count, warmup: Math.ceil(count / 5) };
  },
  roles({ size }, count, warmup) {
    return [
      { role: "server", binds: true },
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
    const table = client?.latency ?? {};
    return {
      medianMicroseconds: table["50"] ?? Number.NaN,
      p90: table["90"] ?? Number.NaN,
      p99: table["99"] ?? Number.NaN,
      p999: table["99.9"] ?? Number.NaN,
      max: table["100"] ?? Number.NaN,
    };
  },
  columns: [
    { name: "p90", title: "p90", unit: "µs" },
    { name: "p99", title: "p99", unit: "µs" },
    { name: "p999", title: "p99.9", unit: "µs" },
    { name: "max", title: "max", unit: "µs" },
  ],
  growth: "size",
};
