/**
 * Every metric that shoal exports of its own: name, type, and where its value is in a source's accounts. Names and units
 * are as Prometheus has them: base units, `_total` for what only grows.
 *
 * A path is walked through `stats()`; a segment `{label}` goes to every member there, whose name is the label's value.
 * What is absent, or is no number, gives no sample: an engine that cannot count it, an older proxy.
 */

/** What a source is. */
export type MetricsKind =
  | "queue"
  | "forwarder"
  | "streamer"
  | "proxy"
  | "majordomo"
  | "pirate"
  | "lvc"
  | "clone";

/** Sources with the same accounts. */
export type MetricsFamily = "proxy" | "majordomo" | "pirate" | "lvc" | "clone";

/** The label that has a source's name. */
export const NAME_LABEL: Readonly<Record<MetricsFamily, string>> = {
  proxy: "proxy",
  majordomo: "broker",
  pirate: "queue",
  lvc: "cache",
  clone: "server",
};

/** Labels with few values; members of other names are none. Those of other labels are reasons. */
export const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = {
  side: ["frontend", "backend"],
  direction: ["in", "out"],
};

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly path: string;
  /** The value is one of these words: a sample for each, of which one is 1. */
  readonly states?: readonly string[];
}

const PROXY: readonly Metric[] = [
  counter("messages", "{side}.{direction}.messages", "Messages that came in or went out at a side."),
  counter("bytes", "{side}.{direction}.bytes", "Bytes of their frames, without framing."),
  counter(
    "dropped",
    "{side}.{direction}.dropped.{reason}",
    "Messages that were taken in and not passed on, or were to go out and did not.",
  ),
  counter("refused", "{side}.refused.{reason}", "What the side's policy refused."),
  gauge("queued_messages", "{side}.{direction}.queued", "Messages that wait to be taken, or to leave."),
  gauge("peers", "{side}.peers", "Connected peers."),
  counter("reconnects", "{side}.reconnects", "Connections made again after a loss."),
  gauge("unanswered_requests", "unanswered", "Requests of the last minute without a reply yet."),
  gauge("loops", "loops", "Proxies among the peers that lead back to this one, itself among them."),
  counter("captured", "capture.captured", "Messages that the capture took."),
  counter("capture_missed", "capture.missed", "Messages, or copies, that the capture was too slow for."),
  gauge("capture_queued_messages", "capture.queued", "Copies that wait for a listener of the capture."),
  gauge("capture_peers", "capture.peers", "Connected listeners of the capture."),
  counter("control_commands", "control.commands", "Commands that were carried out."),
  counter(
    "control_refused",
    "control.refused",
    "Messages to the control that were no command, or did not fit.",
  ),
  {
    ...gauge("state", "state", "The state that the proxy is in has 1, the others 0."),
    states: ["idle", "starting", "running", "paused", "draining", "stopping", "stopped"],
  },
].map(named("shoal_proxy"));

const MAJORDOMO: readonly Metric[] = [
  counter("requests", "requests", "Requests taken in, repetitions not counted."),
  counter("answered", "answered", "Requests whose answer came from a worker."),
  counter("failed", "failed", "Requests that ended with an error."),
  counter("abandoned", "abandoned", "Requests whose client was gone, or gave up, before the answer."),
  counter("redelivered", "redelivered", "Deliveries made again because a worker was lost."),
  counter("duplicates", "duplicates", "Repetitions that were not handled again."),
  counter("late", "late", "Answers of workers that nobody waited for."),
  counter("replies_dropped", "repliesDropped", "Answers that their client could not take."),
  counter("faults", "faults", "Messages that broke the protocol."),
  gauge("queued_requests", "queued", "Requests that wait for a worker."),
  gauge("queued_bytes", "queuedBytes", "Bytes of them."),
  gauge("reply_bytes", "replyBytes", "Bytes of answers that wait for their clients' connections."),
  gauge("in_flight_requests", "inFlight", "Requests that a worker has."),
  gauge("services", "services", "Services that are offered or asked for."),
  gauge("workers", "workers", "Workers that are there."),
  gauge("clients", "clients", "Clients with requests in hand."),
].map(named("shoal_majordomo"));

