/**
 * Links to the members of a bus: an ordered, acknowledged, bounded stream of items to each, dialled on first use.
 *
 *   send ──> Sending (one a peer) ──protocol──> Receiving (one a peer) ──> onItem
 *                     ^─────────── WELCOME, ACK ───────────┘
 *
 * Messages of services may name the protocols by which they go. Where this node has others, too, they have a link of their own, a
 * lane: one for each list of protocols that is named, dialled by these alone, with a session of its own. So what names protocols goes by no
 * other, whichever the link for everything else takes, and arrives in order with what names the same ones.
 *
 * A stream goes one way. This node's streams go over connections that it dialled, the others' over connections that came to its
 * listeners. Who greets is checked against the membership: an id that is no live member waits a moment, for the
 * gossip about it may be on its way, and is refused then; so is a second life of an id whose connection stands.
 */
import { randomBytes } from "node:crypto";
import { InvalidArgumentError, UnroutableError } from "../../core/errors.js";
import { decodeAdvert, encodeAdvert } from "./advert.js";
import {
  LINK_BYTES,
  LINK_HEARTBEAT,
  LINK_IDLE,
  LINK_IDLE_LOOKS,
  LINK_ITEMS,
  LINK_WINDOW,
  MAX_DROP_PREFIX,
  MAX_DROP_PREFIXES,
  MAX_HELLOS,
  MAX_ITEM,
  MAX_LANES,
  MAX_TOPIC_ALIASES,
} from "./bounds.js";
import { Caller, type CallerEffects, type HelloResult, type LinkRefusal } from "./caller.js";
import { Listeners } from "./listeners.js";
import {
  MessageKind,
  type MessageLinkStats,
  type MessageLinks,
  type MessageLinksEffects,
  type MessageLinksStats,
  type SendResult,
} from "./parts.js";
import type { LinkHost, LinkProtocol, MessageConnection } from "./protocol.js";
import type { Publication } from "./publication.js";
import { Receiving, type ReceivingEffects } from "./receiving.js";
import { type LinkMember, Sending, type SendingEffects } from "./sending.js";
import type { SendWindow, WindowLimits } from "./window.js";
import { encodeHello, encodeWelcome, type Hello, LINK_VERSION } from "./wire.js";

export type { LinkMember } from "./sending.js";

/** What links are made with. */
export interface NodeLinksOptions {
  readonly self: { readonly id: string; readonly name: string };
  /** Number of the bus (identity.ts). */
  readonly busNumber: number;
  /** By priority. */
  readonly protocols: readonly LinkProtocol[];
  /** What waits for one peer, at most. */
  readonly highWaterMark?: number | undefined;
  readonly highWaterMarkBytes?: number | undefined;
  /** Bytes of an item. */
  readonly maxItem?: number | undefined;
  /** ms without traffic after which a connection to a peer closes. */
  readonly idle?: number | undefined;
  /** ms without an answer after which a connection is asked for (zmtp-protocol.ts). */
  readonly heartbeat?: number | undefined;
  readonly effects: NodeLinksEffects;
}

export interface NodeLinksEffects extends MessageLinksEffects {
  /** A live member; `undefined`: no such id is one. */
  member(id: string): LinkMember | undefined;
  /** What the others are to dial: for this node's details (advert.ts). */
  advertise(advert: string | undefined): void;
  /** No protocol reaches a live member, or one that comes before the one that does fails again and again. */
  ping(id: string): void;
  /** A frame of a peer came, or it acknowledged one. Cheap: it is called for each. */
  onHeard?(id: string): void;
  /** A connection greeted as a member, and its other end has proved to be another node. */
  onKeyRefused?(id: string, connection: MessageConnection): void;
  /** A protocol failed with a peer, or a listener could not be opened (`peer` is empty then). */
  onProtocolFailed?(peer: string, protocol: string, reason: string): void;
}

/** Counters of links to peers that are gone. */
interface Totals {
  sent: number;
  delivered: number;
  dropped: number;
  lost: number;
  resent: number;
}

/** A list of protocols that messages name. */
interface NamedProtocols {
  /** It never changes. */
  readonly list: readonly string[];
  /** Those that this node has, by priority, and their names. */
  readonly own: readonly LinkProtocol[];
  readonly names: string;
  /** Whether these are all that it has. */
  readonly isAll: boolean;
}

