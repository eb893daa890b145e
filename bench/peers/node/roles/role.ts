/** What a role is: one end of a scenario's messages, in Node. */
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";

/** Plays a role to its end, sockets closed. What it throws ends the process with code 1. */
export type Role = (side: Side, kit: Kit) => Promise<void>;

/** By role name; `both` plays them all in one process, for inproc. */
export type Roles = Readonly<Record<string, Role>>;
