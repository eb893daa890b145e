/**
 * Every exported metric: for each family of drivers, one row per member of its statistics. Names and units follow
 * Prometheus: base units, `_total` for counters.
 *
 * A path leads through `stats()`; a segment `{label}` visits every member, whose name is the label's value. An absent
 * or non-numeric value, as from another engine or an older proxy, gives no sample.
 *
 * The compiler checks that each member of a driver's statistics has a row. `null`: not exported.
 */

import type {
  ClusterStats,
  ConnectionManagerStats,
  DiscoveryClientStats,
  DiscoveryServerStats,
} from "../cluster/index.js";
import type {
  BinaryStarClientStats,
  BinaryStarGateStats,
  BinaryStarServerStats,
  BinaryStarStats,
} from "../patterns/binary-star/index.js";
import type { BlackBoxStats } from "../patterns/black-box/index.js";
import type { CloneClientStats, CloneServerStats } from "../patterns/clone/index.js";
import type { EspressoListenerStats, EspressoTapStats } from "../patterns/espresso/index.js";
import type { FederationStats } from "../patterns/federation/index.js";
import type {
  FreelanceClientStats,
  FreelanceServerStats,
  FreelanceShotgunClientStats,
} from "../patterns/freelance/index.js";
import type { RequestClientStats } from "../patterns/kit/index.js";
import type { LastValueCacheStats } from "../patterns/last-value-cache/index.js";
import type { LoadBalancerClientStats, LoadBalancerStats } from "../patterns/load-balancer/index.js";
import type {
  MajordomoBrokerStats,
  MajordomoClientStats,
  MajordomoWorkerStats,
} from "../patterns/majordomo/index.js";
import type { PirateWorkerStats } from "../patterns/pirate/index.js";
import type { SequencedPublisherStats, SequencedSubscriberStats } from "../patterns/sequenced/index.js";
import type { SuicidalSnailStats } from "../patterns/suicidal-snail/index.js";
import type { TitanicStats, TitanicStoreStats } from "../patterns/titanic/index.js";
import type { ProxyStats } from "../proxy/stats.js";

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly path: string;
  /** Possible values: one sample each, 1 for the current one. */
  readonly states?: readonly string[];
  /** The value is in ms and exported in seconds. */
  readonly inMs?: true;
}

/** A metric without its family's prefix; its path starts at the row's member. */
type Cell = Omit<Metric, "name" | "path"> & { readonly name?: string; readonly path?: string };

type Rows<S> = { readonly [K in keyof S]-?: Cell | readonly Cell[] | null };

function counter(help: string, name?: string, path?: string): Cell {
  return cell("counter", help, name, path);
}

function gauge(help: string, name?: string, path?: string): Cell {
  return cell("gauge", help, name, path);
}

/** A duration, in ms in the statistics. */
function milliseconds(help: string, name: string): Cell {
  return { type: "gauge", help, name: `${name}_seconds`, inMs: true };
}

function states(help: string, values: readonly string[]): Cell {
  return { type: "gauge", help, states: values };
}

function cell(type: Metric["type"], help: string, name?: string, path?: string): Cell {
  return { type, help, ...(name === undefined ? {} : { name }), ...(path === undefined ? {} : { path }) };
}

/** Values of labels with a fixed set; other members give no sample. Labels not listed here hold reasons. */
export const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = {
  side: ["frontend", "backend"],
  direction: ["in", "out"],
};

/** Metrics of a proxy's side, exported for both sides with the label `side`. */
const SIDES: readonly Metric[] = [
  ["counter", "messages", "{direction}.messages", "Messages that came in or went out at a side."],
  ["counter", "bytes", "{direction}.bytes", "Bytes of their frames, without framing."],
  [
    "counter",
    "dropped",
    "{direction}.dropped.{reason}",
    "Messages that were taken in and not passed on, or were to go out and did not.",
  ],
  ["counter", "refused", "refused.{reason}", "What the side's policy refused."],
  ["gauge", "queued_messages", "{direction}.queued", "Messages that wait to be taken, or to leave."],
  ["gauge", "peers", "peers", "Connected peers."],
  ["counter", "reconnects", "reconnects", "Connections made again after a loss."],
  ["counter", "handshake_errors", "handshakeErrors.{reason}", "Handshakes with peers that failed."],
].map(([type, name, path, help]) => ({
  name: `shoal_proxy_${name}${type === "counter" ? "_total" : ""}`,
  type: type as Metric["type"],
  help: help as string,
  path: `{side}.${path}`,
}));