export class NodeLinks implements MessageLinks {
  readonly #options: NodeLinksOptions;
  readonly #effects: NodeLinksEffects;
  readonly #limits: WindowLimits;
  readonly #maxItem: number;
  readonly #life = randomBytes(8).toString("hex");
  readonly #host: LinkHost;
  readonly #sendingEffects: SendingEffects;
  readonly #receivingEffects: ReceivingEffects;
  /** Of lanes. */
  readonly #laneEffects: ReceivingEffects;
  /** By id; lanes by `keyOf`. A lane is there only where the link for everything is. */
  readonly #sending = new Map<string, Sending>();
  readonly #receiving = new Map<string, Receiving>();
  /** Numbers of lanes, by the names of their protocols. */
  readonly #lanes = new Map<string, number>();
  #lastNamed: NamedProtocols | undefined = undefined;
  /** Whose item is being handed over. */
  #incoming: Receiving | undefined = undefined;
  /** Connections whose hello waits for its sender to become a member. */
  readonly #hellos = new Set<Caller>();
  readonly #listeners: Listeners;
  readonly #droppedByPrefix = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  readonly #former: Totals = {
    sent: 0,
    delivered: 0,
    dropped: 0,
    lost: 0,
    resent: 0,
  };
  /** Where the sessions of a new link begin: above those of links that are forgotten here, and perhaps not at their receiver. */
  #firstSession = 0;
  #dirty: Sending[] = [];
  #spareDirty: Sending[] = [];
  #due: Receiving[] = [];
  #spareDue: Receiving[] = [];
  #isFlushing = false;
  /** `publish` is called again in the next turn, as far as its caller knows. */
  #publishesMore = false;
  #isAcknowledging = false;
  readonly #dueLater: Receiving[] = [];
  #ackTimer: NodeJS.Timeout | undefined = undefined;
  #ackTimerAt = 0;
  #idleTimer: NodeJS.Timeout | undefined = undefined;
  #closing: Promise<void> | undefined = undefined;
  #onDrained: (() => void) | undefined = undefined;

  constructor(options: NodeLinksOptions) {
    const { effects, protocols, heartbeat = LINK_HEARTBEAT } = options;
    this.#options = options;
    this.#effects = effects;
    this.#limits = {
      items: options.highWaterMark ?? LINK_ITEMS,
      bytes: options.highWaterMarkBytes ?? LINK_BYTES,
    };
    this.#maxItem = options.maxItem ?? MAX_ITEM;
    this.#host = { heartbeat, accept: (connection) => new Caller(this.#callers, connection, "") };
    this.#listeners = new Listeners({
      protocols,
      heartbeat,
      accept: (protocol, connection) => new Caller(this.#callers, connection, protocol),
      changed: (adverts) => this.#advertise(adverts),
      failed: (protocol, reason) => effects.onProtocolFailed?.("", protocol, reason),
    });
    this.#sendingEffects = {
      member: (id) => effects.member(id),
      protocols,
      host: this.#host,
      hello: (to, window) => this.#hello(to, window, 0),
      onUp: ({ id }) => effects.onPeer(id, "up"),
      onLost: ({ id }, count) => effects.onLost?.(id, count),
      onFailed: ({ id }, protocol, reason) => effects.onProtocolFailed?.(id, protocol, reason),
      onUnreachable: ({ id }) => effects.ping(id),
      onFailing: ({ id }) => effects.ping(id),
      flushSoon: this.#flushSoon,
      onAcked: this.#onAcked,
      acknowledge: (of) => this.#receiving.get(of)?.acknowledge(),
    };
    this.#laneEffects = {
      onItem: this.#onItem,
      acknowledgeSoon: this.#acknowledgeSoon,
      acknowledgeLater: this.#acknowledgeLater,
    };
    this.#receivingEffects = {
      ...this.#laneEffects,
      ...(effects.onPublish !== undefined && { onPublish: this.#onPublish }),
    };
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /**
   * Listens, by every protocol, and advertises where. One that cannot be opened is reported and left out.
   *
   * @throws the first protocol's error where none could be opened
   */
  async start(): Promise<void> {
    // Without a listener, too: this node sends then, over connections that it dials.
    const idle = this.#options.idle ?? LINK_IDLE;
    this.#idleTimer = setInterval(() => {
      const now = performance.now();
      for (const sending of this.#sending.values()) sending.closeIfIdle(now, idle);
      for (const receiving of this.#receiving.values()) receiving.closeIfIdle();
    }, idle / LINK_IDLE_LOOKS);
    this.#idleTimer.unref();
    await this.#listeners.start();
  }

  /**
   * Others fail to reach this node by some protocol: a listener that is gone, as where its socket was removed from the file system, is opened
   * again, and the others are sent where.
   */
  checkListeners(): void {
    this.#listeners.check();
  }

  /** Something about a member changed, or it was started again. `lost` may come back; `gone` left, or was removed or forgotten. */
  onMember(id: string, state: "alive" | "restarted" | "lost" | "gone"): void {
    const sending = this.#sending.get(id);
    if (state === "alive" || state === "restarted") {
      for (const key of keysOf(id)) {
        const receiving = this.#receiving.get(key);
        // Of a host that vanished, nothing has closed it.
        if (state === "restarted" && receiving?.connection !== undefined) receiving.isOutdated = true;
        this.#sending.get(key)?.changed();
      }
      for (const caller of this.#hellos) if (caller.from === id) caller.tryAgain();
      return;
    }
    let lost = 0;
    for (const key of keysOf(id)) {
      const each = this.#sending.get(key);
      if (state === "lost") each?.pause();
      else if (each !== undefined) {
        lost += each.window.waiting;
        this.#forget(each);
        this.#sending.delete(key);
      }
    }
    if (lost > 0) this.#effects.onLost?.(id, lost);
    if (state === "gone")
      for (const key of keysOf(id)) {
        const receiving = this.#receiving.get(key);
        this.#receiving.delete(key);
        receiving?.restart();
        receiving?.connection?.close(0);
      }
    if (sending !== undefined) this.#effects.onPeer(id, state);
    this.#onDrained?.();
  }

  close(linger: number): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    clearInterval(this.#idleTimer);
    this.#listeners.stop();
    const until = performance.now() + linger;
    if (linger !== 0 && this.#isWaiting) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#onDrained = () => {
          if (!this.#isWaiting) resolve();
        };
        if (linger > 0) timer = setTimeout(resolve, linger);
      });
      clearTimeout(timer);
      this.#onDrained = undefined;
    }
    for (const sending of this.#sending.values()) this.#forget(sending);
    this.#sending.clear();
    clearTimeout(this.#ackTimer);
    this.#dueLater.length = 0;
    for (const receiving of this.#receiving.values()) receiving.acknowledge();
    for (const caller of this.#hellos) caller.end();
    const left = linger < 0 ? 1_000 : Math.max(0, Math.round(until - performance.now()));
    await this.#listeners.close(Math.min(1_000, left));
    for (const receiving of this.#receiving.values()) receiving.restart();
    this.#receiving.clear();
  }

  get #isWaiting(): boolean {
    // Of a peer that is lost nothing is waited for.
    for (const { id, window } of this.#sending.values())
      if (window.waiting > 0 && this.#effects.member(id) !== undefined) return true;
    return false;
  }

  /** Its counters stay. */
  #forget(sending: Sending): void {
    sending.close();
    const { window, dropped } = sending;
    this.#former.sent += window.delivered + window.lost + dropped;
    this.#former.delivered += window.delivered;
    this.#former.lost += window.lost;
    this.#former.dropped += dropped;
    this.#former.resent += window.resent;
    this.#firstSession = Math.max(this.#firstSession, window.session);
  }

  #advertise(adverts: ReadonlyMap<string, string>): void {
    const protocols = new Map(adverts);
    const encode = (): string | undefined =>
      encodeAdvert({ maxItem: this.#maxItem, contexts: true, protocols });
    let advert = encode();
    while (advert === undefined && protocols.size > 0) {
      // The last ones are the least wanted.
      const name = [...protocols.keys()].pop() as string;
      protocols.delete(name);
      this.#effects.onProtocolFailed?.("", name, "what it advertises does not fit");
      advert = encode();
    }
    this.#effects.advertise(advert);
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  send(
    to: string,
    kind: number,
    item: Uint8Array,
    prefix: string,
    uncounted = false,
    protocols: readonly string[] | undefined = undefined,
  ): SendResult {
    const sending = this.#linkTo(to, protocols);
    if (sending === undefined) {
      this.#checkSize(item.length);
      return "unreachable";
    }
    if (item.length > sending.maxItem) {
      this.#dropTooLarge(sending, kind, item.length, prefix);
      return "too-large";
    }
    if (sending.offer(kind, item)) return "sent";
    if (!uncounted) this.#drop(sending, prefix);
    return "full";
  }

  sendToMany(to: readonly string[], kind: number, item: Uint8Array, prefix: string, full?: string[]): number {
    let sent = 0;
    for (let i = 0; i < to.length; i++) {
      const id = to[i] as string;
      const result = this.send(id, kind, item, prefix, full !== undefined);
      if (result === "sent") sent += 1;
      else if (result === "full") full?.push(id);
    }
    return sent;
  }

  publish(to: readonly string[], publication: Publication, full: string[]): number {
    let sent = 0;
    for (let i = 0; i < to.length; i++) {
      const id = to[i] as string;
      const sending = this.#sending.get(id) ?? this.#open(id);
      if (sending === undefined) this.#checkSize(publication.bytes);
      else if (publication.bytes > sending.maxItem)
        this.#dropTooLarge(sending, MessageKind.PUBLISH, publication.bytes, publication.plan.prefix);
      else if (sending.publish(MessageKind.PUBLISH, publication)) sent += 1;
      else full.push(id);
    }
    return sent;
  }

  takesContext(to: string, bytes: number): boolean {
    const link = this.#sending.get(to);
    if (link !== undefined) return link.takesContext(bytes);
    const advert =
      this.reasonOf(to) === undefined ? decodeAdvert(this.#effects.member(to)?.advert) : undefined;
    return advert?.contexts === true && bytes <= Math.min(this.#maxItem, advert.maxItem);
  }

  drop(to: string, prefix: string): void {
    const sending = this.#sending.get(to);
    if (sending !== undefined) this.#drop(sending, prefix);
  }

  hasRoom(to: string, bytes: number): boolean {
    // One that is not open yet has nothing that waits.
    return this.#sending.get(to)?.window.hasRoom(bytes) ?? true;
  }

  room(to: string): Promise<void> {
    const sending = this.#sending.get(to) ?? this.#open(to);
    return sending?.room() ?? Promise.reject(this.#unreachable(to));
  }

  onDelivered(to: string, done: (isDelivered: boolean) => void): void {
    const sending = this.#sending.get(to);
    if (sending === undefined) done(false);
    else sending.onDelivered(done);
  }

  /**
   * The protocol that serves a peer; empty: no session stands. It makes no link.
   *
   * @param protocols that a message names; `undefined`: none
   */
  protocolOf(id: string, protocols: readonly string[] | undefined = undefined): string {
    const link = this.#sending.get(id);
    if (link === undefined || protocols === undefined) return link?.protocol ?? "";
    const { isAll, names } = this.#named(protocols);
    if (isAll) return link.protocol;
    const lane = this.#lanes.get(names);
    return (lane === undefined ? undefined : this.#sending.get(keyOf(id, lane)))?.protocol ?? "";
  }

  /**
   * Makes the link to a peer where none stands.
   *
   * @param protocols by which that may be, and for which it is; `undefined`: all
   * @returns the protocol that serves; empty: none does, or not in time. It never rejects
   */
  whenLinked(id: string, protocols: readonly string[] | undefined): Promise<string> {
    return this.#linkTo(id, protocols)?.linked() ?? Promise.resolve("");
  }

  /** Whether there is no link to a peer for a message that names these protocols only since so many other lists of them have theirs. */
  isPastLists(id: string, protocols: readonly string[]): boolean {
    const link = this.#sending.get(id);
    if (link?.isReachedBy(protocols) !== true) return false;
    const { isAll, names } = this.#named(protocols);
    return !isAll && !this.#lanes.has(names) && this.#lanes.size >= MAX_LANES;
  }

  /** The protocol that the item of a peer came by which is being handed over; else that of its last ones. Empty: none has come. */
  protocolFrom(id: string): string {
    const receiving = this.#incoming?.id === id ? this.#incoming : this.#receiving.get(id);
    return receiving?.protocol ?? "";
  }

  /** Why a member is no target; `undefined`: it is one. */
  reasonOf(id: string): string | undefined {
    if (this.#closing !== undefined) return "messaging is closed";
    const member = this.#effects.member(id);
    if (member === undefined) return "no live member has this id";
    if (decodeAdvert(member.advert) === undefined) return "it does not take messages";
    return undefined;
  }

  stats(): MessageLinksStats & { readonly former: Readonly<Totals> } {
    // A peer's lanes are counted with its link, which comes before them here.
    const peers = new Map<string, MessageLinkStats>();
    for (const { id, name, window, dropped, protocol, state, reason } of this.#sending.values()) {
      const { delivered, waiting, waitingBytes, lost, resent } = window;
      const link = peers.get(id);
      const shown = state === "waiting" && reason !== "" ? `waiting: ${reason}` : state;
      peers.set(id, {
        id,
        name,
        protocol: link?.protocol || protocol,
        state: link === undefined || link.state === "idle" ? shown : link.state,
        sent: (link?.sent ?? 0) + delivered + waiting + lost + dropped,
        delivered: (link?.delivered ?? 0) + delivered,
        waiting: (link?.waiting ?? 0) + waiting,
        waitingBytes: (link?.waitingBytes ?? 0) + waitingBytes,
        dropped: (link?.dropped ?? 0) + dropped,
        lost: (link?.lost ?? 0) + lost,
        resent: (link?.resent ?? 0) + resent,
      });
    }
    return {
      peers: [...peers.values()],
      droppedByPrefix: Object.fromEntries(this.#droppedByPrefix),
      refused: Object.fromEntries(this.#refused),
      former: { ...this.#former },
    };
  }

  #open(to: string): Sending | undefined {
    if (this.#closing !== undefined || to === this.#options.self.id) return undefined;
    const member = this.#effects.member(to);
    const advert = decodeAdvert(member?.advert);
    if (member === undefined || advert === undefined) return undefined;
    const sending = new Sending(member, this.#limits, this.#firstSession, this.#sendingEffects);
    sending.maxItem = Math.min(this.#maxItem, advert.maxItem);
    sending.takesContexts = advert.contexts;
    this.#sending.set(to, sending);
    return sending;
  }

  /**
   * The link by which a message goes.
   *
   * @param protocols that it names
   * @returns `undefined`: there is none, or the peer is reached by none of these
   */
  #linkTo(to: string, protocols: readonly string[] | undefined): Sending | undefined {
    const link = this.#sending.get(to) ?? this.#open(to);
    if (link === undefined || protocols === undefined) return link;
    // One that is lost, or of which nothing is known yet: the link would keep it, and send it by any.
    if (!link.isReachedBy(undefined)) return undefined;
    // Not where all are named by which the peer is reached now: it may be reached by others before this has left.
    const named = this.#named(protocols);
    if (named.isAll) return link;
    if (!link.isReachedBy(protocols)) return undefined;
    const lane = this.#laneOf(named);
    if (lane === undefined) return undefined;
    const key = keyOf(to, lane);
    return this.#sending.get(key) ?? this.#openLane(key, lane, link, named.own);
  }

  /** Of this node's protocols, those that a message names: looked up once for all that it goes to. */
  #named(list: readonly string[]): NamedProtocols {
    if (this.#lastNamed?.list === list) return this.#lastNamed;
    const { protocols } = this.#options;
    const own = protocols.filter(({ name }) => list.includes(name));
    const names = own.map(({ name }) => name).join(",");
    this.#lastNamed = { list, own, names, isAll: own.length === protocols.length };
    return this.#lastNamed;
  }

  /** The number of the lane for these protocols; `undefined`: there are too many. */
  #laneOf({ names }: NamedProtocols): number | undefined {
    const known = this.#lanes.get(names);
    if (known !== undefined || this.#lanes.size >= MAX_LANES) return known;
    this.#lanes.set(names, this.#lanes.size + 1);
    return this.#lanes.size;
  }

  #openLane(key: string, lane: number, link: Sending, protocols: readonly LinkProtocol[]): Sending {
    const sending = new Sending(link, this.#limits, this.#firstSession, {
      ...this.#sendingEffects,
      protocols,
      host: { ...this.#host, lane },
      hello: (to, window) => this.#hello(to, window, lane),
      // The link's: what comes of a peer is acknowledged there, and its interest is exchanged when that is up.
      onUp: () => undefined,
      acknowledge: () => undefined,
    });
    sending.maxItem = link.maxItem;
    sending.takesContexts = link.takesContexts;
    this.#sending.set(key, sending);
    return sending;
  }

  #checkSize(bytes: number): void {
    if (bytes > this.#maxItem)
      throw new InvalidArgumentError(
        `a message between nodes has ${this.#maxItem} bytes at most; got ${bytes}`,
      );
  }

  #unreachable(to: string): Error {
    return new UnroutableError(
      `the node ${to} gets no messages: ${this.reasonOf(to) ?? "it cannot be reached"}`,
    );
  }

  /** It is counted and reported; what no node takes throws. */
  #dropTooLarge(sending: Sending, kind: number, bytes: number, prefix: string): void {
    this.#checkSize(bytes);
    this.#drop(sending, prefix);
    this.#effects.onTooLarge?.(sending.id, kind, prefix);
  }

  #drop(sending: Sending, prefix: string): void {
    sending.dropped += 1;
    const counts = this.#droppedByPrefix;
    const isKnown = counts.has(prefix);
    const fits = counts.size < MAX_DROP_PREFIXES - 1 && prefix.length <= MAX_DROP_PREFIX;
    const key = isKnown || fits ? prefix : OTHER_PREFIXES;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  #hello(to: string, { session, everSent }: SendWindow, lane: number): Buffer {
    const { self, busNumber } = this.#options;
    return encodeHello({
      version: LINK_VERSION,
      bus: busNumber,
      to,
      from: self.id,
      life: this.#life,
      session,
      maxItem: this.#maxItem,
      name: self.name,
      maxWaiting: this.#limits.items,
      maxWaitingBytes: this.#limits.bytes,
      lane,
      sent: everSent,
    });
  }

  #flushSoon = (sending: Sending): void => {
    sending.isDirty = true;
    this.#dirty.push(sending);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flushAll);
  };

  publishesMore(): void {
    this.#publishesMore = true;
  }

  #flushAll = (): void => {
    this.#isFlushing = false;
    const publishesMore = this.#publishesMore;
    this.#publishesMore = false;
    const dirty = this.#dirty;
    const held = this.#spareDirty;
    // A clock is read only where something may wait.
    const now = publishesMore ? performance.now() : 0;
    this.#dirty = held;
    for (const sending of dirty) {
      if (publishesMore && sending.holds(now)) {
        held.push(sending);
        continue;
      }
      sending.isDirty = false;
      sending.flush();
    }
    dirty.length = 0;
    this.#spareDirty = dirty;
    if (held.length === 0 || this.#isFlushing) return;
    this.#isFlushing = true;
    // After that of the publisher, in which the program goes on.
    setImmediate(this.#flushAll);
  };

  #onAcked = ({ id }: Sending): void => {
    this.#effects.onHeard?.(id);
    this.#onDrained?.();
  };

  // --- Receiving -----------------------------------------------------------------------------------------------------

  #onItem = (from: Receiving, kind: number, item: Buffer): void | Promise<void> => {
    // Lanes are for messages of services.
    if (kind < 1 || kind > LAST_KIND || (from.lane !== 0 && kind !== MessageKind.SERVICE)) {
      this.#refuse("kind");
      return undefined;
    }
    this.#incoming = from;
    try {
      return this.#effects.onItem(from.id, kind, item);
    } catch {
      // Handlers and listeners of the program are caught before. What is left is a mistake of this node's about a peer's bytes:
      // it costs that item, is counted, and does not end the process.
      this.#refuse("handler");
      return undefined;
    } finally {
      this.#incoming = undefined;
    }
  };

  #onPublish = (from: Receiving, bytes: Buffer, start: number, end: number): void | Promise<void> => {
    try {
      return this.#effects.onPublish?.(from, bytes, start, end);
    } catch {
      this.#refuse("handler");
      return undefined;
    }
  };

  #acknowledgeSoon = (receiving: Receiving): void => {
    receiving.isDue = true;
    this.#due.push(receiving);
    if (this.#isAcknowledging) return;
    this.#isAcknowledging = true;
    // After all that this turn reads: an acknowledgement of each read is a system call of its own.
    setImmediate(this.#acknowledgeAll);
  };

  #acknowledgeAll = (): void => {
    this.#isAcknowledging = false;
    const due = this.#due;
    this.#due = this.#spareDue;
    for (const receiving of due) {
      receiving.isDue = false;
      receiving.acknowledge();
    }
    due.length = 0;
    this.#spareDue = due;
  };

  #acknowledgeLater = (receiving: Receiving): void => {
    if (!receiving.isDueLater) {
      receiving.isDueLater = true;
      this.#dueLater.push(receiving);
    }
    this.#awaitAck(receiving.ackAt);
  };

  /** One timer for all links. One that stands is not put off: it looks again then. */
  #awaitAck(at: number): void {
    if (this.#ackTimer !== undefined && this.#ackTimerAt <= at) return;
    clearTimeout(this.#ackTimer);
    this.#ackTimerAt = at;
    this.#ackTimer = setTimeout(this.#acknowledgeLate, Math.max(1, at - performance.now())).unref();
  }

  #acknowledgeLate = (): void => {
    this.#ackTimer = undefined;
    const now = performance.now();
    const late = this.#dueLater;
    let left = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const receiving of late) {
      const { window, ackAt } = receiving;
      const isOver = window.acked === window.delivered || receiving.connection === undefined;
      // A timer may be early by a fraction.
      if (!isOver && ackAt > now + 1) {
        late[left++] = receiving;
        next = Math.min(next, ackAt);
        continue;
      }
      receiving.isDueLater = false;
      receiving.acknowledge();
    }
    late.length = left;
    if (left > 0) this.#awaitAck(next);
  };

  #refuse(reason: LinkRefusal): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  /** What the connections that came need of the links. */
  readonly #callers: CallerEffects = {
    onHello: (caller, hello) => this.#onHello(caller, hello),
    onHeard: (from) => this.#effects.onHeard?.(from),
    refuse: (reason) => this.#refuse(reason),
    forget: (caller) => this.#hellos.delete(caller),
  };

  /** @returns whose it is; `undefined`: its sender, or its details, may yet become known; or why it is refused */
  #onHello(caller: Caller, hello: Hello): HelloResult {
    const { self, busNumber } = this.#options;
    if (this.#closing !== undefined) return "stranger";
    if (hello.version !== LINK_VERSION) return "version";
    if (hello.bus !== busNumber) return "bus";
    if (hello.to !== self.id || hello.from === self.id) return "other-node";
    const member = this.#effects.member(hello.from);
    // Without its details replies to it would find no way.
    if (member?.hasDetails !== true) {
      if (this.#hellos.size >= MAX_HELLOS) return "hellos";
      this.#hellos.add(caller);
      return undefined;
    }
    const { nodeId } = caller.connection;
    if (nodeId === undefined || nodeId === hello.from) return this.#admit(caller, hello);
    this.#effects.onKeyRefused?.(hello.from, caller.connection);
    return "key";
  }

  #admit(caller: Caller, hello: Hello): Receiving | LinkRefusal {
    const { from, lane } = hello;
    // Of all its links: a second life of an id has no lane next to the link of the first one.
    for (const each of keysOf(from)) {
      const other = this.#receiving.get(each);
      if (other?.connection === undefined || other.connection === caller.connection) continue;
      if (other.window.life !== hello.life && !other.isOutdated) return "session";
    }
    const key = keyOf(from, lane);
    let receiving = this.#receiving.get(key);
    if (receiving === undefined) {
      const effects = lane === 0 ? this.#receivingEffects : this.#laneEffects;
      receiving = new Receiving(from, this.#maxItem, effects, lane);
      this.#receiving.set(key, receiving);
    }
    const before = receiving.connection;
    const { window } = receiving;
    if (receiving.hello(hello) === "stale") return "stale";
    if (before !== undefined && before !== caller.connection) before.close(0);
    receiving.connected(caller.connection, caller.protocol);
    receiving.setMarks(hello.maxWaiting, hello.maxWaitingBytes);
    receiving.onFault = (fault) => caller.refuse(fault);
    caller.connection.send([
      encodeWelcome({
        version: LINK_VERSION,
        from: this.#options.self.id,
        life: this.#life,
        session: hello.session,
        received: window.received,
        delivered: window.delivered,
        window: LINK_WINDOW,
        maxItem: this.#maxItem,
        aliases: MAX_TOPIC_ALIASES,
        forgot: window.forgot ? 1 : 0,
      }),
    ]);
    window.acked = window.delivered;
    return receiving;
  }
}

/** Of a link of a peer: its id, or with the number of the lane. */
function keyOf(id: string, lane: number): string {
  return lane === 0 ? id : `${id}/${lane}`;
}

/** Of all links that a peer may have. */
function keysOf(id: string): readonly string[] {
  return Array.from({ length: MAX_LANES + 1 }, (_, lane) => keyOf(id, lane));
}

/** Where drops of further prefixes are counted. */
const OTHER_PREFIXES = "(others)";
const LAST_KIND = Math.max(...Object.values(MessageKind));
