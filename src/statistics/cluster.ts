/** Statistics of clusters, connections and dynamic discovery. */
import { byReason, counter, flag, gauge, gauges, milliseconds, unexported } from "./rows.js";

export const CLUSTER = {
  members: gauge("Live members, including this node."),
  suspects: gauge("Suspect members: they do not answer, but are not declared dead yet."),
  gone: gauge("Members that were lost or left, and are not forgotten yet."),
  /** Members by state. A draining one is not `alive`; `lost` and `left` ones count until they are forgotten. */
  states: gauges<"alive" | "suspect" | "draining" | "lost" | "left">(
    "state",
    "Members by state, including this node.",
    "members_by_state",
  ),
  probes: counter("Probes sent."),
  probesFailed: counter("Probes without an answer."),
  suspicions: counter("Suspicions of members."),
  refuted: counter("Suspicions that the member refuted.", "suspicions_refuted"),
  refutations: counter("Suspicions refuted by this node."),
  /** ms since the membership view began to differ from others; 0: equal. */
  differsFor: milliseconds(
    "Seconds for which the membership view has differed from those of others; 0: equal.",
    "differs",
  ),
  sourcesUp: gauge("Discovery sources that are up."),
  sourcesDown: gauge("Discovery sources that are down; their last lists are kept."),
  healthScore: gauge("Local health: 0 is healthy; up to 8 after the node was late or wrongly suspected."),
  minority: flag("1 if the node is on the minority side of a partition."),
  packetsSent: counter("Datagrams sent, for all clusters of the node."),
  packetsReceived: counter("Datagrams received, for all clusters of the node."),
  bytesSent: counter("Bytes of datagrams sent."),
  bytesReceived: counter("Bytes of datagrams and streams received."),
  gossipBytes: counter("Bytes of datagrams sent only for gossip."),
  links: gauge("Streams to other nodes."),
  /** Refused and dropped packets and connections by reason; those of the cluster's rules as `rules:REASON`. */
  dropped: byReason("Refused or dropped packets, updates and connections."),
};

export const MESSAGING = {
  published: counter("Messages published."),
  /** Copies given to links: one for each node with interest. */
  sent: counter("Copies of messages queued for other nodes.", "copies_sent"),
  droppedFull: counter(
    "Copies dropped because the other node's high-water mark was reached.",
    "copies_dropped",
  ),
  received: counter("Messages of topics from other nodes.", "topic_received"),
  delivered: counter("Messages delivered to subscriptions.", "deliveries"),
  droppedSlow: counter("Messages dropped by full subscriptions.", "deliveries_dropped"),
  unclaimed: counter("Received messages without a subscription."),
  directSent: counter("One-to-one messages sent."),
  directReceived: counter("One-to-one messages received."),
  directPending: gauge("One-to-one messages not yet acknowledged."),
  subscriptions: gauge("Subscriptions of the node's own clients."),
  filters: unexported<number>(),
  clients: unexported<number>(),
  retained: gauge("Retained values."),
  retainedBytes: gauge("Bytes of retained values."),
  retainedEvicted: counter("Retained values that were evicted at the bounds."),
  failed: counter("Message handlers that threw or rejected.", "handlers_failed"),
  refused: byReason("Refused items from other nodes.", "items_refused"),
};

export const MEMBER_MESSAGES = {
  sent: counter("Messages and queries sent, counted per member.", "member_messages_sent"),
  failed: counter(
    "Messages and queries that could not be sent, counted per member.",
    "member_messages_failed",
  ),
  received: counter("Messages and queries passed to handlers.", "member_messages_received"),
  notJoined: counter(
    "Messages and queries dropped on channels that are not joined.",
    "member_messages_not_joined",
  ),
  unhandled: counter("Messages of members without a handler.", "member_messages_unhandled"),
  vetoed: counter("Messages, queries and replies that hooks vetoed.", "member_messages_vetoed"),
  answered: counter("Messages and queries that hooks answered.", "member_messages_answered"),
  queries: gauge("Queries waiting for responses.", "queries_pending"),
  awaited: gauge("Responses that queries wait for.", "responses_awaited"),
  handling: gauge("Messages and queries being handled.", "member_messages_handling"),
  handlingBytes: gauge("Bytes of these messages and queries.", "member_messages_handling_bytes"),
  /** Refused items by reason: `late`, `double` or `foreign` responses, malformed items. */
  refused: byReason("Refused messages and queries of members.", "member_messages_refused"),
};

export const REQUESTS = {
  called: counter("Requests to services.", "requests"),
  succeeded: counter("Requests with a reply.", "requests_succeeded"),
  failed: counter("Requests that failed.", "requests_failed"),
  retried: counter("Repeated attempts.", "requests_retried"),
  pending: gauge("Requests waiting for a reply.", "requests_pending"),
  pendingBytes: gauge("Bytes of their bodies.", "requests_pending_bytes"),
  refused: byReason("Refused requests and replies.", "requests_refused"),
};

export const CONNECTIONS = {
  self: gauge("Addresses of the list that are the node's own."),
  connecting: gauge("Addresses being dialled."),
  connected: gauge("Connected addresses."),
  broken: gauge("Addresses without a connection, which are dialled again."),
};

export const DISCOVERY_SERVER = {
  nodes: gauge("Nodes in the list."),
  callers: gauge("Connected clients."),
  clients: gauge("Clients that get updates."),
  requests: counter("Requests over sockets and HTTP."),
  /** Malformed requests and connections. */
  invalid: counter("Requests that violate the protocol."),
  /** Handshakes and HTTP requests with refused credentials. */
  refused: counter("Refused clients."),
  updates: counter("Updates sent."),
  missed: counter("Updates missed by slow clients, which get the newest list later."),
};

export const DISCOVERY_CLIENT = {
  nodes: gauge("Nodes in the list."),
  connected: flag("1 while connected to a node."),
  attempts: counter("Connection attempts."),
  failed: counter("Failed connection attempts."),
  lost: counter("Lost connections to nodes."),
  updates: counter("Received lists."),
};
