/**
 * A cluster on a node for programs: checks whether it is open and started, and calls its parts. A node is its own first
 * cluster (node.ts). namespace-parts.ts runs the state machine.
 */
import { checkCallOptions, checkInteger, invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, UnroutableError } from "../../core/errors.js";
import { MAX_TIMEOUT, timeLeft } from "../../core/waiter.js";
import type { ServiceClient, ServiceContract, ServiceHandlers } from "../../kit/contract.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import type { Socket } from "../../sockets/socket.js";
import { MAX_SEEDS } from "../bounds.js";
import {
  askClients,
  CLIENTS_SERVICE,
  type ClusterClients,
  type OwnDiscovery,
  partsOf,
} from "../clients/client-registry.js";
import { DISCOVERY_PROP } from "../clients/directory.js";
import type { TagChange } from "../details.js";
import type { DiscoveryStatus } from "../discovery/source.js";
import { isId } from "../identity.js";
import type { ClusterChannels } from "../messaging/channels.js";
import type {
  MessageRecipient,
  PublishOptions,
  SendToNodesOptions,
  SendToOptions,
  SubscribeOptions,
} from "../messaging/client.js";
import type { HookOptions, MemberHook, MemberStage, MessageHook, MessageStage } from "../messaging/hooks.js";
import type {
  HandlerOptions,
  MemberMessageHandler,
  MemberQueryHandler,
  MemberQueryOptions,
  MemberSendOptions,
  MemberSendResult,
} from "../messaging/member-types.js";
import type { ClusterRoute, MessageClient } from "../messaging/messaging.js";
import type { Query } from "../messaging/query.js";
import type { ClusterAddress, ClusterSubscription, MessageHandler } from "../messaging/subscription.js";
import { checkAddress, splitIpAddress } from "../net/addresses.js";
import type { Profile } from "../profiles.js";
import type { ServeOptions, ServiceManyOptions } from "../requests/options.js";
import type {
  Service,
  ServiceHandler,
  ServiceManyResult,
  ServiceRequest,
  ServiceRequestOptions,
  ServiceStreamOptions,
} from "../requests/types.js";
import { CompiledResolver, type ResolverStep } from "../resolver.js";
import { type AnnouncedProgram, Announcement } from "./announcements.js";
import { CLUSTER_EVENTS, type ClusterEvent } from "./events.js";
import { type Member, shownProps } from "./member.js";
import { MemberResolver } from "./member-resolver.js";
import { type ClusterStats, NamespaceParts, type NodeIdentity } from "./namespace-parts.js";
import type { NodeSockets } from "./node-sockets.js";
import { type NamespaceSettings, type PropValue, passwordKeys } from "./options.js";

/** ms without another member before a node with seeds says so. */
const ALONE = 10_000;

