/**
 * A proxy's life. Pure.
 *
 *   idle --start--> starting --> running <--pause, resume--> paused
 *                      |            |                          |
 *                      |            +--drain--> draining <-----+
 *                      |            |               |
 *                      +----stop----+---- stop -----+----> stopping --> stopped
 *
 * `stop` is allowed everywhere; endpoints change (`change`) where it runs or is paused. A proxy runs once: what it counted stays readable after its end.
 */
import { InvalidStateError } from "../core/errors.js";

/** Where a proxy is in its life. */
export type ProxyState = "idle" | "starting" | "running" | "paused" | "draining" | "stopping" | "stopped";

/** What can be asked of a proxy. */
export type ProxyCall = "start" | "started" | "change" | "pause" | "resume" | "drain" | "stop" | "stopped";

const TABLE: Readonly<Record<ProxyCall, Partial<Record<ProxyState, ProxyState>>>> = {
  start: { idle: "starting" },
  started: { starting: "running" },
  change: { running: "running", paused: "paused" },
  pause: { running: "paused", paused: "paused" },
  resume: { paused: "running", running: "running" },
  drain: { running: "draining", paused: "draining", draining: "draining" },
  stop: {
    idle: "stopped",
    starting: "stopping",
    running: "stopping",
    paused: "stopping",
    draining: "stopping",
    stopping: "stopping",
    stopped: "stopped",
  },
  stopped: { stopping: "stopped", stopped: "stopped" },
};

/**
 * The state after a call.
 *
 * @throws InvalidStateError `EFSM` where the call does not fit; nothing has changed then
 */
export function next(state: ProxyState, call: ProxyCall): ProxyState {
  const after = TABLE[call][state];
  if (after !== undefined) return after;
  const fits = Object.keys(TABLE[call]).join(" or ");
  throw new InvalidStateError("EFSM", `A proxy that is ${state} cannot ${call}; it has to be ${fits}`);
}
