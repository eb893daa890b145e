/**
 * Every exported metric: one row per member of each driver family's statistics. Names and units follow Prometheus: base
 * units, `_total` for counters.
 *
 * A path leads through `stats()`; a segment `{label}` visits every member, whose name is the label's value. Absent and
 * non-numeric values, as from another engine or an older proxy, give no sample.
 *
 * The compiler checks that every member has a row. `null`: not exported.
 */

import type {
  ClusterStats,
  ConnectionManagerStats,
  DiscoveryClientStats,
  DiscoveryServerStats,
} from "../cluster/index.js";
import type { RequestClientStats } from "../kit/index.js";
import type {
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
  /** One sample each, 1 for the current state. */
  readonly states?: readonly string[];
  /** Exported in seconds. */
  readonly inMs?: true;
}

/** A metric without its family's prefix; the path starts at the row's member. */
type Cell = Omit<Metric, "name" | "path"> & {
  readonly name?: string | undefined;
  readonly path?: string | undefined;
};

type Rows<S> = { readonly [K in keyof S]-?: Cell | readonly Cell[] | null };

function counter(help: string, name?: string, path?: string): Cell {
  return { type: "counter", help, name, path };
}

function gauge(help: string, name?: string, path?: string): Cell {
  return { type: "gauge", help, name, path };
}

/** A duration, in ms in the statistics. */
function milliseconds(help: string, name: string): Cell {
  return { type: "gauge", help, name: `${name}_seconds`, inMs: true };
}

function states(help: string, values: readonly string[]): Cell {
  return { type: "gauge", help, states: values };
}

/** Fixed values of labels; other members give no sample. Other labels hold reasons. */
export const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = {
  side: ["frontend", "backend"],
  direction: ["in", "out"],
};

const SIDES: readonly Cell[] = [
  counter("Messages received or sent at a side.", "messages", "{direction}.messages"),
  counter("Bytes of these messages, without framing.", "bytes", "{direction}.bytes"),
  counter(
    "Messages that were received but not forwarded, or could not be sent.",
    "dropped",
    "{direction}.dropped.{reason}",
  ),
  counter("Peers and messages refused by the side's policy.", "refused", "refused.{reason}"),
  gauge("Messages waiting to be received or sent.", "queued_messages", "{direction}.queued"),
  gauge("Connected peers.", "peers", "peers"),
  counter("Connections made again after a loss.", "reconnects", "reconnects"),
  counter("Failed handshakes with peers.", "handshake_errors", "handshakeErrors.{reason}"),
];

const PROXY: Rows<ProxyStats> & { readonly "{side}": readonly Cell[] } = {
  "{side}": SIDES,
  name: null,
  frontend: null, // "{side}"
  backend: null,
  unanswered: gauge("Requests of the last minute without a reply yet.", "unanswered_requests"),
  capture: [
    counter("Captured messages.", "captured", "captured"),
    counter("Messages or copies missed because the capture was too slow.", "capture_missed", "missed"),
    gauge("Copies waiting for a listener of the capture.", "capture_queued_messages", "queued"),
    gauge("Connected listeners of the capture.", "capture_peers", "peers"),
  ],
  control: [
    counter("Executed commands.", "control_commands", "commands"),
    counter(
      "Control messages that are not a command, or do not fit the state.",
      "control_refused",
      "refused",
    ),
  ],
  drain: null,
  state: states("1 for the current state of the proxy, else 0.", [
    "idle",
    "starting",
    "running",
    "paused",
    "draining",
    "drained",
    "stopping",
    "stopped",
  ]),
};

const MAJORDOMO: Rows<MajordomoBrokerStats> = {
  requests: counter("Accepted requests, without repetitions."),
  answered: counter("Requests answered by a worker."),
  failed: counter("Requests that ended with an error."),
  abandoned: counter("Requests whose client left or gave up before the answer."),
  redelivered: counter("Redeliveries after the loss of a worker."),
  duplicates: counter("Repetitions that were recognized and not handled again."),
  late: counter("Answers of workers that came too late."),
  repliesDropped: counter("Answers dropped because the client's queue was full."),
  faults: counter("Messages that violated the protocol."),
  queued: gauge("Requests waiting for a worker.", "queued_requests"),
  queuedBytes: gauge("Bytes of queued requests."),
  inFlight: gauge("Requests at a worker.", "in_flight_requests"),
  services: gauge("Services with a worker or a request."),
  workers: gauge("Connected workers."),
  clients: gauge("Clients with requests in flight."),
};

