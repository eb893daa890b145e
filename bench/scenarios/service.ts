/** A service of another node, called directly: `node.serve` and `node.request`. */
import type { Scenario } from "../contract.js";
import { answersOf, LATENCY_COLUMNS, latencyFigures, positive } from "./kit.js";

/** `shoal-zmtp-plain` is REQ and REP for one request at a time, and DEALER and ROUTER for more; NATS has requests. */
export const service: Scenario = {
  name: "service",
  question: "How many requests a second does one node of a cluster answer for another one?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    window: { values: [1, 256], smoke: [1, 16], help: "requests in flight" },
  },
  count({ parameters }, smoke) {
    const count = positive(parameters, "window") === 1 ? 10_000 : 50_000;
    return smoke ? { count: 500, warmup: 100 } : { count, warmup: Math.ceil(count / 2) };
  },
  roles({ size }, count, warmup) {
    return [
      { role: "server", binds: true, ends: false },
      { role: "client", measured: true, expects: answersOf(size, warmup, count) },
    ];
  },
  result([client]) {
    const { messages = 0, seconds = 0 } = client ?? {};
    return { requestsPerSecond: messages / seconds, ...latencyFigures(client === undefined ? [] : [client]) };
  },
  columns: LATENCY_COLUMNS,
  references: ["shoal-zmtp-plain", "nats"],
};
