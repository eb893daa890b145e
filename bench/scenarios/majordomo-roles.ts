/** Roles around a broker and their load, for all scenarios of Majordomo. */
import type { Expectation, Parameters, RoleSpec } from "../contract.js";
import { oneOf } from "./kit.js";

/** Number of workers, concurrent requests of each, and requests in flight from the client. */
export interface MajordomoLoad {
  readonly workers: number;
  readonly concurrency: number;
  readonly window: number;
  /** Further requests that wait at a worker; -1: the worker's default. */
  readonly prefetch: number;
}

/** Requests in flight from a pipelined client. */
const PIPELINED = 1_000;

/**
 * A ROUTER drops above its mark, and libzmq's may count twice the requests in flight, since it learns late which
 * messages were read.
 */
const HIGH_WATER_MARK = 4 * PIPELINED;

export const MAJORDOMO_LOADS: Readonly<Record<string, MajordomoLoad>> = {
  "concurrency-16": { workers: 2, concurrency: 16, window: PIPELINED, prefetch: -1 },
  "concurrency-256": { workers: 2, concurrency: 256, window: PIPELINED, prefetch: -1 },
  "prefetch-8": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: 8 },
  "concurrency-1": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: -1 },
  synchronous: { workers: 1, concurrency: 1, window: 1, prefetch: -1 },
};

/**
 * Single round trips before the counted ones. The compiler counts calls instead of seconds: after one second, half of
 * the code is uncompiled, at 270 µs of processor time each through a broker; after 14,000 round trips it is 92 µs,
 * and stays so.
 */
export const WARM_ROUND_TRIPS = 20_000;

/**
 * Requests of a pipelined client before the counted ones. After 50,000 to 100,000 requests, client, broker and
 * workers together take 7 to 8 µs of processor time per request; after 400,000 they take 5.5. The counted ones last a
 * second: with fewer before, the compiler is measured, too.
 */
export const WARM_REQUESTS = 200_000;

/** @throws BadInput for a load that is not one of {@link MAJORDOMO_LOADS} */
export function loadOf(parameters: Parameters): MajordomoLoad {
  return MAJORDOMO_LOADS[oneOf(parameters, "load", Object.keys(MAJORDOMO_LOADS))] as MajordomoLoad;
}

/** @param workerOptions further options of each worker process */
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
