/** Type of a role: one end of a scenario's messages, in Node. */
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";

/** Plays a role to its end, with sockets closed. An error ends the process with code 1. */
export type Role = (side: Side, kit: Kit) => Promise<void>;

/** Roles by name; `both` plays all in one process, for inproc. */
export type Roles = Readonly<Record<string, Role>>;
