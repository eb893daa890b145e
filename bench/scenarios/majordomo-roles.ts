/** The processes around a broker, and how hard they are driven: for all scenarios of Majordomo. */
import type { Expectation, Parameters, RoleSpec } from "../contract.js";
import { oneOf } from "./kit.js";

/** How many workers, how many requests each takes at once, and how many the client has under way. */
export interface MajordomoLoad {
  readonly workers: number;
  readonly concurrency: number;
  readonly window: number;
  /** Requests that wait at a worker beyond those; -1: the worker's own default. */
  readonly prefetch: number;
}

/** Requests that a pipelined client has under way. */
const PIPELINED = 1_000;

/** A ROUTER drops what is past its mark, and libzmq's may count twice what is under way: it hears late what was read. */
const HIGH_WATER_MARK = 4 * PIPELINED;

export const MAJORDOMO_LOADS: Readonly<Record<string, MajordomoLoad>> = {
  "concurrency-16": { workers: 2, concurrency: 16, window: PIPELINED, prefetch: -1 },
  "concurrency-256": { workers: 2, concurrency: 256, window: PIPELINED, prefetch: -1 },
  "prefetch-8": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: 8 },
  "concurrency-1": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: -1 },
  synchronous: { workers: 1, concurrency: 1, window: 1, prefetch: -1 },
};

/**
 * Round trips one by one before those that count. The compiler counts calls, not seconds: a second of them leaves half of
 * the code uncompiled, at 270 µs of processor time each through a broker; after 14,000 it is 92 µs, and stays so.
 */
export const WARM_ROUND_TRIPS = 20_000;

/**
 * The same of a pipelined client. After 50,000 to 100,000 requests client, broker and workers take 7 to 8 µs of processor time for
 * each together, after 400,000 5.5. Which of them count is a second's worth: with as few before, the compiler is measured, too.
 */
export const WARM_REQUESTS = 200_000;

/** @throws BadInput for a load that is not one of {@link MAJORDOMO_LOADS} */
export function loadOf(parameters: Parameters): MajordomoLoad {
  return MAJORDOMO_LOADS[oneOf(parameters, "load", Object.keys(MAJORDOMO_LOADS))] as MajordomoLoad;
}

/** @param workerOptions more of them, for each process of workers */
export function majordomoRoles(
  { workers, concurrency, prefetch, window }: MajordomoLoad,
  expects: Expectation,
  workerOptions: Parameters = {},
): RoleSpec[] {
  const marks = { "high-water-mark": HIGH_WATER_MARK };
  return [
    { role: "broker", binds: true, ends: false, options: { ...marks, backlog: 4096 } },
    {
      role: "worker",
      processes: workers,
      connects: ["broker/backend"],
      ends: false,
      options: { ...marks, concurrency, prefetch, ...workerOptions },
    },
    { role: "client", connects: ["broker"], measured: true, options: { ...marks, window }, expects },
  ];
}
