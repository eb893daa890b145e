/**
 * The reliability patterns, each from a folder of its own.
 *
 * @module
 */

export * from "../kit/index.js";
export * from "./binary-star/index.js";
export * from "./black-box/index.js";
export * from "./clone/index.js";
export * from "./espresso/index.js";
export * from "./federation/index.js";
export * from "./freelance/index.js";
export * from "./last-value-cache/index.js";
export * from "./load-balancer/index.js";
export * from "./majordomo/index.js";
export * from "./pirate/index.js";
export * from "./sequenced/index.js";
export * from "./suicidal-snail/index.js";
export * from "./titanic/index.js";
