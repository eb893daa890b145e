export * from "../../kit/index.js";
export type { BlackBoxDropReason } from "../../statistics/patterns.js";
export type { BlackBoxOptions } from "./black-box.js";
export {
  BlackBox,
  type BlackBoxContext,
  type BlackBoxEvent,
  type BlackBoxHandler,
  type BlackBoxStats,
} from "./black-box.js";
export type { BlackBoxFullPolicy, BlackBoxShardStats } from "./rules.js";
