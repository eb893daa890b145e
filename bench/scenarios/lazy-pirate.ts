import type { Scenario } from "../contract.js";
import { answersOf, LATENCY_COLUMNS, latencyFigures, PATTERN_REFERENCES } from "./kit.js";

import { WARM_ROUND_TRIPS } from "./majordomo-roles.js";

/** The server is a plain REP for all. Implementations without the pattern use a plain REQ. */
export const lazyPirate: Scenario = {
  name: "lazy-pirate",
  question: "What do timeouts and retries cost over plain REQ and REP, when nothing fails?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {},
  count(_chosen, smoke) {
    return smoke ? { count: 500, warmup: 100 } : { count: 10_000, warmup: WARM_ROUND_TRIPS };
  },
  roles({ size }, count, warmup) {
    const options = { pattern: "req-rep", sockets: 1 };
    return [
      { role: "server", binds: true, ends: false, options },
      { role: "client", measured: true, options, expects: answersOf(size, warmup, count) },
    ];
  },
  result(done) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    return {
      requestsPerSecond: messages / seconds,
      ...latencyFigures(client === undefined ? [] : [client]),
    };
  },
  columns: LATENCY_COLUMNS,
  references: PATTERN_REFERENCES,
};
