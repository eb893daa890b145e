import type { Scenario } from "../contract.js";
import { ofRole } from "./kit.js";

/** ms without queue space after which the producer stops: all queues are full, and stay so. */
const PATIENCE = 3_000;

/**
 * A producer that keeps sending, a proxy (PULL to PUSH), and a consumer that reads nothing. The proxy may hold as
 * many messages as its two marks allow; messages in the peers and the kernel are not in its memory.
 */
export const proxyMemory: Scenario = {
  name: "proxy-memory",
  question: "Does a proxy's memory stay within its high-water marks when its backend does not read?",
  metric: { name: "growthMegabytes", unit: "MB", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [1_024, 65_536],
  smokeSizes: [1_024],
  parameters: {
    "high-water-mark": {
      values: [1_000],
      smoke: [100],
      help: "messages that each side of the proxy may queue",
    },
  },
  count() {
    return { count: 0, warmup: 0 }; // As many as fit.
  },
  scales: false,
  roles({ parameters }) {
    const peer = { "high-water-mark": 1 };
    const mark = Number(parameters["high-water-mark"]);
    return [
      {
        role: "proxy",
        binds: true,
        ends: false,
        measured: true,
        options: { kind: "streamer", "high-water-mark": mark },
      },
      { role: "stalled", connects: ["proxy/backend"], ends: false, options: peer },
      { role: "flood", connects: ["proxy"], options: { ...peer, patience: PATIENCE } },
    ];
  },
  result(done, { size, parameters }) {
    const growth = ofRole(done, "proxy")[0]?.extra?.rssGrowth ?? Number.NaN;
    const bound = 2 * Number(parameters["high-water-mark"]) * size;
    return {
      growthMegabytes: growth / 1e6,
      // 1: the growth equals the marks' bound.
      overBound: growth / bound,
      acceptedMegabytes: (ofRole(done, "flood")[0]?.bytes ?? Number.NaN) / 1e6,
    };
  },
  columns: [
    { name: "overBound", title: "relative to the marks' bound", unit: "×" },
    { name: "acceptedMegabytes", title: "accepted from the producer", unit: "MB" },
  ],
};