const PROXY: Rows<ProxyStats> = {
  name: null,
  frontend: null, // SIDES
  backend: null,
  unanswered: gauge("Requests of the last minute without a reply yet.", "unanswered_requests"),
  loops: gauge("Proxies among the peers that lead back to this one, including itself."),
  capture: [
    counter("Messages that the capture took.", "captured", "captured"),
    counter("Messages, or copies, that the capture was too slow for.", "capture_missed", "missed"),
    gauge("Copies that wait for a listener of the capture.", "capture_queued_messages", "queued"),
    gauge("Connected listeners of the capture.", "capture_peers", "peers"),
  ],
  control: [
    counter("Commands that were carried out.", "control_commands", "commands"),
    counter(
      "Messages to the control that are not a command, or did not fit its state.",
      "control_refused",
      "refused",
    ),
  ],
  drain: null,
  state: states("The state that the proxy is in has 1, the others 0.", [
    "idle",
    "starting",
    "running",
    "paused",
    "draining",
    "stopping",
    "stopped",
  ]),
};

const MAJORDOMO: Rows<MajordomoBrokerStats> = {
  requests: counter("Requests taken in, repetitions not counted."),
  answered: counter("Requests whose answer came from a worker."),
  failed: counter("Requests that ended with an error."),
  abandoned: counter("Requests whose client was gone, or gave up, before the answer."),
  redelivered: counter("Deliveries made again because a worker was lost."),
  duplicates: counter("Repetitions that were not handled again."),
  late: counter("Answers of workers that nobody waited for."),
  repliesDropped: counter("Answers that their client could not take."),
  faults: counter("Messages that broke the protocol."),
  queued: gauge("Requests that wait for a worker.", "queued_requests"),
  queuedBytes: gauge("Bytes of them."),
  replyBytes: gauge("Bytes of answers that wait for their clients' connections."),
  inFlight: gauge("Requests that a worker has.", "in_flight_requests"),
  services: gauge("Services that are offered or asked for."),
  workers: gauge("Connected workers."),
  clients: gauge("Clients with requests under way."),
};

const MAJORDOMO_WORKER: Rows<MajordomoWorkerStats> = {
  requests: counter("Requests taken in."),
  answered: counter("Requests that were answered."),
  failed: counter("Requests whose handler failed."),
  cancelled: counter("Requests whose client gave up, or whose time was over."),
  stale: counter("Answers for a broker that was lost meanwhile."),
  returned: counter("Requests that waited behind handlers which took long, and went back to the broker."),
  duplicates: counter("Repetitions that were not handled again."),
  faults: counter("Messages that broke the protocol."),
  running: gauge("Handlers that run, or whose replies wait for room.", "running_handlers"),
  queued: gauge("Requests that wait for a handler to end.", "queued_requests"),
  unsentBytes: gauge("Bytes of replies that wait for room at the connections."),
  brokers: gauge("Brokers that may give requests."),
};

const MAJORDOMO_CLIENT: Rows<MajordomoClientStats> = {
  requests: counter("Requests made."),
  answered: counter("Requests that were answered."),
  failed: counter("Requests that ended with an error of the service or the broker."),
  timedOut: counter("Requests whose time was over."),
  cancelled: counter("Requests that were aborted, or ended by closing."),
  late: counter("Answers that nobody waited for."),
  faults: counter("Messages that broke the protocol."),
  pending: gauge("Requests that wait to be sent.", "pending_requests"),
  inFlight: gauge("Requests that wait for their answer.", "in_flight_requests"),
  broker: null,
};

const TITANIC: Rows<TitanicStats & { readonly store: TitanicStoreStats }> = {
  stored: counter("Requests acknowledged, repetitions not counted."),
  repeated: counter("Repetitions of stored requests."),
  refused: counter("Requests refused because of the store."),
  malformed: counter("Requests refused because of what the client sent."),
  answered: counter("Replies kept."),
  failed: counter("Attempts that ended without a reply."),
  died: counter("Requests that became dead letters.", "dead_letters"),
  expired: counter("Records removed because their time was over."),
  damaged: counter("Records that are damaged, and set aside."),
  services: gauge("Services with stored requests."),
  inFlight: gauge("Requests that a service has.", "in_flight_requests"),
  retrying: gauge("Requests that wait for their next attempt.", "retrying_requests"),
  store: [
    gauge("Requests in the store that wait for a reply.", "store_pending", "pending"),
    gauge("Replies in the store that wait to be fetched.", "store_answered", "answered"),
    gauge("Dead letters in the store.", "store_dead", "dead"),
    counter("Records that the store has set aside.", "store_damaged", "damaged"),
    counter("Commits of the store.", "store_commits", "commits"),
    counter("Operations in them.", "store_operations", "operations"),
  ],
};

