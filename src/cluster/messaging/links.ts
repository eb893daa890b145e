/**
 * Links to the members of a cluster: ordered, acknowledged, bounded streams of items, dialled on first use.
 *
 *   send ──> Sending (one a peer) ──protocol──> Receiving (one a peer) ──> onItem
 *                     ^─────────────── ACK ────────────────┘
 *
 * Messages of members that name some of this node's protocols have a lane: a separate link for each set of protocols, which
 * gives up what it has when none of them reaches the peer.
 * docs/spec/messaging.md has the rules.
 */
import { randomBytes } from "node:crypto";
import { invalidArgument, thrownText } from "../../core/arguments.js";
import { ClosedError, TimeoutError, UnroutableError } from "../../core/errors.js";
import { IdleWaits, ignore, withTimeout } from "../../core/waiter.js";
import { MAX_ADDRESS } from "../bounds.js";
import { HELD_TIME, LINK_IDLE_LOOKS, LISTEN_TIMEOUT, MAX_LANES, MIN_ITEM_LIMIT } from "./bounds.js";
import type { MessagingSettings } from "./options.js";
import type { LinkProtocol, LinkResponder, PairStream, PairStreams } from "./pair-streams.js";
import {
  type LinkMember,
  MessageKind,
  type MessageLinkStats,
  type MessageLinksStats,
  type NodeLinksEffects,
  type SendResult,
} from "./parts.js";
import type { ProtocolListener } from "./protocols.js";
import type { Publication } from "./publication.js";
import { type FrameFault, Receiving, type ReceivingEffects } from "./receiving.js";
import { Sending, type SendingEffects, type SendingLane } from "./sending.js";
import type { WindowLimits } from "./window.js";
import {
  decodeAdvert,
  decodeHello,
  encodeAck,
  encodeAdvert,
  encodeHello,
  type Hello,
  type PlacedItem,
} from "./wire.js";

export type LinkRefusal =
  | FrameFault
  /** Meant for another node. */
  | "other-node"
  /** Not a live member, or the peer proved another one's key. */
  | "stranger"
  | "key"
  /** Another life of the id has a connection; the session was given up; items of it may be forgotten here. */
  | "session"
  | "stale"
  | "forgotten"
  /** The member has `MAX_LANES`. */
  | "lanes"
  /** An item that is not for a lane: skipped. */
  | "kind"
  | "handler";

export interface NodeLinksOptions {
  /** This node's. */
  readonly id: string;
  readonly streams: PairStreams;
  readonly protocols: readonly LinkProtocol[];
  readonly settings: MessagingSettings;
  readonly effects: NodeLinksEffects;
}

export class NodeLinks implements SendingEffects, ReceivingEffects, LinkResponder {
  readonly #options: NodeLinksOptions;
  readonly effects: NodeLinksEffects;
  readonly streams: PairStreams;
  readonly heartbeat: number;
  readonly #limits: WindowLimits;
  /** Bytes of an item that this node sends or takes. */
  readonly maxItem: number;
  readonly #life = randomBytes(8).toString("hex");
  /** By `keyOf`. */
  readonly #sending = new Map<string, Sending>();
  readonly #receiving = new Map<string, Receiving>();
  /** By id: those above 0, of either direction. */
  readonly #lanes = new Map<string, Set<number>>();
  /** Some may never settle. */
  readonly #listening = new Set<Promise<ProtocolListener>>();
  readonly #refused = new Map<string, number>();
  /** Above the sessions of links of before, which receivers may remember. */
  #firstSession = 0;
  #dirty: Sending[] = [];
  #due: Receiving[] = [];
  #isFlushing = false;
  #publishesMore = false;
  readonly #dueLater = new Set<Receiving>();
  #ackTimer: NodeJS.Timeout | undefined = undefined;
  #idleTimer: NodeJS.Timeout | undefined = undefined;
  #closing: Promise<void> | undefined = undefined;
  /** It closes, and waits for nothing any more. */
  #isGivingUp = false;
  readonly #drained = new IdleWaits();
  /** For those that wait for listeners. */
  readonly #ended = new IdleWaits();

