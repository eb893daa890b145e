/**
 * Links to the members of a cluster: ordered, acknowledged, bounded streams of items, dialled on first use.
 *
 *   send ──> Sending (one a peer) ──protocol──> Receiving (one a peer) ──> onItem
 *                     ^─────────────── ACK ────────────────┘
 *
 * Messages of members that name protocols need no link: they are written to a stream of one of these, once.
 * docs/spec/messaging.md has the rules.
 */
import { randomBytes } from "node:crypto";
import { invalidArgument, thrownText } from "../../core/arguments.js";
import {
  ClosedError,
  InvalidArgumentError,
  TimeoutError,
  TransportError,
  UnroutableError,
} from "../../core/errors.js";
import { IdleWaits, ignore, neverLate, waitFor, withTimeout } from "../../core/waiter.js";
import { MAX_ADDRESS, MAX_NEW_MEMBERS } from "../bounds.js";
import type { Member } from "../membership/members.js";
import { HELD_TIME, LINK_IDLE_LOOKS, LISTEN_TIMEOUT, MIN_ITEM_LIMIT, OPEN_TIMEOUT } from "./bounds.js";
import type { LinkProtocol, LinkResponder, LinkWay, PairStream, PairStreams } from "./pair-streams.js";
import {
  type IncomingLink,
  type LinksNamespace,
  MessageKind,
  type MessageLinkStats,
  type MessageLinksStats,
  type SendResult,
} from "./parts.js";
import type { ProtocolListener } from "./protocols.js";
import type { Publication } from "./publication.js";
import { type FrameFault, Receiving, type ReceivingEffects } from "./receiving.js";
import { Sending, type SendingEffects } from "./sending.js";
import type { WindowLimits } from "./window.js";
import {
  decodeAdvert,
  decodeHello,
  decodeLooseHead,
  encodeAck,
  encodeAdvert,
  encodeLooseHead,
  type Hello,
  LOOSE_HEADER,
  MESSAGES_PROP,
  type PlacedItem,
} from "./wire.js";

export class NodeLinks implements SendingEffects, ReceivingEffects, LinkResponder {
  readonly namespace: LinksNamespace;
  readonly streams: PairStreams;
  readonly protocols: readonly LinkProtocol[];
  readonly heartbeat: number;
  readonly limits: WindowLimits;
  /** Bytes of an item that this node sends or takes. */
  readonly maxItem: number;
  readonly life = randomBytes(8).toString("hex");
  /** By id. */
  readonly #sending = new Map<string, Sending>();
  /** Of these, ids of members whose details have not come. A member can invent as many as it likes. */
  readonly #strangers = new Set<string>();
  readonly #receiving = new Map<string, Receiving>();
  /** Some may never settle. */
  readonly #listening = new Set<Promise<ProtocolListener>>();
  /** By protocol, what other nodes dial. */
  #adverts: ReadonlyMap<string, string> = new Map();
  /** By reason: those of docs/spec/messaging.md, Links, and "handler", which threw. */
  readonly #refused: Record<string, number> = {};
  /** Above the sessions of links of before, which receivers may remember. */
  firstSession = 0;
  #dirty: Sending[] = [];
  readonly #due = new Set<Receiving>();
  #isFlushing = false;
  #publishesMore = false;
  readonly #dueLater = new Set<Receiving>();
  #ackTimer: NodeJS.Timeout | undefined = undefined;
  #idleTimer: NodeJS.Timeout | undefined = undefined;
  #closing: Promise<void> | undefined = undefined;
  /** It closes, and waits for nothing any more. */
  #isGivingUp = false;
  readonly #drained = new IdleWaits();
  readonly #ended = new AbortController();