const BROKER = {
  requests: counter("Requests taken in."),
  replies: counter("Replies passed to their clients."),
  dropped: counter("Requests that ended without a reply.", "dropped", "{reason}"),
  lateReplies: counter("Replies that nobody waited for."),
  repliesDropped: counter("Replies that their client could not take."),
  invalid: counter("Messages that are not of the protocol."),
  workersLost: counter("Workers that were lost."),
  queued: gauge("Requests that wait for a worker.", "queued_requests"),
  queuedBytes: gauge("Bytes of them."),
  idleWorkers: gauge("Workers that wait for a request."),
  busyWorkers: gauge("Workers that have one."),
  repeated: counter("Deliveries beyond the first of a request."),
} satisfies Rows<LoadBalancerStats>;

const PIRATE_WORKER: Rows<PirateWorkerStats> = {
  requests: counter("Requests taken in."),
  replies: counter("Replies sent."),
  failed: counter("Requests whose handler failed."),
  dropped: counter("Replies whose queue was lost meanwhile."),
  invalid: counter("Messages that are not of the protocol."),
  silences: counter("Times that a queue was silent and given up."),
};

const REQUEST_CLIENT = {
  requests: counter("Requests made."),
  replies: counter("Requests that were answered."),
  errors: counter("Replies that report an error, or cannot be decoded."),
  failed: counter("Requests without a reply at any attempt, or in time."),
  cancelled: counter("Requests that were aborted, or ended by closing."),
  attempts: counter("Attempts."),
  retries: counter("Attempts after the first of a request."),
  pending: gauge("Requests under way, or waiting for their turn.", "pending_requests"),
  pendingBytes: gauge("Bytes of them."),
} satisfies Rows<RequestClientStats>;

const LOAD_BALANCER_CLIENT: Rows<LoadBalancerClientStats> = {
  requests: counter("Requests made."),
  replies: counter("Requests that were answered."),
  errors: counter("Requests that ended with an error or a time-out."),
  cancelled: counter("Requests that were aborted, or ended by closing."),
  retries: counter("Requests sent again."),
  lateReplies: counter("Replies that nobody waited for."),
  invalid: counter("Messages that are not of the protocol."),
  pending: gauge("Requests under way.", "pending_requests"),
  pendingBytes: gauge("Bytes of them."),
  inFlight: gauge("Requests that were sent, and wait for their reply.", "in_flight_requests"),
};

const FEDERATION: Rows<FederationStats> = {
  requestsLocal: counter("Requests of the site's own clients."),
  requestsCloud: counter("Requests of other sites."),
  repliesLocal: counter("Replies to the site's own clients."),
  repliesCloud: counter("Replies to other sites."),
  sentToSites: counter("Requests given to other sites."),
  handedBack: counter("Requests of other sites that were handed back."),
  returned: counter("Requests that other sites handed back, or lost."),
  dropped: counter("Requests that ended without a reply.", "dropped", "{reason}"),
  lateReplies: counter("Replies that nobody waited for."),
  repliesDropped: counter("Replies that their client or site could not take."),
  invalid: counter("Messages that are not of the protocol."),
  queuedLocal: gauge("Requests of own clients that wait for a worker."),
  queuedCloud: gauge("Requests of other sites that wait for a worker."),
  atSites: gauge("Requests of own clients that other sites have."),
  idleWorkers: gauge("Workers that wait for a request."),
  busyWorkers: gauge("Workers that have one."),
  sites: gauge("Free workers that another site is believed to have.", "site_workers", "{site}"),
};

const FREELANCE_SERVER: Rows<FreelanceServerStats> = {
  received: counter("Messages that came."),
  pings: counter("Pings answered."),
  requests: counter("Requests taken in."),
  replied: counter("Replies sent."),
  failed: counter("Requests whose handler failed, or that were too many."),
  unroutable: counter("Replies whose client was gone, or took nothing."),
  notServing: counter("Replies that did not leave because the server had ceased to serve."),
  invalid: counter("Messages that are not of the protocol."),
  inFlight: gauge("Requests under way.", "in_flight_requests"),
};

const FREELANCE_SHOTGUN_CLIENT: Rows<FreelanceShotgunClientStats> = {
  requests: counter("Requests made."),
  replies: counter("Requests that were answered."),
  late: counter("Replies after the first, or after the request had ended."),
  invalid: counter("Messages that are not of the protocol."),
  pending: gauge("Requests under way.", "pending_requests"),
  pendingBytes: gauge("Bytes of them."),
};

const FREELANCE_CLIENT: Rows<FreelanceClientStats> = {
  ...FREELANCE_SHOTGUN_CLIENT,
  failures: counter("Requests that no server answered in time."),
  failOvers: counter("Requests that were sent to a further server."),
};

