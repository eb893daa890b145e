/** Roles in Node by scenario. They are loaded one by one, so that a side has no unused code. */
import type { Roles } from "./role.js";

interface RolesFile {
  readonly roles: Roles;
}

const LOADERS: Readonly<Record<string, () => Promise<RolesFile>>> = {
  throughput: () => import("./push-pull.js"),
  latency: () => import("./echo.js"),
  "latency-under-load": () => import("./echo.js"),
  "request-reply": () => import("./echo.js"),
  "fan-out": () => import("./pub-sub.js"),
  subscriptions: () => import("./pub-sub.js"),
  "fan-in": () => import("./push-pull.js"),
  pipeline: () => import("./push-pull.js"),
  "slow-consumer": () => import("./push-pull.js"),
  curve: () => import("./push-pull.js"),
  ws: () => import("./push-pull.js"),
  tls: () => import("./push-pull.js"),
  threads: () => import("./threads.js"),
  "connection-storm": () => import("./connections.js"),
  "idle-memory": () => import("./connections.js"),
  "start-up": () => import("./start-up.js"),
};

/** Scenarios of patterns and proxies, which only shoal has. */
const PATTERN_LOADERS: Readonly<Record<string, () => Promise<RolesFile>>> = {
  proxy: () => import("./proxy.js"),
  majordomo: () => import("./majordomo.js"),
  "majordomo-under-load": () => import("./majordomo.js"),
  "majordomo-growth": () => import("./majordomo.js"),
  "majordomo-new-worker": () => import("./majordomo.js"),
  titanic: () => import("./titanic.js"),
  clone: () => import("./clone.js"),
  "clone-set": () => import("./clone-set.js"),
  "last-value-cache": () => import("./last-value-cache.js"),
  "cluster-idle": () => import("./cluster-messages.js"),
  "cluster-forward": () => import("./cluster-messages.js"),
  "cluster-publish": () => import("./cluster-messages.js"),
  "cluster-join": () => import("./cluster-messages.js"),
  "cluster-routes": () => import("./cluster-messages.js"),
  "cluster-resume": () => import("./cluster-messages.js"),
  service: () => import("./service.js"),
};

/** The same work with plain sockets, if possible. */
const PLAIN_LOADERS: Readonly<Record<string, () => Promise<RolesFile>>> = {
  majordomo: () => import("./plain-broker.js"),
  "majordomo-under-load": () => import("./plain-broker.js"),
  clone: () => import("./plain-clone.js"),
  "clone-set": () => import("./plain-clone.js"),
  "last-value-cache": () => import("./plain-forwarder.js"),
  "cluster-forward": () => import("./push-pull.js"),
  service: () => import("./plain-service.js"),
};

/** Scenarios that shoal and the package zeromq can play. */
export const PLAYED: readonly string[] = Object.keys(LOADERS);
export const PATTERNS: readonly string[] = Object.keys(PATTERN_LOADERS);
export const PLAIN_PATTERNS: readonly string[] = Object.keys(PLAIN_LOADERS);

/** @param plain for a scenario of a pattern: plain sockets instead */
export async function loadRoles(scenario: string, plain: boolean): Promise<Roles> {
  const loaders = { ...LOADERS, ...(plain ? PLAIN_LOADERS : PATTERN_LOADERS) };
  const load = Object.hasOwn(loaders, scenario) ? loaders[scenario] : undefined;
  if (load === undefined) throw new Error(`the scenario ${scenario} has no roles here`);
  return (await load()).roles;
}
