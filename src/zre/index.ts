/** 36/ZRE as a second plane of a node. */
export type { ZreFault } from "./codec.js";
export { nodeHeaders } from "./codec.js";
export type { ZreEvent, ZreExitReason, ZrePeer } from "./events.js";
export { type ZreOptions, ZrePlane, type ZreStats } from "./plane.js";
export type { ZreRefusal } from "./rules.js";
