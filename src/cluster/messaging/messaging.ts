/**
 * Messages of a bus: topics, one-to-one messages, retained values. It knows what programs call and what items say; links carry
 * the items, routes know who is interested.
 *
 *   publish ──> plan of the topic ──┬── members with interest ──> links: one copy each, from here straight there
 *                                   └── this node's own subscriptions, at the end of the turn
 *   item of a link ──> checked ──> this node's own subscriptions, never to another node
 */
import { checkCallOptions, describe } from "../../core/arguments.js";
import { systemClock } from "../../core/clock.js";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  TimeoutError,
  UnroutableError,
} from "../../core/errors.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { Addresses, type Alias, type ClusterAddress, isAlias, SELF_ID } from "./addresses.js";
import { DIRECT_LOOK, MAX_SUBTOPIC, MAX_SUBTOPIC_NAMES } from "./bounds.js";
import {
  type ClientEffects,
  MessageClient,
  type MessageRecipient,
  type PublishOptions,
  type SendToNodesOptions,
  type SendToOptions,
  type SubscribeOptions,
} from "./client.js";
import { Deliveries } from "./deliveries.js";
import { DirectResults, DirectSends } from "./direct-sends.js";
import { DropReports, type MessagingEvent } from "./events.js";
import {
  ASK,
  CLIENT,
  DirectFault,
  END,
  encodeDirect,
  encodeName,
  encodePublish,
  ItemReader,
  isClient,
  ORIGIN,
  PublishItem,
  RESULT,
  RETAIN,
  SUBTOPIC,
  VALUE,
} from "./items.js";
import { type NumberedNames, ReceivedMessage, SELF_TOPIC } from "./message.js";
import type { MessagingSettings } from "./options.js";
import {
  MessageKind,
  type MessageLinks,
  type MessageLinksEffects,
  type MessageLinksStats,
  type MessageRoutes,
  type MessageRoutesStats,
  type PeerState,
  type SendResult,
} from "./parts.js";
import { RetainedValues } from "./retained.js";
import { Retention } from "./retention.js";
import { type ClusterSubscription, type MessageHandler, Subscription } from "./subscription.js";
import { SubscriptionTable } from "./subscription-table.js";
import type { TopicIds } from "./topic-ids.js";
import { TopicPlans } from "./topic-plans.js";
import { checkTopic, filterFault, matches, topicFault } from "./topics.js";
import { WaitingSends } from "./waiting-sends.js";

/** ms for an answer to a one-to-one message, unless it is given another time. */
const SEND_TO_TIMEOUT = 10_000;
/** The longest time that a platform timer holds. */
const MAX_TIMEOUT = 2_147_483_647;
/** ms of publishes between two turns of the event loop. */
const PUBLISH_TIME = 1;
/** Under which one-to-one messages are counted. */
const DIRECT_PREFIX = "$direct";
/** Resolved once and for all: most publishes go to few nodes. */
const COUNTS: readonly Promise<number>[] = Array.from({ length: 65 }, (_, count) => Promise.resolve(count));
const DONE = Promise.resolve();

/** A node, as messages see it. */
export interface MessagePeer {
  readonly id: string;
  readonly name: string;
  readonly isLive: boolean;
}

/** What messaging needs of its bus. */
export interface MessagingEffects {
  /** Another node, live or gone; `undefined`: not known, or forgotten. */
  member(id: string): MessagePeer | undefined;
  /** Ids of the live members that take messages, without this node. */
  peers(): readonly string[];
  links(effects: MessageLinksEffects): MessageLinks;
  routes(links: MessageLinks): MessageRoutes;
  readonly topics: TopicIds;
  readonly subtopics: TopicIds;
  /** 0 ≤ x < 1. */
  random(): number;
  emit(event: MessagingEvent): void;
  /** An item of the kind SERVICE. */
  onService(from: string, item: Buffer): Promise<void> | undefined;
}

/** A filter, and which nodes have subscriptions with it. */
export interface ClusterRoute {
  readonly filter: string;
  /** Their ids. */
  readonly nodes: readonly string[];
}

