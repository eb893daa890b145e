/** Statistics of the patterns, and why they drop or refuse something. */
import {
  byReason,
  counter,
  flag,
  gauge,
  gauges,
  group,
  optionalGauge,
  optionalGroup,
  states,
  unexported,
} from "./rows.js";

// --- Requests --------------------------------------------------------------------------------------------------------

export const MAJORDOMO = {
  /** Accepted and refused requests, without repetitions. */
  requests: counter("Accepted requests, without repetitions."),
  answered: counter("Requests answered by a worker."),
  /** Requests that ended with an error, also refused ones. */
  failed: counter("Requests that ended with an error."),
  abandoned: counter("Requests whose client left or gave up before the answer."),
  redelivered: counter("Redeliveries after the loss of a worker."),
  duplicates: counter("Repetitions that were recognized and not handled again."),
  /** Worker answers without a matching delivery. */
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

export const MAJORDOMO_WORKER = {
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

export const MAJORDOMO_CLIENT = {
  requests: counter("Requests made."),
  answered: counter("Answered requests."),
  /** Requests that ended with a ServiceError. */
  failed: counter("Requests that failed at the service or the broker."),
  timedOut: counter("Requests that timed out."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  late: counter("Answers that came too late."),
  faults: counter("Messages that violated the protocol."),
  pending: gauge("Requests waiting to be sent.", "pending_requests"),
  inFlight: gauge("Requests waiting for their answer.", "in_flight_requests"),
  /** Endpoint of the broker; `undefined` without one. */
  broker: unexported<string | undefined>(),
};

export const TITANIC = {
  stored: counter("Acknowledged requests, without repetitions."),
  repeated: counter("Repetitions of stored requests."),
  /** Answers 500 and 502 because of the store. */
  refused: counter("Requests refused because of the store."),
  /** Answers 500 because of malformed requests. */
  malformed: counter("Malformed requests."),
  answered: counter("Replies kept."),
  failed: counter("Attempts that ended without a reply."),
  died: counter("Requests that became dead letters.", "dead_letters"),
  expired: counter("Expired records."),
  /** Damaged records found, each time. */
  damaged: counter("Damaged records found."),
  services: gauge("Services with stored requests."),
  inFlight: gauge("Requests at a service.", "in_flight_requests"),
  retrying: gauge("Requests waiting for their next attempt.", "retrying_requests"),
};

export const TITANIC_STORE = {
  /** Pending requests. This, `answered` and `dead` are `undefined` if counting is too expensive. */
  pending: optionalGauge("Stored requests waiting for a reply.", "store_pending"),
  answered: optionalGauge("Stored replies waiting to be fetched.", "store_answered"),
  dead: optionalGauge("Dead letters in the store.", "store_dead"),
  /** Commits since opening. */
  commits: counter("Commits of the store.", "store_commits"),
  /** Operations in successful commits. */
  operations: counter("Operations in these commits.", "store_operations"),
};

/** Why a request ended without a reply. */
export type JobDropReason =
  /** The client disconnected. */
  | "client-left"
  /** `maxDeliveries` workers were lost with it. */
  | "deliveries"
  /** The broker closed, or drains. */
  | "closed";

export const PIRATE_QUEUE = {
  requests: counter("Accepted requests."),
  replies: counter("Replies sent to clients."),
  dropped: byReason<JobDropReason>("Requests that ended without a reply."),
  lateReplies: counter("Replies that came too late."),
  /** Counted replies that their clients could not take. */
  repliesDropped: counter("Replies dropped because the client's queue was full."),
  invalid: counter("Messages that violate the protocol."),
  workersLost: counter("Lost workers."),
  queued: gauge("Requests waiting for a worker.", "queued_requests"),
  queuedBytes: gauge("Bytes of queued requests."),
  idleWorkers: gauge("Workers waiting for a request."),
  busyWorkers: gauge("Workers with a request."),
  repeated: counter("Deliveries of a request after the first."),
};

export const PIRATE_WORKER = {
  requests: counter("Accepted requests."),
  replies: counter("Replies sent."),
  failed: counter("Requests whose handler failed."),
  dropped: counter("Requests that came while the worker had one."),
  invalid: counter("Messages that violate the protocol."),
  silences: counter("Queues left because they were silent."),
};

export const REQUEST_CLIENT = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  errors: counter("Replies with an error, or that cannot be decoded."),
  failed: counter("Requests without a reply in any attempt, or in time."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  attempts: counter("Attempts."),
  retries: counter("Attempts of a request after the first."),
  pending: gauge("Requests in flight or waiting for their turn.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
};

export const LOAD_BALANCER_CLIENT = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  /** Error replies, timeouts, replies refused by the codec. */
  errors: counter("Requests that ended with an error or a timeout."),
  cancelled: counter("Requests cancelled by the caller or by closing."),
  retries: counter("Repeated requests."),
  lateReplies: counter("Replies that came too late."),
  invalid: counter("Messages that violate the protocol."),
  pending: gauge("Requests in flight.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
  inFlight: gauge("Requests waiting for their reply.", "in_flight_requests"),
};

export const FEDERATION = {
  requestsLocal: counter("Requests of the site's own clients."),
  requestsCloud: counter("Requests of other sites."),
  repliesLocal: counter("Replies to the site's own clients."),
  repliesCloud: counter("Replies to other sites."),
  sentToSites: counter("Requests sent to other sites."),
  /** Other sites' requests, handed back because this one had no workers or did not serve. */
  handedBack: counter("Requests of other sites that were handed back."),
  returned: counter("Requests that other sites handed back, or lost."),
  dropped: byReason<JobDropReason>("Requests that ended without a reply."),
  lateReplies: counter("Replies that came too late."),
  /** Counted replies that could not be taken. */
  repliesDropped: counter("Replies dropped because the queue of the client or site was full."),
  invalid: counter("Messages that violate the protocol."),
  queuedLocal: gauge("Requests of own clients waiting for a worker."),
  queuedCloud: gauge("Requests of other sites waiting for a worker."),
  atSites: gauge("Requests of own clients at other sites."),
  idleWorkers: gauge("Workers waiting for a request."),
  busyWorkers: gauge("Workers with a request."),
  /** Estimated idle workers. */
  sites: gauges("site", "Free workers of another site, as last reported.", "site_workers"),
};

export const FREELANCE_SERVER = {
  received: counter("Received messages."),
  pings: counter("Pings answered."),
  requests: counter("Accepted requests."),
  replied: counter("Replies sent."),
  /** Requests whose handler failed, and those above `maxInFlight`. */
  failed: counter("Requests whose handler failed, or that exceeded the limit."),
  /** Replies not sent: the client was gone or had no room, or the request left none for an error. */
  unroutable: counter("Replies whose client left, or did not read."),
  notServing: counter("Replies not sent because the server stopped serving."),
  invalid: counter("Messages that violate the protocol."),
  inFlight: gauge("Requests in flight.", "in_flight_requests"),
};

export const FREELANCE_SHOTGUN_CLIENT = {
  requests: counter("Requests made."),
  replies: counter("Answered requests."),
  late: counter("Replies after the first, or after the request had ended."),
  invalid: counter("Messages that violate the protocol."),
  pending: gauge("Requests in flight.", "pending_requests"),
  pendingBytes: gauge("Bytes of pending requests."),
};

export const FREELANCE_CLIENT = {
  ...FREELANCE_SHOTGUN_CLIENT,
  failures: counter("Requests whose handler failed, or that no server answered in time."),
  failOvers: counter("Requests sent to another server."),
};

export const BINARY_STAR = {
  statesSent: counter("States sent to the peer."),
  statesReceived: counter("States received from the peer."),
  failOvers: counter("Failovers after the peer was silent."),
  stalls: counter("Pauses of this process."),
  fences: counter("Stops of serving because the peer's state was uncertain."),
  invalid: counter("Invalid messages from the peer."),
  state: states("1 for the current state of the server, else 0.", [
    "primary",
    "backup",
    "active",
    "passive",
    "doubting",
    "fenced",
  ]),
};

export const BINARY_STAR_GATE = {
  received: counter("Received requests."),
  served: counter("Served requests."),
  /** `refused`: not serving; `overflow`: a bound was reached. */
  dropped: byReason<"refused" | "overflow">(
    "Requests dropped because the server does not serve, or too many were queued.",
  ),
  queued: gauge("Requests queued while the servers decide which one serves.", "queued_requests"),
  queuedBytes: gauge("Bytes of queued requests."),
};

export const BINARY_STAR_SERVER = {
  ...BINARY_STAR_GATE,
  replied: counter("Replies sent."),
  /** Requests whose handler failed, and those above `maxInFlight`. */
  failed: counter("Requests whose handler failed, or that exceeded the limit."),
  /** Replies not sent: this server was no longer active, or the client was gone. */
  repliesDropped: byReason<"notServing" | "unroutable">("Replies not sent."),
  invalid: counter("Messages that violate the protocol."),
  inFlight: gauge("Requests in flight.", "in_flight_requests"),
};

// --- Publish and subscribe -------------------------------------------------------------------------------------------

/** Why a message was not kept. */
export type LastValueCacheUncachedReason =
  /** A topic without a value. */
  "single-frame" | "topic-too-long" | "value-too-large";

export const LAST_VALUE_CACHE = {
  /** Messages from publishers; forwarded except `notServing`. */
  messages: counter("Messages of publishers."),
  /** Kept but not forwarded: this half of a pair was not active. */
  notServing: counter("Messages not forwarded because the cache did not serve."),
  updates: counter("Stored values."),
  evicted: counter("Topics evicted at the limits."),
  uncached: byReason<LastValueCacheUncachedReason>("Messages forwarded but not stored."),
  subscriptions: counter("Subscriptions of subscribers."),
  invalid: counter("Messages of subscribers that are not subscriptions."),
  snapshots: group({
    done: counter("Sent snapshots.", "snapshots"),
    abandoned: counter("Snapshots whose subscriber left, or unsubscribed.", "snapshots_abandoned"),
    values: counter("Values in sent snapshots.", "snapshot_values"),
    waiting: gauge("Snapshots waiting to be sent.", "snapshots_waiting"),
    /** Snapshots waiting for joiners without room. */
    parked: unexported<number>(),
    /** Snapshots merged with a waiting one for the same prefix. */
    merged: unexported<number>(),
  }),
  topics: gauge("Topics with a value."),
  /** Bytes of topics and values; each frame of a value after its first adds 64. */
  bytes: gauge("Bytes of topics and values."),
  /** `undefined` without a store. */
  store: optionalGroup({
    failures: counter("Failed commits of the store.", "store_failures"),
    commits: counter("Commits of the store.", "store_commits"),
    pending: gauge("Changes that a crash would lose now.", "store_pending"),
    damaged: gauge("Damaged records found when the store was opened.", "store_damaged"),
    restored: unexported<number>(),
    written: unexported<number>(),
  }),
};

/** The fault of an invalid message. */
export type CloneFault =
  /** Not 5 frames, or a request not of 2. */
  | "frames"
  /** A request other than ICANHAZ?. */
  | "command"
  /** An empty key, or one of more than 255 bytes. */
  | "key"
  /** A key that reads as a command. */
  | "reserved-key"
  /** Not 8 bytes, or more than 2^53 - 1. */
  | "sequence"
  /** Neither 16 bytes nor none. */
  | "uuid"
  /** An invalid time to live or condition, or too many bytes: 4,096 from a client, 8,192 from a server. */
  | "properties"
  /** Not of the form /segment/…/, or longer than 255 bytes. */
  | "subtree";

/** Why an update was refused. Its client repeats it until the timeout. */
export type CloneRefusalReason =
  /** Too many updates wait for the store or the other server. */
  | "overloaded"
  /** The map has `maxBytes`. */
  | "full"
  /** The commit failed. */
  | "store";

export const CLONE_SERVER = {
  /** Updates of clients; a server that stands by drops them. */
  received: counter("Updates from clients."),
  applied: counter("Updates ordered, applied and published."),
  /** Repeated updates, acknowledged again. */
  repeated: counter("Repeated updates."),
  refused: byReason<CloneRefusalReason>("Refused updates."),
  conflicts: counter("Updates whose key had another revision than expected."),
  faults: byReason<CloneFault>("Messages that violated the protocol."),
  published: counter("Updates sent to clients."),
  expired: counter("Keys that expired."),
  snapshots: group({
    done: counter("Completely sent snapshots.", "snapshots"),
    lost: counter("Snapshots that ended early.", "snapshots_lost"),
    active: gauge("Snapshots being sent.", "snapshots_active"),
    waiting: gauge("Snapshots waiting for their turn.", "snapshots_waiting"),
  }),
  commits: counter("Commits of the store."),
  entries: gauge("Keys."),
  ephemeral: gauge("Keys with a time to live.", "ephemeral_entries"),
  bytes: gauge("Bytes of keys and values."),
  memory: gauge("Approximate memory of the map, in bytes.", "memory_bytes"),
  inFlight: gauge("Updates not yet confirmed by the store or the other server."),
  sequence: gauge("Sequence number of the last update."),
  /** Increases whenever a server of the pair begins to serve; 0 without a pair. */
  term: gauge("Number of times that a server of the pair became active."),
  serving: flag("1 if the server is active, 0 on standby."),
  replicated: flag("1 if the other server has every acknowledged update."),
};

export const CLONE_CLIENT = {
  /** Received updates, also those that a snapshot had already. */
  received: counter("Received updates."),
  applied: counter("Applied updates."),
  old: counter("Updates that the snapshot already contained."),
  gaps: counter("Gaps in the updates; each starts a new snapshot."),
  snapshots: counter("Loaded snapshots."),
  failOvers: counter("Switches to another server."),
  faults: counter("Messages that violated the protocol."),
  handshakeErrors: counter("Failed handshakes with servers."),
  invalid: counter("Values that could not be decoded."),
  /** sets = acknowledged + conflicts + timedOut + aborted + inFlight. */
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
  /** ms since the last message of the server. Not exported: `state` shows too long a silence. */
  silentFor: unexported<number>(),
  /** Snapshot endpoint in use; empty before a source has one. */
  server: unexported<string>(),
  state: states("1 for the current state of the client, else 0.", ["syncing", "live", "stale", "closed"]),
};

export const SEQUENCED_PUBLISHER = {
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

export const SEQUENCED_SUBSCRIBER = {
  received: counter("Messages received."),
  gaps: counter("Gaps in the sequences of streams."),
  lost: counter("Messages in gaps."),
  missed: counter("Messages before late joins."),
  repeats: counter("Repeated messages."),
  forgotten: counter("Streams evicted at the limits."),
  invalid: counter("Messages that violate the protocol."),
  streams: gauge("Streams."),
  replays: group({
    requests: counter("Requested replays.", "replay_requests"),
    replayed: counter("Messages received by replays."),
    retries: counter("Repeated requests for replays.", "replay_retries"),
    late: counter("Answers to replays that came too late.", "replay_late"),
    invalid: counter("Answers to replays that violate the protocol.", "replay_invalid"),
    pending: gauge("Replays in flight.", "replays_pending"),
  }),
};

export const SUICIDAL_SNAIL = {
  /** Messages with a stamp and a body. */
  received: counter("Messages received."),
  delivered: counter("Messages delivered to the program."),
  dropped: counter("Messages dropped because the subscriber was late."),
  late: counter("Detections of a late subscriber."),
  forgotten: counter("Sources evicted at the limits."),
  invalid: counter("Messages without a valid stamp."),
  waiting: gauge("Messages waiting for the program.", "waiting_messages"),
};

/** Why a message was dropped. */
export type BlackBoxDropReason =
  /** The queue was full (`drop-newest`). */
  | "newest"
  /** A later message arrived at a full queue. */
  | "oldest"
  /** Larger than the queue. */
  | "too-large"
  /** Still queued at close. */
  | "closed";

export const BLACK_BOX = {
  received: counter("Messages received."),
  handled: counter("Messages handled."),
  failed: counter("Messages whose handler failed."),
  dropped: byReason<BlackBoxDropReason>("Messages dropped at the limits."),
  /** Messages in flight at `close`; some may have been handled. */
  lost: counter("Messages at worker threads when the Black Box closed."),
  queued: gauge("Messages waiting for a worker thread.", "queued_messages"),
  queuedBytes: gauge("Bytes of queued messages."),
  inFlight: gauge("Messages at worker threads.", "in_flight_messages"),
};

export const ESPRESSO_TAP = {
  passed: counter("Messages forwarded by the proxy."),
  /** Records accepted by the capture socket. */
  published: counter("Records published."),
  unheard: counter("Messages without a listener."),
  refused: counter("Records not accepted by the capture socket."),
  truncated: counter("Truncated records."),
  invalid: counter("Messages of listeners that are not subscriptions."),
  subscriptions: gauge("Topic prefixes with a listener."),
};

export const ESPRESSO_LISTENER = {
  received: counter("Records received."),
  raw: counter("Records without a trailer: a raw capture."),
};
