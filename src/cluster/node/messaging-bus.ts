/**
 * What programs do with the messages of a bus: topics, one-to-one messages, services, requests. It checks whether the bus can, and
 * hands on; bus.ts has the members, and puts the parts together.
 */
import { checkCallOptions, checkInteger } from "../../core/arguments.js";
import { InvalidStateError } from "../../core/errors.js";
import type { ServiceClient, ServiceContract, ServiceHandlers } from "../../patterns/kit/contract.js";
import { Driver } from "../../patterns/kit/driver.js";
import type { ClusterAddress } from "../messaging/addresses.js";
import type { ClusterChannels } from "../messaging/channels.js";
import type {
  MessageClient,
  MessageRecipient,
  PublishOptions,
  SendToNodesOptions,
  SendToOptions,
  SubscribeOptions,
} from "../messaging/client.js";
import type {
  HookOptions,
  MessageHook,
  MessageStage,
  ServiceHook,
  ServiceStage,
} from "../messaging/hooks.js";
import type { ClusterRoute } from "../messaging/messaging.js";
import type { Query } from "../messaging/query.js";
import type {
  HandlerOptions,
  ServiceMessageHandler,
  ServiceQueryHandler,
  ServiceQueryOptions,
  ServiceSendOptions,
  ServiceSendResult,
} from "../messaging/service-types.js";
import type { ClusterSubscription, MessageHandler } from "../messaging/subscription.js";
import type {
  RequestMiddleware,
  ServeMiddleware,
  ServeOptions,
  Service,
  ServiceHandler,
  ServiceManyOptions,
  ServiceManyResult,
  ServiceRequest,
  ServiceRequestOptions,
  ServiceStreamOptions,
} from "../requests/types.js";
import type { BusParts } from "./bus-parts.js";
import type { ClusterEvent } from "./events.js";
import type { ClusterStats } from "./stats.js";

/** Filters that `routes` lists, unless it is asked for another number. */
const DEFAULT_ROUTES = 1_024;

/** A bus as far as its messages go. */
export abstract class MessagingBus extends Driver<ClusterEvent, ClusterStats> {
  /** @internal */
  protected abstract readonly parts: BusParts;

  /** @internal The id of a member. @throws UnroutableError `EHOSTUNREACH` where nobody has the name */
  protected abstract idOf(nameOrId: string): string;

  // --- Messages ------------------------------------------------------------------------------------------------------

  /**
   * Subscribes to the topics that a filter matches, by the rules of MQTT 5: `sensors/+/temperature`, `sensors/#`, or one topic, by its name
   * or its number. "self" or 1: one-to-one messages to this node. Of subscriptions of one client that overlap, the first one gets a message.
   * May be called before the start: the nodes that are met then know it.
   *
   * @param handler called for each message; one that returns a promise is called again when that settles. Without a handler the
   *   subscription is an async iterable
   * @throws InvalidArgumentError `EINVAL` for what is not a filter, and for bad options; InvalidStateError `EFSM` for too many; NotSupportedError `NOT_SUPPORTED` without messages; ClosedError `EBADF`
   */
  subscribe(filter: string | number, handler: MessageHandler): ClusterSubscription;
  /**
   * The same with options.
   *
   * @param options `subtopic`, `each`, `retained`, `maxQueue` and `maxQueueBytes`: {@link SubscribeOptions}
   * @throws as above
   */
  subscribe(
    filter: string | number,
    options?: SubscribeOptions,
    handler?: MessageHandler,
  ): ClusterSubscription;
  subscribe(
    filter: string | number,
    options?: SubscribeOptions | MessageHandler,
    handler?: MessageHandler,
  ): ClusterSubscription {
    this.assertOpen();
    const messaging = this.parts.messages.unstarted;
    return messaging.subscribe(messaging.self, filter, options, handler);
  }

  /**
   * Publishes a message: each node with interest in the topic gets it once, straight from here. Messages of one publisher and topic arrive in
   * their order. The data are copied.
   *
   * @param topic without wildcards; a number is a topic's, or a client's: then as `sendTo`
   * @param options `subtopic`, `self`, `retain`, `onFull` and `timeout`: {@link PublishOptions}
   * @returns to how many nodes it went, this one included where it has a subscription
   * @throws InvalidArgumentError `EINVAL` for what is not a topic, for wildcards, for more bytes than `messaging.maxItem`; TimeoutError
   *   `ETIMEDOUT` where there was no room at a node in time: the others have it; InvalidStateError `ERR_TOO_MANY_PENDING`, `EFSM`;
   *   NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`, `EAGAIN`
   */
  publish(topic: string | number, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.publish(started.self, topic, data, options);
  }

