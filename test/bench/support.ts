/** A scenario and contenders without sockets, to see what the runner makes of them. */
import { fileURLToPath } from "node:url";
import type { Contender, Scenario } from "../../bench/contract.js";
import { sideArguments } from "../../bench/peers/node/side.js";
import type { BenchRecord } from "../../bench/report/records.js";
import type { CaseSettings } from "../../bench/runner/case.js";

const SIDE = fileURLToPath(new URL("./programs/side.js", import.meta.url));

export const scenario: Scenario = {
  name: "throughput",
  question: "Does the runner see it?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc", "inproc"],
  sizes: [8, 16],
  parameters: {},
  count: () => ({ count: 100, warmup: 10 }),
  roles: (_, messages) => {
    const expects = { messages, bytes: messages * 8, checksum: "00000000", ordered: true };
    return [{ role: "consumer", binds: true, measured: true, expects }, { role: "producer" }];
  },
  result: ([consumer]) => ({ messagesPerSecond: (consumer?.messages ?? 0) / (consumer?.seconds ?? 0) }),
};

/** @param seconds what a hundred messages take, as its consumer reports */
export function contender(name: string, mode = "works", seconds = 0.001): Contender {
  return {
    name,
    title: name,
    absent: async () => undefined,
    supports: () => true,
    command: (side) => {
      const options = { ...side.options, mode, seconds };
      return { file: process.execPath, args: [SIDE, ...sideArguments({ ...side, options })] };
    },
  };
}

export function settings(changes: Partial<CaseSettings> = {}): CaseSettings {
  const rule = { leastRounds: 1, mostRounds: 1, seconds: 20, narrow: 0.03 };
  const { signal } = new AbortController();
  const none = { reference: undefined, pinning: undefined };
  return { smoke: true, rule, runSeconds: 0.001, ...none, signal, ...changes };
}

/** Collects; `order` has the contenders as their runs ended. */
export function listener() {
  const records: BenchRecord[] = [];
  return {
    records,
    record: (record: BenchRecord) => void records.push(record),
    progress: () => undefined,
    scenarioDone: () => undefined,
    get order() {
      return records.flatMap((record) => (record.type === "run" ? [record.contender] : []));
    },
    get failures() {
      return records.filter((record) => record.type === "failed");
    },
  };
}

export const chosen = { transport: "tcp", size: 8, parameters: {} } as const;

export const plan = { cases: [{ scenario, chosen }] } as const;

/** The scenario's own values. */
export const selection = { transports: undefined, sizes: undefined, parameters: {} } as const;