  constructor(namespace: LinksNamespace, streams: PairStreams, protocols: readonly LinkProtocol[]) {
    const { heartbeat, highWaterMark, highWaterMarkBytes, maxItem } = namespace.settings.messaging;
    this.namespace = namespace;
    this.streams = streams;
    this.protocols = protocols;
    this.heartbeat = heartbeat;
    this.limits = { items: highWaterMark, bytes: highWaterMarkBytes };
    this.maxItem = maxItem;
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** Never rejects: listeners that cannot be opened are reported, and late ones are not waited for. */
  async start(): Promise<void> {
    // A namespace may be closing when its node starts.
    if (this.#closing !== undefined) return;
    const { idle } = this.namespace.settings.messaging;
    this.#idleTimer = setInterval(() => {
      const now = performance.now();
      for (const sending of this.#sending.values()) sending.closeIfIdle(now, idle);
    }, idle / LINK_IDLE_LOOKS);
    this.#idleTimer.unref();
    this.streams.accept(this);
    const listening = Promise.all(this.protocols.map((protocol) => this.#listen(protocol)));
    const { signal } = this.#ended;
    await waitFor(listening, { timeout: LISTEN_TIMEOUT, signal }, neverLate).catch(ignore);
  }

  /** Advertises a protocol when its listener is open. */
  async #listen(protocol: LinkProtocol): Promise<void> {
    const { name } = protocol;
    const listening = this.streams.listen(protocol);
    this.#listening.add(listening);
    try {
      const where = advertOf(await listening);
      if (this.#closing !== undefined) return;
      const protocols = new Map([...this.#adverts, [name, where]]);
      const advert = encodeAdvert({ maxItem: this.maxItem, protocols });
      if (advert === undefined) throw new InvalidArgumentError("what it advertises does not fit");
      this.#adverts = protocols;
      this.namespace.details.setAdvert(advert);
    } catch (error) {
      if (this.#closing !== undefined) return;
      this.namespace.sockets.count("messages:listen");
      const reason = thrownText(error);
      this.namespace.report({ type: "protocol:failed", node: undefined, protocol: name, reason });
    }
  }

  /** `alive`: changed. `lost`: may return. `gone`: left, was removed or forgotten. */
  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    const member = state === "alive" ? this.live(id) : undefined;
    const advert = decodeAdvert(member?.details.props[MESSAGES_PROP]);
    const isStranger = state === "lost" && this.#strangers.has(id);
    const isOut = advert === undefined && (state === "gone" || isStranger || member?.hasDetails === true);
    if (advert !== undefined || isOut) this.#strangers.delete(id);
    const sending = this.#sending.get(id);
    if (sending !== undefined && advert !== undefined) {
      sending.maxItem = Math.min(this.maxItem, advert.maxItem);
      sending.changed();
    } else if (sending !== undefined && isOut) {
      // A new member that turns out to take no messages has lost none.
      const lost = state === "alive" ? 0 : sending.waitingMessages;
      sending.reason = state === "alive" ? "it takes no messages" : "it is lost or gone";
      sending.close();
      this.firstSession = Math.max(this.firstSession, sending.window.session);
      this.#sending.delete(id);
      if (lost > 0) this.namespace.messages.onLost(id, lost);
    } else if (sending !== undefined && state === "lost") {
      sending.reason = "it is lost or gone";
      sending.pause();
    }
    const receiving = this.#receiving.get(id);
    if (state === "gone" && receiving !== undefined) {
      this.#receiving.delete(id);
      receiving.restart();
      // It would wait for the acknowledgement of what it has sent.
      if (receiving.stream !== undefined) this.streams.refuse(receiving.stream, "forgotten");
    }
    this.noteDrained();
  }

  /** Resolves when waiting items are acknowledged, or after `linger` ms; -1: no limit. */
  close(linger: number): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    this.#ended.abort();
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
      if (window.waiting > 0 && this.live(id) !== undefined) return true;
    return false;
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  /**
   * @param item from `ITEM_BY_REFERENCE` bytes on it must not change afterwards
   * @param beyond what may be queued beyond the mark
   * @returns `full`: the caller sends it again, or counts it by `drop`
   */
  send(to: string, kind: number, item: Uint8Array, beyond?: WindowLimits): SendResult {
    const sending = this.#linkTo(to);
    if (sending === undefined) return "unreachable";
    if (item.length > sending.maxItem) {
      sending.dropped += 1;
      return "too-large";
    }
    return sending.offer(kind, item, beyond) ? "sent" : "full";
  }

  /**
   * @param publication may be reused after the return
   * @param full gets members whose mark is reached
   * @param beyond as for `send`
   * @returns the number of links that took it
   */
  publish(to: readonly string[], publication: Publication, full: string[], beyond?: WindowLimits): number {
    let sent = 0;
    for (let i = 0; i < to.length; i++) {
      const id = to[i] as string;
      const sending = this.#linkTo(id);
      if (sending === undefined) continue;
      if (publication.bytes > sending.maxItem) {
        sending.dropped += 1;
        this.namespace.messages.drops.dropped("size", id, publication.plan.prefix);
      } else if (sending.publish(MessageKind.PUBLISH, publication, beyond)) sent += 1;
      else full.push(id);
    }
    return sent;
  }

  /** Counts a dropped item. */
  drop(to: string): void {
    const sending = this.#sending.get(to);
    if (sending !== undefined) sending.dropped += 1;
  }

  /** Whether the mark of a member is reached. */
  isFull(to: string): boolean {
    return this.#sending.get(to)?.window.hasRoom(0) === false;
  }

  /**
   * @param bytes of an item that had no room; without it, a retry may fail at once
   * @returns settles when there may be room; `false`: the peer is lost or gone, or gets no messages
   */
  room(to: string, bytes = 0): Promise<boolean> {
    // Also when it was lost before: its window has no room until it is back or forgotten.
    if (this.live(to) === undefined) return Promise.resolve(false);
    return this.#linkTo(to)?.room(bytes) ?? Promise.resolve(false);
  }

  /** Number of the session of the link to a member; -1: none. A later session has not had the items of earlier ones. */
  session(to: string): number {
    return this.#sending.get(to)?.window.session ?? -1;
  }

  /** @throws of the item just sent: UnroutableError `EHOSTUNREACH`, ClosedError `EAGAIN`: it is given up */
  delivered(id: string, name: string): Promise<void> {
    const sending = this.#sending.get(id);
    return new Promise((resolve, reject) => {
      const done = (isDelivered: boolean): void => {
        if (isDelivered) resolve();
        else if (this.#isGivingUp) reject(new ClosedError("EAGAIN", "the node closed meanwhile"));
        else
          reject(new UnroutableError(`${name} is not reached: ${sending?.reason ?? "it is lost or gone"}`));
      };
      this.onDelivered(id, done);
    });
  }

  /** Calls back when the item just sent is delivered, or with `false` if it is given up. */
  onDelivered(to: string, done: (isDelivered: boolean) => void): void {
    const sending = this.#sending.get(to);
    // The write of the item may have run the program, which ends links.
    if (sending === undefined || sending.offeredIn !== sending.window.session) done(false);
    else sending.onDelivered(done);
  }

  /** Ways to a member by named protocols, the preferred one first. */
  waysBy(id: string, names: readonly string[]): readonly LinkWay[] {
    return this.#linkTo(id)?.ways.filter(({ protocol }) => names.includes(protocol.name)) ?? [];
  }

  /**
   * Writes an item of a member to a stream of one protocol, once. It is not acknowledged.
   *
   * @throws TransportError `ERR_TRANSPORT`, TimeoutError `ETIMEDOUT`: the protocol does not reach the node
   */
  async sendBy(way: LinkWay, item: Uint8Array): Promise<SendResult> {
    const { id } = way.target;
    if (item.length > (this.#linkTo(id)?.maxItem ?? 0)) return "too-large";
    const late = (): TimeoutError => new TimeoutError("ETIMEDOUT", "timeout");
    try {
      const stream = await waitFor(this.streams.open(way), { timeout: OPEN_TIMEOUT }, late);
      // It may end before this turn.
      if (!stream.isOpen) throw new TransportError("ERR_TRANSPORT", "the stream has ended");
      if (!this.streams.answer(stream, encodeLooseHead(id, this.namespace.identity.id), item)) return "full";
      stream.expectAnswer(this.heartbeat);
      return "sent";
    } catch (error) {
      this.streams.forget(way);
      this.ping(id);
      throw error;
    }
  }

  /** That of the session, or the one that is tried first. Empty: none may reach the peer. */
  protocolFor(id: string): string {
    const sending = this.#linkTo(id);
    return sending?.protocol || (sending?.ways[0]?.protocol.name ?? "");
  }

  stats(): MessageLinksStats {
    const peers = [...this.#sending.values()].map((sending): MessageLinkStats => {
      const { id, name, window, dropped, protocol, state, reason } = sending;
      const { delivered, waiting, waitingBytes, lost, resent } = window;
      return {
        id,
        name,
        protocol,
        state: state === "waiting" && reason !== "" ? `waiting: ${reason}` : state,
        sent: delivered + waiting + lost + dropped,
        delivered,
        waiting,
        waitingBytes,
        dropped,
        lost,
        resent,
      };
    });
    return { peers, refused: { ...this.#refused } };
  }

  /** Whether the member is live and takes messages. Items wait for details that are still to come. */
  takesPart(id: string): boolean {
    const member = this.live(id);
    return member?.hasDetails === false || decodeAdvert(member?.details.props[MESSAGES_PROP]) !== undefined;
  }

  #linkTo(to: string): Sending | undefined {
    return this.#sending.get(to) ?? this.#open(to);
  }

  #open(to: string): Sending | undefined {
    const member = this.live(to);
    if (this.#closing !== undefined || member === undefined || !this.takesPart(to)) return undefined;
    if (!member.hasDetails) {
      if (this.#strangers.size >= MAX_NEW_MEMBERS) {
        this.namespace.sockets.count("messages:stranger");
        return undefined;
      }
      this.#strangers.add(to);
    }
    const advert = decodeAdvert(member.details.props[MESSAGES_PROP]);
    const sending = new Sending(this, member);
    sending.maxItem = Math.min(this.maxItem, advert?.maxItem ?? MIN_ITEM_LIMIT);
    this.#sending.set(to, sending);
    return sending;
  }

  // --- What the ends of links call -----------------------------------------------------------------------------------

  live(id: string): Member | undefined {
    const { identity, membership } = this.namespace;
    const member = id === identity.id ? undefined : membership?.get(id);
    return member?.isLive === true ? member : undefined;
  }

  onHeard(id: string): void {
    this.namespace.membership?.onHeard(performance.now(), id);
  }

  /** No protocol reaches a live member. */
  ping(id: string): void {
    this.namespace.run((rules, now) => void rules.expect(now, id));
  }

  /** In one write with items. */
  acknowledge({ id }: Sending): void {
    this.#receiving.get(id)?.acknowledgeAlong();
  }

  /** Sends at the end of this turn. */
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

  onItem(from: IncomingLink, item: PlacedItem): void | Promise<void> {
    try {
      return this.namespace.messages.onItem(from, item);
    } catch {
      // A bug of the node costs the item, not the process.
      return this.#count("handler");
    }
  }

  acknowledgeSoon(receiving: Receiving): void {
    // After all reads of this turn.
    if (this.#due.size === 0) setImmediate(() => acknowledgeAll(this.#due));
    this.#due.add(receiving);
  }

  /** One timer for all links. */
  acknowledgeLater(receiving: Receiving): void {
    this.#dueLater.add(receiving);
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      acknowledgeAll(this.#dueLater);
    }, HELD_TIME).unref();
  }

  onFault({ stream }: Receiving, fault: FrameFault): void {
    if (stream !== undefined) this.#refuse(stream, fault);
  }

  #refuse(stream: PairStream, reason: string): void {
    this.#count(reason);
    this.streams.refuse(stream, reason);
  }

  #count(reason: string): void {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
  }

  onLooseItem(stream: PairStream, frame: Buffer): void {
    const head = decodeLooseHead(frame);
    const reason = head === undefined ? "malformed" : this.#refusalOf(stream, head);
    if (head === undefined || reason !== undefined) {
      this.#count(reason as string);
      return;
    }
    this.onHeard(head.from);
    const link: IncomingLink = { id: head.from, protocol: stream.protocol, topics: [] };
    const [start, end] = [LOOSE_HEADER, frame.length];
    const item = { kind: MessageKind.MEMBER, frame, start, end, view: () => frame.subarray(start) };
    void this.onItem(link, item);
  }

  onHello(stream: PairStream, frame: Buffer, from: string | undefined): void {
    const hello = decodeHello(frame);
    // All hellos of a stream are of one node.
    const isOther = from !== undefined && from !== hello?.from;
    const reason = hello === undefined || isOther ? "malformed" : this.#admit(stream, hello);
    if (reason !== undefined) this.#refuse(stream, reason);
  }

  /** Why a node may not send by a stream. */
  #refusalOf(
    stream: PairStream,
    { to, from }: { readonly to: string; readonly from: string },
  ): string | undefined {
    const { codec, identity, sockets } = this.namespace;
    if (to !== identity.id || from === identity.id) return "other-node";
    // Hooks that decide about the sender need its details.
    if (this.#closing !== undefined || this.live(from)?.hasDetails !== true) return "stranger";
    if (stream.node === undefined || stream.node.id === from) return undefined;
    // It greeted as a member, and proved to be another node.
    sockets.refuseIdentity(stream.remote, codec);
    return "key";
  }

  /** @returns why it is refused */
  #admit(stream: PairStream, hello: Hello): string | undefined {
    const { from } = hello;
    const reason = this.#refusalOf(stream, hello);
    if (reason !== undefined) return reason;
    const receiving = this.#receiving.get(from) ?? new Receiving(from, this.maxItem, this);
    const hasOther = receiving.stream !== undefined && receiving.stream !== stream;
    if (hasOther && receiving.life !== hello.life) return "session";
    this.#receiving.set(from, receiving);
    const result = receiving.hello(hello);
    if (result === "stale" || result === "forgotten") return result;
    this.streams.take(stream, receiving);
    receiving.protocol = stream.protocol;
    receiving.setMarks(hello.maxWaiting, hello.maxWaitingBytes);
    receiving.acked = receiving.delivered;
    this.streams.answer(stream, encodeAck(hello.session, receiving.acked));
    return undefined;
  }
}

/** @param due emptied */
function acknowledgeAll(due: Set<Receiving>): void {
  const all = [...due];
  due.clear();
  for (const receiving of all) receiving.acknowledge();
}

/** @throws InvalidArgumentError `EINVAL` for a listener of a program's protocol */
function advertOf(listener: ProtocolListener): string {
  const { advert, close } = Object(listener) as ProtocolListener;
  if (typeof close !== "function") throw invalidArgument("a listener has advert and close", listener);
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
