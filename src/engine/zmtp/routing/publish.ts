/**
 * PUB and XPUB (29/PUBSUB). A subscriber without room misses a message, unless `noDrop` makes the publisher
 * wait.
 *
 * Subscriptions arrive as commands (37/ZMTP) or messages (23/ZMTP): 01 or 00, and the prefix. An XPUB's
 * program gets them as messages:
 *
 *   verbosity null          the first of a topic, the last of a topic
 *   "allSubs"               every subscription, the last cancellation
 *   "allSubsUnsubs"         all
 *   manual                  all, and only what the program then sets takes effect
 */
import { RingBuffer } from "../../../core/collections/queues.js";
import { costOf, keyOf } from "../../../core/memory.js";
import {
  type EngineSubscriber,
  type EngineSubscriptions,
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type RelaySink,
} from "../../engine.js";
import { MAX_PREFIX_LENGTH } from "../../frame.js";
import { parseCommand } from "../codec/command.js";
import { type Fault, handshakeFault } from "../mechanism/mechanism.js";
import { limitOf, type Pipe } from "../pipe.js";
import { FanOuts } from "./queues.js";
import type { Matching } from "./relaying.js";
import { Routing, type RoutingEffects } from "./routing.js";
import { SubscriptionIndex } from "./subscription-index.js";

const NO_TOPIC = Buffer.alloc(0);

const SUBSCRIBE = 1;
const CANCEL = 0;

/** Of one peer; beyond, its connection ends. They are removed in one turn, in some 0.2 s. */
const MAX_PREFIXES = 262_144;
const MAX_PREFIX_BYTES = 67_108_864;
/** Departed peers with untaken messages; beyond, none joins while the queue is full. */
export const MAX_DEPARTED = 16;

interface Notice {
  readonly frames: Buffer[];
  readonly from: Subscriber;
  readonly cost: number;
}

export class PublishRouting extends Routing implements Matching, EngineSubscriptions {
  readonly #index = new SubscriptionIndex<Subscriber>();
  readonly #sessions = new Map<Pipe, Subscriber>();
  /** Requested by peers while the program decides (manual). */
  readonly #asked = new SubscriptionIndex<Subscriber>();
  readonly #fanOuts = new FanOuts();
  /** XPUB: untaken messages. */
  readonly #notices = new RingBuffer<Notice>();
  #noticesCost = 0;
  #departed = 0;
  readonly #givesNotices: boolean;
  #epoch = 0;
  #matched: Pipe[] = [];
  #everybody: readonly Pipe[] = [];
  #everybodyAt = -1;
  #last: Subscriber | undefined = undefined;
  /** Pipes that are not read until notices are taken. */
  readonly #held = new Set<Pipe>();

  constructor(effects: RoutingEffects, givesNotices: boolean) {
    super(effects);
    this.#givesNotices = givesNotices;
  }

  get readable(): boolean {
    return this.#notices.length > 0;
  }

  get writable(): boolean {
    return true;
  }

  override get queuedIn(): number {
    return this.#notices.length;
  }

