/**
 * Messages of a cluster for programs. Checks whether messages are available, and delegates; bus.ts combines the parts.
 */
import { checkCallOptions, checkInteger } from "../../core/arguments.js";
import { InvalidStateError } from "../../core/errors.js";
import type { ServiceClient, ServiceContract, ServiceHandlers } from "../../patterns/kit/contract.js";
import { Driver } from "../../patterns/kit/driver.js";
import type { ClusterAddress } from "../messaging/addresses.js";
import type { ClusterChannels } from "../messaging/channels.js";
import type {
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
import type { ClusterRoute, MessageClient } from "../messaging/messaging.js";
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
import type { ServeOptions, ServiceManyOptions } from "../requests/options.js";
import type {
  RequestMiddleware,
  ServeMiddleware,
  Service,
  ServiceHandler,
  ServiceManyResult,
  ServiceRequest,
  ServiceRequestOptions,
  ServiceStreamOptions,
} from "../requests/types.js";
import type { BusParts } from "./bus-parts.js";
import type { ClusterEvent } from "./events.js";
import type { ClusterStats } from "./stats.js";

export abstract class MessagingBus extends Driver<ClusterEvent, ClusterStats> {
  /** @internal */
  abstract readonly parts: BusParts;

  /** @internal The id of a member. @throws UnroutableError `EHOSTUNREACH` for an unknown name */
  protected abstract idOf(nameOrId: string): string;

  // --- Messages ------------------------------------------------------------------------------------------------------

  /**
   * Subscribes to the topics that match a filter by the rules of MQTT 5: `sensors/+/temperature`, `sensors/#`, or one
   * topic by name or number; "self" or 1 are one-to-one messages to this node. Of a client's overlapping subscriptions,
   * the first gets a message.
   *
   * @param handler called for each message, after the promise of its last call settled. Default: the subscription is an
   * async iterable
   * @throws InvalidStateError `EFSM` for too many subscriptions
   */
  subscribe(filter: string | number, handler: MessageHandler): ClusterSubscription;
  /** @param options {@link SubscribeOptions} @throws as above */
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
   * Publishes a message: each node with a matching subscription gets it once, directly from this node. Messages of one
   * publisher and topic arrive in order. Data is copied.
   *
   * @param topic without wildcards; or the number of a topic or client
   * @param options {@link PublishOptions}
   * @returns the number of receiving nodes, including this one if it has a subscription, and new members whose
   * subscriptions are not known yet
   * @throws InvalidArgumentError `EINVAL`, also for more bytes than `messaging.maxItem`; TimeoutError `ETIMEDOUT` if a
   * node had no room in time (the others have the message); InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  publish(topic: string | number, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.publish(started.self, topic, data, options);
  }

  /**
   * Publishes on behalf of another client of this node (`createClient`).
   *
   * @param publisher its address, as in a message's `sender`, or its number here
   * @throws as `publish`; InvalidArgumentError `EINVAL` for a client of another node; UnroutableError `EHOSTUNREACH` for
   * an unknown client
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
   * Sends a message to one client, whose subscriptions of "self" get it. Resolves when the client's node has delivered
   * it.
   *
   * @param to an address, such as a message's `sender`; its number on this node; or a member, for its node's own client
   * @param options `subtopic`, and `timeout` in ms, default 10,000
   * @throws UnroutableError `EHOSTUNREACH` at once if the client or its node is gone; TimeoutError `ETIMEDOUT`;
   * InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  sendTo(to: MessageRecipient, data: string | Uint8Array, options?: SendToOptions): Promise<void> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.sendTo(started.self, to, data, options);
  }

  /** Sends a message to the own client of every other node with messages. @returns the number of receiving nodes */
  sendToNodes(data: string | Uint8Array, options?: SendToNodesOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.stopping) return this.#notNow();
    return started.sendToNodes(started.self, data, options);
  }

  /**
   * Creates another client of this node with a separate id, subscriptions and messages.
   *
   * @param name only for the program
   * @throws InvalidStateError `EFSM` for more than 65,536
   */
  createClient(name?: string): MessageClient {
    this.assertOpen();
    return this.parts.messages.messaging.createClient(name);
  }

  /**
   * Address of another node's own client, for `sendTo`. @throws UnroutableError `EHOSTUNREACH` if it is not a live
   * member
   */
  addressOf(nameOrId: string): ClusterAddress {
    this.assertOpen();
    return this.parts.messages.messaging.addressOf(this.idOf(nameOrId));
  }

  /**
   * Assigns a number to a topic on this node, for `publish`, `subscribe` and received messages.
   *
   * @param id 2 to 4,294,967,295. Default: its current number, or a random one
   * @returns its number
   * @throws InvalidArgumentError `EINVAL`, also for the number of another topic; InvalidStateError `EFSM` for more than
   * 4,096
   */
  createTopic(name: string, id?: number): number {
    this.assertOpen();
    return this.parts.messages.unstarted.createTopic(name, id, false);
  }

  /** Assigns a number to a subtopic. @throws as `createTopic` */
  createSubtopic(name: string, id?: number): number {
    this.assertOpen();
    return this.parts.messages.unstarted.createTopic(name, id, true);
  }

  // --- Services ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message over links to the services found by `services`, `resolver` and `resolve`, once each; with
   * `broadcast: true` to all by one datagram, which may be lost. {@link ServiceSendOptions}
   *
   * @returns the receivers, the means, and the failures with their reasons
   * @throws VetoError `ERR_VETOED` if a send hook vetoed it
   */
  send(options: ServiceSendOptions): Promise<ServiceSendResult> {
    if (this.parts.messages.started === undefined || this.stopping) return this.#notNow();
    return this.parts.services.send(options);
  }

  /**
   * Queries services; `for await` or `collect()` gives their answers.
   *
   * @throws UnroutableError `EHOSTUNREACH` for a name that is not a live member; InvalidStateError
   * `ERR_TOO_MANY_PENDING` for more than 1,024 queries or 65,536 awaited responses
   */
  query(options: ServiceQueryOptions): Query {
    this.assertOpen();
    void this.parts.messages.messaging;
    return this.parts.services.query(options);
  }

  /**
   * Answers queries on the joined channels.
   *
   * @param handler returns the answer, a text or bytes; an error fails the query at the requester with its message
   * @param options `channels` of this handler. Default: all without another handler
   * @returns removes it
   * @throws InvalidStateError `EFSM` for a channel with a handler
   */
  onQuery(handler: ServiceQueryHandler, options?: HandlerOptions): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.onQuery(handler, options);
  }

  /**
   * Handles messages sent by `send` on the joined channels; each handler gets every message.
   *
   * @param handler an error gives the event `handler:failed`
   * @param options `channels` of this handler. Default: all
   * @returns removes it
   */
  onMessage(handler: ServiceMessageHandler, options?: HandlerOptions): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.onMessage(handler, options);
  }

  /**
   * Adds a hook at a stage of `send` and `query`, which may change, answer or veto messages. docs/messaging.md lists
   * the stages.
   *
   * @returns removes it
   * @throws InvalidStateError `EFSM` for more than 256
   */
  hook(stage: MessageStage, hook: MessageHook): () => void;
  /** @param options `channels`, or `protocols` for the stages of protocols. Default: all */
  hook(stage: MessageStage, options: HookOptions, hook: MessageHook): () => void;
  hook(stage: ServiceStage, hook: ServiceHook): () => void;
  hook(...given: [never, never]): () => void {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts.services.hook(...given);
  }

  /** Joined channels of `send` and `query`. */
  get channels(): ClusterChannels {
    return this.parts.services.channels;
  }

  /**
   * Serves a service under a name. Any number of nodes may serve it; a `request` goes to one of them.
   *
   * @param handler returns the reply; an async iterable is a reply in parts; an error is a ServiceError at the
   * requester, with `code` and `data`
   * @param options {@link ServeOptions}
   * @throws InvalidStateError `EFSM` for a name served by this node, and for more than 1,024
   */
  serve<Request = unknown, Reply = unknown>(
    name: string,
    handler: ServiceHandler<Request, Reply>,
    options?: ServeOptions<Request, Reply>,
  ): Service;
  /** Serves a contract ({@link defineService}), with a handler for each method. @throws as above */
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
   * Sends a request to one of the nodes that serve a service: the least loaded of the nearest. If that one is
   * overloaded, draining or unreachable, another one is tried.
   *
   * @param body bytes (copied), a text, or a JSON value; or an async iterable of these, sent as fast as the handler
   * reads
   * @param options {@link ServiceRequestOptions}
   * @returns bytes, a text, or the handler's value after JSON
   * @throws ServiceError `ERR_SERVICE` with a `reason`: `no-service`, `overloaded`, `worker-failed`, `worker-lost` …;
   * TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  request<Reply = unknown>(name: string, body?: unknown, options?: ServiceRequestOptions): Promise<Reply> {
    if (this.parts.messages.started === undefined || this.stopping) return this.#notNow();
    return this.parts.requests.outgoing.request(name, body, options) as Promise<Reply>;
  }

  /**
   * Sends a request whose reply comes in parts, as fast as the program reads them; leaving the loop cancels the
   * request.
   *
   * @throws as `request`, when it is read
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
   * Sends a request to every node that serves a service, once each.
   *
   * @param options `timeout` in ms, default 5,000; `count` of sufficient replies; `headers`, `signal`, `self`
   * @returns replies, failures with reasons, and nodes without an answer in time
   * @throws as `request`
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
   * A client of a contract ({@link defineService}): a function for each method, typed by its schemas.
   *
   * @param defaults for calls without these options
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
   * Adds middleware around the handlers or the requests of this node; the first one is the outermost. @returns removes
   * it
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
   * Filters and the live nodes, including this one, that subscribe to them.
   *
   * @param options `topic`: only matching filters; `limit`: maximum number, default 1,024
   */
  routes(
    options: { readonly topic?: string | undefined; readonly limit?: number | undefined } = {},
  ): ClusterRoute[] {
    this.assertOpen();
    checkCallOptions("routes", options, ["topic", "limit"]);
    const { topic, limit = 1_024 } = options;
    checkInteger("limit", limit);
    return this.parts.messages.messaging.listRoutes(limit, topic);
  }

  async #notNow(): Promise<never> {
    this.assertOpen();
    void this.parts.messages.messaging;
    throw new InvalidStateError("EFSM", "the bus was not started");
  }
}
