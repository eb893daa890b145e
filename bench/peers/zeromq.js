// @ts-check
/** The npm package zeromq, as it is. */
import { Pull, Push, Reply, Request } from "zeromq";

export const contender = { Push, Pull, Reply, Request };