const PIRATE: readonly Metric[] = [
  counter("requests", "requests", "Requests taken in."),
  counter("replies", "replies", "Replies passed to their clients."),
  counter("dropped", "dropped.{reason}", "Requests that ended without a reply."),
  counter("repeated", "repeated", "Deliveries beyond the first of a request."),
  counter("late_replies", "lateReplies", "Replies that nobody waited for."),
  counter("invalid", "invalid", "Messages that are none of the protocol's."),
  counter("workers_lost", "workersLost", "Workers that were lost."),
  gauge("queued_requests", "queued", "Requests that wait for a worker."),
  gauge("idle_workers", "idleWorkers", "Workers that wait for a request."),
  gauge("busy_workers", "busyWorkers", "Workers that have one."),
].map(named("shoal_pirate"));

const LVC: readonly Metric[] = [
  counter("messages", "messages", "Messages of publishers; all were passed on."),
  counter("updates", "updates", "Values that were kept."),
  counter("evicted", "evicted", "Topics that were forgotten at the bounds."),
  counter("uncached", "uncached.{reason}", "Messages that were passed on and not kept."),
  counter("invalid", "invalid", "Messages of subscribers that were no subscription."),
  counter("snapshots", "snapshots.done", "Snapshots that were sent."),
  counter("store_failures", "store.failures", "Commits of the store that failed."),
  gauge("topics", "topics", "Topics that have a value."),
  gauge("bytes", "bytes", "Bytes that topics and values hold."),
  gauge("subscriptions", "subscriptions", "Topic prefixes that are asked for."),
  gauge("snapshots_waiting", "snapshots.waiting", "Snapshots that are still to be sent."),
  gauge("store_pending", "store.pending", "Changes that a kill would lose now."),
].map(named("shoal_lvc"));

const CLONE: readonly Metric[] = [
  counter("received", "received", "Updates that came from clients."),
  counter("applied", "applied", "Updates put in order, applied and published."),
  counter("repeated", "repeated", "Updates that had been applied before."),
  counter("refused", "refused.{reason}", "Updates that were refused."),
  counter("conflicts", "conflicts", "Updates whose key had another revision than they asked for."),
  counter("faults", "faults.{reason}", "Messages that broke the protocol."),
  counter("published", "published", "Updates sent to clients."),
  counter("expired", "expired", "Keys that ended by themselves."),
  counter("snapshots", "snapshots.done", "Maps that clients have got whole."),
  counter("snapshots_lost", "snapshots.lost", "Maps that clients have not got to their end."),
  counter("commits", "commits", "Commits of the store."),
  gauge("entries", "entries", "Keys."),
  gauge("bytes", "bytes", "Bytes of keys and values."),
  gauge("memory_bytes", "memory", "Bytes that the map takes in memory, about."),
  gauge("pending", "pending", "Updates kept while standing by."),
  gauge("in_flight", "inFlight", "Updates on their way to the store or to the other server."),
  gauge("snapshots_active", "snapshots.active", "Maps on their way to clients."),
  gauge("snapshots_waiting", "snapshots.waiting", "Maps that wait for their turn."),
  gauge("serving", "serving", "1 when it serves, 0 when it stands by."),
  gauge("replicated", "replicated", "1 when the other server has all that is acknowledged."),
].map(named("shoal_clone"));

/** The metrics of each family, in the order that they are exported in. */
export const METRICS: Readonly<Record<MetricsFamily, readonly Metric[]>> = {
  proxy: PROXY,
  majordomo: MAJORDOMO,
  pirate: PIRATE,
  lvc: LVC,
  clone: CLONE,
};

/** What every source has: 1, with what it is. */
export const INFO: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_source_info",
  type: "gauge",
  help: "1 for each thing that runs in the process.",
  labels: ["name", "kind"],
};

/** The version. */
export const BUILD: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_build_info",
  type: "gauge",
  help: "1, with the version of shoal.",
  labels: ["version"],
};

/** The labels of a metric, the source's name first. */
export function labelsOf(family: MetricsFamily, { path, states }: Metric): readonly string[] {
  const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, label]) => label as string);
  return [NAME_LABEL[family], ...inPath, ...(states === undefined ? [] : ["state"])];
}

/** What a source's accounts are like. */
export function familyOf(kind: MetricsKind): MetricsFamily {
  switch (kind) {
    case "queue":
    case "forwarder":
    case "streamer":
    case "proxy":
      return "proxy";
    default:
      return kind;
  }
}

function counter(name: string, path: string, help: string): Metric {
  return { name: `${name}_total`, type: "counter", help, path };
}

function gauge(name: string, path: string, help: string): Metric {
  return { name, type: "gauge", help, path };
}

function named(prefix: string): (metric: Metric) => Metric {
  return (metric) => ({ ...metric, name: `${prefix}_${metric.name}` });
}