/** Statistics of a bus's messages. */
export interface MessagingStats {
  /** Calls of `publish`. */
  readonly published: number;
  /** Copies given to links: one for each node with interest. */
  readonly sent: number;
  /** Copies that were not given to a link since that node's mark was reached. */
  readonly droppedFull: number;
  /** Messages of topics that came from other nodes. */
  readonly received: number;
  /** Messages given to subscriptions. */
  readonly delivered: number;
  /** Messages that subscriptions dropped past their mark. */
  readonly droppedSlow: number;
  /** Messages that came and that nobody here subscribes to. */
  readonly unclaimed: number;
  readonly directSent: number;
  readonly directReceived: number;
  /** One-to-one messages without an answer yet. */
  readonly directPending: number;
  /** Copies that wait for room at another node. */
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly subscriptions: number;
  readonly filters: number;
  /** Clients of this node, its own included. */
  readonly clients: number;
  readonly aliases: number;
  readonly aliasesDropped: number;
  readonly retained: number;
  readonly retainedBytes: number;
  readonly retainedEvicted: number;
  /** Handlers that threw or rejected. */
  readonly failed: number;
  /** What came and was refused, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly links: MessageLinksStats;
  readonly routes: MessageRoutesStats;
}

/** What this node's own subscriptions get of a publish. */
interface LocalCopy {
  readonly subscriptions: readonly Subscription[];
  readonly message: ReceivedMessage | undefined;
}

const SUBSCRIBE_KEYS = ["subtopic", "each", "retained", "maxQueue", "maxQueueBytes"] as const;
const PUBLISH_KEYS = ["subtopic", "self", "retain", "onFull", "timeout"] as const;

export class Messaging implements ClientEffects {
  /** The node's own client. */
  readonly self: MessageClient;
  readonly topics: TopicIds;
  readonly subtopics: TopicIds;
  readonly links: MessageLinks;
  readonly routes: MessageRoutes;
  readonly #id: string;
  readonly #settings: MessagingSettings;
  readonly #effects: MessagingEffects;
  readonly #addresses: Addresses<MessageClient>;
  readonly #table: SubscriptionTable<Subscription>;
  readonly #plans: TopicPlans;
  readonly #deliveries = new Deliveries();
  readonly #waiting: WaitingSends;
  readonly #retained: RetainedValues;
  readonly #retention: Retention;
  readonly #directs = new DirectSends();
  readonly #results: DirectResults;
  readonly #drops: DropReports;
  readonly #incoming = new PublishItem();
  readonly #reader = new ItemReader();
  readonly #fulls: string[] = [];
  /** Names of subtopics as they are in items. */
  readonly #subtopicNames = new Map<string, Buffer>();
  readonly #topicNumbers: NumberedNames;
  readonly #subtopicNumbers: NumberedNames;
  readonly #refused: Record<string, number> = {};
  /** Of each filter: settles when the other nodes know of it. */
  readonly #known = new Map<string, Promise<void>>();
  readonly #budget = new TurnBudget(PUBLISH_TIME, systemClock);
  /** Settles in the next turn, while publishes wait for one. */
  #turn: Promise<void> | undefined;
  #directTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #published = 0;
  #sent = 0;
  #droppedFull = 0;
  #received = 0;
  #droppedSlow = 0;
  #unclaimed = 0;
  #directSent = 0;
  #directReceived = 0;
  #failed = 0;