const LVC: Rows<LastValueCacheStats> = {
  messages: counter("Messages of publishers."),
  notServing: counter("Messages that were not passed on because the cache did not serve."),
  updates: counter("Values that were kept."),
  evicted: counter("Topics that were forgotten at the bounds."),
  uncached: counter("Messages that were passed on and not kept.", "uncached", "{reason}"),
  invalid: counter("Messages of subscribers that are not a subscription."),
  snapshots: [
    counter("Snapshots that were sent.", "snapshots", "done"),
    counter("Snapshots whose subscriber left, or unsubscribed.", "snapshots_abandoned", "abandoned"),
    counter("Values in snapshots that were sent.", "snapshot_values", "values"),
    gauge("Snapshots that are still to be sent.", "snapshots_waiting", "waiting"),
  ],
  topics: gauge("Topics that have a value."),
  bytes: gauge("Bytes of topics and values."),
  subscriptions: gauge("Topic prefixes with a subscriber."),
  store: [
    counter("Commits of the store that failed.", "store_failures", "failures"),
    counter("Commits of the store.", "store_commits", "commits"),
    gauge("Changes that a kill would lose now.", "store_pending", "pending"),
    gauge("Damaged records that the store had when it was opened.", "store_damaged", "damaged"),
  ],
};

const CLONE: Rows<CloneServerStats> = {
  received: counter("Updates that came from clients."),
  applied: counter("Updates put in order, applied and published."),
  repeated: counter("Updates that had been applied before."),
  refused: counter("Updates that were refused.", "refused", "{reason}"),
  conflicts: counter("Updates whose key had another revision than they asked for."),
  faults: counter("Messages that broke the protocol.", "faults", "{reason}"),
  published: counter("Updates sent to clients."),
  expired: counter("Keys that expired."),
  snapshots: [
    counter("Snapshots that were sent whole.", "snapshots", "done"),
    counter("Snapshots that ended before they were sent whole.", "snapshots_lost", "lost"),
    gauge("Snapshots on their way to clients.", "snapshots_active", "active"),
    gauge("Snapshots that wait for their turn.", "snapshots_waiting", "waiting"),
  ],
  commits: counter("Commits of the store."),
  entries: gauge("Keys."),
  ephemeral: gauge("Keys with a time to live.", "ephemeral_entries"),
  bytes: gauge("Bytes of keys and values."),
  memory: gauge("Bytes that the map takes in memory, about.", "memory_bytes"),
  pending: gauge("Updates kept while standing by."),
  paired: counter("Updates that came both from a client and from the server that serves."),
  inFlight: gauge("Updates on their way to the store or to the other server."),
  sequence: gauge("The number of the last update."),
  term: gauge("How often one of the pair began to serve."),
  serving: gauge("1 when it serves, 0 when it stands by."),
  replicated: gauge("1 when the other server has all that is acknowledged."),
};

const CLONE_CLIENT: Rows<CloneClientStats> = {
  received: counter("Updates that came."),
  applied: counter("Updates that were applied."),
  old: counter("Updates that the snapshot had already."),
  gaps: counter("Gaps in the updates: each begins a new snapshot."),
  snapshots: counter("Snapshots that were loaded."),
  failOvers: counter("Times that it turned to another server."),
  faults: counter("Messages that broke the protocol."),
  handshakeErrors: counter("Handshakes with servers that failed."),
  invalid: counter("Values that could not be decoded."),
  sets: counter("Updates made."),
  acknowledged: counter("Updates that were acknowledged."),
  conflicts: counter("Updates whose key had another revision than they asked for."),
  timedOut: counter("Updates whose time was over."),
  aborted: counter("Updates that were aborted, or ended by closing."),
  resent: counter("Updates that were sent again."),
  watchLost: counter("Changes that slow watches lost."),
  inFlight: gauge("Updates that wait for their acknowledgement."),
  entries: gauge("Keys."),
  bytes: gauge("Bytes of keys and values."),
  memory: gauge("Bytes that the map takes in memory, about.", "memory_bytes"),
  sequence: gauge("The number of the last update that was applied."),
  silentFor: null, // In ms, not Prometheus's seconds; the member's state shows whether it is too long.
  server: null,
  state: states("The state that the client is in has 1, the others 0.", [
    "syncing",
    "live",
    "stale",
    "closed",
  ]),
};

