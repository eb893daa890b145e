/** Names of OpenTelemetry's semantic conventions. */

/** Messaging has the status "development", so names may change. */
export const SEMANTIC_CONVENTIONS_VERSION = "1.45.0";

/** Schema of spans and metrics. */
export const SCHEMA_URL: string = `https://opentelemetry.io/schemas/${SEMANTIC_CONVENTIONS_VERSION}`;

export const ERROR_TYPE = "error.type";
export const MESSAGING_SYSTEM = "messaging.system.name";
export const MESSAGING_OPERATION_NAME = "messaging.operation.name";
export const MESSAGING_OPERATION_TYPE = "messaging.operation.type";
export const MESSAGING_DESTINATION_NAME = "messaging.destination.name";
/** A low-cardinality destination that replaces many. */
export const MESSAGING_DESTINATION_TEMPLATE = "messaging.destination.template";
export const MESSAGING_SUBSCRIPTION = "messaging.destination.subscription.name";
export const MESSAGING_MESSAGE_BODY_SIZE = "messaging.message.body.size";

/** Histogram, s: send and request, from call to outcome. */
export const OPERATION_DURATION = "messaging.client.operation.duration";
/** Counter: sent messages and requests. */
export const SENT_MESSAGES = "messaging.client.sent.messages";
/** Counter: received messages, and requests to handlers. */
export const CONSUMED_MESSAGES = "messaging.client.consumed.messages";
/** Histogram, s: handlers. */
export const PROCESS_DURATION = "messaging.process.duration";

/** Recommended buckets, s. */
export const DURATION_BUCKETS: number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** The conventions' list of systems is open. */
export const SYSTEM = "zeromq";

export const SHOAL_SERVICE_SYSTEM = "shoal.service.system";
export const SHOAL_SERVICE_METHOD = "shoal.service.method";
/** Id of the node that sent a message. */
export const SHOAL_CLUSTER_SENDER = "shoal.cluster.sender";
/** Session whose client published a message. */
export const SHOAL_SESSION_PUBLISHER = "shoal.session.publisher";
/** Receiving nodes, services that answered a query, or sessions that keep a publication. */
export const SHOAL_MESSAGE_RECIPIENTS = "shoal.message.recipients";
