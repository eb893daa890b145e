import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";
import { LATENCY_COLUMNS, latencyFigures } from "./kit.js";

/** Duration of a rate in seconds. */
const SECONDS = 2;
const SMOKE_SECONDS = 0.3;
/** Requests until V8 has compiled their code; its compiler would otherwise dominate the tail. */
const WARMUP = 5_000;

/**
 * DEALER to ROUTER and back at a fixed rate. The load is open: a request is sent when it is due, instead of after the
 * last reply, and its latency counts from then. This corrects for coordinated omission.
 */
export const latencyUnderLoad: Scenario = {
  name: "latency-under-load",
  question: "How long does a request take when requests are sent on schedule, even while earlier ones wait?",
  metric: { name: "p99", unit: "µs", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    rate: { values: [1_000, 5_000, 10_000], smoke: [2_000], help: "requests a second" },
  },
  count({ parameters }, smoke) {
    const rate = Number(parameters.rate);
    const warmup = Math.round(rate / 4);
    if (smoke) return { count: Math.round(rate * SMOKE_SECONDS), warmup };
    return { count: rate * SECONDS, warmup: Math.max(warmup, WARMUP) };
  },
  scales: false, // The question is about this rate and duration.
  roles({ size }, count, warmup) {
    return [
      { role: "server", binds: true, ends: false },
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
  result(done, { parameters }) {
    const [client] = done;
    const { messages = 0, seconds = 0 } = client ?? {};
    return {
      ...latencyFigures(client === undefined ? [] : [client]),
      // 1 if the schedule was kept; less if replies came slower than requests were due.
      kept: messages / seconds / Number(parameters.rate),
    };
  },
  columns: [...LATENCY_COLUMNS, { name: "kept", title: "rate kept", unit: "×" }],
  growth: "rate",
};