const CLUSTER: Rows<ClusterStats> = {
  members: gauge("Live members, the node itself included."),
  suspects: gauge("Members that do not answer, and are not given up yet."),
  gone: gauge("Members that were lost or left, and are not forgotten yet."),
  states: gauge("Members by their state, this node included.", "members_by_state", "{state}"),
  probes: counter("Probes sent."),
  probesFailed: counter("Probes that nobody answered."),
  suspicions: counter("Members that became suspect."),
  refuted: counter("Suspect members that refuted it.", "suspicions_refuted"),
  refutations: counter("Suspicions of this node that it refuted."),
  differsFor: milliseconds(
    "Seconds for which its list of members has differed from those of others; 0: they are equal.",
    "differs",
  ),
  loopDelay: milliseconds("The longest delay of the event loop in the last minute or two.", "loop_delay"),
  stalls: counter("Times that the event loop stood still for more than half a probe's time-out."),
  sourcesUp: gauge("Sources of discovery that are up."),
  sourcesDown: gauge("Sources of discovery that are down; their last lists stand."),
  healthScore: gauge("0 when the node trusts its own view; up to 8 after it was late or wrongly suspected."),
  minority: gauge("1 when the node is in the minority part of a split."),
  packetsSent: counter("Datagrams sent, of all buses of the node."),
  packetsReceived: counter("Datagrams received, of all buses of the node."),
  bytesSent: counter("Bytes of datagrams sent."),
  bytesReceived: counter("Bytes of datagrams and streams received."),
  gossipBytes: counter("Bytes of datagrams sent for gossip alone."),
  links: gauge("Streams to other nodes."),
  dropped: counter("What was refused or dropped.", "dropped", "{reason}"),
  messaging: [
    counter("Messages published.", "published", "published"),
    counter("Copies of messages given to links, one for each node.", "copies_sent", "sent"),
    counter(
      "Copies dropped because the other node's high-water mark was reached.",
      "copies_dropped",
      "droppedFull",
    ),
    counter("Messages of topics from other nodes.", "topic_received", "received"),
    counter("Messages given to subscriptions.", "deliveries", "delivered"),
    counter("Messages that subscriptions dropped beyond their bounds.", "deliveries_dropped", "droppedSlow"),
    counter("Messages that came and that nobody subscribes to.", "unclaimed", "unclaimed"),
    counter("One-to-one messages sent.", "direct_sent", "directSent"),
    counter("One-to-one messages received.", "direct_received", "directReceived"),
    gauge("One-to-one messages without an answer yet.", "direct_pending", "directPending"),
    gauge("Copies that wait for room at another node.", "copies_waiting", "waiting"),
    gauge("Bytes of them.", "copies_waiting_bytes", "waitingBytes"),
    gauge("Subscriptions of the node's own clients.", "subscriptions", "subscriptions"),
    gauge("Retained values.", "retained", "retained"),
    gauge("Bytes of them.", "retained_bytes", "retainedBytes"),
    counter("Retained values that were evicted at the bounds.", "retained_evicted", "retainedEvicted"),
    counter("Handlers of messages that threw or rejected.", "handlers_failed", "failed"),
    counter("Items from other nodes that were refused.", "items_refused", "refused.{reason}"),
  ],
  services: [
    counter("Messages and queries sent to services, one for each.", "services_sent", "sent"),
    counter("Messages and queries that went nowhere, one for each service.", "services_failed", "failed"),
    counter("Messages and queries that handlers got.", "services_received", "received"),
    counter(
      "Messages and queries dropped on channels that are not joined.",
      "services_not_joined",
      "notJoined",
    ),
    counter("Messages of services that no handler is for.", "services_unhandled", "unhandled"),
    counter("Messages, queries and replies that hooks vetoed.", "services_vetoed", "vetoed"),
    counter("Messages and queries that hooks answered.", "services_answered", "answered"),
    gauge("Queries that wait for responses.", "queries_pending", "queries"),
    gauge("Responses that they wait for.", "responses_awaited", "awaited"),
    gauge("Messages and queries of services that are handled now.", "services_handling", "handling"),
    gauge("Bytes of them.", "services_handling_bytes", "handlingBytes"),
    counter("What services sent and was refused.", "services_refused", "refused.{reason}"),
  ],
  requests: [
    counter("Requests made to services.", "requests", "called"),
    counter("Requests that got a reply.", "requests_succeeded", "succeeded"),
    counter("Requests that failed.", "requests_failed", "failed"),
    counter("Attempts that were repeated.", "requests_retried", "retried"),
    gauge("Requests that wait for a reply.", "requests_pending", "pending"),
    gauge("Bytes of their bodies.", "requests_pending_bytes", "pendingBytes"),
    counter("Requests and replies that were refused.", "requests_refused", "refused.{reason}"),
  ],
};

const STAR: Rows<BinaryStarStats> = {
  statesSent: counter("States sent to the peer."),
  statesReceived: counter("States received from the peer."),
  failOvers: counter("Times that it took over from a silent peer."),
  stalls: counter("Times that this process was stalled."),
  fences: counter("Times that it ceased to serve because it had to doubt its peer's state."),
  invalid: counter("Messages from the peer that are not a state."),
  peer: null,
  state: states("The state that the server is in has 1, the others 0.", [
    "primary",
    "backup",
    "active",
    "passive",
    "doubting",
    "fenced",
  ]),
};

