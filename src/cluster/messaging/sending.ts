/**
 * The sending end of a link: dials a peer by the best protocol that works, greets it, and sends the window's items.
 *
 *            send                          onOpen               ACK
 *   idle ──────────> connecting ─────────────────> greeting ─────────> up ──idle for a minute──> idle
 *    ^                 │  ^ │ fails: the next protocol, at once          │
 *    │                 v  │ v all failed                                 │ the connection ends
 *    └──nothing waits── waiting (50 ms … 2 s) <──────────────────────────┘ (dialled again at once)
 *
 * A link whose items are all acknowledged gives a protocol of lower priority up after 30 s, and later after up to
 * 4 min: the next item dials the preferred one.
 */
import { thrownText } from "../../core/arguments.js";
import { RingBuffer } from "../../core/collections/queues.js";
import { backOff, RunningTimeout } from "../../core/timers.js";
import type { Member } from "../membership/members.js";
import { splitAddress } from "../net/addresses.js";
import { hostOf } from "../resolver.js";
import {
  DIAL_TIMEOUT_MAX,
  HELD_BYTES,
  HELD_TIME,
  ITEM_BY_REFERENCE,
  LINK_WINDOW,
  MAX_BATCH,
  PROTOCOL_RETRY,
} from "./bounds.js";
import { refusePromise } from "./options.js";
import type { DiallingEnd, LinkProtocol, LinkWay, PairStream, PairStreams } from "./pair-streams.js";
import { type LinksNamespace, MessageKind } from "./parts.js";
import type { DialTarget } from "./protocols.js";
import { type Publication, TopicForm, type TopicPlan } from "./publication.js";
import { SendWindow, type WindowLimits } from "./window.js";
import { decodeAck, decodeAdvert, decodeRefused, encodeHello, LinkFrame, MESSAGES_PROP } from "./wire.js";

export interface SendingEffects {
  readonly namespace: LinksNamespace;
  readonly streams: PairStreams;
  /** Random. */
  readonly life: string;
  readonly heartbeat: number;
  readonly limits: WindowLimits;
  /** Above all sessions that peers may remember. */
  readonly firstSession: number;
  readonly protocols: readonly LinkProtocol[];
  live(id: string): Member | undefined;
  onHeard(id: string): void;
  ping(id: string): void;
  flushSoon(sending: Sending): void;
  noteDrained(): void;
  acknowledge(sending: Sending): void;
}

export type SendingState = "idle" | "connecting" | "up" | "waiting";

interface Attempt extends DiallingEnd {
  timer: RunningTimeout | undefined;
  hasEnded: boolean;
  /** Deliveries before it: without more, dialling again at once may be useless. */
  deliveredBefore: number;
}

/** Waits for the delivery of this many items of the session. */
interface DeliveryWaiter {
  readonly count: number;
  done(isDelivered: boolean): void;
}

export class Sending {
  readonly id: string;
  readonly name: string;
  readonly window: SendWindow;
  state: SendingState = "idle";
  dropped = 0;
  maxItem = 0;
  reason = "";
  isDirty = false;
  /** Session of the last item: its write may have ended it. */
  offeredIn = -1;
  /** Bytes since the last flush. */
  #offered = 0;
  /** Whether they are only publications; and since when they wait, -1: they do not. */
  #isHoldable = true;
  #heldSince = -1;
  /** Topics by the alias that this session has defined for them. */
  #aliases: (TopicPlan | undefined)[] = [];
  readonly #links: SendingEffects;
  /** While it connects or is up. */
  #attempt: Attempt | undefined = undefined;
  /** To be tried next. */
  #candidates: LinkWay[] = [];
  #rounds = 0;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** By protocol, since it served: its last failure, and how many there were. */
  readonly #failures = new Map<string, { readonly at: number; readonly count: number }>();
  /** By protocol, since it served: the last reported reason. */
  readonly #reported = new Map<string, string>();
  #waiters: ((isThere: boolean) => void)[] = [];
  readonly #deliveries = new RingBuffer<DeliveryWaiter>(2);
  /** Of this session: the place of the last item that is not a change of routes. */
  #lastMessage = 0;
  #usedAt: number;

  constructor(links: SendingEffects, { id, name }: Member) {
    this.id = id;
    this.name = name;
    this.window = new SendWindow(links.limits, links.firstSession);
    this.#links = links;
    this.#usedAt = performance.now();
  }

