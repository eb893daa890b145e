/** 36/ZRE as a second plane of a node. */
export type { ZreFault } from "./codec.js";
export { nodeHeaders } from "./codec.js";
export { type ZreOptions, ZrePlane, type ZreStats } from "./plane.js";
export type { ZreEvent, ZreExitReason, ZrePeer, ZreRefusal } from "./rules.js";
