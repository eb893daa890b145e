/** The rules of clusters in virtual time: for their tests, and for the benchmarks, which load it from the built package. Not an entry point. */
export { Crowd } from "./crowd.js";
export { type SimulatedNode, stateOf, World, type WorldOptions } from "./world.js";