  get protocol(): string {
    return this.state === "up" ? (this.#attempt?.protocol.name ?? "") : "";
  }

  /** Waiting items up to the last message: routes that a peer did not get as it left are nobody's loss. */
  get waitingMessages(): number {
    return Math.max(0, this.#lastMessage - this.window.acked);
  }

  /** @returns whether there was room */
  offer(kind: number, item: Uint8Array, beyond?: WindowLimits): boolean {
    const { session } = this.window;
    if (!this.window.offer(kind, item, beyond)) return false;
    if (kind !== MessageKind.ROUTES) this.#lastMessage = this.window.offered;
    this.#isHoldable = false;
    // A batch has at most 32 items: the first ones are sent while the program makes the rest. With 100 requests in flight
    // two nodes exchange 1.5 times as many a second, with 256 twice as many.
    this.#sendSoon(Math.max(item.length, 2_048), MAX_BATCH);
    this.offeredIn = session;
    return true;
  }

  /** The topic is an alias if the session has one. @returns whether there was room */
  publish(kind: number, publication: Publication, beyond?: WindowLimits): boolean {
    if (publication.bytes >= ITEM_BY_REFERENCE) return this.offer(kind, publication.item(), beyond);
    const { plan } = publication;
    const { alias } = plan;
    const isDefined = alias >= 0 && this.#aliases[alias] === plan;
    publication.encodeHead(alias < 0 ? TopicForm.NAME : isDefined ? TopicForm.USE : TopicForm.DEFINE);
    if (!this.window.offerPublication(kind, publication, beyond)) return false;
    this.#lastMessage = this.window.offered;
    if (alias >= 0 && !isDefined) {
      while (this.#aliases.length < alias) this.#aliases.push(undefined);
      this.#aliases[alias] = plan;
    }
    this.#sendSoon(publication.head.at + publication.dataBytes, HELD_BYTES);
    return true;
  }

  /** @param most bytes offered since the last flush before they are sent */
  #sendSoon(bytes: number, most: number): void {
    this.#offered += bytes;
    if (this.state === "up") {
      if (this.#offered >= most) this.flush();
      else if (!this.isDirty) this.#links.flushSoon(this);
    } else if (this.state === "idle") this.#connect();
  }

  /**
   * Whether offered items wait for those of the next turn: waking a peer costs it more than some hundred messages. With
   * 20 subscribers each saves about 40 % of its processor time, with 3 some 15 %, with one nothing.
   */
  holds(now: number): boolean {
    if (!this.#isHoldable || !this.window.isUnderWay || !this.window.isWithin(4)) return false;
    if (this.#heldSince < 0) this.#heldSince = now;
    return now - this.#heldSince < HELD_TIME;
  }

  flush(): void {
    this.#isHoldable = true;
    this.#heldSince = -1;
    const current = this.#attempt;
    if (this.state !== "up" || current?.stream === undefined) return;
    this.#offered = 0;
    const { heartbeat, namespace } = this.#links;
    const { copiesSent } = current.stream;
    let isFirst = true;
    for (;;) {
      const message = this.window.take(LINK_WINDOW, copiesSent);
      if (message === undefined) return;
      if (isFirst) this.#links.acknowledge(this);
      isFirst = false;
      current.stream?.sendMessages(namespace.codec, message);
      current.stream?.expectAnswer(heartbeat);
      if (this.#attempt !== current) return;
    }
  }

  onDelivered(done: (isDelivered: boolean) => void): void {
    this.#deliveries.push({ count: this.window.offered, done });
  }

  #settleDelivered(): void {
    const { acked } = this.window;
    for (let first = this.#deliveries.peek(); first !== undefined; first = this.#deliveries.peek()) {
      if (first.count > acked) return;
      this.#deliveries.shift();
      first.done(true);
    }
  }

  #giveUpDeliveries(): void {
    for (let next = this.#deliveries.shift(); next !== undefined; next = this.#deliveries.shift())
      next.done(false);
  }

  /** @param bytes of an item that had none @returns settles when there may be room; `false`: the peer is lost or gone */
  room(bytes: number): Promise<boolean> {
    if (this.window.isWithin(2) && this.window.hasRoom(bytes)) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** The member changed or is back: dials at once. */
  changed(): void {
    if (this.state !== "waiting" && !(this.state === "idle" && this.window.waiting > 0)) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Also where a better protocol may work again. @param idle ms */
  closeIfIdle(now: number, idle: number): void {
    if (this.window.waiting > 0) this.#usedAt = now;
    if (this.state !== "up") return;
    const isBest = this.window.waiting > 0 || this.ways[0]?.protocol === this.#attempt?.protocol;
    if (isBest && now - this.#usedAt < idle) return;
    this.#disconnect();
    this.state = "idle";
    this.window.releaseMemory();
  }

  /** The peer is lost and may return: the window keeps its items. */
  pause(): void {
    this.#disconnect();
    this.state = "idle";
    this.#giveUpDeliveries();
    this.#settleRoom(true);
  }

  /** Gives up waiting items. */
  close(): void {
    this.pause();
    this.#loseSession();
  }

  // --- Ways to the peer ------------------------------------------------------------------------------------------------

  #disconnect(): void {
    clearTimeout(this.#timer);
    const attempt = this.#attempt;
    if (attempt !== undefined) {
      attempt.timer?.clear();
      attempt.hasEnded = true;
      this.#links.streams.drop(attempt);
    }
    this.#attempt = undefined;
    this.window.disconnected();
  }

  #connect(): void {
    // `changed` follows when a lost member is back, and when the details of a new one come.
    if (this.#links.live(this.id)?.hasDetails !== true) {
      this.state = "idle";
      return;
    }
    this.state = "connecting";
    this.#candidates = this.ways;
    if (this.#candidates.length === 0) this.reason = "no protocol of both nodes reaches it";
    this.#next();
  }

  /** Protocols that may reach the peer, by priority; recently failed ones last. */
  get ways(): LinkWay[] {
    const member = this.#links.live(this.id);
    const advert = decodeAdvert(member?.details.props[MESSAGES_PROP]);
    if (member === undefined || advert === undefined) return [];
    const { id, name, address } = member;
    const host = splitAddress(address)?.host ?? "";
    const target = { id, host, address, local: hostOf(name) === hostOf(this.#links.namespace.identity.name) };
    const found = this.#links.protocols.flatMap((protocol) => {
      const where = advert.protocols.get(protocol.name);
      return where === undefined || !this.#reaches(protocol, target) ? [] : [{ protocol, where, target }];
    });
    const now = performance.now();
    const failed = ({ protocol }: LinkWay): number => {
      const { at = Number.NEGATIVE_INFINITY, count = 1 } = this.#failures.get(protocol.name) ?? {};
      // Where it does not answer at all, each attempt holds the link's items up for 3 s.
      return now - at < PROTOCOL_RETRY * Math.min(8, 2 ** (count - 1)) ? 1 : 0;
    };
    return found.sort((a, b) => failed(a) - failed(b));
  }

  #reaches(protocol: LinkProtocol, target: DialTarget): boolean {
    try {
      const isReached = protocol.reaches(target);
      refusePromise("reaches", isReached);
      return isReached;
    } catch (error) {
      this.#report(protocol.name, thrownText(error));
      return false;
    }
  }

  #next(): void {
    const candidate = this.#candidates.shift();
    if (candidate !== undefined) {
      this.#dial(candidate);
      return;
    }
    this.#links.ping(this.id);
    this.#later();
  }

  #later(): void {
    if (this.window.waiting === 0) this.state = "idle";
    else this.#rest();
  }

  #rest(): void {
    this.state = "waiting";
    const pause = backOff(this.#rounds, 50, 2_000, Math.random);
    this.#rounds += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), pause);
    this.#timer.unref();
  }

  #dial(way: LinkWay): void {
    const attempt: Attempt = {
      ...way,
      stream: undefined,
      onOpen: () => this.#onOpen(attempt),
      onFrame: (frame) => this.#onFrame(attempt, frame),
      onEnd: (reason) => this.#onEnd(attempt, reason),
      timer: undefined,
      hasEnded: false,
      deliveredBefore: 0,
    };
    this.#attempt = attempt;
    this.#limit(attempt);
    this.#links.streams.dial(attempt);
  }

  /** Longer after each failed round: attempts keep a busy peer busy. */
  #limit(attempt: Attempt): void {
    attempt.timer?.clear();
    const limit = Math.min(3_000 * 2 ** this.#rounds, DIAL_TIMEOUT_MAX);
    attempt.timer = new RunningTimeout(limit, () => this.#failed(attempt, "timeout"));
  }

  #onOpen(attempt: Attempt): void {
    this.#limit(attempt);
    const { heartbeat, namespace, life, limits } = this.#links;
    const stream = attempt.stream as PairStream;
    const { node, isFull } = stream;
    // Another node may have the address now.
    if (node !== undefined && node.id !== this.id) {
      this.#failed(attempt, "key");
      return;
    }
    // A peer that reads nothing, and refuses each session, would get everything again and again.
    if (isFull) {
      this.#failed(attempt, "the other end does not read");
      return;
    }
    const hello = encodeHello({
      to: this.id,
      from: namespace.identity.id,
      life,
      session: this.window.session,
      maxWaiting: limits.items,
      maxWaitingBytes: limits.bytes,
      sent: this.window.everSent,
    });
    stream.sendMessages(namespace.codec, [hello]);
    attempt.stream?.expectAnswer(heartbeat);
  }

  /** Not a failure if it served and nothing waits. */
  #onEnd(attempt: Attempt, reason: string): void {
    if (attempt.hasEnded || this.state !== "up" || this.window.waiting > 0) {
      this.#failed(attempt, reason);
      return;
    }
    this.#disconnect();
    this.state = "idle";
  }

  #failed(attempt: Attempt, reason: string): void {
    if (attempt.hasEnded) return;
    const wasUp = this.state === "up";
    this.#disconnect();
    this.state = "connecting";
    const { name } = attempt.protocol;
    this.reason = `${name}: ${reason}`;
    this.#failures.set(name, { at: performance.now(), count: (this.#failures.get(name)?.count ?? 0) + 1 });
    this.#report(name, reason);
    // The program may have closed the node within that.
    if (this.state !== "connecting") return;
    if (!wasUp) this.#next();
    else if (this.window.delivered === attempt.deliveredBefore) this.#later();
    else {
      this.#rounds = 0;
      this.#connect();
    }
  }

  #report(protocol: string, reason: string): void {
    if (this.#reported.get(protocol) === reason) return;
    this.#reported.set(protocol, reason);
    this.#links.namespace.report({ type: "protocol:failed", node: this.id, protocol, reason });
  }

  #refused(attempt: Attempt, reason: string): void {
    if (reason === "forgotten" && this.window.everSent > 0) {
      this.#disconnect();
      this.reason = "refused: forgotten";
      const lost = this.#loseSession();
      // A peer may forget each session, after which it gets all routes.
      this.#rest();
      if (lost > 0) this.#links.namespace.messages.onLost(this.id, lost);
      return;
    }
    this.#disconnect();
    this.reason = `refused: ${reason}`;
    // To a new member this node may not be known yet, and a receiver gives up its end when a program restarts.
    if (!["stranger", "no-hello", "forgotten"].includes(reason))
      this.#report(attempt.protocol.name, this.reason);
    this.#candidates = [];
    this.#later();
  }

  // --- What the peer says ----------------------------------------------------------------------------------------------

  #onFrame(attempt: Attempt, frame: Buffer): void {
    const ack = decodeAck(frame);
    if (frame[0] === LinkFrame.REFUSED) this.#refused(attempt, decodeRefused(frame) ?? "malformed");
    else if (ack === undefined) this.#failed(attempt, "malformed");
    // This end gave up another session.
    else if (ack.session === this.window.session) this.#onAck(attempt, ack.delivered);
  }