const SEQUENCED_PUBLISHER: Rows<SequencedPublisherStats> = {
  published: counter("Messages published."),
  notServing: counter("Messages and marks that were not sent because the publisher did not serve."),
  marks: counter("Marks published for topics that are quiet."),
  topicsEvicted: counter("Topics whose messages were forgotten at the bounds."),
  replays: counter("Requests for replays that were answered."),
  replayed: counter("Messages sent again."),
  replaysCut: counter("Answers cut short because the subscriber's queue was full."),
  invalid: counter("Messages that are not of the protocol."),
  topics: gauge("Topics."),
  kept: gauge("Messages kept for replays.", "kept_messages"),
  keptBytes: gauge("Bytes of them."),
};

const SEQUENCED_SUBSCRIBER: Rows<SequencedSubscriberStats> = {
  received: counter("Messages received."),
  gaps: counter("Gaps in the sequences of streams."),
  lost: counter("Messages in gaps."),
  missed: counter("Messages before late joins."),
  repeats: counter("Messages that came again."),
  marks: counter("Marks received."),
  forgotten: counter("Streams that were forgotten at the bounds."),
  invalid: counter("Messages that are not of the protocol."),
  streams: gauge("Streams."),
  replays: [
    counter("Replays asked for.", "replay_requests", "requests"),
    counter("Messages that replays brought.", "replayed", "replayed"),
    counter("Replays asked for again.", "replay_retries", "retries"),
    counter("Answers to replays that nobody waited for.", "replay_late", "late"),
    counter("Answers to replays that are not of the protocol.", "replay_invalid", "invalid"),
    gauge("Replays under way.", "replays_pending", "pending"),
  ],
};

const SUICIDAL_SNAIL: Rows<SuicidalSnailStats> = {
  received: counter("Messages received."),
  delivered: counter("Messages handed to the program."),
  dropped: counter("Messages dropped because the subscriber was late.", "dropped", "{reason}"),
  lost: counter("Messages that never came."),
  late: counter("Times that the subscriber was late."),
  resubscribed: counter("Times that it subscribed again."),
  forgotten: counter("Sources that were forgotten at the bounds."),
  invalid: counter("Messages without a valid stamp."),
  waiting: gauge("Messages that wait for the program.", "waiting_messages"),
};

const BLACK_BOX: Rows<BlackBoxStats> = {
  received: counter("Messages received."),
  handled: counter("Messages handled."),
  failed: counter("Messages whose handler failed."),
  dropped: counter("Messages dropped at the bounds.", "dropped", "{reason}"),
  lost: counter("Messages that worker threads had when they crashed or were ended."),
  crashes: counter("Worker threads that crashed."),
  queued: gauge("Messages that wait for a worker thread.", "queued_messages"),
  queuedBytes: gauge("Bytes of them."),
  held: gauge("Messages that wait for room in a shard's queue.", "held_messages"),
  inFlight: gauge("Messages that worker threads have.", "in_flight_messages"),
  unread: null,
  shards: null,
  socket: [
    gauge("Connected peers.", "peers", "peers"),
    counter("Connections made again after a loss.", "reconnects", "reconnects"),
  ],
};

const ESPRESSO_TAP: Rows<EspressoTapStats> = {
  passed: counter("Messages that passed the proxy."),
  published: counter("Records published."),
  unheard: counter("Messages without a listener."),
  filtered: counter("Messages that the filter left out."),
  sampled: counter("Messages that the sample left out."),
  refused: counter("Records that the capture socket did not take."),
  truncated: counter("Records that have less than the whole message."),
  predicateFailures: counter("Times that the filter threw."),
  invalid: counter("Messages of listeners that are not a subscription."),
  subscriptions: gauge("Topic prefixes with a listener."),
  socket: [
    gauge("Connected listeners.", "peers", "peers"),
    counter("Copies that slow listeners missed.", "copies_dropped", "copies.dropped"),
  ],
};

const ESPRESSO_LISTENER: Rows<EspressoListenerStats> = {
  received: counter("Records received."),
  delivered: counter("Records handed to the program."),
  missed: counter("Records that the tap published and that did not come."),
  filtered: counter("Records that the filter left out."),
  sampled: counter("Records that the sample left out."),
  undecodable: counter("Records that could not be decoded."),
  raw: counter("Records without a trailer: a raw capture."),
  predicateFailures: counter("Times that the filter threw."),
  socket: [
    gauge("Connected taps.", "peers", "peers"),
    counter("Connections made again after a loss.", "reconnects", "reconnects"),
  ],
};

const BINARY_STAR_GATE = {
  received: counter("Requests that came."),
  served: counter("Requests that were served."),
  dropped: counter(
    "Requests dropped: the server does not serve, or too many were kept.",
    "dropped",
    "{reason}",
  ),
  held: gauge("Requests kept while the servers decide which one serves.", "held_requests"),
  heldBytes: gauge("Bytes of them."),
} satisfies Rows<BinaryStarGateStats>;

