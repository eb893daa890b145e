import * as all from "./draft.js";

export * from "./draft.js";
export default all;