const MAJORDOMO_WORKER: Rows<MajordomoWorkerStats> = {
  requests: counter("Accepted requests."),
  answered: counter("Answered requests."),
  failed: counter("Requests whose handler failed."),
  cancelled: counter("Requests whose client gave up, or whose timeout ended."),
  stale: counter("Answers dropped because their broker was lost."),
  duplicates: counter("Repetitions that were recognized and not handled again."),
  faults: counter("Messages that violated the protocol."),
  running: gauge("Handlers that are running, or whose replies wait for queue space.", "running_handlers"),
  queued: gauge("Requests waiting for a handler.", "queued_requests"),
  unsentBytes: gauge("Bytes of replies waiting for queue space."),
  brokers: gauge("Brokers that may send requests."),
};

const MAJORDOMO_CLIENT: Rows<MajordomoClientStats> = {
  requests: counter("Requests made."),
  answered: counter("Answered requests."),
  failed: counter("Requests that failed at the service or the broker."),
  timedOut: counter("Requests that timed out."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  late: counter("Answers that came too late."),
  faults: counter("Messages that violated the protocol."),
  pending: gauge("Requests waiting to be sent.", "pending_requests"),
  inFlight: gauge("Requests waiting for their answer.", "in_flight_requests"),
  broker: null,
};

const TITANIC: Rows<TitanicStats & { readonly store: TitanicStoreStats }> = {
  stored: counter("Acknowledged requests, without repetitions."),
  repeated: counter("Repetitions of stored requests."),
  refused: counter("Requests refused because of the store."),
  malformed: counter("Malformed requests."),
  answered: counter("Replies kept."),
  failed: counter("Attempts that ended without a reply."),
  died: counter("Requests that became dead letters.", "dead_letters"),
  expired: counter("Expired records."),
  damaged: counter("Damaged records found."),
  services: gauge("Services with stored requests."),
  inFlight: gauge("Requests at a service.", "in_flight_requests"),
  retrying: gauge("Requests waiting for their next attempt.", "retrying_requests"),
  store: [
    gauge("Stored requests waiting for a reply.", "store_pending", "pending"),
    gauge("Stored replies waiting to be fetched.", "store_answered", "answered"),
    gauge("Dead letters in the store.", "store_dead", "dead"),
    counter("Commits of the store.", "store_commits", "commits"),
    counter("Operations in these commits.", "store_operations", "operations"),
  ],
};

const BROKER = {
  requests: counter("Accepted requests."),
  replies: counter("Replies sent to clients."),
  dropped: counter("Requests that ended without a reply.", "dropped", "{reason}"),
  lateReplies: counter("Replies that came too late."),
  repliesDropped: counter("Replies dropped because the client's queue was full."),
  invalid: counter("Messages that violate the protocol."),
  workersLost: counter("Lost workers."),
  queued: gauge("Requests waiting for a worker.", "queued_requests"),
  queuedBytes: gauge("Bytes of queued requests."),
  idleWorkers: gauge("Workers waiting for a request."),
  busyWorkers: gauge("Workers with a request."),
  repeated: counter("Deliveries of a request after the first."),
} satisfies Rows<LoadBalancerStats>;

const PIRATE_WORKER: Rows<PirateWorkerStats> = {
  requests: counter("Accepted requests."),
  replies: counter("Replies sent."),
  failed: counter("Requests whose handler failed."),
  dropped: counter("Replies dropped because their queue was lost."),
  invalid: counter("Messages that violate the protocol."),
  silences: counter("Queues left because they were silent."),
};

const REQUEST_CLIENT = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  errors: counter("Replies with an error, or that cannot be decoded."),
  failed: counter("Requests without a reply in any attempt, or in time."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  attempts: counter("Attempts."),
  retries: counter("Attempts of a request after the first."),
  pending: gauge("Requests in flight or waiting for their turn.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
} satisfies Rows<RequestClientStats>;

const LOAD_BALANCER_CLIENT: Rows<LoadBalancerClientStats> = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  errors: counter("Requests that ended with an error or a timeout."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  retries: counter("Repeated requests."),
  lateReplies: counter("Replies that came too late."),
  invalid: counter("Messages that violate the protocol."),
  pending: gauge("Requests in flight.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
  inFlight: gauge("Requests waiting for their reply.", "in_flight_requests"),
};

const FEDERATION: Rows<FederationStats> = {
  requestsLocal: counter("Requests of the site's own clients."),
  requestsCloud: counter("Requests of other sites."),
  repliesLocal: counter("Replies to the site's own clients."),
  repliesCloud: counter("Replies to other sites."),
  sentToSites: counter("Requests sent to other sites."),
  handedBack: counter("Requests of other sites that were handed back."),
  returned: counter("Requests that other sites handed back, or lost."),
  dropped: counter("Requests that ended without a reply.", "dropped", "{reason}"),
  lateReplies: counter("Replies that came too late."),
  repliesDropped: counter("Replies dropped because the queue of the client or site was full."),
  invalid: counter("Messages that violate the protocol."),
  queuedLocal: gauge("Requests of own clients waiting for a worker."),
  queuedCloud: gauge("Requests of other sites waiting for a worker."),
  atSites: gauge("Requests of own clients at other sites."),
  idleWorkers: gauge("Workers waiting for a request."),
  busyWorkers: gauge("Workers with a request."),
  sites: gauge("Free workers of another site, as last reported.", "site_workers", "{site}"),
};

const FREELANCE_SERVER: Rows<FreelanceServerStats> = {
  received: counter("Received messages."),
  pings: counter("Pings answered."),
  requests: counter("Accepted requests."),
  replied: counter("Replies sent."),
  failed: counter("Requests whose handler failed, or that exceeded the limit."),
  unroutable: counter("Replies whose client left, or did not read."),
  notServing: counter("Replies not sent because the server stopped serving."),
  invalid: counter("Messages that violate the protocol."),
  inFlight: gauge("Requests in flight.", "in_flight_requests"),
};

const FREELANCE_SHOTGUN_CLIENT: Rows<FreelanceShotgunClientStats> = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  late: counter("Replies after the first, or after the request had ended."),
  invalid: counter("Messages that violate the protocol."),
  pending: gauge("Requests in flight.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
};

const FREELANCE_CLIENT: Rows<FreelanceClientStats> = {
  ...FREELANCE_SHOTGUN_CLIENT,
  failures: counter("Requests that no server answered in time."),
  failOvers: counter("Requests sent to another server."),
};

const LVC: Rows<LastValueCacheStats> = {
  messages: counter("Messages of publishers."),
  notServing: counter("Messages not forwarded because the cache did not serve."),
  updates: counter("Stored values."),
  evicted: counter("Topics evicted at the limits."),
  uncached: counter("Messages forwarded but not stored.", "uncached", "{reason}"),
  invalid: counter("Messages of subscribers that are not subscriptions."),
  snapshots: [
    counter("Sent snapshots.", "snapshots", "done"),
    counter("Snapshots whose subscriber left, or unsubscribed.", "snapshots_abandoned", "abandoned"),
    counter("Values in sent snapshots.", "snapshot_values", "values"),
    gauge("Snapshots waiting to be sent.", "snapshots_waiting", "waiting"),
  ],
  topics: gauge("Topics with a value."),
  bytes: gauge("Bytes of topics and values."),
  subscriptions: gauge("Topic prefixes with a subscriber."),
  store: [
    counter("Failed commits of the store.", "store_failures", "failures"),
    counter("Commits of the store.", "store_commits", "commits"),
    gauge("Changes that a crash would lose now.", "store_pending", "pending"),
    gauge("Damaged records found when the store was opened.", "store_damaged", "damaged"),
  ],
};

const CLONE: Rows<CloneServerStats> = {
  received: counter("Updates from clients."),
  applied: counter("Updates ordered, applied and published."),
  repeated: counter("Repeated updates."),
  refused: counter("Refused updates.", "refused", "{reason}"),
  conflicts: counter("Updates whose key had another revision than expected."),
  faults: counter("Messages that violated the protocol.", "faults", "{reason}"),
  published: counter("Updates sent to clients."),
  expired: counter("Keys that expired."),
  snapshots: [
    counter("Completely sent snapshots.", "snapshots", "done"),
    counter("Snapshots that ended early.", "snapshots_lost", "lost"),
    gauge("Snapshots being sent.", "snapshots_active", "active"),
    gauge("Snapshots waiting for their turn.", "snapshots_waiting", "waiting"),
  ],
  commits: counter("Commits of the store."),
  entries: gauge("Keys."),
  ephemeral: gauge("Keys with a time to live.", "ephemeral_entries"),
  bytes: gauge("Bytes of keys and values."),
  memory: gauge("Approximate memory of the map, in bytes.", "memory_bytes"),
  inFlight: gauge("Updates not yet confirmed by the store or the other server."),
  sequence: gauge("Sequence number of the last update."),
  term: gauge("Number of times that a server of the pair became active."),
  serving: gauge("1 if the server is active, 0 on standby."),
  replicated: gauge("1 if the other server has every acknowledged update."),
};

const CLONE_CLIENT: Rows<CloneClientStats> = {
  received: counter("Received updates."),
  applied: counter("Applied updates."),
  old: counter("Updates that the snapshot already contained."),
  gaps: counter("Gaps in the updates; each starts a new snapshot."),
  snapshots: counter("Loaded snapshots."),
  failOvers: counter("Switches to another server."),
  faults: counter("Messages that violated the protocol."),
  handshakeErrors: counter("Failed handshakes with servers."),
  invalid: counter("Values that could not be decoded."),
  sets: counter("Updates made."),
  acknowledged: counter("Acknowledged updates."),
  conflicts: counter("Updates whose key had another revision than expected."),
  timedOut: counter("Updates that timed out."),
  aborted: counter("Updates cancelled by the caller or by closing."),
  resent: counter("Repeated updates."),
  watchLost: counter("Changes lost by slow watches."),
  inFlight: gauge("Updates waiting for their acknowledgement."),
  entries: gauge("Keys."),
  bytes: gauge("Bytes of keys and values."),
  memory: gauge("Approximate memory of the map, in bytes.", "memory_bytes"),
  sequence: gauge("Sequence number of the last applied update."),
  silentFor: null, // Prometheus uses seconds; the member's state shows too long a silence.
  server: null,
  state: states("1 for the current state of the client, else 0.", ["syncing", "live", "stale", "closed"]),
};

const CLUSTER: Rows<ClusterStats> = {
  members: gauge("Live members, including this node."),
  suspects: gauge("Suspect members: they do not answer, but are not declared dead yet."),
  gone: gauge("Members that were lost or left, and are not forgotten yet."),
  states: gauge("Members by state, including this node.", "members_by_state", "{state}"),
  probes: counter("Probes sent."),
  probesFailed: counter("Probes without an answer."),
  suspicions: counter("Suspicions of members."),
  refuted: counter("Suspicions that the member refuted.", "suspicions_refuted"),
  refutations: counter("Suspicions refuted by this node."),
  differsFor: milliseconds(
    "Seconds for which the membership view has differed from those of others; 0: equal.",
    "differs",
  ),
  loopDelay: milliseconds("Longest delay of the event loop in the last one to two minutes.", "loop_delay"),
  stalls: counter("Pauses of the event loop longer than half the probe timeout."),
  sourcesUp: gauge("Discovery sources that are up."),
  sourcesDown: gauge("Discovery sources that are down; their last lists are kept."),
  healthScore: gauge("Local health: 0 is healthy; up to 8 after the node was late or wrongly suspected."),
  minority: gauge("1 if the node is on the minority side of a partition."),
  packetsSent: counter("Datagrams sent, for all clusters of the node."),
  packetsReceived: counter("Datagrams received, for all clusters of the node."),
  bytesSent: counter("Bytes of datagrams sent."),
  bytesReceived: counter("Bytes of datagrams and streams received."),
  gossipBytes: counter("Bytes of datagrams sent only for gossip."),
  links: gauge("Streams to other nodes."),
  dropped: counter("Refused or dropped packets, updates and connections.", "dropped", "{reason}"),
  messaging: [
    counter("Messages published.", "published", "published"),
    counter("Copies of messages queued for other nodes.", "copies_sent", "sent"),
    counter(
      "Copies dropped because the other node's high-water mark was reached.",
      "copies_dropped",
      "droppedFull",
    ),
    counter("Messages of topics from other nodes.", "topic_received", "received"),
    counter("Messages delivered to subscriptions.", "deliveries", "delivered"),
    counter("Messages dropped by full subscriptions.", "deliveries_dropped", "droppedSlow"),
    counter("Received messages without a subscription.", "unclaimed", "unclaimed"),
    counter("One-to-one messages sent.", "direct_sent", "directSent"),
    counter("One-to-one messages received.", "direct_received", "directReceived"),
    gauge("One-to-one messages not yet acknowledged.", "direct_pending", "directPending"),
    gauge("Copies waiting for queue space.", "copies_waiting", "waiting"),
    gauge("Bytes of waiting copies.", "copies_waiting_bytes", "waitingBytes"),
    gauge("Subscriptions of the node's own clients.", "subscriptions", "subscriptions"),
    gauge("Retained values.", "retained", "retained"),
    gauge("Bytes of retained values.", "retained_bytes", "retainedBytes"),
    counter("Retained values that were evicted at the bounds.", "retained_evicted", "retainedEvicted"),
    counter("Message handlers that threw or rejected.", "handlers_failed", "failed"),
    counter("Refused items from other nodes.", "items_refused", "refused.{reason}"),
  ],
  memberMessages: [
    counter("Messages and queries sent, counted per member.", "member_messages_sent", "sent"),
    counter(
      "Messages and queries that could not be sent, counted per member.",
      "member_messages_failed",
      "failed",
    ),
    counter("Messages and queries passed to handlers.", "member_messages_received", "received"),
    counter(
      "Messages and queries dropped on channels that are not joined.",
      "member_messages_not_joined",
      "notJoined",
    ),
    counter("Messages of members without a handler.", "member_messages_unhandled", "unhandled"),
    counter("Messages, queries and replies that hooks vetoed.", "member_messages_vetoed", "vetoed"),
    counter("Messages and queries that hooks answered.", "member_messages_answered", "answered"),
    gauge("Queries waiting for responses.", "queries_pending", "queries"),
    gauge("Responses that queries wait for.", "responses_awaited", "awaited"),
    gauge("Messages and queries being handled.", "member_messages_handling", "handling"),
    gauge("Bytes of these messages and queries.", "member_messages_handling_bytes", "handlingBytes"),
    counter("Refused messages and queries of members.", "member_messages_refused", "refused.{reason}"),
  ],
  requests: [
    counter("Requests to services.", "requests", "called"),
    counter("Requests with a reply.", "requests_succeeded", "succeeded"),
    counter("Requests that failed.", "requests_failed", "failed"),
    counter("Repeated attempts.", "requests_retried", "retried"),
    gauge("Requests waiting for a reply.", "requests_pending", "pending"),
    gauge("Bytes of their bodies.", "requests_pending_bytes", "pendingBytes"),
    counter("Refused requests and replies.", "requests_refused", "refused.{reason}"),
  ],
};

const STAR: Rows<BinaryStarStats> = {
  statesSent: counter("States sent to the peer."),
  statesReceived: counter("States received from the peer."),
  failOvers: counter("Failovers after the peer was silent."),
  stalls: counter("Pauses of this process."),
  fences: counter("Stops of serving because the peer's state was uncertain."),
  invalid: counter("Invalid messages from the peer."),
  peer: null,
  state: states("1 for the current state of the server, else 0.", [
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
  notServing: counter("Messages not sent because the publisher did not serve."),
  topicsEvicted: counter("Topics whose messages were evicted at the limits."),
  replays: counter("Answered requests for replays."),
  replayed: counter("Repeated messages."),
  replaysCut: counter("Answers cut because the subscriber's queue was full."),
  invalid: counter("Messages that violate the protocol."),
  topics: gauge("Topics."),
  kept: gauge("Messages kept for replays.", "kept_messages"),
  keptBytes: gauge("Bytes of kept messages."),
};

const SEQUENCED_SUBSCRIBER: Rows<SequencedSubscriberStats> = {
  received: counter("Messages received."),
  gaps: counter("Gaps in the sequences of streams."),
  lost: counter("Messages in gaps."),
  missed: counter("Messages before late joins."),
  repeats: counter("Repeated messages."),
  forgotten: counter("Streams evicted at the limits."),
  invalid: counter("Messages that violate the protocol."),
  streams: gauge("Streams."),
  replays: [
    counter("Requested replays.", "replay_requests", "requests"),
    counter("Messages received by replays.", "replayed", "replayed"),
    counter("Repeated requests for replays.", "replay_retries", "retries"),
    counter("Answers to replays that came too late.", "replay_late", "late"),
    counter("Answers to replays that violate the protocol.", "replay_invalid", "invalid"),
    gauge("Replays in flight.", "replays_pending", "pending"),
  ],
};

const SUICIDAL_SNAIL: Rows<SuicidalSnailStats> = {
  received: counter("Messages received."),
  delivered: counter("Messages delivered to the program."),
  dropped: counter("Messages dropped because the subscriber was late.", "dropped", "{reason}"),
  late: counter("Detections of a late subscriber."),
  resubscribed: counter("Repeated subscriptions."),
  forgotten: counter("Sources evicted at the limits."),
  invalid: counter("Messages without a valid stamp."),
  waiting: gauge("Messages waiting for the program.", "waiting_messages"),
};

const BLACK_BOX: Rows<BlackBoxStats> = {
  received: counter("Messages received."),
  handled: counter("Messages handled."),
  failed: counter("Messages whose handler failed."),
  dropped: counter("Messages dropped at the limits.", "dropped", "{reason}"),
  lost: counter("Messages at worker threads when the Black Box closed."),
  queued: gauge("Messages waiting for a worker thread.", "queued_messages"),
  queuedBytes: gauge("Bytes of queued messages."),
  inFlight: gauge("Messages at worker threads.", "in_flight_messages"),
  shards: null,
  socket: [
    gauge("Connected peers.", "peers", "peers"),
    counter("Connections made again after a loss.", "reconnects", "reconnects"),
  ],
};

const ESPRESSO_TAP: Rows<EspressoTapStats> = {
  passed: counter("Messages forwarded by the proxy."),
  published: counter("Records published."),
  unheard: counter("Messages without a listener."),
  filtered: counter("Messages excluded by the filter."),
  sampled: counter("Messages excluded by sampling."),
  refused: counter("Records not accepted by the capture socket."),
  truncated: counter("Truncated records."),
  predicateFailures: counter("Errors thrown by the filter."),
  invalid: counter("Messages of listeners that are not subscriptions."),
  subscriptions: gauge("Topic prefixes with a listener."),
  socket: [
    gauge("Connected listeners.", "peers", "peers"),
    counter("Copies missed by slow listeners.", "copies_dropped", "copies.dropped"),
  ],
};

const ESPRESSO_LISTENER: Rows<EspressoListenerStats> = {
  received: counter("Records received."),
  delivered: counter("Records delivered to the program."),
  filtered: counter("Records excluded by the filter."),
  sampled: counter("Records excluded by sampling."),
  raw: counter("Records without a trailer: a raw capture."),
  predicateFailures: counter("Errors thrown by the filter."),
  socket: [
    gauge("Connected taps.", "peers", "peers"),
    counter("Connections made again after a loss.", "reconnects", "reconnects"),
  ],
};

const BINARY_STAR_GATE = {
  received: counter("Received requests."),
  served: counter("Served requests."),
  dropped: counter(
    "Requests dropped because the server does not serve, or too many were held.",
    "dropped",
    "{reason}",
  ),
  held: gauge("Requests held while the servers decide which one serves.", "held_requests"),
  heldBytes: gauge("Bytes of held requests."),
} satisfies Rows<BinaryStarGateStats>;

const BINARY_STAR_SERVER: Rows<BinaryStarServerStats> = {
  ...BINARY_STAR_GATE,
  replied: counter("Replies sent."),
  failed: counter("Requests whose handler failed, or that exceeded the limit."),
  repliesDropped: counter("Replies not sent.", "replies_dropped", "{reason}"),
  invalid: counter("Messages that violate the protocol."),
  inFlight: gauge("Requests in flight.", "in_flight_requests"),
  star: null, // The `star` is a separate source.
};

const CONNECTIONS: Rows<ConnectionManagerStats> = {
  self: gauge("Addresses of the list that are the node's own."),
  connecting: gauge("Addresses being dialled."),
  connected: gauge("Connected addresses."),
  broken: gauge("Addresses without a connection, which are dialled again."),
};

const DISCOVERY_SERVER: Rows<DiscoveryServerStats> = {
  nodes: gauge("Nodes in the list."),
  callers: gauge("Connected clients."),
  clients: gauge("Clients that get updates."),
  requests: counter("Requests over sockets and HTTP."),
  invalid: counter("Requests that violate the protocol."),
  refused: counter("Refused clients."),
  updates: counter("Updates sent."),
  missed: counter("Updates missed by slow clients, which get the newest list later."),
};

const DISCOVERY_CLIENT: Rows<DiscoveryClientStats> = {
  nodes: gauge("Nodes in the list."),
  connected: gauge("1 while connected to a node."),
  attempts: counter("Connection attempts."),
  failed: counter("Failed connection attempts."),
  lost: counter("Lost connections to nodes."),
  updates: counter("Received lists."),
};

interface Family {
  /** Class name that the driver passes to `Driver`. */
  readonly driver?: string | undefined;
  readonly label: string;
  /** Ready after its `ready` settles, once bound, or once open. */
  readonly ready: "connected" | "bound" | "open";
  readonly metrics: readonly Metric[];
}

type FamilyRows = Readonly<Record<string, Cell | readonly Cell[] | null>>;

function family(label: string, ready: Family["ready"], rows: FamilyRows, driver?: string) {
  return { label, ready, rows, driver };
}

function metricsOf(family: string, rows: FamilyRows): readonly Metric[] {
  return Object.entries(rows).flatMap(([member, row]) => {
    const cells: readonly Cell[] = row === null ? [] : [row].flat();
    return cells.map(({ name = snakeCase(member), path, ...rest }) => ({
      ...rest,
      name: `shoal_${family.replaceAll("-", "_")}_${name}${rest.type === "counter" ? "_total" : ""}`,
      path: path === undefined ? member : `${member}.${path}`,
    }));
  });
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Families in export order. */
const ROWS = {
  proxy: family("proxy", "open", PROXY),
  majordomo: family("broker", "bound", MAJORDOMO, "MajordomoBroker"),
  "majordomo-worker": family("worker", "connected", MAJORDOMO_WORKER, "MajordomoWorker"),
  "majordomo-client": family("client", "connected", MAJORDOMO_CLIENT, "MajordomoClient"),
  titanic: family("titanic", "open", TITANIC, "Titanic"),
  pirate: family("queue", "bound", BROKER, "PirateQueue"),
  "pirate-worker": family("worker", "connected", PIRATE_WORKER, "PirateWorker"),
  "pirate-client": family("client", "connected", REQUEST_CLIENT, "PirateClient"),
  "load-balancer": family("broker", "bound", BROKER, "LoadBalancer"),
  "load-balancer-client": family("client", "connected", LOAD_BALANCER_CLIENT, "LoadBalancerClient"),
  federation: family("broker", "bound", FEDERATION, "FederatedBroker"),
  "freelance-server": family("server", "bound", FREELANCE_SERVER, "FreelanceServer"),
  "freelance-client": family("client", "connected", FREELANCE_CLIENT, "FreelanceClient"),
  "freelance-shotgun-client": family(
    "client",
    "connected",
    FREELANCE_SHOTGUN_CLIENT,
    "FreelanceShotgunClient",
  ),
  "freelance-failover-client": family("client", "connected", REQUEST_CLIENT, "FreelanceFailoverClient"),
  lvc: family("cache", "bound", LVC, "LastValueCache"),
  clone: family("server", "bound", CLONE, "CloneServer"),
  "clone-client": family("client", "connected", CLONE_CLIENT, "CloneClient"),
  cluster: family("node", "open", CLUSTER, "ClusterNode"),
  "cluster-namespace": family("namespace", "open", CLUSTER, "ClusterNamespace"),
  connections: family("manager", "open", CONNECTIONS, "ConnectionManager"),
  "discovery-server": family("server", "open", DISCOVERY_SERVER, "DiscoveryServer"),
  "discovery-client": family("client", "connected", DISCOVERY_CLIENT, "DiscoveryClient"),
  "binary-star": family("server", "open", STAR, "BinaryStar"),
  "binary-star-gate": family("gate", "open", BINARY_STAR_GATE, "BinaryStarGate"),
  "binary-star-server": family("server", "open", BINARY_STAR_SERVER, "BinaryStarServer"),
  "binary-star-client": family("client", "connected", REQUEST_CLIENT, "BinaryStarClient"),
  "sequenced-publisher": family("publisher", "open", SEQUENCED_PUBLISHER, "SequencedPublisher"),
  "sequenced-subscriber": family("subscriber", "connected", SEQUENCED_SUBSCRIBER, "SequencedSubscriber"),
  "suicidal-snail": family("subscriber", "connected", SUICIDAL_SNAIL, "SuicidalSnail"),
  "black-box": family("subscriber", "open", BLACK_BOX, "BlackBox"),
  "espresso-tap": family("tap", "open", ESPRESSO_TAP, "EspressoTap"),
  "espresso-listener": family("listener", "connected", ESPRESSO_LISTENER, "EspressoListener"),
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