const BINARY_STAR_SERVER: Rows<BinaryStarServerStats> = {
  ...BINARY_STAR_GATE,
  replied: counter("Replies sent."),
  failed: counter("Requests whose handler failed, or that were too many."),
  repliesDropped: counter("Replies that did not leave.", "replies_dropped", "{reason}"),
  invalid: counter("Messages that are not of the protocol."),
  inFlight: gauge("Requests under way.", "in_flight_requests"),
  star: null, // The `star` is a separate source.
};

const BINARY_STAR_CLIENT: Rows<BinaryStarClientStats> = {
  ...REQUEST_CLIENT,
  failOvers: counter("Times that it turned to the other server."),
};

const CONNECTIONS: Rows<ConnectionManagerStats> = {
  self: gauge("Addresses of the list that are the node's own."),
  connecting: gauge("Addresses that are dialled now."),
  connected: gauge("Addresses that the node is connected to."),
  broken: gauge("Addresses without a connection, which are dialled again."),
};

const DISCOVERY_SERVER: Rows<DiscoveryServerStats> = {
  nodes: gauge("Nodes in its list."),
  callers: gauge("Callers that are connected."),
  clients: gauge("Callers that get updates."),
  requests: counter("Requests, over sockets and HTTP."),
  invalid: counter("Requests that are not of the protocol."),
  refused: counter("Callers that were refused."),
  updates: counter("Updates sent."),
  missed: counter("Updates that a client which did not read missed; it gets the whole list later."),
};

const DISCOVERY_CLIENT: Rows<DiscoveryClientStats> = {
  nodes: gauge("Nodes in its list."),
  connected: gauge("1 while it is connected to a node."),
  attempts: counter("Attempts to connect."),
  failed: counter("Attempts to connect that failed."),
  lost: counter("Nodes that it was connected to and lost."),
  updates: counter("Lists, and changes of them, that came."),
};

/** Drivers with the same statistics. */
interface Family {
  /** Class name that the driver passes to `Driver`. */
  readonly driver?: string;
  /** Label with a driver's name. */
  readonly label: string;
  /** When a driver is ready: after its `ready` settles, once bound, or once open. */
  readonly ready: "connected" | "bound" | "open";
  readonly metrics: readonly Metric[];
}

function family(
  prefix: string,
  label: string,
  ready: Family["ready"],
  rows: Readonly<Record<string, Cell | readonly Cell[] | null>>,
  driver?: string,
): Family {
  return { label, ready, metrics: metricsOf(prefix, rows), ...(driver === undefined ? {} : { driver }) };
}