  /** @param id of this node */
  constructor(id: string, settings: MessagingSettings, effects: MessagingEffects) {
    this.#id = id;
    this.#settings = settings;
    this.#effects = effects;
    this.#addresses = new Addresses({
      random: effects.random,
      isTaken: (number) => this.topics.nameOf(number) !== undefined,
      dropped: (address) => effects.emit({ type: "address:dropped", address }),
    });
    this.topics = effects.topics;
    this.subtopics = effects.subtopics;
    this.#topicNumbers = { numberOf: (name) => this.#numberOf(name, false) };
    this.#subtopicNumbers = { numberOf: (name) => this.#numberOf(name, true) };
    this.self = new MessageClient(this, Object.freeze({ node: id, id: SELF_ID }), "");
    this.#addresses.addSelf(this.self);
    this.links = effects.links({
      onItem: (from, kind, item) => this.#onItem(from, kind, item),
      onPeer: (peer, state) => this.#onPeer(peer, state),
    });
    this.routes = effects.routes(this.links);
    this.#table = new SubscriptionTable({
      onLast: (filter) => {
        this.#known.delete(filter);
        if (!this.#closed) this.routes.unsubscribe(filter);
      },
    });
    this.#plans = new TopicPlans(this.routes, this.#table);
    this.#waiting = new WaitingSends(settings.maxPending, settings.maxPendingBytes, {
      room: (peer) => (peer === id ? this.#localRoom() : this.links.room(peer)),
    });
    this.#retained = new RetainedValues(id, {
      topics: settings.maxRetained,
      bytes: settings.maxRetainedBytes,
    });
    this.#retention = new Retention(id, this.#retained, {
      send: (to, kind, item, prefix, uncounted) => this.links.send(to, kind, item, prefix, uncounted),
      room: (to) => this.links.room(to),
      peers: () => effects.peers(),
      isLive: (peer) => effects.member(peer)?.isLive === true,
      count: (reason) => this.#refuse(reason),
    });
    this.#results = new DirectResults((to, item) => this.#answer(to, item));
    this.#drops = new DropReports((event) => effects.emit(event));
  }

  // --- Subscriptions -------------------------------------------------------------------------------------------------

  subscribe(
    client: MessageClient,
    filter: string | number,
    given: SubscribeOptions | MessageHandler | undefined,
    handler: MessageHandler | undefined,
  ): ClusterSubscription {
    this.#assertOpen(client);
    const options = typeof given === "function" ? {} : (given ?? {});
    const call = typeof given === "function" ? given : handler;
    checkCallOptions("subscribe", options, SUBSCRIBE_KEYS);
    if (call !== undefined && typeof call !== "function")
      throw new InvalidArgumentError(`A handler is a function; got ${describe(call)}`);
    const { each = false, retained = false } = options;
    checkBoolean("each", each);
    checkBoolean("retained", retained);
    const mark = {
      messages: checkCount("maxQueue", options.maxQueue ?? this.#settings.maxQueue),
      bytes: checkCount("maxQueueBytes", options.maxQueueBytes ?? this.#settings.maxQueueBytes),
    };
    const name =
      filter === SELF_ID ? SELF_TOPIC : typeof filter === "number" ? this.#topicOf(filter) : filter;
    const isDirect = name === SELF_TOPIC;
    const subscription = new Subscription(
      name,
      this.#subtopicOf(options.subtopic),
      each,
      client,
      call,
      mark,
      {
        failed: (of, error) => {
          this.#failed += 1;
          effects.emit({ type: "subscription:failed", filter: of.filter, error });
        },
        dropped: (of, message) => {
          this.#droppedSlow += 1;
          this.#drops.dropped("slow", of.filter, message.topic);
        },
        closed: (of) => (isDirect ? this.#unsubscribeDirect(client, of) : this.#unsubscribe(client, of)),
      },
    );
    const effects = this.#effects;
    if (isDirect) client.direct = [...client.direct, subscription];
    else this.#subscribe(name, subscription, retained);
    client.subscriptions.add(subscription);
    return subscription;
  }

  #subscribe(filter: string, subscription: Subscription, retained: boolean): void {
    this.#table.add(filter, subscription);
    this.#plans.changed();
    let known = this.#known.get(filter);
    if (known === undefined) {
      known = handled(this.routes.subscribe(filter));
      this.#known.set(filter, known);
    }
    if (!retained) {
      subscription.ready = known;
      return;
    }
    const { over, stop } = this.#retention.ask(filter, (value) => {
      const { topic, data, node, client, subtopic } = value;
      const sender = this.#senderOf(node, client);
      this.#deliveries.queue([subscription], this.#message(topic, data, sender, subtopic, true));
    });
    subscription.onClose(stop);
    subscription.ready = handled(Promise.all([known, over]).then(nothing));
  }

  #unsubscribe(client: MessageClient, subscription: Subscription): void {
    const { filter } = subscription;
    client.subscriptions.delete(subscription);
    if (!this.#table.delete(filter, subscription)) return;
    this.#plans.changed();
  }

  #unsubscribeDirect(client: MessageClient, subscription: Subscription): void {
    client.subscriptions.delete(subscription);
    client.direct = client.direct.filter((each) => each !== subscription);
  }

  // --- Publishing ----------------------------------------------------------------------------------------------------

  publish(
    client: MessageClient,
    topic: string | number,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    try {
      this.#assertOpen(client);
      if (options !== undefined) checkCallOptions("publish", options, PUBLISH_KEYS);
      const name = typeof topic === "number" ? this.#topicUnlessClient(topic) : topic;
      if (name === undefined || name === SELF_TOPIC)
        return this.#publishToClient(client, topic, data, options);
      return this.#publish(client.address, name, data, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @throws in the promise: InvalidArgumentError `EINVAL`, UnroutableError `EHOSTUNREACH` for a publisher that is not this node's */
  publishAs(
    publisher: number | ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    try {
      this.#assertOpen(this.self);
      if (options !== undefined) checkCallOptions("publishAs", options, PUBLISH_KEYS);
      const { node, client, alias } = this.#recipient(publisher);
      if (node === this.#id) return this.#publish({ node, id: client }, topic, data, options);
      const address = (alias as Alias).address;
      if (!this.#mayPublishAs(this.#id, address, topic))
        throw new InvalidArgumentError(
          `this node may not publish for a client of ${this.#nameOf(node)}: messaging.mayPublishAs decides`,
        );
      return this.#publish(address, topic, data, options, client);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @param origin where it is another node's client: its number there */
  #publish(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    origin?: number,
  ): Promise<number> {
    const plan = this.#plans.of(topic);
    if (topic === SELF_TOPIC)
      throw new InvalidArgumentError('the topic "self" is each client\'s own: sendTo reaches it');
    checkData(data);
    let subtopic: string | undefined;
    let isLocal = true;
    let retain = false;
    let waits = false;
    let timeout = -1;
    if (options !== undefined) {
      subtopic = this.#subtopicOf(options.subtopic);
      isLocal = checkBoolean("self", options.self ?? true);
      retain = checkBoolean("retain", options.retain ?? false);
      waits = checkOnFull(options.onFull) === "wait";
      timeout = checkTimeout(options.timeout ?? -1);
    }
    const targets = this.#plans.targets(plan);
    const subscriptions = isLocal ? this.#plans.subscriptions(plan) : NONE;
    const stamp = retain ? this.#retained.stamp(Date.now()) : 0;
    let item: Buffer | undefined;
    // Nobody but links has to do with its bytes, and they have them when the call returns.
    const isShared = !retain && this.#waiting.isEmpty && subscriptions.length === 0;
    if (targets.length > 0 || retain) {
      const node = origin === undefined ? undefined : sender.node;
      const name = subtopic === undefined ? undefined : this.#subtopicName(subtopic);
      item = encodePublish(origin ?? sender.id, node, plan.name, name, stamp, data, isShared);
      this.#checkSize(item);
    }
    this.#published += 1;
    // A copy: the program may use its bytes again.
    const bytes = subscriptions.length === 0 && !retain ? EMPTY : ownBytes(data, item);
    if (retain) {
      const value = { topic, node: sender.node, client: origin ?? sender.id, subtopic, stamp };
      this.#retained.keep({ ...value, data: Buffer.from(bytes) });
      this.#retention.published({ ...value, data: bytes });
    }
    const message =
      subscriptions.length === 0 ? undefined : this.#message(topic, bytes, sender, subtopic, false);
    if (waits || !this.#waiting.isEmpty) {
      const local = { subscriptions, message };
      return this.#publishOrWait(plan.prefix, targets, item, isShared, local, waits, timeout);
    }
    let count = 0;
    if (item !== undefined && targets.length > 0) count = this.#sendToAll(targets, item, plan.prefix);
    if (message !== undefined && this.#queueLocal(subscriptions, message)) count += 1;
    return this.#settled(count);
  }

  /** A loop of publishes lets the event loop turn: links, timers and heartbeats go on next to it. */
  #settled(count: number): Promise<number> {
    if (this.#turn === undefined) {
      if (!this.#budget.spend()) return COUNTS[count] ?? Promise.resolve(count);
      this.#turn = new Promise((resolve) => setImmediate(resolve)).then(() => {
        this.#turn = undefined;
      });
    }
    return this.#turn.then(() => count);
  }

  /** Gives an item to links; where a mark is reached it is dropped there. @returns how many took it */
  #sendToAll(targets: readonly string[], item: Uint8Array, prefix: string): number {
    const fulls = this.#fulls;
    const count = this.links.sendToMany(targets, MessageKind.PUBLISH, item, prefix, fulls);
    this.#sent += count;
    if (fulls.length > 0) {
      for (const id of fulls) this.#dropFull(id, item, prefix);
      fulls.length = 0;
    }
    return count;
  }

  #dropFull(id: string, item: Uint8Array, prefix: string): void {
    this.links.drop(id, prefix, item.length);
    this.#droppedFull += 1;
    this.#drops.dropped("full", id, prefix);
  }

  /** @returns whether this node's own subscriptions get it */
  #queueLocal(subscriptions: readonly Subscription[], message: ReceivedMessage): boolean {
    if (this.#deliveries.isFull) {
      this.#droppedSlow += 1;
      this.#drops.dropped("slow", message.topic, message.topic);
      return false;
    }
    this.#deliveries.queue(subscriptions, message);
    return true;
  }

  /**
   * Where somebody's mark is reached, or others wait there already.
   *
   * @param isShared whether the item's memory is used again by the next publish
   */
  #publishOrWait(
    prefix: string,
    targets: readonly string[],
    item: Buffer | undefined,
    isShared: boolean,
    { subscriptions, message }: LocalCopy,
    waits: boolean,
    timeout: number,
  ): Promise<number> {
    const bytes = item?.length ?? message?.bytes ?? 0;
    if (waits && this.#waiting.isFull(targets.length + 1, bytes))
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many messages wait for room: messaging.maxPending and maxPendingBytes",
      );
    let copies: Promise<boolean>[] | undefined;
    let kept: Buffer | undefined;
    let count = 0;
    const wait = (peer: string, send: () => SendResult): void => {
      copies ??= [];
      copies.push(this.#waiting.wait(peer, bytes, timeout, send).then((result) => this.#waited(result)));
    };
    for (const id of targets) {
      const data = item as Buffer;
      const result = this.#waiting.has(id) ? "full" : this.#sendUncounted(id, data, prefix);
      if (result === "sent") count += 1;
      else if (result === "full" && waits) {
        kept ??= isShared ? Buffer.from(data) : data;
        const own = kept;
        wait(id, () => this.#sendUncounted(id, own, prefix));
      } else if (result === "full") this.#dropFull(id, data, prefix);
    }
    if (message !== undefined) {
      const isBehind = this.#waiting.has(this.#id);
      const isFull = (): boolean => this.#deliveries.isFull || subscriptions.some((each) => each.isFull);
      if (waits && (isBehind || isFull()))
        wait(this.#id, () => {
          if (isFull()) return "full";
          this.#deliveries.queue(subscriptions, message);
          return "sent";
        });
      else if (isBehind) {
        this.#droppedSlow += 1;
        this.#drops.dropped("slow", message.topic, message.topic);
      } else if (this.#queueLocal(subscriptions, message)) count += 1;
    }
    if (copies === undefined) return this.#settled(count);
    return this.#settleAll(count, copies, timeout);
  }

  /** Where the mark is reached it is not counted as dropped. */
  #sendUncounted(id: string, item: Buffer, prefix: string): SendResult {
    const result = this.links.send(id, MessageKind.PUBLISH, item, prefix, true);
    if (result === "sent") this.#sent += 1;
    return result;
  }

  #waited(result: "sent" | "unreachable" | "timeout"): boolean {
    if (result === "timeout") throw new TimeoutError("ETIMEDOUT", "late");
    return result === "sent";
  }

  async #settleAll(count: number, copies: readonly Promise<boolean>[], timeout: number): Promise<number> {
    const results = await Promise.allSettled(copies);
    let sent = count;
    let late = 0;
    for (const result of results) {
      if (result.status === "rejected") late += 1;
      else if (result.value) sent += 1;
    }
    if (this.#closed) throw new ClosedError("EAGAIN", "the bus closed while the message waited for room");
    if (late > 0)
      throw new TimeoutError(
        "ETIMEDOUT",
        `no room within ${timeout} ms at ${late} of ${late + sent} nodes; the others have it`,
      );
    return sent;
  }

  /** Room for what waits for this node's own subscriptions. */
  async #localRoom(): Promise<void> {
    await this.#deliveries.drained();
    const full: Promise<void>[] = [];
    for (const { subscriptions } of this.#addresses.all())
      for (const each of subscriptions) if (each.isFull) full.push(each.room());
    if (full.length > 0) await Promise.race(full);
  }

  // --- One-to-one ----------------------------------------------------------------------------------------------------

  /** A client of this node. @throws InvalidStateError `EFSM` for too many; InvalidArgumentError `EINVAL` */
  createClient(name = ""): MessageClient {
    this.#assertOpen(this.self);
    if (typeof name !== "string")
      throw new InvalidArgumentError(`a client's name is a text; got ${describe(name)}`);
    let client: MessageClient | undefined;
    const id = this.#addresses.add((number) => {
      client = new MessageClient(this, Object.freeze({ node: this.#id, id: number }), name);
      return client;
    });
    if (id === undefined || client === undefined)
      throw new InvalidStateError("EFSM", "a node has 65,536 clients at most");
    return client;
  }

  clientOnClose({ id }: MessageClient): void {
    this.#addresses.remove(id);
  }

  /** The address of a node's own client. @throws UnroutableError `EHOSTUNREACH` */
  addressOf(node: string): ClusterAddress {
    this.#assertOpen(this.self);
    return this.#ownClientOf(node).alias?.address ?? this.self.address;
  }

  async sendTo(
    client: MessageClient,
    to: MessageRecipient,
    data: string | Uint8Array,
    options: SendToOptions = {},
  ): Promise<void> {
    this.#assertOpen(client);
    checkCallOptions("sendTo", options, ["subtopic", "timeout"]);
    checkData(data);
    const timeout = checkTimeout(options.timeout ?? SEND_TO_TIMEOUT);
    const subtopic = this.#subtopicOf(options.subtopic);
    const recipient = this.#recipient(to);
    if (recipient.node === this.#id)
      return this.#sendLocally(client, recipient.client, subtopic, data, timeout);
    const { node, alias } = recipient;
    this.#checkReachable(node);
    if (alias?.closed === true) throw new UnroutableError(`the client is closed, at ${this.#nameOf(node)}`);
    if (this.#directs.count + this.#waiting.count >= this.#settings.maxPending)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many one-to-one messages wait: messaging.maxPending",
      );
    const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
    let answer: Promise<void> | undefined;
    const send = (): "sent" | "full" | "unreachable" => {
      // Numbered when it goes: the numbers of a node are in the order of its link.
      const number = this.#directs.next(node);
      const name = subtopic === undefined ? undefined : this.#subtopicName(subtopic);
      const item = encodeDirect(number, recipient.client, client.id, name, data);
      this.#checkSize(item);
      const result = this.links.send(node, MessageKind.DIRECT, item, DIRECT_PREFIX, true);
      if (result === "sent")
        answer = this.#directs.add(node, deadline, () => {
          if (alias !== undefined) alias.closed = true;
        });
      return result;
    };
    let result: string = this.#waiting.has(node) ? "full" : send();
    if (result === "full") result = await this.#waiting.wait(node, data.length, timeout, send);
    if (result === "timeout")
      throw new TimeoutError("ETIMEDOUT", `no room at ${this.#nameOf(node)} within ${timeout} ms`);
    if (result === "unreachable" || answer === undefined) {
      if (this.#closed) throw new ClosedError("EAGAIN", "the bus closed while the message waited for room");
      this.#checkReachable(node);
      throw new UnroutableError(`${this.#nameOf(node)} does not take messages, or is out of reach`);
    }
    this.#directSent += 1;
    this.#lookAtDirects();
    return answer;
  }

  /** @returns to how many nodes it went */
  async sendToNodes(
    client: MessageClient,
    data: string | Uint8Array,
    options: SendToNodesOptions = {},
  ): Promise<number> {
    this.#assertOpen(client);
    checkCallOptions("sendToNodes", options, ["subtopic"]);
    checkData(data);
    const subtopic = this.#subtopicOf(options.subtopic);
    const name = subtopic === undefined ? undefined : this.#subtopicName(subtopic);
    const item = encodeDirect(0, SELF_ID, client.id, name, data);
    this.#checkSize(item);
    const peers = this.#effects.peers();
    const fulls: string[] = [];
    for (const id of peers) if (this.#waiting.has(id)) fulls.push(id);
    const free = fulls.length === 0 ? peers : peers.filter((id) => !fulls.includes(id));
    const count = this.links.sendToMany(free, MessageKind.DIRECT, item, DIRECT_PREFIX, fulls);
    for (const id of fulls) this.#dropFull(id, item, DIRECT_PREFIX);
    this.#directSent += count;
    return count;
  }

  async #publishToClient(
    client: MessageClient,
    to: string | number,
    data: string | Uint8Array,
    options: PublishOptions = {},
  ): Promise<number> {
    const { subtopic, timeout } = options;
    await this.sendTo(client, to === SELF_TOPIC ? SELF_ID : (to as number), data, { subtopic, timeout });
    return 1;
  }

  async #sendLocally(
    sender: MessageClient,
    id: number,
    subtopic: string | undefined,
    data: string | Uint8Array,
    timeout: number,
  ): Promise<void> {
    const recipient = this.#addresses.client(id) as MessageClient;
    const message = this.#message(SELF_TOPIC, ownBytes(data, undefined), sender.address, subtopic, false);
    const send = (): "sent" | "full" => {
      if (this.#deliveries.isFull || recipient.direct.some((each) => each.isFull)) return "full";
      this.#deliver(recipient, message);
      return "sent";
    };
    this.#directSent += 1;
    if (!this.#waiting.has(this.#id) && send() === "sent") return DONE;
    const result = await this.#waiting.wait(this.#id, data.length, timeout, send);
    if (result === "timeout")
      throw new TimeoutError("ETIMEDOUT", `no room at the client within ${timeout} ms`);
    if (result !== "sent")
      throw new ClosedError("EAGAIN", "the bus closed while the message waited for room");
  }

  #deliver(recipient: MessageClient, message: ReceivedMessage): void {
    if (recipient.direct.length === 0) this.#unclaimed += 1;
    else this.#deliveries.queue(recipient.direct, message);
  }

  /** @throws UnroutableError `EHOSTUNREACH`; InvalidArgumentError `EINVAL` */
  #recipient(to: MessageRecipient): { node: string; client: number; alias: Alias | undefined } {
    if (typeof to === "number") {
      if (this.#addresses.client(to) !== undefined) return { node: this.#id, client: to, alias: undefined };
      const alias = this.#addresses.alias(to);
      if (alias === undefined)
        throw new UnroutableError(
          `no client has the id ${to} here: it is closed, or the alias was dropped, or is another node's`,
        );
      return { node: alias.address.node, client: alias.client, alias };
    }
    if (typeof to !== "object" || to === null || !("id" in to))
      throw new InvalidArgumentError(`a recipient is an address, an id or a service; got ${describe(to)}`);
    const { id } = to;
    if (typeof id === "string") return this.#ownClientOf(id);
    const { node } = to as ClusterAddress;
    if (typeof node !== "string" || typeof id !== "number")
      throw new InvalidArgumentError(`a recipient is an address, an id or a service; got ${describe(to)}`);
    if (node === this.#id) {
      if (this.#addresses.client(id) === undefined)
        throw new UnroutableError(`no client of this node has the id ${id}: it is closed`);
      return { node, client: id, alias: undefined };
    }
    const alias = isAlias(id) ? this.#addresses.alias(id) : this.#addresses.find(node, id);
    if (alias !== undefined && alias.address.node === node) return { node, client: alias.client, alias };
    if (id === SELF_ID)
      throw new UnroutableError(
        "id 1 is each node's own client: it is reached after a message of it came, or by addressOf of its node",
      );
    if (!isClient(id))
      throw new UnroutableError(`the alias ${id} is not known: it was dropped, or is another node's`);
    this.#checkReachable(node);
    return { node, client: id, alias: this.#addresses.aliasOf(node, id) };
  }

  #ownClientOf(node: string): { node: string; client: number; alias: Alias | undefined } {
    if (node === this.#id) return { node, client: SELF_ID, alias: undefined };
    this.#checkReachable(node);
    return { node, client: SELF_ID, alias: this.#addresses.aliasOf(node, SELF_ID) };
  }

  /** @throws UnroutableError `EHOSTUNREACH` */
  #checkReachable(node: string): void {
    const member = this.#effects.member(node);
    if (member === undefined) throw new UnroutableError(`no node has the id ${node}: it is gone`);
    if (!member.isLive) throw new UnroutableError(`the node ${member.name} is lost or has left`);
  }

  /** Gives up what nobody answered in time; runs as long as something waits. */
  #lookAtDirects(): void {
    this.#directTimer ??= setInterval(() => {
      this.#directs.expire(performance.now());
      if (this.#directs.count > 0) return;
      clearInterval(this.#directTimer);
      this.#directTimer = undefined;
    }, DIRECT_LOOK).unref();
  }

  // --- What links bring ----------------------------------------------------------------------------------------------

  #onItem(from: string, kind: number, item: Buffer): Promise<void> | undefined {
    // Not acknowledged: its sender counts it as lost, for nobody here gets it.
    if (this.#closed) return NEVER;
    switch (kind) {
      case MessageKind.PUBLISH:
        return this.#onPublish(from, item);
      case MessageKind.DIRECT:
        return this.#onDirect(from, item);
      case MessageKind.ROUTES: {
        const reason = this.routes.onItem(from, item);
        if (reason !== undefined) this.#refuse(`routes:${reason}`);
        return undefined;
      }
      case MessageKind.SERVICE:
        return this.#effects.onService(from, item);
      case MessageKind.RETAINED:
        return this.#onRetained(from, item);
      default:
        return this.#refuse("kind");
    }
  }

  #onPublish(from: string, item: Buffer): Promise<void> | undefined {
    const incoming = this.#incoming;
    const { reader } = incoming;
    if (!incoming.readHead(item, 0)) return this.#refuse("publish:malformed");
    const plan = this.#plans.ofBytes(item, reader.nameStart, reader.nameEnd);
    if (plan === undefined || plan.topic === SELF_TOPIC) return this.#refuse("publish:topic");
    if (!incoming.readTail()) return this.#refuse("publish:malformed");
    const { client, origin, subtopic, flags } = incoming;
    this.#received += 1;
    const node = (flags & ORIGIN) === 0 ? from : origin;
    const subscriptions = this.#plans.subscriptions(plan);
    if (subscriptions.length === 0) {
      this.#unclaimed += 1;
      return undefined;
    }
    if (node !== from && !this.#mayBeOf(from, node, client, plan.topic))
      return this.#refuse("publish:origin");
    const data = reader.rest();
    if ((flags & RETAIN) !== 0) this.#keep(plan.topic, node, client, subtopic, incoming.stamp, data);
    const message = this.#message(plan.topic, data, this.#senderOf(node, client), subtopic, false);
    return this.#deliveries.deliver(subscriptions, message, true);
  }

  #keep(
    topic: string,
    node: string,
    client: number,
    subtopic: string | undefined,
    given: number,
    data: Buffer,
  ): void {
    const stamp = this.#retained.seen(given, Date.now());
    const value = { topic, node, client, subtopic, stamp };
    this.#retained.keep({ ...value, data: Buffer.from(data) });
    this.#retention.published({ ...value, data });
  }

  #onDirect(from: string, item: Buffer): Promise<void> | undefined {
    const reader = this.#reader;
    reader.start(item, 0);
    const flags = reader.byte();
    if (flags === RESULT) {
      return this.#directs.onResult(from, reader) ? undefined : this.#refuse("direct:malformed");
    }
    const number = reader.varint();
    const to = reader.uint32();
    const client = (flags & CLIENT) === 0 ? SELF_ID : reader.uint32();
    const subtopic = (flags & SUBTOPIC) === 0 ? undefined : reader.name();
    if (reader.failed || (flags & ~(CLIENT | SUBTOPIC)) !== 0 || !isClient(client))
      return this.#refuse("direct:malformed");
    this.#directReceived += 1;
    const recipient = this.#addresses.client(to);
    if (number !== 0) this.#results.handled(from, number, recipient === undefined ? DirectFault.CLOSED : 0);
    if (recipient === undefined) return this.#refuse("direct:closed");
    if (recipient.direct.length === 0) {
      this.#unclaimed += 1;
      return undefined;
    }
    const message = this.#message(SELF_TOPIC, reader.rest(), this.#senderOf(from, client), subtopic, false);
    return this.#deliveries.deliver(recipient.direct, message, true);
  }

  #onRetained(from: string, item: Buffer): undefined {
    const reader = this.#reader;
    reader.start(item, 0);
    const what = reader.byte();
    const request = reader.varint();
    if (reader.failed) return this.#refuse("retained:malformed");
    switch (what) {
      case ASK: {
        const filter = reader.name();
        if (reader.failed || reader.at !== item.length || filterFault(filter) !== undefined)
          return this.#refuse("retained:malformed");
        const reason = this.#retention.onAsk(from, request, filter);
        return reason === undefined ? undefined : this.#refuse(reason);
      }
      case VALUE:
        return this.#onValue(from, request, item, reader.at);
      case END:
        this.#retention.onEnd(from, request);
        return undefined;
      default:
        return this.#refuse("retained:malformed");
    }
  }

  #onValue(from: string, request: number, item: Buffer, at: number): undefined {
    const incoming = this.#incoming;
    const { reader } = incoming;
    if (!incoming.readHead(item, at) || (incoming.flags & (RETAIN | ORIGIN)) !== (RETAIN | ORIGIN))
      return this.#refuse("retained:malformed");
    const { nameStart, nameEnd } = reader;
    if (!incoming.readTail()) return this.#refuse("retained:malformed");
    const plan = this.#plans.ofBytes(item, nameStart, nameEnd);
    if (plan === undefined) return this.#refuse("retained:topic");
    const { origin, client, subtopic } = incoming;
    // A live node answers for itself: nobody else has its values.
    if (origin !== from && (origin === this.#id || this.#effects.member(origin)?.isLive === true))
      return this.#refuse("retained:origin");
    const stamp = this.#retained.seen(incoming.stamp, Date.now());
    const data = Buffer.from(reader.rest());
    const value = { topic: plan.topic, node: origin, client, subtopic, stamp, data };
    const reason = this.#retention.onValue(from, request, value);
    if (reason !== undefined) return this.#refuse(reason);
    this.#retained.keep(value);
    return undefined;
  }

  #onPeer(id: string, state: PeerState): void {
    if (!this.#closed) this.routes.onPeer(id, state);
  }

  /**
   * A member came, or something about it changed; it was lost, and may come back; it is gone; it was lost for so long that
   * membership forgot it, which its interest outlasts.
   */
  onMember(id: string, state: "alive" | "lost" | "gone" | "forgotten"): void {
    if (this.#closed) return;
    this.links.onMember(id, state === "forgotten" ? "gone" : state);
    if (state !== "forgotten") this.routes.onMember(id, state);
    if (state === "alive") return;
    this.#retention.onGone(id);
    this.#results.forget(id);
    this.#directs.fail(
      id,
      () => new UnroutableError(`the node ${this.#nameOf(id)} was lost before it answered`),
    );
    if (state === "gone" || state === "forgotten") this.#directs.forget(id);
  }

  /** The links' room for an answer is the recipient's own; it waits where there is none. */
  #answer(to: string, item: Buffer): void {
    if (this.#closed) return;
    const send = (): "sent" | "full" | "unreachable" =>
      this.links.send(to, MessageKind.DIRECT, item, DIRECT_PREFIX, true);
    if (!this.#waiting.has(to) && send() !== "full") return;
    if (this.#waiting.isFull(1, item.length)) this.#dropFull(to, item, DIRECT_PREFIX);
    else void this.#waiting.wait(to, item.length, -1, send);
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @param linger ms that links may take for what waits; -1: no limit */
  async close(linger: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#directTimer);
    this.#waiting.close();
    this.#retention.close();
    this.#drops.close();
    this.#directs.failAll(() => new ClosedError("EAGAIN", "the bus closed before the node answered"));
    for (const client of [...this.#addresses.all()]) client.close();
    this.routes.close();
    await this.links.close(linger);
  }

  /**
   * Filters and the ids of the live nodes that have them, this one included, by filter; so many at most.
   *
   * @param topic only those that match it
   * @throws InvalidArgumentError `EINVAL` for what is not a topic
   */
  listRoutes(most: number, topic?: string): ClusterRoute[] {
    if (topic !== undefined) checkTopic(topic);
    const nodes = new Map<string, string[]>();
    for (const filter of this.#table.keys()) {
      if (nodes.size >= most) break;
      if (topic === undefined || matches(filter, topic)) nodes.set(filter, [this.#id]);
    }
    for (const { filter, nodes: ids } of this.routes.list(most, topic)) {
      const own = nodes.get(filter);
      if (own !== undefined) own.push(...ids);
      else if (nodes.size < most) nodes.set(filter, [...ids]);
    }
    return [...nodes]
      .map(([filter, ids]) => ({ filter, nodes: ids.sort() }))
      .sort((one, other) => (one.filter < other.filter ? -1 : 1));
  }

  stats(): MessagingStats {
    return {
      published: this.#published,
      sent: this.#sent,
      droppedFull: this.#droppedFull,
      received: this.#received,
      delivered: this.#deliveries.delivered,
      droppedSlow: this.#droppedSlow,
      unclaimed: this.#unclaimed,
      directSent: this.#directSent,
      directReceived: this.#directReceived,
      directPending: this.#directs.count,
      waiting: this.#waiting.count,
      waitingBytes: this.#waiting.bytes,
      subscriptions: this.#table.size,
      filters: this.#table.filters,
      clients: this.#addresses.clients,
      aliases: this.#addresses.aliases,
      aliasesDropped: this.#addresses.dropped,
      retained: this.#retained.size,
      retainedBytes: this.#retained.bytes,
      retainedEvicted: this.#retained.evicted,
      failed: this.#failed,
      refused: { ...this.#refused },
      links: this.links.stats(),
      routes: this.routes.stats(),
    };
  }

  // --- Names and numbers ---------------------------------------------------------------------------------------------

  /**
   * The number of a topic, or of a subtopic: the one that is given, or at random.
   *
   * @returns the number that the name has, which another claim may have decided (topic-ids.ts)
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for too many; ClosedError `EBADF`
   */
  createTopic(name: string, id: number | undefined, isSubtopic: boolean): number {
    this.#assertOpen(this.self);
    const ids = isSubtopic ? this.subtopics : this.topics;
    const before = ids.idOf(name);
    const number = ids.create(name, id);
    if (id !== undefined || before === 0)
      this.routes.register(name, id ?? number, id !== undefined, isSubtopic).catch(nothing);
    return number;
  }

  /** Whether a number is a client's or an alias. */
  isClient(number: number): boolean {
    return this.#addresses.has(number);
  }

  /** A name that has no number gets one at random, as long as there is room for it. */
  #numberOf(name: string, isSubtopic: boolean): number {
    const number = (isSubtopic ? this.subtopics : this.topics).idOf(name);
    if (number !== 0 || this.#closed) return number;
    try {
      return this.createTopic(name, undefined, isSubtopic);
    } catch {
      return 0;
    }
  }

  #message(
    topic: string,
    data: Buffer,
    sender: ClusterAddress,
    subtopic: string | undefined,
    retained: boolean,
  ): ReceivedMessage {
    return new ReceivedMessage(
      topic,
      data,
      sender,
      subtopic,
      retained,
      this.#topicNumbers,
      this.#subtopicNumbers,
    );
  }

  #senderOf(node: string, client: number): ClusterAddress {
    if (node !== this.#id) return this.#addresses.aliasOf(node, client).address;
    return this.#addresses.client(client)?.address ?? Object.freeze({ node, id: client });
  }

  #mayBeOf(from: string, node: string, client: number, topic: string): boolean {
    const isKnown = node === this.#id || this.#effects.member(node) !== undefined;
    return isKnown && this.#mayPublishAs(from, this.#senderOf(node, client), topic);
  }

  #mayPublishAs(node: string, publisher: ClusterAddress, topic: string): boolean {
    try {
      return this.#settings.mayPublishAs?.({ node, publisher, topic }) === true;
    } catch {
      return false;
    }
  }

  /** The topic of a number; `undefined`: it is a client's. @throws InvalidArgumentError `EINVAL` */
  #topicUnlessClient(number: number): string | undefined {
    if (this.#addresses.has(number)) return undefined;
    const name = this.topics.nameOf(number);
    // An alias that was dropped is no invalid argument: sending there says so.
    return name === undefined && isAlias(number) ? undefined : this.#topicOf(number);
  }

  /** @throws InvalidArgumentError `EINVAL` */
  #topicOf(number: number): string {
    const name = this.topics.nameOf(number);
    if (name === undefined)
      throw new InvalidArgumentError(`no topic and no client has the id ${describe(number)}`);
    return name;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  #subtopicOf(subtopic: string | number | undefined): string | undefined {
    if (subtopic === undefined || subtopic === 0) return undefined;
    if (typeof subtopic === "number") {
      const name = this.subtopics.nameOf(subtopic);
      if (name === undefined) throw new InvalidArgumentError(`no subtopic has the id ${subtopic}`);
      return name;
    }
    if (topicFault(subtopic) !== undefined || Buffer.byteLength(subtopic) > MAX_SUBTOPIC)
      throw new InvalidArgumentError(
        `A subtopic is a text of 1 to ${MAX_SUBTOPIC} bytes without wildcards; got ${describe(subtopic)}`,
      );
    return subtopic;
  }

  #subtopicName(subtopic: string): Buffer {
    let name = this.#subtopicNames.get(subtopic);
    if (name !== undefined) return name;
    name = encodeName(subtopic);
    if (this.#subtopicNames.size >= MAX_SUBTOPIC_NAMES) this.#subtopicNames.clear();
    this.#subtopicNames.set(subtopic, name);
    return name;
  }

  #nameOf(node: string): string {
    return this.#effects.member(node)?.name ?? node;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  #checkSize({ length }: Buffer): void {
    const { maxItem } = this.#settings;
    if (length > maxItem)
      throw new InvalidArgumentError(
        `a message with its topic has ${maxItem} bytes at most (messaging.maxItem); got ${length}`,
      );
  }

  #refuse(reason: string): undefined {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
  }

  #assertOpen({ closed }: MessageClient): void {
    if (closed || this.#closed) throw new ClosedError("EBADF", "the client is closed");
  }
}

const NONE: readonly Subscription[] = [];
const EMPTY = Buffer.alloc(0);
const NEVER = new Promise<void>(() => undefined);

function nothing(): void {}

/** A promise that nobody need look at. */
function handled(promise: Promise<void>): Promise<void> {
  promise.catch(nothing);
  return promise;
}

/** The data alone, as bytes that nobody else has. @param item that ends with them */
function ownBytes(data: string | Uint8Array, item: Buffer | undefined): Buffer {
  if (item === undefined) return Buffer.from(data as Uint8Array);
  return item.subarray(item.length - (typeof data === "string" ? Buffer.byteLength(data) : data.length));
}

function checkData(data: unknown): void {
  if (typeof data !== "string" && !(data instanceof Uint8Array))
    throw new InvalidArgumentError(`data are a text or bytes; got ${describe(data)}`);
}

function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean")
    throw new InvalidArgumentError(`${name} is true or false; got ${describe(value)}`);
  return value;
}

function checkCount(name: string, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    throw new InvalidArgumentError(`${name} is a whole number from 1; got ${describe(value)}`);
  return value as number;
}

function checkTimeout(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < -1 || (value as number) > MAX_TIMEOUT)
    throw new InvalidArgumentError(
      `timeout is a whole number of ms from -1 to ${MAX_TIMEOUT}; got ${describe(value)}`,
    );
  return value as number;
}

function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait")
    throw new InvalidArgumentError(`onFull is "drop" or "wait"; got ${describe(value)}`);
  return value;
}
