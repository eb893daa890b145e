/**
 * Every exported metric: those of each driver family's statistics (src/statistics).
 *
 * A path leads through `stats()`; a segment `{label}` visits every member, whose name is the label's value. Absent and
 * non-numeric values, as from another engine or an older proxy, give no sample.
 */

import type { SocketStats } from "../sockets/stats.js";
import * as clusters from "../statistics/cluster.js";
import * as patterns from "../statistics/patterns.js";
import { PROXY, PROXY_CAPTURE, PROXY_CONTROL, PROXY_SIDE } from "../statistics/proxy.js";
import { counter, gauge, group, type MetricRow, type Row, type Rows } from "../statistics/rows.js";

export interface Metric extends Omit<MetricRow, "name" | "label"> {
  readonly name: string;
  readonly path: string;
}

/** Fixed values of labels; other members give no sample. Other labels hold reasons. */
export const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = {
  side: ["frontend", "backend"],
  direction: ["in", "out"],
};

/** A driver's socket. */
function socket(rows: { readonly [K in keyof SocketStats]?: Row }): Row {
  return group(rows);
}

const RECONNECTS = counter("Connections made again after a loss.");

const NAMESPACE = {
  ...clusters.CLUSTER,
  messaging: group(clusters.MESSAGING),
  memberMessages: group(clusters.MEMBER_MESSAGES),
  requests: group(clusters.REQUESTS),
};

interface Family {
  /** Class name that the driver passes to `Driver`. */
  readonly driver?: string | undefined;
  readonly label: string;
  /** Ready after its `ready` settles, once bound, or once open. */
  readonly ready: "connected" | "bound" | "open";
  readonly metrics: readonly Metric[];
}

function family(label: string, ready: Family["ready"], rows: Rows, driver?: string) {
  return { label, ready, rows, driver };
}

/** @param parent path of a group, with a dot at its end */
function metricsOf(family: string, rows: Rows, parent = ""): readonly Metric[] {
  return Object.entries(rows).flatMap(([member, { metric, rows: inner }]) => {
    const path = `${parent}${member}`;
    if (inner !== undefined) return metricsOf(family, inner, `${path}.`);
    if (metric === undefined) return [];
    const snakeCase = member.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const { name = snakeCase, label, ...rest } = metric;
    return {
      ...rest,
      name: `shoal_${family.replaceAll("-", "_")}_${name}${rest.type === "counter" ? "_total" : ""}`,
      path: label === undefined ? path : `${path}.{${label}}`,
    };
  });
}