  #onAck(attempt: Attempt, delivered: number): void {
    if (this.state !== "up") this.#greeted(attempt, delivered);
    else if (this.#ack(delivered)) {
      this.#usedAt = performance.now();
      if (this.window.hasUnsent) this.flush();
    } else this.#failed(attempt, "sequence");
  }

  #ack(delivered: number): boolean {
    if (!this.window.ack(delivered)) return false;
    this.#settleDelivered();
    this.#settleRoom(false);
    this.#links.onHeard(this.id);
    this.#links.noteDrained();
    return true;
  }

  /** The first acknowledgement over a stream: the rest is sent over it, again if it was sent before. */
  #greeted(attempt: Attempt, delivered: number): void {
    const { window } = this;
    attempt.deliveredBefore = window.delivered;
    if (!this.#ack(delivered)) {
      this.reason = `${attempt.protocol.name}: sequence`;
      const lost = this.#loseSession();
      this.#failed(attempt, "sequence");
      if (lost > 0) this.#links.namespace.messages.onLost(this.id, lost);
      return;
    }
    attempt.timer?.clear();
    this.#candidates = [];
    this.#reported.delete(attempt.protocol.name);
    this.#failures.delete(attempt.protocol.name);
    this.state = "up";
    this.#usedAt = performance.now();
    this.#links.namespace.messages.routes.onUp(this.id);
    this.flush();
  }

  /** Another session begins. @returns the number of lost messages */
  #loseSession(): number {
    const lost = this.waitingMessages;
    this.window.reset();
    this.#lastMessage = 0;
    this.#giveUpDeliveries();
    this.#settleRoom(false);
    this.#aliases = [];
    this.#links.noteDrained();
    return lost;
  }

  // --- Room ------------------------------------------------------------------------------------------------------------

  #settleRoom(isGone: boolean): void {
    if (this.#waiters.length === 0 || (!isGone && !this.window.isWithin(2))) return;
    for (const resolve of this.#waiters.splice(0)) resolve(!isGone);
  }
}
