/** `shoal/testing`: a seeded network and clock for tests of programs and pure rules. */
export type { TimedRules } from "../core/timers.js";
export { simulated } from "./engine.js";
export type { LinkOptions } from "./fabric.js";
export { Disk, NodeDownError, type Program, type ProgramContext, SimulatedNode } from "./node.js";
export { Random, type ShrinkLimits, shrink, shrinkAsync } from "./random.js";
export { NodeClock } from "./scope.js";
export {
  type SimulateOptions,
  SimulationError,
  type SimulationReport,
  type Story,
  simulate,
} from "./simulate.js";
export {
  type Faults,
  Network,
  NO_FAULTS,
  RulesTimer,
  Simulation,
  type SimulationOptions,
} from "./simulation.js";
export { type NodeOrName, World } from "./world.js";