/** Families in export order. */
const ROWS = {
  proxy: family("proxy", "open", {
    "{side}": group(PROXY_SIDE),
    unanswered: PROXY.unanswered,
    capture: group(PROXY_CAPTURE),
    control: group(PROXY_CONTROL),
    state: PROXY.state,
  }),
  majordomo: family("broker", "bound", patterns.MAJORDOMO, "MajordomoBroker"),
  "majordomo-worker": family("worker", "connected", patterns.MAJORDOMO_WORKER, "MajordomoWorker"),
  "majordomo-client": family("client", "connected", patterns.MAJORDOMO_CLIENT, "MajordomoClient"),
  titanic: family(
    "titanic",
    "open",
    { ...patterns.TITANIC, store: group(patterns.TITANIC_STORE) },
    "Titanic",
  ),
  pirate: family("queue", "bound", patterns.PIRATE_QUEUE, "PirateQueue"),
  "pirate-worker": family("worker", "connected", patterns.PIRATE_WORKER, "PirateWorker"),
  "pirate-client": family("client", "connected", patterns.REQUEST_CLIENT, "PirateClient"),
  "load-balancer": family("broker", "bound", patterns.PIRATE_QUEUE, "LoadBalancer"),
  "load-balancer-client": family("client", "connected", patterns.LOAD_BALANCER_CLIENT, "LoadBalancerClient"),
  federation: family("broker", "bound", patterns.FEDERATION, "FederatedBroker"),
  "freelance-server": family("server", "bound", patterns.FREELANCE_SERVER, "FreelanceServer"),
  "freelance-client": family("client", "connected", patterns.FREELANCE_CLIENT, "FreelanceClient"),
  "freelance-shotgun-client": family(
    "client",
    "connected",
    patterns.FREELANCE_SHOTGUN_CLIENT,
    "FreelanceShotgunClient",
  ),
  "freelance-failover-client": family(
    "client",
    "connected",
    patterns.REQUEST_CLIENT,
    "FreelanceFailoverClient",
  ),
  lvc: family("cache", "bound", patterns.LAST_VALUE_CACHE, "LastValueCache"),
  clone: family("server", "bound", patterns.CLONE_SERVER, "CloneServer"),
  "clone-client": family("client", "connected", patterns.CLONE_CLIENT, "CloneClient"),
  cluster: family("node", "open", NAMESPACE, "ClusterNode"),
  "cluster-namespace": family("namespace", "open", NAMESPACE, "ClusterNamespace"),
  connections: family("manager", "open", clusters.CONNECTIONS, "ConnectionManager"),
  "discovery-server": family("server", "open", clusters.DISCOVERY_SERVER, "DiscoveryServer"),
  "discovery-client": family("client", "connected", clusters.DISCOVERY_CLIENT, "DiscoveryClient"),
  "binary-star": family("server", "open", patterns.BINARY_STAR, "BinaryStar"),
  "binary-star-gate": family("gate", "open", patterns.BINARY_STAR_GATE, "BinaryStarGate"),
  "binary-star-server": family("server", "open", patterns.BINARY_STAR_SERVER, "BinaryStarServer"),
  "binary-star-client": family("client", "connected", patterns.REQUEST_CLIENT, "BinaryStarClient"),
  "sequenced-publisher": family("publisher", "open", patterns.SEQUENCED_PUBLISHER, "SequencedPublisher"),
  "sequenced-subscriber": family(
    "subscriber",
    "connected",
    patterns.SEQUENCED_SUBSCRIBER,
    "SequencedSubscriber",
  ),
  "suicidal-snail": family("subscriber", "connected", patterns.SUICIDAL_SNAIL, "SuicidalSnail"),
  "black-box": family(
    "subscriber",
    "open",
    { ...patterns.BLACK_BOX, socket: socket({ peers: gauge("Connected peers."), reconnects: RECONNECTS }) },
    "BlackBox",
  ),
  "espresso-tap": family(
    "tap",
    "open",
    {
      ...patterns.ESPRESSO_TAP,
      socket: socket({
        peers: gauge("Connected listeners."),
        copies: group({ dropped: counter("Copies missed by slow listeners.", "copies_dropped") }),
      }),
    },
    "EspressoTap",
  ),
  "espresso-listener": family(
    "listener",
    "connected",
    {
      ...patterns.ESPRESSO_LISTENER,
      socket: socket({ peers: gauge("Connected taps."), reconnects: RECONNECTS }),
    },
    "EspressoListener",
  ),
};

/** Drivers with the same statistics. */
export type MetricsFamily = keyof typeof ROWS;

export const FAMILIES = Object.fromEntries(
  Object.entries(ROWS).map(([kind, { rows, ...rest }]) => [
    kind,
    { ...rest, metrics: metricsOf(kind, rows) },
  ]),
) as Readonly<Record<MetricsFamily, Family>>;

/** `queue`, `forwarder`, `streamer` and `proxy` are proxies, the others pattern families. */
export type MetricsKind = "queue" | "forwarder" | "streamer" | MetricsFamily;

const PROXIES = ["queue", "forwarder", "streamer", "proxy"] as const;

export const KINDS: readonly MetricsKind[] = [
  ...new Set<MetricsKind>([...PROXIES, ...(Object.keys(FAMILIES) as MetricsFamily[])]),
];

const BY_DRIVER: ReadonlyMap<string, MetricsFamily> = new Map(
  Object.entries(FAMILIES).flatMap(([kind, { driver }]) =>
    driver === undefined ? [] : [[driver, kind as MetricsFamily]],
  ),
);

/** @param driver class name */
export function kindOfDriver(driver: string): MetricsKind | undefined {
  return BY_DRIVER.get(driver);
}

export function familyOf(kind: MetricsKind): MetricsFamily {
  return (PROXIES as readonly string[]).includes(kind) ? "proxy" : (kind as MetricsFamily);
}

/** Constant 1. */
export const INFO: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_source_info",
  type: "gauge",
  help: "1 for each driver in the process.",
  labels: ["name", "kind"],
};

export const UP: typeof INFO = {
  name: "shoal_source_up",
  type: "gauge",
  help: "1 if the statistics of the driver could be read, else 0.",
  labels: ["name", "kind"],
};

export const BUILD: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_build_info",
  type: "gauge",
  help: "1, with the version of shoal.",
  labels: ["version"],
};

/** The source's name first. */
export function labelsOf(of: MetricsFamily, { path, states: words }: Metric): readonly string[] {
  const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, label]) => label as string);
  return [FAMILIES[of].label, ...inPath, ...(words === undefined ? [] : ["state"])];
}