/**
 * A cluster on a node, with separate members, tags, messages and services. A {@link ClusterNode} is the first cluster
 * of its node; `node.namespace(name)` joins others.
 *
 * Methods throw or reject with InvalidArgumentError `EINVAL` for invalid arguments (nothing has changed then) and with
 * ClosedError `EBADF` after the close. Methods of messages and services also throw InvalidStateError `EFSM` before the
 * start, NotSupportedError `NOT_SUPPORTED` without `messaging`, ClosedError `EAGAIN` if the node closes meanwhile.
 * Subscriptions, topics, services, handlers, hooks, tags, props and advertised endpoints may be set before the start.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const cluster = `namespace-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, cluster }));
 * const met = new Promise((resolve) => farm.events.once("joined", resolve));
 * await Promise.all([mill.start(), farm.start(), met]);
 * const heard = mill.subscribe("harvest/+"); // A ClusterNode is its first namespace.
 * await heard.ready;
 * await farm.publish("harvest/wheat", "12 t");
 * for await (const { topic, data } of heard) {
 *   console.log(`${topic}: ${data}`); // harvest/wheat: 12 t
 *   break;
 * }
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class ClusterNamespace extends Driver<ClusterEvent, ClusterStats> {
  readonly cluster: string;
  /** All numbers of the profile, including unchanged ones. */
  readonly profile: Profile;
  /** @internal */
  protected readonly sockets: NodeSockets;
  /** @internal */
  protected readonly identity: NodeIdentity;
  /** @internal */
  readonly parts: NamespaceParts;
  readonly #end: (() => void)[] = [];
  readonly #announced = new Set<Announcement>();
  #discovery: OwnDiscovery | undefined;

  /** @internal */
  constructor(
    what: string,
    cluster: string,
    identity: NodeIdentity,
    sockets: NodeSockets,
    settings: NamespaceSettings,
  ) {
    super(what, CLUSTER_EVENTS);
    this.cluster = cluster;
    this.identity = identity;
    this.sockets = sockets;
    this.profile = settings.profile;
    this.#checkScope(settings.seeds);
    this.parts = new NamespaceParts(this, identity, sockets, settings);
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @internal */
  begin(): void {
    const { cluster, sockets } = this;
    const { messages, requests } = this.parts;
    void messages.start();
    this.parts.begin();
    if (messages.started !== undefined) requests.begin();
    this.parts.discovery.start({
      ...this.identity,
      cluster,
      get address() {
        return sockets.address;
      },
      count: (reason) => sockets.count(reason),
    });
    if (this.parts.discovery.seeds.length === 0) return;
    const timer = setTimeout(() => this.#warnIfAlone(), ALONE).unref();
    this.#end.push(() => clearTimeout(timer));
  }

  /** Dead seeds, another password or another cluster name would be silent. */
  #warnIfAlone(): void {
    const { address, counters } = this.sockets;
    const seeds = this.parts.discovery.seeds.filter((seed) => seed !== address);
    if (seeds.length === 0 || this.members({ self: false }).length > 0 || this.events.hears("refused"))
      return;
    const remedy =
      counters.dropped["link:refused"] === undefined
        ? "Check that nodes run there"
        : "They refuse it: check the cluster name, the password and the keys at both ends";
    const text = `The node ${this.self.name} has met no other at its seeds ${seeds.slice(0, 8).join(", ")}. ${remedy}.`;
    process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_UNREACHABLE" });
  }

  /** @throws as in other drivers; InvalidStateError `EFSM` before the start: nothing has changed then */
  override async drain(options?: PatternWaitOptions): Promise<void> {
    void this.parts.rules;
    await super.drain(options);
  }

  /** @internal Announces draining; announced programs are withdrawn and closed. */
  protected override async onDrain(): Promise<void> {
    this.parts.run((rules, now) => rules.drain(now));
    this.parts.membersChanged();
    const withdrawn = [...this.#announced].map((announced) => announced.withdraw());
    const drained = [this.parts.requests.drain(), ...withdrawn];
    // Also after the failure of one program all others are waited for.
    await Promise.allSettled(drained);
    await Promise.all(drained);
  }

  /** Announces leaving to the other members, and closes. */
  async leave(): Promise<void> {
    await this.close();
  }

  protected async onClose(linger: number): Promise<void> {
    const { messages, memberMessages, requests } = this.parts;
    this.parts.stop();
    for (const announced of this.#announced) announced.abandon();
    this.parts.details.close();
    const withdrawn = this.parts.discovery.stop(linger);
    const served = this.#discovery?.nodeOnClose(linger);
    // Before leaving, since members that have left are sent nothing.
    memberMessages.close();
    const begun = performance.now();
    await requests.close(linger);
    await messages.close(timeLeft(linger, begun));
    await this.parts.leave(timeLeft(linger, begun));
    await Promise.all([withdrawn, served]);
    this.parts.end();
    for (const listener of this.#end) listener();
  }

  onEnd(listener: () => void): void {
    this.#end.push(listener);
  }

  // --- Who is there --------------------------------------------------------------------------------------------------

  /** @throws InvalidStateError `EFSM` before the start */
  get self(): Member {
    return this.parts.memberOf(this.parts.rules.self);
  }

  /** "host:port" for other nodes; empty before the start. */
  get address(): string {
    return this.sockets.address;
  }

  /**
   * Live members, including suspects, with this node first.
   *
   * @param options `self: false` omits this node; `gone: true` adds lost and left members until they are forgotten
   */
  members(
    options: { readonly self?: boolean | undefined; readonly gone?: boolean | undefined } = {},
  ): Member[] {
    checkCallOptions("members", options, ["self", "gone"]);
    const rules = this.parts.rules;
    const found = [...(options.self === false ? [] : [rules.self]), ...rules.live];
    if (options.gone === true) found.push(...rules.dead);
    return found.map((member) => this.parts.memberOf(member));
  }

  /** The live member with an id or a name; a name without host must be unique. */
  member(nameOrId: string): Member | undefined {
    const member = this.parts.find(nameOrId);
    return member?.isLive === true ? this.parts.memberOf(member) : undefined;
  }

  /** Live members that have all tags, including this node. docs/clusters.md lists the built-in tags. */
  resolve(...tags: string[]): Member[] {
    return this.resolver({ has: tags }).members;
  }

  /**
   * Live members that match, now and as they change, including this node: `resolver({ has: ["a"] }, "match", { not:
   * ["b*"] })`. `equal`, `match` and `regexp` apply to the conditions after them. Sockets and clients of patterns
   * connect to it: `socket.connect(node.resolver({ has: ["billing"] }))`.
   */
  resolver(...steps: ResolverStep[]): MemberResolver {
    return new MemberResolver(this.parts, steps);
  }

  /** Whether this node has all tags. */
  resolveSelf(...tags: string[]): boolean {
    const { self } = this.parts.rules;
    return new CompiledResolver([{ has: tags }]).select([self], self).length > 0;
  }

  // --- Where others may be -------------------------------------------------------------------------------------------

  /** Discovery sources and their states, with the seeds first if there are any. */
  discovery(): DiscoveryStatus[] {
    return this.parts.discovery.status();
  }

  /**
   * Adds seeds: addresses that are dialled while they have no member.
   *
   * @param addresses "host:port"; a host may be a name
   * @throws InvalidArgumentError `EINVAL`, also for an address on another host without the scope `link`, and more than
   * 1,024 seeds
   */
  join(...addresses: string[]): void {
    this.assertOpen();
    for (const address of addresses) checkAddress("a seed", address);
    this.#checkScope(addresses);
    const seeds = new Set([...this.parts.discovery.seeds, ...addresses]);
    if (seeds.size > MAX_SEEDS)
      throw new InvalidArgumentError(`seeds must be at most ${MAX_SEEDS}; got ${seeds.size}`);
    this.parts.discovery.setSeeds([...seeds]);
  }

  /** Stops dialling these seeds, including those of the options. Members there remain. */
  forget(...addresses: string[]): void {
    if (this.closed) this.assertOpen();
    for (const address of addresses) checkAddress("a seed", address);
    this.parts.discovery.setSeeds(this.parts.discovery.seeds.filter((seed) => !addresses.includes(seed)));
  }

  /**
   * @internal @throws InvalidStateError `EFSM` before the start; ClosedError `EBADF`, `EAGAIN` while it drains;
   * InvalidArgumentError `EINVAL` for an address out of scope
   */
  checkReachable(addresses: readonly string[]): void {
    this.assertOpen();
    void this.parts.rules;
    this.#checkScope(addresses);
  }

  #checkScope(seeds: readonly string[]): void {
    for (const seed of seeds)
      if (splitIpAddress(seed) !== undefined && !this.sockets.accepts(seed))
        throw new InvalidArgumentError(
          splitIpAddress(seed)?.host.includes(":") && !this.sockets.settings.ipv6
            ? `the seed ${seed} is of IPv6: it needs ipv6: true`
            : `the seed ${seed} is not on this host, and without the scope "link" a node keeps to its host`,
        );
  }

  // --- Messages ------------------------------------------------------------------------------------------------------

  /**
   * Subscribes to the topics that match a filter by the rules of MQTT 5: `sensors/+/temperature`, `sensors/#`, or one
   * topic; "self" are one-to-one messages to this node. Of a client's overlapping subscriptions, the first gets a
   * message.
   *
   * @param handler called for each message, after the promise of its last call settled. Default: the subscription is an
   * async iterable
   * @throws InvalidStateError `EFSM` for too many subscriptions
   */
  subscribe(filter: string, handler: MessageHandler): ClusterSubscription;
  /** @param options {@link SubscribeOptions} @throws as above */
  subscribe(filter: string, options?: SubscribeOptions, handler?: MessageHandler): ClusterSubscription;
  subscribe(
    filter: string,
    options?: SubscribeOptions | MessageHandler,
    handler?: MessageHandler,
  ): ClusterSubscription {
    // It checks which of both the second one is.
    return this.#supported.messages.self.subscribe(filter, options as SubscribeOptions, handler);
  }

  /**
   * Publishes a message: each node with a matching subscription gets it once, directly from this node. Messages of one
   * publisher and topic arrive in order. Data is copied.
   *
   * @param topic without wildcards
   * @param options {@link PublishOptions}
   * @returns the number of receiving nodes, including this one if it has a subscription, and new members whose
   * subscriptions are not known yet
   * @throws InvalidArgumentError `EINVAL`, also for more bytes than `messaging.maxItem`; TimeoutError `ETIMEDOUT` if a
   * node had no room in time (the message stays queued); InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  publish(topic: string, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.#isRefusing) return this.#notNow();
    return started.self.publish(topic, data, options);
  }

  /**
   * Publishes on behalf of another client of this node (`createClient`).
   *
   * @param publisher its address, as in a message's `sender`, or its id
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
    if (started === undefined || this.#isRefusing) return this.#notNow();
    return started.publishAs(publisher, topic, data, options);
  }

  /**
   * Sends a message to one client, whose subscriptions of "self" get it. Resolves when the client's node has delivered
   * it.
   *
   * @param to an address, such as a message's `sender`; the id of a client of this node; or a member, for its node's own client
   * @param options `subtopic`, and `timeout` in ms, default 10,000
   * @throws UnroutableError `EHOSTUNREACH` at once if the client or its node is gone; TimeoutError `ETIMEDOUT`,
   * and `EAGAIN` if the queue of a client of this node is full; InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL`, above `messaging.maxItem` too
   */
  sendTo(to: MessageRecipient, data: string | Uint8Array, options?: SendToOptions): Promise<void> {
    const { started } = this.parts.messages;
    if (started === undefined || this.#isRefusing) return this.#notNow();
    return started.self.sendTo(to, data, options);
  }

  /**
   * Sends a message to the own client of every other node with messages.
   *
   * @returns the number of receiving nodes
   * @throws InvalidArgumentError `EINVAL`, above `messaging.maxItem` too
   */
  sendToNodes(data: string | Uint8Array, options?: SendToNodesOptions): Promise<number> {
    const { started } = this.parts.messages;
    if (started === undefined || this.#isRefusing) return this.#notNow();
    return started.self.sendToNodes(data, options);
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
    return this.parts.messages.messaging.addressOf(this.#idOf(nameOrId));
  }

  // --- Messages of members -------------------------------------------------------------------------------------------

  /**
   * Sends a message over links to the members found by `members`, `resolver` and `resolve`, once each; with
   * `broadcast: true` to all by one datagram, which may be lost. {@link MemberSendOptions}
   *
   * @returns the receivers, the means, and the failures with their reasons
   * @throws VetoError `ERR_VETOED` if a send hook vetoed it
   */
  send(options: MemberSendOptions): Promise<MemberSendResult> {
    if (this.parts.messages.started === undefined || this.#isRefusing) return this.#notNow();
    return this.parts.memberMessages.send(options);
  }

  /**
   * Queries members; `for await` or `collect()` gives their answers.
   *
   * @throws UnroutableError `EHOSTUNREACH` for a name that is not a live member; InvalidStateError
   * `ERR_TOO_MANY_PENDING` for more than 1,024 queries or 65,536 awaited responses
   */
  query(options: MemberQueryOptions): Query {
    return this.#running.memberMessages.query(options);
  }

  /**
   * Answers queries on the joined channels.
   *
   * @param handler returns the answer, a text or bytes; an error fails the query at the requester with its message
   * @param options `channels` of this handler. Default: all without another handler
   * @returns removes it
   * @throws InvalidStateError `EFSM` for a channel with a handler
   */
  onQuery(handler: MemberQueryHandler, options?: HandlerOptions): () => void {
    return this.#supported.memberMessages.onQuery(handler, options);
  }

  /**
   * Handles messages sent by `send` on the joined channels; each handler gets every message.
   *
   * @param handler an error gives the event `handler:failed`
   * @param options `channels` of this handler. Default: all
   * @returns removes it
   */
  onMessage(handler: MemberMessageHandler, options?: HandlerOptions): () => void {
    return this.#supported.memberMessages.onMessage(handler, options);
  }

  /**
   * Adds a hook at a stage of `send` and `query`, which may change, answer or veto messages. docs/services.md lists
   * the stages.
   *
   * @returns removes it
   * @throws InvalidStateError `EFSM` for more than 256
   */
  hook(stage: MessageStage, hook: MessageHook): () => void;
  /** @param options `channels`, or `protocols` for the stages of protocols. Default: all */
  hook(stage: MessageStage, options: HookOptions, hook: MessageHook): () => void;
  hook(stage: MemberStage, hook: MemberHook): () => void;
  hook(...given: [never, never]): () => void {
    return this.#supported.memberMessages.hook(...given);
  }

  /** Joined channels of `send` and `query`. */
  get channels(): ClusterChannels {
    return this.parts.memberMessages.channels;
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
    options?: ServeOptions,
  ): Service;
  /** Serves a contract ({@link defineService}), with a handler for each method. @throws as above */
  serve<C extends ServiceContract>(
    contract: C,
    handlers: ServiceHandlers<C, ServiceRequest>,
    options?: ServeOptions,
  ): Service;
  serve(of: string | ServiceContract, handler: never, options?: ServeOptions): Service {
    return this.#supported.requests.serve(of, handler, options);
  }

  /**
   * Sends a request to one of the nodes that serve a service: the least loaded of the nearest. If that one is
   * overloaded, draining or unreachable, another one is tried.
   *
   * @param body bytes (copied), a text, or a JSON value
   * @param options {@link ServiceRequestOptions}
   * @returns bytes, a text, or the handler's value after JSON
   * @throws ServiceError `ERR_SERVICE` with a `reason`: `no-service`, `overloaded`, `worker-failed`, `worker-lost` …;
   * TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  request<Reply = unknown>(name: string, body?: unknown, options?: ServiceRequestOptions): Promise<Reply> {
    if (this.parts.messages.started === undefined || this.#isRefusing) return this.#notNow();
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
    return this.#running.requests.outgoing.requestStream(name, body, options) as AsyncIterableIterator<
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
    if (this.parts.messages.started === undefined || this.#isRefusing) return this.#notNow();
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
    return this.#running.requests.outgoing.service(contract, defaults);
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

  // --- Clients -------------------------------------------------------------------------------------------------------

  /**
   * Programs connected to the discovery servers ({@link DiscoveryServer}) of all nodes, each of which is asked.
   *
   * @param options `timeout` in ms, default 1,000: nodes without a complete answer by then are in `missing`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` for too many waiting requests; `EFSM` before the start
   */
  async clients(options: { readonly timeout?: number | undefined } = {}): Promise<ClusterClients> {
    checkCallOptions("clients", options, ["timeout"]);
    const { timeout = 1_000 } = options;
    checkInteger("timeout", timeout, 0, MAX_TIMEOUT);
    const { live } = this.parts.rules;
    const asked = live.filter(({ details }) => details.props[DISCOVERY_PROP] !== undefined);
    const { name: node } = this.identity;
    const own = (this.#discovery?.clients() ?? []).map((client) => Object.freeze({ ...client, node }));
    return askClients(this.parts.requests.outgoing, asked, timeout, own);
  }

  /** @internal Of this node's discovery server. @returns ends it @throws InvalidStateError `EFSM`: it has one */
  serveDiscovery(server: OwnDiscovery): () => void {
    if (this.#discovery !== undefined)
      throw new InvalidStateError("EFSM", "this node has a discovery server already");
    const service = this.parts.requests.serveInternally(CLIENTS_SERVICE, () => partsOf(server.clients()));
    const unwatch = this.parts.watchMembers(() => server.changed());
    this.#discovery = server;
    return () => {
      void service.close();
      unwatch();
      this.#discovery = undefined;
    };
  }

  // --- What this node says of itself ---------------------------------------------------------------------------------

  /**
   * Changes this node's tags: `tags("a", { remove: ["b"] })`. The modifiers `append`, `remove`, `replace`, `map` and
   * `mappend` apply in order. Other nodes get the new tags at once.
   *
   * @returns the new tags; without arguments the current ones
   * @throws InvalidArgumentError `EINVAL` for an unknown modifier or too many tags
   */
  tags(...changes: TagChange[]): readonly string[] {
    this.#assertDetails();
    if (changes.length > 0) this.parts.details.change(changes, {});
    return this.parts.details.stated.tags;
  }

  /**
   * Changes this node's props; `undefined` removes one.
   *
   * @returns the new props; without an argument the current ones
   * @throws InvalidArgumentError `EINVAL` for values other than texts, numbers and booleans, and for too many
   */
  props(changes?: Readonly<Record<string, PropValue | undefined>>): Readonly<Record<string, string>> {
    this.#assertDetails();
    if (changes !== undefined) this.parts.details.change([], changes);
    return shownProps(this.parts.details.stated);
  }

  /**
   * Advertises a service under a name: an endpoint, or those of a socket while it is bound to them, by tcp, tls or ipc.
   * A wildcard host becomes this node's address. The name becomes a tag of this node, and other nodes find the endpoint
   * by `resolver`; ipc paths and loopback addresses only on this host. A later endpoint of a socket that cannot be
   * advertised gives the event `endpoint:refused`.
   *
   * @param name 1 to 64 bytes, without spaces and "="
   * @returns withdraws it
   * @throws InvalidArgumentError `EINVAL`, also for more than 8 endpoints, or if tags, props and endpoints exceed 1,000
   * bytes
   */
  advertise(name: string, of: Socket | string): () => void {
    this.assertOpen();
    return this.parts.details.advertise(name, of);
  }

  /**
   * Advertises a program, such as a broker or server of `shoal/patterns`, until `withdraw` of the result, or `drain` of
   * this node: other nodes forget its endpoints, then the program is drained and closed, so no accepted work is lost.
   *
   * @param endpoints by name, as for `advertise`: `{ kitchen: "tcp://10.0.0.1:5555" }`; `{}` for a program without
   * endpoints, such as a worker, which then drains with the others
   * @param program has `drain` and `close`
   */
  announce(
    endpoints: Readonly<Record<string, string | readonly string[]>>,
    program: AnnouncedProgram,
  ): Announcement {
    this.assertOpen();
    const announced = new Announcement(endpoints, program, this.parts, (gone) =>
      this.#announced.delete(gone),
    );
    this.#announced.add(announced);
    return announced;
  }

  /**
   * Sends a heartbeat to the group now.
   *
   * @param options `tags` and `props` are changed first; `channel` 0 to 255, default 0: on another one, members get the
   * event `heartbeat`
   */
  heartbeat(
    options: {
      readonly tags?: readonly TagChange[] | undefined;
      readonly props?: Readonly<Record<string, PropValue | undefined>> | undefined;
      readonly channel?: number | undefined;
    } = {},
  ): void {
    checkCallOptions("heartbeat", options, ["tags", "props", "channel"]);
    const { tags = [], props, channel = 0 } = options;
    checkInteger("channel", channel, 0, 255);
    if (!Array.isArray(tags)) throw invalidArgument("tags must be an array", tags);
    void this.parts.rules;
    if (tags.length > 0 || props !== undefined)
      this.parts.details.change(tags, props === undefined ? {} : props);
    this.parts.run((rules, now) => rules.heartbeat(now, channel));
  }

  /** Advances the next heartbeat to at most this many ms from now, 0 to 2,147,483,647. */
  heartbeatAfter(ms: number): void {
    if (typeof ms !== "number" || !(ms >= 0 && ms <= MAX_TIMEOUT))
      throw invalidArgument(`heartbeatAfter takes ms from 0 to ${MAX_TIMEOUT}`, ms);
    void this.parts.rules;
    this.parts.run((rules, now) => rules.heartbeatAfter(now, ms));
  }

  /**
   * Asks the group to report, each member at a random time within the profile's `discoverTime`.
   *
   * @param answers wanted number, 0 to 65,535; 0: all. Default: the profile's `discoverAnswers`
   */
  discover(answers?: number): void {
    if (answers !== undefined) checkInteger("answers", answers, 0, 65_535);
    void this.parts.rules;
    this.parts.run((rules, now) => rules.discover(now, answers));
  }

  /**
   * Reports that the program cannot reach a member. This node probes it at once, and all nodes expect a sign of life.
   * Without probes (profile `tcl`) the member is lost at the next heartbeat if it gives none.
   *
   * @throws UnroutableError `EHOSTUNREACH` if it is not a live member
   */
  ping(nameOrId: string): void {
    const id = this.#idOf(nameOrId);
    let found = false;
    this.parts.run((rules, now) => {
      found = rules.expect(now, id);
    });
    if (!found) throw new UnroutableError(`no live member is called ${quoted(nameOrId)}`);
  }

  // --- What operators do ---------------------------------------------------------------------------------------------

  /**
   * Removes a node, live or gone, from the cluster until it is admitted again.
   *
   * @throws UnroutableError `EHOSTUNREACH` for an unknown name. An id may be unknown
   */
  remove(nameOrId: string): void {
    const id = this.#idOf(nameOrId);
    this.parts.run((rules, now) => rules.remove(now, id));
  }

  /**
   * Admits a removed node again. A gone node is known only by its id.
   *
   * @throws as `remove`; InvalidStateError `EFSM` for this node if it was removed: another one must admit it
   */
  admit(nameOrId: string): void {
    const id = this.#idOf(nameOrId);
    if (id === this.identity.id && this.removed)
      throw new InvalidStateError("EFSM", "a node that was removed is admitted by another one");
    this.parts.run((rules, now) => rules.admit(now, id));
  }

  /** Rejoins under a new incarnation after this side was the minority of a partition, if `autoheal` is off. */
  heal(): void {
    this.parts.heal();
  }

  /**
   * Replaces the keys at runtime: the first seals, all open. To rotate a key, set (old, new) on every node, then (new,
   * old), then (new).
   *
   * @throws InvalidArgumentError `EINVAL`, also for more than two, and for a node that was started without a key
   */
  setKeys(...keys: string[]): void {
    if (this.parts.codec.byPassword)
      throw new InvalidArgumentError("the cluster was started with a password: use setPasswords");
    this.parts.codec.setKeys(keys);
  }

  /**
   * Replaces the passwords at runtime, in the three steps of `setKeys`. Each blocks for about 0.2 s.
   *
   * @throws InvalidArgumentError `EINVAL`, also for more than two, and for a node that was started without a password
   */
  setPasswords(...passwords: string[]): void {
    if (!this.parts.codec.byPassword)
      throw new InvalidArgumentError("a cluster that was started without a password gets none while it runs");
    this.parts.codec.setKeys(passwordKeys(passwords, this.cluster));
  }

  /** Whether this node is on the minority side of a partition. */
  get minority(): boolean {
    return this.parts.minority;
  }

  /** Whether an operator removed this node. */
  get removed(): boolean {
    return this.parts.membership?.removed ?? false;
  }

  stats(): ClusterStats {
    return this.parts.stats();
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  /** Calls of a running handler are part of its request, which a draining node finishes. */
  get #isRefusing(): boolean {
    if (!this.stopping || this.closed) return this.stopping;
    return !(this.sockets.isDraining ? this.sockets.isServing : this.parts.requests.isServing);
  }

  async #notNow(): Promise<never> {
    this.assertOpen();
    return this.parts.messages.messaging as never;
  }

  /** @throws ClosedError `EBADF`, `EAGAIN`; InvalidStateError `EFSM`; NotSupportedError `NOT_SUPPORTED` */
  get #running(): NamespaceParts {
    if (this.#isRefusing) this.assertOpen();
    void this.parts.messages.messaging;
    return this.parts;
  }

  /** Also before the start. @throws ClosedError `EBADF`, `EAGAIN`; NotSupportedError `NOT_SUPPORTED` */
  get #supported(): NamespaceParts {
    this.assertOpen();
    this.parts.messages.assertSupported();
    return this.parts;
  }

  /** @internal */
  report(event: ClusterEvent): void {
    this.events.emit(event);
  }

  /** Details may be set before the start. @throws ClosedError `EBADF` */
  #assertDetails(): void {
    if (this.closed) void this.parts.rules;
  }

  /** The id of a member; an id may be unknown. @throws UnroutableError `EHOSTUNREACH` */
  #idOf(nameOrId: string): string {
    const found = this.parts.find(nameOrId);
    if (found !== undefined) return found.id;
    if (isId(nameOrId)) return nameOrId;
    throw new UnroutableError(`no member is called ${quoted(nameOrId)}`);
  }
}