  /**
   * The same on behalf of another client: one of this node (`createClient`), or one of another node where `messaging.mayPublishAs` allows it,
   * here and on the nodes that it goes to.
   *
   * @param publisher its address, as a message's `sender`, or its number here
   * @throws as `publish`; InvalidArgumentError `EINVAL` where it is not allowed, and for `retain` with a client of another node, whose values that node
   *   alone has; UnroutableError `EHOSTUNREACH` where there is no such client
   */
  publishAs(
    publisher: number | ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options?: PublishOptions,
  ): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.publishAs(publisher, topic, data, options);
  }

  /**
   * Sends a message to one client: it arrives at its subscriptions of "self". A message's `sender` is such an address, so this is how it is
   * answered.
   *
   * @param to an address, a number that stands for one on this node, or a service: its node's own client
   * @param options `subtopic`, and `timeout` in ms, default 10,000
   * @returns settles when the client's node has handed it over
   * @throws UnroutableError `EHOSTUNREACH` at once where the client or its node is gone, with the reason; TimeoutError `ETIMEDOUT`;
   *   InvalidArgumentError `EINVAL`; InvalidStateError `ERR_TOO_MANY_PENDING`, `EFSM`; NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`, `EAGAIN`
   */
  sendTo(to: MessageRecipient, data: string | Uint8Array, options?: SendToOptions): Promise<void> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.sendTo(started.self, to, data, options);
  }

  /**
   * Sends a message to the own client of every other node that takes messages.
   *
   * @returns to how many nodes it went
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM`; NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`, `EAGAIN`
   */
  sendToNodes(data: string | Uint8Array, options?: SendToNodesOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.sendToNodes(started.self, data, options);
  }

  /**
   * A further client of this node, with an id of its own: its subscriptions and messages are apart from the node's.
   *
   * @param name for the program alone
   * @throws InvalidStateError `EFSM` for more than 65,536, and before the start; NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`
   */
  createClient(name?: string): MessageClient {
    this.assertOpen();
    return this.parts.messages.messaging.createClient(name);
  }

  /**
   * The address of another node's own client, for `sendTo`: from now on that node is reached from here.
   *
   * @throws UnroutableError `EHOSTUNREACH` where there is no such live member; InvalidStateError `EFSM`; NotSupportedError
   *   `NOT_SUPPORTED`; ClosedError `EBADF`
   */
  addressOf(nameOrId: string): ClusterAddress {
    this.assertOpen();
    return this.parts.messages.messaging.addressOf(this.idOf(nameOrId));
  }

  /**
   * Gives a topic a number, which stands for it in `publish` and `subscribe`, and in the messages that arrive, on this node. May be called
   * before the start.
   *
   * @param id 2 to 4,294,967,295; default: the number that it has, or one at random
   * @returns its number
   * @throws InvalidArgumentError `EINVAL`, also for the number of another topic; InvalidStateError `EFSM` for more than 4,096; NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`
   */
  createTopic(name: string, id?: number): number {
    this.assertOpen();
    return this.parts.messages.unstarted.createTopic(name, id, false);
  }

  /** The same for a subtopic. @throws as `createTopic` */
  createSubtopic(name: string, id?: number): number {
    this.assertOpen();
    return this.parts.messages.unstarted.createTopic(name, id, true);
  }

  // --- Services ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message to services: the union of what `services`, `resolver` and `resolve` find, each once, or all with `broadcast: true`. It goes by
   * links, or with `broadcast: true` by one datagram to the group, which may be lost: {@link ServiceSendOptions}.
   *
   * @returns to whom it went, by which means, and who failed why
   * @throws InvalidArgumentError `EINVAL`; VetoError `ERR_VETOED` where a hook of sending vetoed it; InvalidStateError `EFSM` before the start;
   *   NotSupportedError `NOT_SUPPORTED` without messages; ClosedError `EBADF`, `EAGAIN`
   */
  send(options: ServiceSendOptions): Promise<ServiceSendResult> {
    if (this.parts.messages.started === undefined || this.stopping) return this.#notNow();
    return this.parts.services.send(options);
  }

  /**
   * Asks services, and gives who answered what: by `for await`, or by `collect()`. Nothing that arrives is ever evaluated as code.
   *
   * @throws InvalidArgumentError `EINVAL`; UnroutableError `EHOSTUNREACH` for a name that no live member has; InvalidStateError
   *   `ERR_TOO_MANY_PENDING` for more than 1,024 queries or 65,536 responses that are waited for, `EFSM` before the start; NotSupportedError
   *   `NOT_SUPPORTED` without messages; ClosedError `EBADF`, `EAGAIN`
   */
  query(options: ServiceQueryOptions): Query {
    this.assertOpen();
    void this.parts.messages.messaging;
    return this.parts.services.query(options);
  }

  /**
   * Answers the queries of others on the channels that are joined. May be called before the start.
   *
   * @param handler gives the answer, a text or bytes; what it throws fails the query there with its message
   * @param options `channels`: those that it is for, default all that no other handler is for
   * @returns removes it
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` where there is one for a channel already; NotSupportedError `NOT_SUPPORTED`
   *   without messages; ClosedError `EBADF`, `EAGAIN`
   */
  onQuery(handler: ServiceQueryHandler, options?: HandlerOptions): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.onQuery(handler, options);
  }

  /**
   * Gets the messages that others `send` on the channels that are joined; each of several handlers gets each. May be called before the start.
   *
   * @param handler what it throws is the event `handler:failed`
   * @param options `channels`: those that it is for, default all
   * @returns removes it
   * @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` without messages; ClosedError `EBADF`, `EAGAIN`
   */
  onMessage(handler: ServiceMessageHandler, options?: HandlerOptions): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.onMessage(handler, options);
  }

  /**
   * Adds a hook at a stage of `send` and `query`: it may change what passes, answer it, or veto it. docs/messaging.md has the stages and
   * their order. May be called before the start.
   *
   * @returns removes it
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for more than 256; NotSupportedError `NOT_SUPPORTED` without messages;
   *   ClosedError `EBADF`, `EAGAIN`
   */
  hook(stage: MessageStage, hook: MessageHook): () => void;
  /**
   * The same for some messages.
   *
   * @param options `channels`, or `protocols` for the stages of protocols; default: all
   * @throws as above
   */
  hook(stage: MessageStage, options: HookOptions, hook: MessageHook): () => void;
  /** The same for services. @throws as above */
  hook(stage: ServiceStage, hook: ServiceHook): () => void;
  hook(...given: [never, never]): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.hook(...given);
  }

  /** The channels of `send` and `query` that this node has joined. May be changed before the start. */
  get channels(): ClusterChannels {
    return this.parts.services.channels;
  }

  /**
   * Serves a service under a name: any number of nodes may, and a `request` goes to one of them. May be called before the start.
   *
   * @param handler what it returns is the reply, of an async iterable in parts; what it throws is a ServiceError at the caller, with `code` and `data`
   * @param options `schema`, `concurrency`, `maxQueue`, `maxQueueBytes`, `keepReplies`, `maxParts` and `maxPartBytes`: {@link ServeOptions}
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for a name that this node serves, and for more than 1,024; NotSupportedError
   *   `NOT_SUPPORTED` without messages; ClosedError `EBADF`, `EAGAIN`
   */
  serve<Request = unknown, Reply = unknown>(
    name: string,
    handler: ServiceHandler<Request, Reply>,
    options?: ServeOptions<Request, Reply>,
  ): Service;
  /** The same by a contract ({@link defineService}): a handler for each method. @throws as above */
  serve<C extends ServiceContract>(
    contract: C,
    handlers: ServiceHandlers<C, ServiceRequest>,
    options?: Omit<ServeOptions, "schema">,
  ): Service;
  serve(of: string | ServiceContract, handler: never, options?: ServeOptions<never, never>): Service {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.requests.serve(of, handler, options);
  }

  /**
   * Asks one of the nodes that serve something: the least loaded of the nearest. One that is overloaded, drains or cannot be reached gives way to
   * another one.
   *
   * @param body bytes, a text, or a value that JSON has a form for; or an async iterable of these, which the handler gets in parts, as fast as it reads them.
   *   Bytes are copied
   * @param options times, retries, headers, an idempotency key: {@link ServiceRequestOptions}
   * @returns the reply: bytes, a text, or what JSON has made of the handler's value
   * @throws ServiceError `ERR_SERVICE` with a `reason`: `no-service`, `overloaded`, `worker-failed`, `worker-lost` …; TimeoutError `ETIMEDOUT`; AbortedError
   *   `ABORT_ERR`; InvalidArgumentError `EINVAL`; InvalidStateError `ERR_TOO_MANY_PENDING`, `EFSM` before the start; NotSupportedError `NOT_SUPPORTED`;
   *   ClosedError `EBADF`, `EAGAIN`
   */
  request<Reply = unknown>(name: string, body?: unknown, options?: ServiceRequestOptions): Promise<Reply> {
    if (this.parts.messages.started === undefined || this.stopping) return this.#notNow();
    return this.parts.requests.outgoing.request(name, body, options) as Promise<Reply>;
  }

  /**
   * The same of a reply that comes in parts. The handler is not asked for more than the program has room for; leaving the loop gives the request up.
   *
   * @throws as `request`, when it is read; InvalidArgumentError `EINVAL`, InvalidStateError, NotSupportedError and ClosedError at once
   */
  requestStream<Part = unknown>(
    name: string,
    body?: unknown,
    options?: ServiceStreamOptions,
  ): AsyncIterableIterator<Part, undefined> {
    this.assertOpen();
    void this.parts.messages.messaging;
    return this.parts.requests.outgoing.requestStream(name, body, options) as AsyncIterableIterator<
      Part,
      undefined
    >;
  }

  /**
   * Asks every node that serves something, each once.
   *
   * @param options `timeout` in ms, default 5,000; `count` replies that are enough; `headers`, `signal`, `self`
   * @returns who replied what, who failed why, and who had not answered in time
   * @throws ServiceError `ERR_SERVICE` with the reason `no-service`; else as `request`
   */
  async requestMany<Reply = unknown>(
    name: string,
    body?: unknown,
    options?: ServiceManyOptions,
  ): Promise<ServiceManyResult<Reply>> {
    if (this.parts.messages.started === undefined || this.stopping) return this.#notNow();
    return this.parts.requests.outgoing.requestMany(name, body, options) as Promise<ServiceManyResult<Reply>>;
  }

  /**
   * A service by its contract ({@link defineService}): a function for each method, typed by its schemas.
   *
   * @param defaults for each call that does not give its own
   * @throws InvalidArgumentError `EINVAL` for what is not a contract; InvalidStateError `EFSM`; NotSupportedError; ClosedError `EBADF`, `EAGAIN`
   */
  service<C extends ServiceContract>(
    contract: C,
    defaults?: ServiceRequestOptions,
  ): ServiceClient<C, ServiceRequestOptions> {
    this.assertOpen();
    void this.parts.messages.messaging;
    return this.parts.requests.outgoing.service(contract, defaults);
  }

  /**
   * Adds a function around the handlers of this node, or around its requests; the first one added is the outermost. May be called before the start.
   *
   * @returns removes it
   * @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` without messages; ClosedError `EBADF`, `EAGAIN`
   */
  middleware(side: "serve", call: ServeMiddleware): () => void;
  /** @throws as above */
  middleware(side: "request", call: RequestMiddleware): () => void;
  middleware(side: "serve" | "request", call: ServeMiddleware | RequestMiddleware): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.requests.middleware(side, call);
  }

  /**
   * Which nodes have subscriptions with which filters, as this node knows it: the live ones, this one included, by filter.
   *
   * @param options `topic`: only filters that match it; `limit`: so many at most (default 1,024)
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM`; NotSupportedError `NOT_SUPPORTED`; ClosedError `EBADF`
   */
  routes(
    options: { readonly topic?: string | undefined; readonly limit?: number | undefined } = {},
  ): ClusterRoute[] {
    this.assertOpen();
    checkCallOptions("routes", options, ["topic", "limit"]);
    const { topic, limit = DEFAULT_ROUTES } = options;
    checkInteger("limit", limit);
    return this.parts.messages.messaging.listRoutes(limit, topic);
  }

  /** Messages cannot be sent: not yet, not any more, or not at all. */
  async #notNow(): Promise<never> {
    this.assertOpen();
    void this.parts.messages.messaging;
    throw new InvalidStateError("EFSM", "the bus was not started");
  }
}
