/**
 * Rules of clusters in virtual time, for tests and benchmarks, which load them from the built package. Not an entry
 * point.
 */
export { Crowd } from "./crowd.js";
export { type SimulatedNode, stateOf, World, type WorldOptions } from "./world.js";
