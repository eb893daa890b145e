export * from "../../kit/index.js";
export {
  BlackBox,
  type BlackBoxContext,
  type BlackBoxEvent,
  type BlackBoxHandler,
  type BlackBoxStats,
} from "./black-box.js";
export type { BlackBoxOptions } from "./options.js";
export type { BlackBoxDropReason, BlackBoxFullPolicy, BlackBoxShardStats } from "./rules.js";
