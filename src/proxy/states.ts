/**
 * Life cycle of a proxy. Pure.
 *
 *   idle --start--> starting --> running <--pause, resume--> paused
 *                      |            |                          |
 *                      |            +--drain--> draining <-----+
 *                      |            |               |
 *                      |            |               +--> drained
 *                      |            |               |       |
 *                      +----stop----+---- stop -----+-------+----> stopping --> stopped
 *
 * `stop` is valid in every state, `change` (of endpoints) while running or paused. A proxy runs once; its counters stay
 * readable.
 */
import { InvalidStateError } from "../core/errors.js";
import type { PROXY } from "../statistics/proxy.js";
import type { StatisticsOf } from "../statistics/rows.js";

/** `drained`: the drain has ended; `stats().drain` is its result. */
export type ProxyState = StatisticsOf<typeof PROXY>["state"];

type Steps = Partial<Record<ProxyState, ProxyState>>;

const TABLE = {
  start: { idle: "starting" },
  started: { starting: "running" },
  change: { running: "running", paused: "paused" },
  pause: { running: "paused", paused: "paused" },
  resume: { paused: "running", running: "running" },
  drain: { running: "draining", paused: "draining", draining: "draining", drained: "drained" },
  drained: { draining: "drained", stopping: "stopping" },
  stop: {
    idle: "stopped",
    starting: "stopping",
    running: "stopping",
    paused: "stopping",
    draining: "stopping",
    drained: "stopping",
    stopping: "stopping",
    stopped: "stopped",
  },
  stopped: { stopping: "stopped", stopped: "stopped" },
} satisfies Record<string, Steps>;

export type ProxyCall = keyof typeof TABLE;

/** Whether a drain gives a result: it can start, or has started. */
export function canDrain(state: ProxyState): boolean {
  return state in TABLE.drain;
}

/** @throws InvalidStateError `EFSM` for a call that the state does not allow */
export function next(state: ProxyState, call: ProxyCall): ProxyState {
  const steps: Steps = TABLE[call];
  const after = steps[state];
  if (after !== undefined) return after;
  const fits = Object.keys(steps).join(" or ");
  throw new InvalidStateError("EFSM", `A proxy that is ${state} cannot ${call}; it has to be ${fits}`);
}