  constructor(options: NodeLinksOptions) {
    const { effects, settings, streams } = options;
    this.#options = options;
    this.effects = effects;
    this.streams = streams;
    this.heartbeat = settings.heartbeat;
    this.#limits = { items: settings.highWaterMark, bytes: settings.highWaterMarkBytes };
    this.maxItem = settings.maxItem;
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** Never rejects: listeners that cannot be opened are reported. */
  async start(): Promise<void> {
    // A namespace may be closing when its node starts.
    if (this.#closing !== undefined) return;
    const { idle } = this.#options.settings;
    this.#idleTimer = setInterval(() => {
      const now = performance.now();
      for (const sending of this.#sending.values()) sending.closeIfIdle(now, idle);
      for (const receiving of this.#receiving.values()) receiving.closeIfIdle();
    }, idle / LINK_IDLE_LOOKS);
    this.#idleTimer.unref();
    const opened = await Promise.all(this.#options.protocols.map((protocol) => this.#listen(protocol)));
    const protocols = new Map<string, string>();
    for (const each of opened) {
      if (each === undefined) continue;
      const [name, where] = each;
      protocols.set(name, where);
      if (encodeAdvert({ maxItem: this.maxItem, protocols }) !== undefined) continue;
      protocols.delete(name);
      this.effects.onProtocolFailed("", name, "what it advertises does not fit");
    }
    if (this.#closing === undefined && protocols.size > 0)
      this.effects.advertise(encodeAdvert({ maxItem: this.maxItem, protocols }));
  }

  /** @returns name and advert; `undefined`: it failed, or the links close */
  async #listen(protocol: LinkProtocol): Promise<[string, string] | undefined> {
    const { name } = protocol;
    const listening = this.streams.listen(protocol);
    this.#listening.add(listening);
    try {
      const isInTime = await withTimeout(Promise.race([listening, this.#ended.wait(false)]), LISTEN_TIMEOUT);
      if (this.#closing !== undefined) return undefined;
      if (!isInTime) {
        this.#listening.delete(listening);
        closeLate(listening);
        throw new TimeoutError("ETIMEDOUT", `it does not listen within ${LISTEN_TIMEOUT} ms`);
      }
      const listener = await listening;
      if (typeof listener?.close !== "function")
        throw invalidArgument("a listener has advert and close", listener);
      this.streams.accept(name, this);
      return [name, advertOf(listener)];
    } catch (error) {
      this.effects.onProtocolFailed("", name, thrownText(error));
      return undefined;
    }
  }

  /** `alive`: changed. `lost`: may return. `gone`: left, was removed or forgotten. */
  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    const member = state === "alive" ? this.effects.member(id) : undefined;
    const advert = decodeAdvert(member?.advert);
    const keys = this.#keysOf(id);
    if (state === "gone") this.#lanes.delete(id);
    let lost = 0;
    for (const key of keys) {
      const each = this.#sending.get(key);
      if (each === undefined) continue;
      if (advert !== undefined) {
        each.maxItem = Math.min(this.maxItem, advert.maxItem);
        each.changed();
      } else if (state === "lost") {
        each.reason = "it is lost or gone";
        if (each.lane.number === 0) each.pause();
        else each.close();
      } else if (state === "gone" || member?.hasDetails === true) {
        // A new member that turns out to take no messages has lost none.
        if (state === "gone") lost += each.waitingMessages;
        each.reason = state === "gone" ? "it is lost or gone" : "it takes no messages";
        this.#remove(key, each);
      }
    }
    if (lost > 0) this.effects.onLost(id, lost);
    if (state === "gone")
      for (const key of keys) {
        const receiving = this.#receiving.get(key);
        if (receiving === undefined) continue;
        this.#receiving.delete(key);
        receiving.restart();
        this.streams.drop(receiving);
      }
    this.noteDrained();
  }

  #remove(key: string, sending: Sending): void {
    sending.close();
    this.#firstSession = Math.max(this.#firstSession, sending.window.session);
    this.#sending.delete(key);
  }

  /** Resolves when waiting items are acknowledged, or after `linger` ms; -1: no limit. */
  close(linger: number): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    this.#ended.end();
    clearInterval(this.#idleTimer);
    const until = performance.now() + linger;
    if (linger !== 0) await withTimeout(this.#drained.wait(!this.#isWaiting), linger);
    this.#isGivingUp = true;
    for (const sending of this.#sending.values()) sending.close();
    this.#sending.clear();
    clearTimeout(this.#ackTimer);
    this.#dueLater.clear();
    for (const receiving of this.#receiving.values()) receiving.acknowledge();
    this.streams.close();
    const left = linger < 0 ? 1_000 : Math.max(0, Math.round(until - performance.now()));
    const timeout = Math.min(1_000, left);
    const closing = [...this.#listening].map(async (listening) => (await listening).close(timeout));
    // A program's listener may fail, or never open or end.
    await withTimeout(Promise.allSettled(closing), timeout + 1_000);
    for (const receiving of this.#receiving.values()) receiving.restart();
    this.#receiving.clear();
  }

  /** Items were acknowledged or given up. */
  noteDrained(): void {
    if (this.#drained.isAwaited && !this.#isWaiting) this.#drained.end();
  }

  get #isWaiting(): boolean {
    for (const { id, window } of this.#sending.values())
      if (window.waiting > 0 && this.effects.member(id) !== undefined) return true;
    return false;
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  /**
   * @param item from `ITEM_BY_REFERENCE` bytes on it must not change afterwards
   * @param lane of the allowed protocols; 0: all
   * @returns `full`: the caller sends it again, or counts it by `drop`
   */
  send(to: string, kind: number, item: Uint8Array, lane = 0): SendResult {
    const sending = this.#linkTo(to, lane);
    if (sending === undefined) return "unreachable";
    if (item.length > sending.maxItem) {
      sending.dropped += 1;
      return "too-large";
    }
    return sending.offer(kind, item) ? "sent" : "full";
  }

  /**
   * @param publication may be reused after the return
   * @param full gets members whose mark is reached
   * @returns the number of links that took it
   */
  publish(to: readonly string[], publication: Publication, full: string[]): number {
    let sent = 0;
    for (let i = 0; i < to.length; i++) {
      const id = to[i] as string;
      const sending = this.#sending.get(id) ?? this.#open(id);
      if (sending === undefined) continue;
      if (publication.bytes > sending.maxItem) {
        sending.dropped += 1;
        this.effects.onTooLarge(id, publication.plan.prefix);
      } else if (sending.publish(MessageKind.PUBLISH, publication)) sent += 1;
      else full.push(id);
    }
    return sent;
  }

  /** Counts a dropped item. */
  drop(to: string): void {
    const sending = this.#sending.get(to);
    if (sending !== undefined) sending.dropped += 1;
  }

  hasRoom(to: string, bytes: number): boolean {
    return this.#sending.get(to)?.window.hasRoom(bytes) ?? true;
  }

  /**
   * @param bytes of an item that had no room; without it, a retry may fail at once
   * @returns settles when there may be room; `false`: the peer is lost or gone, or gets no messages
   */
  room(to: string, bytes = 0): Promise<boolean> {
    // Also when it was lost before: its window has no room until it is back or forgotten.
    if (this.effects.member(to) === undefined) return Promise.resolve(false);
    const sending = this.#sending.get(to) ?? this.#open(to);
    return sending?.room(bytes) ?? Promise.resolve(false);
  }

  /** Number of the session of the link to a member; -1: none. A later session has not had the items of earlier ones. */
  session(to: string): number {
    return this.#sending.get(to)?.window.session ?? -1;
  }

  /** @throws of the item just sent: UnroutableError `EHOSTUNREACH`, ClosedError `EAGAIN`: it is given up */
  delivered({ id, name }: Pick<LinkMember, "id" | "name">, lane = 0): Promise<void> {
    const sending = this.#sending.get(keyOf(id, lane));
    return new Promise((resolve, reject) => {
      const done = (isDelivered: boolean): void => {
        if (isDelivered) resolve();
        else if (this.#isGivingUp) reject(new ClosedError("EAGAIN", "the node closed meanwhile"));
        else
          reject(new UnroutableError(`${name} is not reached: ${sending?.reason ?? "it is lost or gone"}`));
      };
      this.onDelivered(id, done, lane);
    });
  }

  /** Calls back when the item just sent is delivered, or with `false` if it is given up. */
  onDelivered(to: string, done: (isDelivered: boolean) => void, lane = 0): void {
    const sending = this.#sending.get(keyOf(to, lane));
    // The write of the item may have run the program, which ends links.
    if (sending === undefined || sending.offeredIn !== sending.window.session) done(false);
    else sending.onDelivered(done);
  }

  /** The lane for named protocols, each a bit; -1 if this node has none of them. */
  laneOf(names: readonly string[]): number {
    let lane = 0;
    for (const [place, { name }] of this.#options.protocols.entries())
      if (names.includes(name)) lane |= 1 << place;
    return lane === 0 ? -1 : lane;
  }

  #lane(number: number): SendingLane {
    const { protocols } = this.#options;
    return {
      number,
      protocols: number === 0 ? protocols : protocols.filter((_, place) => (number & (1 << place)) !== 0),
    };
  }

  #addLane(id: string, lane: number): void {
    if (lane === 0) return;
    const lanes = this.#lanes.get(id);
    if (lanes === undefined) this.#lanes.set(id, new Set([lane]));
    else lanes.add(lane);
  }

  #keysOf(id: string): readonly string[] {
    return [0, ...(this.#lanes.get(id) ?? [])].map((lane) => keyOf(id, lane));
  }

  /** Empty without a session. */
  protocolOf(id: string): string {
    return this.#sending.get(id)?.protocol ?? "";
  }

  /** That of the session, or the one that is tried first. Empty: none may reach the peer. */
  protocolFor(id: string, lane: number): string {
    const sending = this.#linkTo(id, lane);
    return sending?.protocol || (sending?.ways[0] ?? "");
  }

  stats(): MessageLinksStats {
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
      refused: Object.fromEntries(this.#refused),
    };
  }

  /** Whether it is a live member that takes messages, or whose details have not come yet: items wait for them. */
  takesPart(id: string): boolean {
    const member = this.effects.member(id);
    return member?.hasDetails === false || decodeAdvert(member?.advert) !== undefined;
  }

  #open(to: string): Sending | undefined {
    const member = this.effects.member(to);
    if (this.#closing !== undefined || member === undefined || !this.takesPart(to)) return undefined;
    const advert = decodeAdvert(member.advert);
    const sending = new Sending(member, this.#lane(0), this.#limits, this.#firstSession, this);
    sending.maxItem = Math.min(this.maxItem, advert?.maxItem ?? MIN_ITEM_LIMIT);
    this.#sending.set(to, sending);
    return sending;
  }

  /** `undefined`: no protocol of the lane reaches the peer. */
  #linkTo(to: string, number: number): Sending | undefined {
    const link = this.#sending.get(to) ?? this.#open(to);
    if (link === undefined || number === 0) return link;
    const key = keyOf(to, number);
    let sending = this.#sending.get(key);
    if (sending === undefined) {
      sending = new Sending(link, this.#lane(number), this.#limits, this.#firstSession, this);
      sending.maxItem = link.maxItem;
      this.#addLane(to, number);
      this.#sending.set(key, sending);
    }
    return sending.ways.length > 0 ? sending : undefined;
  }

  // --- What the sending ends call ------------------------------------------------------------------------------------

  hello({ id: to, window: { session, everSent } }: Sending): Buffer {
    return encodeHello({
      to,
      from: this.#options.id,
      life: this.#life,
      session,
      maxWaiting: this.#limits.items,
      maxWaitingBytes: this.#limits.bytes,
      sent: everSent,
    });
  }

  onUp({ id, lane }: Sending): void {
    if (lane.number === 0) this.effects.onUp(id);
  }

  acknowledge({ id, lane }: Sending): void {
    if (lane.number === 0) this.#receiving.get(id)?.acknowledgeAlong();
  }

  flushSoon(sending: Sending): void {
    sending.isDirty = true;
    this.#dirty.push(sending);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flushAll);
  }

  /** The program publishes in a loop: items may wait for those of its next turn. */
  publishesMore(): void {
    this.#publishesMore = true;
  }

  #flushAll = (): void => {
    this.#isFlushing = false;
    const publishesMore = this.#publishesMore;
    this.#publishesMore = false;
    const dirty = this.#dirty;
    const held: Sending[] = [];
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
    if (held.length === 0 || this.#isFlushing) return;
    this.#isFlushing = true;
    // After the publisher's `setImmediate`, in which the program continues.
    setImmediate(this.#flushAll);
  };

  // --- Receiving -----------------------------------------------------------------------------------------------------

  onItem(from: Receiving, item: PlacedItem): void | Promise<void> {
    const { kind } = item;
    // Lanes carry messages of members only.
    if (from.lane !== 0 && kind !== MessageKind.MEMBER) return this.#count("kind");
    try {
      return this.effects.onItem(from, item);
    } catch {
      // A bug of the node costs the item, not the process.
      return this.#count("handler");
    }
  }

  acknowledgeSoon(receiving: Receiving): void {
    receiving.isDue = true;
    // After all reads of this turn.
    if (this.#due.push(receiving) === 1) setImmediate(this.#acknowledgeAll);
  }

  #acknowledgeAll = (): void => {
    const due = this.#due;
    this.#due = [];
    for (const receiving of due) {
      receiving.isDue = false;
      receiving.acknowledge();
    }
  };

  /** One timer for all links. */
  acknowledgeLater(receiving: Receiving): void {
    this.#dueLater.add(receiving);
    this.#ackTimer ??= setTimeout(this.#acknowledgeLate, HELD_TIME).unref();
  }

  #acknowledgeLate = (): void => {
    this.#ackTimer = undefined;
    const late = [...this.#dueLater];
    this.#dueLater.clear();
    for (const receiving of late) receiving.acknowledge();
  };

  onFault(receiving: Receiving, fault: FrameFault): void {
    const { stream, lane } = receiving;
    if (stream !== undefined) this.#refuse(stream, lane, fault);
  }

  #refuse(stream: PairStream, lane: number, reason: LinkRefusal): void {
    this.#count(reason);
    this.streams.refuse(stream, lane, reason);
  }

  #count(reason: LinkRefusal): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  onHello(stream: PairStream, lane: number, frame: Buffer, from: string | undefined): void {
    const hello = decodeHello(frame);
    // All hellos of a lane are of one node.
    const isOther = from !== undefined && from !== hello?.from;
    const reason = hello === undefined || isOther ? "malformed" : this.#admit(stream, lane, hello);
    if (reason !== undefined) this.#refuse(stream, lane, reason);
  }

  /** @returns why it is refused */
  #admit(stream: PairStream, lane: number, hello: Hello): LinkRefusal | undefined {
    const { id } = this.#options;
    const { from } = hello;
    if (hello.to !== id || from === id) return "other-node";
    // Hooks that decide about the sender need its details.
    if (this.#closing !== undefined || this.effects.member(from)?.hasDetails !== true) return "stranger";
    if (stream.node !== undefined && stream.node.id !== from) {
      this.effects.onKeyRefused(from, stream.remote);
      return "key";
    }
    let lanes = 0;
    for (const each of this.#keysOf(from)) {
      const other = this.#receiving.get(each);
      if (other !== undefined && other.lane !== 0) lanes += 1;
      if (other?.stream === undefined || (other.stream === stream && other.lane === lane)) continue;
      if (other.window.life !== hello.life) return "session";
    }
    const key = keyOf(from, lane);
    let receiving = this.#receiving.get(key);
    if (receiving === undefined) {
      if (lane !== 0 && lanes >= MAX_LANES) return "lanes";
      this.#addLane(from, lane);
      receiving = new Receiving(from, this.maxItem, this, lane);
      this.#receiving.set(key, receiving);
    }
    const { window } = receiving;
    const result = receiving.hello(hello);
    if (result === "stale" || result === "forgotten") return result;
    this.streams.take(stream, receiving);
    receiving.connected(stream.protocol);
    receiving.setMarks(hello.maxWaiting, hello.maxWaitingBytes);
    window.acked = window.delivered;
    this.streams.answer(stream, lane, encodeAck(hello.session, window.acked));
    return undefined;
  }
}

/** The program's listener may fail, or never end. */
function closeLate(listening: Promise<ProtocolListener>): void {
  listening.then((listener) => listener.close(0)).catch(ignore);
}

/** @throws InvalidArgumentError `EINVAL` for the advert of a program's protocol */
function advertOf({ advert }: ProtocolListener): string {
  if (
    typeof advert !== "string" ||
    Buffer.byteLength(advert) > MAX_ADDRESS ||
    /;|\p{Surrogate}/u.test(advert)
  )
    throw invalidArgument(
      `a listener's advert must be a well-formed text of at most ${MAX_ADDRESS} bytes without ";"`,
      advert,
    );
  return advert;
}

function keyOf(id: string, lane: number): string {
  return lane === 0 ? id : `${id}/${lane}`;
}