function metricsOf(
  prefix: string,
  rows: Readonly<Record<string, Cell | readonly Cell[] | null>>,
): readonly Metric[] {
  return Object.entries(rows).flatMap(([member, row]) => {
    const cells: readonly Cell[] = row === null ? [] : [row].flat();
    return cells.map(({ name = snakeCase(member), path, ...rest }) => ({
      ...rest,
      name: `shoal_${prefix}_${name}${rest.type === "counter" ? "_total" : ""}`,
      path: path === undefined ? member : `${member}.${path}`,
    }));
  });
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Families in export order. */
export const FAMILIES = {
  proxy: { label: "proxy", ready: "open", metrics: [...SIDES, ...metricsOf("proxy", PROXY)] } as Family,
  majordomo: family("majordomo", "broker", "bound", MAJORDOMO, "MajordomoBroker"),
  "majordomo-worker": family("majordomo_worker", "worker", "connected", MAJORDOMO_WORKER, "MajordomoWorker"),
  "majordomo-client": family("majordomo_client", "client", "connected", MAJORDOMO_CLIENT, "MajordomoClient"),
  titanic: family("titanic", "titanic", "open", TITANIC, "Titanic"),
  "titanic-client": family("titanic_client", "client", "connected", MAJORDOMO_CLIENT, "TitanicClient"),
  pirate: family("pirate", "queue", "bound", BROKER, "PirateQueue"),
  "pirate-worker": family("pirate_worker", "worker", "connected", PIRATE_WORKER, "PirateWorker"),
  "pirate-client": family("pirate_client", "client", "connected", REQUEST_CLIENT, "PirateClient"),
  "load-balancer": family("load_balancer", "broker", "bound", BROKER, "LoadBalancer"),
  "load-balancer-client": family(
    "load_balancer_client",
    "client",
    "connected",
    LOAD_BALANCER_CLIENT,
    "LoadBalancerClient",
  ),
  federation: family("federation", "broker", "bound", FEDERATION, "FederatedBroker"),
  "freelance-server": family("freelance_server", "server", "bound", FREELANCE_SERVER, "FreelanceServer"),
  "freelance-client": family("freelance_client", "client", "connected", FREELANCE_CLIENT, "FreelanceClient"),
  "freelance-shotgun-client": family(
    "freelance_shotgun_client",
    "client",
    "connected",
    FREELANCE_SHOTGUN_CLIENT,
    "FreelanceShotgunClient",
  ),
  "freelance-failover-client": family(
    "freelance_failover_client",
    "client",
    "connected",
    REQUEST_CLIENT,
    "FreelanceFailoverClient",
  ),
  lvc: family("lvc", "cache", "bound", LVC, "LastValueCache"),
  clone: family("clone", "server", "bound", CLONE, "CloneServer"),
  "clone-client": family("clone_client", "client", "connected", CLONE_CLIENT, "CloneClient"),
  cluster: family("cluster", "node", "open", CLUSTER, "ClusterNode"),
  "cluster-bus": family("cluster_bus", "bus", "open", CLUSTER, "ClusterBus"),
  connections: family("connections", "manager", "open", CONNECTIONS, "ConnectionManager"),
  "discovery-server": family("discovery_server", "server", "open", DISCOVERY_SERVER, "DiscoveryServer"),
  "discovery-client": family("discovery_client", "client", "connected", DISCOVERY_CLIENT, "DiscoveryClient"),
  "binary-star": family("binary_star", "server", "open", STAR, "BinaryStar"),
  "binary-star-gate": family("binary_star_gate", "gate", "open", BINARY_STAR_GATE, "BinaryStarGate"),
  "binary-star-reactor": family(
    "binary_star_reactor",
    "server",
    "open",
    BINARY_STAR_GATE,
    "BinaryStarReactor",
  ),
  "binary-star-server": family(
    "binary_star_server",
    "server",
    "open",
    BINARY_STAR_SERVER,
    "BinaryStarServer",
  ),
  "binary-star-client": family(
    "binary_star_client",
    "client",
    "connected",
    BINARY_STAR_CLIENT,
    "BinaryStarClient",
  ),
  "sequenced-publisher": family(
    "sequenced_publisher",
    "publisher",
    "open",
    SEQUENCED_PUBLISHER,
    "SequencedPublisher",
  ),
  "sequenced-subscriber": family(
    "sequenced_subscriber",
    "subscriber",
    "connected",
    SEQUENCED_SUBSCRIBER,
    "SequencedSubscriber",
  ),
  "suicidal-snail": family("suicidal_snail", "subscriber", "connected", SUICIDAL_SNAIL, "SuicidalSnail"),
  "black-box": family("black_box", "subscriber", "open", BLACK_BOX, "BlackBox"),
  "espresso-tap": family("espresso_tap", "tap", "open", ESPRESSO_TAP, "EspressoTap"),
  "espresso-listener": family(
    "espresso_listener",
    "listener",
    "connected",
    ESPRESSO_LISTENER,
    "EspressoListener",
  ),
} satisfies Readonly<Record<string, Family>>;

/** Drivers with the same statistics. */
export type MetricsFamily = keyof typeof FAMILIES;

/** Kind of a source: `queue`, `forwarder`, `streamer` and `proxy` are proxies, the others pattern families. */
export type MetricsKind = "queue" | "forwarder" | "streamer" | MetricsFamily;

const PROXIES = ["queue", "forwarder", "streamer", "proxy"] as const;

export const KINDS: readonly MetricsKind[] = [
  ...new Set<MetricsKind>([...PROXIES, ...(Object.keys(FAMILIES) as MetricsFamily[])]),
];

const BY_DRIVER: ReadonlyMap<string, MetricsFamily> = new Map(
  Object.entries(FAMILIES).flatMap(([kind, { driver }]: [string, Family]) =>
    driver === undefined ? [] : [[driver, kind as MetricsFamily]],
  ),
);

/** The kind of a driver. @param driver name of its class */
export function kindOfDriver(driver: string): MetricsKind | undefined {
  return BY_DRIVER.get(driver);
}

export function familyOf(kind: MetricsKind): MetricsFamily {
  return (PROXIES as readonly string[]).includes(kind) ? "proxy" : (kind as MetricsFamily);
}

/** Constant 1 with labels for each source. */
export const INFO: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_source_info",
  type: "gauge",
  help: "1 for each driver in the process.",
  labels: ["name", "kind"],
};

export const BUILD: Omit<Metric, "path"> & { readonly labels: readonly string[] } = {
  name: "shoal_build_info",
  type: "gauge",
  help: "1, with the version of shoal.",
  labels: ["version"],
};

/** Labels of a metric, the source's name first. */
export function labelsOf(of: MetricsFamily, { path, states: words }: Metric): readonly string[] {
  const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, label]) => label as string);
  return [FAMILIES[of].label, ...inPath, ...(words === undefined ? [] : ["state"])];
}
