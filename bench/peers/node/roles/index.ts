/** The roles in Node, by scenario; loaded one by one, so that a side holds nothing that it does not measure. */
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";

/** Plays a role to its end, sockets closed. What it throws ends the process with code 1. */
export type Role = (side: Side, kit: Kit) => Promise<void>;

/** By role name; `both` plays them all in one process, for inproc. */
export type Roles = Readonly<Record<string, Role>>;

const LOADERS: Readonly<Record<string, () => Promise<{ readonly roles: Roles }>>> = {
  throughput: () => import("./throughput.js"),
  latency: () => import("./latency.js"),
  "latency-under-load": () => import("./echo.js"),
  "request-reply": () => import("./echo.js"),
  "fan-out": () => import("./pub-sub.js"),
  subscriptions: () => import("./pub-sub.js"),
  "fan-in": () => import("./push-pull.js"),
  pipeline: () => import("./push-pull.js"),
  "slow-consumer": () => import("./push-pull.js"),
  curve: () => import("./push-pull.js"),
  "connection-storm": () => import("./connections.js"),
  "idle-memory": () => import("./connections.js"),
  "start-up": () => import("./start-up.js"),
};

/** The scenarios that shoal and the package zeromq can play. */
export const PLAYED: readonly string[] = Object.keys(LOADERS);

export async function loadRoles(scenario: string): Promise<Roles> {
  const load = Object.hasOwn(LOADERS, scenario) ? LOADERS[scenario] : undefined;
  if (load === undefined) throw new Error(`nobody plays the scenario ${scenario} here`);
  return (await load()).roles;
}
