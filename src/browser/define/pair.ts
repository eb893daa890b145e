/** Used by sockets/pair.ts. */
import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { defineWith } from "./define.js";

export const defineSocket = /* @__PURE__ */ defineWith({ Pair: (effects) => new PairRouting(effects) });
