/** Roles of the clone scenarios over a server's key-value store. */
import type { Side } from "../node/side.js";
import * as clone from "./clone.js";
import * as cloneSet from "./clone-set.js";
import type { Place } from "./store.js";

type Role = (side: Side, place: Place) => Promise<void>;

const ROLES: Readonly<Record<string, Readonly<Record<string, Role>>>> = {
  clone: { server: clone.server, client: clone.client },
  "clone-set": { server: cloneSet.server, client: cloneSet.client },
};

export const KEY_VALUE_SCENARIOS: readonly string[] = Object.keys(ROLES);

/** @returns the role of such a scenario; `undefined` for others */
export function keyValueRole(scenario: string, role: string): Role | undefined {
  return ROLES[scenario]?.[role];
}