  /** Bounds the memory of peers that come and go while the program takes nothing. */
  override refuse(): Fault | undefined {
    if (!this.#isFull || this.#departed < MAX_DEPARTED) return undefined;
    return handshakeFault(
      "the program has not taken the subscriptions of departed peers, and its queue is full",
    );
  }

  override joined(pipe: Pipe): void {
    const welcome = this.effects.options.welcomeMessage;
    if (welcome !== null && welcome !== undefined) pipe.send(welcome as OutgoingFrame, 0, undefined);
  }

  override lost(pipe: Pipe): void {
    this.#leave(pipe);
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    this.#leave(pipe);
  }

  override room(pipe: Pipe): void {
    super.room(pipe);
    this.#sessions.get(pipe)?.writable();
  }

  override messages(pipe: Pipe): void {
    while (pipe.in.messages > 0) {
      // A chunk may continue after its connection was closed.
      if (pipe.link === undefined) {
        this.overflowed += pipe.discard();
        return;
      }
      const frames = pipe.take();
      const [first] = frames;
      if (frames.length === 1 && first !== undefined && (first[0] === SUBSCRIBE || first[0] === CANCEL)) {
        this.#change(pipe, first[0] === SUBSCRIBE, first.subarray(1));
      } else if (this.#givesNotices) this.#give(frames, pipe);
    }
  }

  override command(pipe: Pipe, body: Buffer): void {
    const command = parseCommand(body);
    if (command?.name === "SUBSCRIBE") this.#change(pipe, true, command.data);
    else if (command?.name === "CANCEL") this.#change(pipe, false, command.data);
  }

  offer(message: OutgoingMessage): OfferResult {
    const fanOut = this.#fanOuts.begin();
    try {
      return fanOut.send(message, this.match(message, fanOut.pipes), this.effects);
    } finally {
      this.#fanOuts.end(fanOut);
    }
  }

  override get relaySink(): RelaySink | undefined {
    return this.effects.relays?.publishedSink(this, this.#fanOuts, this.effects);
  }

  override get subscriptions(): EngineSubscriptions | undefined {
    return this.#givesNotices ? this : undefined;
  }

  take(): Buffer[] | undefined {
    const notice = this.#notices.shift();
    if (notice === undefined) return undefined;
    if (this.#notices.length === 0) this.#notices.clear();
    const { frames, from, cost } = notice;
    this.#last = from;
    this.#noticesCost -= cost;
    this.effects.routingOnKept(-cost);
    from.unread -= 1;
    if (from.gone && from.unread === 0) this.#departed -= 1;
    if (this.#held.size > 0) this.#relieve();
    return frames;
  }

  override sender(): EngineSubscriber | undefined {
    return this.#last?.gone === false ? this.#last : undefined;
  }

  override discard(): number {
    let messages = 0;
    while (this.take() !== undefined) messages += 1;
    return messages;
  }

  /** Manual: the peer of the last notice gets the prefix. */
  subscribe(prefix: Buffer): void {
    if (this.#last?.gone === false) this.#index.add(keyOf(prefix), this.#last);
  }

  unsubscribe(prefix: Buffer): void {
    if (this.#last?.gone !== false) return;
    this.#index.remove(keyOf(prefix), this.#last);
    this.readerLess();
  }

  get #limit(): number {
    return limitOf(this.effects.options.receiveHighWaterMark);
  }

  get #limitBytes(): number {
    return limitOf(this.effects.options.receiveHighWaterMarkBytes);
  }

  get #isFull(): boolean {
    return this.#notices.length >= this.#limit || this.#noticesCost >= this.#limitBytes;
  }

  #relieve(): void {
    if (this.#notices.length > this.#limit / 2 || this.#noticesCost > this.#limitBytes / 2) return;
    const held = [...this.#held];
    this.#held.clear(); // A pipe may be stopped again within the loop.
    for (const pipe of held) pipe.setBackPressure(false);
  }

  get isUniform(): boolean {
    return this.#index.isUniform && this.effects.options.invertMatching !== true;
  }

  /** @param matched gets the pipes, unless another list has them */
  match(message: OutgoingMessage, matched: Pipe[]): readonly Pipe[] {
    const { version } = this.#index;
    const inverted = this.effects.options.invertMatching;
    if (this.#everybodyAt === version && !inverted) return this.#everybody;
    if (this.#index.isUniform && !inverted) {
      const everybody: Pipe[] = [];
      this.#index.match(NO_TOPIC, ({ pipe }) => everybody.push(pipe));
      this.#everybody = everybody;
      this.#everybodyAt = version;
      return everybody;
    }
    const first = (Array.isArray(message) ? message[0] : message) as OutgoingFrame;
    const topic = typeof first === "string" ? Buffer.from(first) : first;
    this.#epoch += 1;
    this.#matched = matched;
    matched.length = 0;
    this.#index.match(topic, this.#visit);
    if (!inverted) return matched;
    const others: Pipe[] = [];
    for (const pipe of this.pipes)
      if (pipe.mark !== this.#epoch && pipe.link !== undefined) others.push(pipe);
    return others;
  }

  #visit = ({ pipe }: Subscriber): void => {
    if (pipe.mark === this.#epoch) return;
    pipe.mark = this.#epoch;
    this.#matched.push(pipe);
  };

  #change(pipe: Pipe, on: boolean, prefix: Buffer): void {
    if (pipe.link === undefined) return; // As in `messages`.
    const { options } = this.effects;
    const manual = this.#givesNotices && options.manual === true;
    const index = manual ? this.#asked : this.#index;
    const session = this.#sessionOf(pipe);
    if (on && isTooMuch(index, session, prefix.length)) {
      this.effects.closePipe(pipe, "protocol");
      return;
    }
    const key = keyOf(prefix);
    const outcome = on ? index.add(key, session) : index.remove(key, session);
    this.readerLess(); // With `invertMatching` also after a subscription.
    if (!this.#givesNotices) {
      if (outcome === "known" || outcome === "unknown" || outcome === "foreign") return;
      this.effects.event({ type: on ? "subscribe" : "unsubscribe", topic: Buffer.from(prefix) });
      return;
    }
    const { verbosity } = options;
    const all = manual || verbosity === "allSubsUnsubs" || (on && verbosity === "allSubs");
    // As in libzmq, an unmatched cancellation is passed on unless other peers have the prefix: a proxy would
    // cancel theirs.
    if (all || outcome === "first" || outcome === "last" || outcome === "unknown")
      this.#give([Buffer.concat([Buffer.of(on ? SUBSCRIBE : CANCEL), prefix])], pipe);
  }

  #leave(pipe: Pipe): void {
    this.#held.delete(pipe);
    const session = this.#sessions.get(pipe);
    if (session !== undefined) this.#forget(session);
    session?.writable();
    this.readerLess();
  }

  #forget(session: Subscriber): void {
    this.#sessions.delete(session.pipe);
    session.gone = true;
    const { manual, verbosity } = this.effects.options;
    // A listener may publish, so all are removed before the first event.
    const ended = this.#index.removeAll(session);
    const asked = this.#asked.removeAll(session);
    for (const [prefix, outcome] of ended)
      this.#ended(prefix, session, manual !== true && (verbosity === "allSubsUnsubs" || outcome === "last"));
    for (const [prefix] of asked) this.#ended(prefix, session, true);
    if (session.unread > 0) this.#departed += 1;
    if (this.#notices.length > 0) this.effects.routingOnReadable();
  }

  /** The queue may exceed its marks by the prefixes of departed peers. */
  #ended(prefix: string, session: Subscriber, isReported: boolean): void {
    const topic = Buffer.from(prefix, "latin1");
    if (!this.#givesNotices) this.effects.event({ type: "unsubscribe", topic });
    else if (isReported) this.#push([Buffer.concat([Buffer.of(CANCEL), topic])], session);
  }

  #sessionOf(pipe: Pipe): Subscriber {
    let session = this.#sessions.get(pipe);
    if (session === undefined) {
      session = new Subscriber(pipe, this.#index);
      this.#sessions.set(pipe, session);
    }
    return session;
  }

  #push(frames: Buffer[], from: Subscriber): void {
    const cost = costOf(frames);
    from.unread += 1;
    this.#notices.push({ frames, from, cost });
    this.#noticesCost += cost;
    this.effects.routingOnKept(cost);
  }

  #give(frames: Buffer[], pipe: Pipe): void {
    this.#push(frames, this.#sessionOf(pipe));
    if (this.#isFull && pipe.link !== undefined) {
      this.#held.add(pipe);
      pipe.setBackPressure(true);
    }
    this.effects.routingOnReadable();
  }
}

function isTooMuch(index: SubscriptionIndex<Subscriber>, peer: Subscriber, length: number): boolean {
  if (length > MAX_PREFIX_LENGTH || index.countOf(peer) >= MAX_PREFIXES) return true;
  return index.bytesOf(peer) + length > MAX_PREFIX_BYTES;
}

/** One connection with its subscriptions; of an XPUB also as a target. */
class Subscriber implements EngineSubscriber {
  readonly pipe: Pipe;
  gone = false;
  /** Untaken messages from it. */
  unread = 0;
  readonly #index: SubscriptionIndex<Subscriber>;
  #onWritable: (() => void) | undefined = undefined;

  constructor(pipe: Pipe, index: SubscriptionIndex<Subscriber>) {
    this.pipe = pipe;
    this.#index = index;
  }

  has(prefix: string): boolean {
    return this.#index.has(prefix, this);
  }

  offer(message: OutgoingMessage): OfferResult {
    if (this.gone) return OfferResult.Unroutable;
    if (!this.pipe.hasRoomToSpare()) return OfferResult.Mute;
    this.pipe.send(message, 0, undefined);
    return OfferResult.Accepted;
  }

  wantWritable(onWritable: () => void): void {
    this.#onWritable = onWritable;
  }

  /** There may be room, or the connection has ended. */
  writable(): void {
    const onWritable = this.#onWritable;
    this.#onWritable = undefined;
    onWritable?.();
  }
}
