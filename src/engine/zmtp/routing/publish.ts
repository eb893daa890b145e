/**
 * PUB and XPUB (29/PUBSUB): each message to everyone who asked for a prefix of
 * its first frame. It is encoded once; a subscriber without room misses it, unless
 * `noDrop` has the publisher wait.
 *
 * Subscriptions come as commands (37/ZMTP) or as messages (23/ZMTP), 01 or 00 and
 * the prefix; both are taken from everybody. XPUB hands them to the program:
 *
 *   verbosity null          the first of a topic, the last of a topic
 *   "allSubs"               every subscription, the last cancellation
 *   "allSubsUnsubs"         all
 *   manual                  all, and only what the program then sets takes effect
 */
import { RingBuffer } from "../../../core/collections/ring-buffer.js";
import { keyOf } from "../../../core/memory.js";
import {
  type DirectedSending,
  type EngineSubscriber,
  type EngineSubscriptions,
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type RelaySink,
} from "../../engine.js";
import { parseCommand } from "../codec/command.js";
import { Encoder, letGo } from "../codec/encoder.js";
import type { Pipe } from "../pipe.js";
import { CANCEL, type NoticeKind, Notices, SUBSCRIBE } from "./notices.js";
import { OneSubscriber, type Subscriber } from "./one-subscriber.js";
import type { Matching } from "./relaying.js";
import { Routing, type RoutingEffects } from "./routing.js";
import { SubscriptionIndex } from "./subscription-index.js";

const NO_TOPIC = Buffer.alloc(0);

/** Prefixes that one peer may have, and their bytes together; past it the peer's connection ends. */
export const MAX_PREFIXES = 1_048_576;
export const MAX_PREFIX_BYTES = 67_108_864;
/** Bytes of one prefix: of a longer string V8's hash is its length, so thousands of them would be one long list. */
export const MAX_PREFIX_LENGTH = 16_383;
/** Different lengths of one peer's prefixes: each costs every publication with a topic that long a look. */
export const MAX_PREFIX_LENGTHS = 1_024;
/** Prefixes of peers that have left that are taken back in one turn of the event loop: some 3 ms. */
export const LEAVE_STEP = 1_024;

/** What a peer that has left had subscribed to, as far as it is not taken back. */
interface Leaving {
  readonly prefixes: Iterator<[prefix: string, ends: boolean], void>;
  /** Prefixes that it changed, which the program had not read when it left. */
  readonly changed: ReadonlySet<string>;
}

export class PublishRouting extends Routing implements Matching, DirectedSending, EngineSubscriptions {
  readonly #index = new SubscriptionIndex<Subscriber>();
  readonly #sessions = new Map<Pipe, Subscriber>();
  readonly #leaving = new RingBuffer<Leaving>(2);
  /** Prefixes of those. */
  #toTakeBack = 0;
  #stepIsDue = false;
  /** The prefixes that peers asked for where the program decides (manual). */
  readonly #asked = new SubscriptionIndex<Subscriber>();
  readonly #encoder = new Encoder();
  /** XPUB: what the program has not read yet. */
  readonly #notices = new Notices<Pipe>();
  readonly #givesNotices: boolean;
  /** Marks the pipes that one publication matched. */
  #epoch = 0;
  #matched: Pipe[] = [];
  /** Where all want everything: they, as of that version of the index. */
  #everybody: readonly Pipe[] = [];
  #everybodyAt = -1;
  /** The peer of the last notice taken. */
  #last: Pipe | undefined = undefined;
  /** Those that the program has asked for, while their connections last. */
  readonly #subscribers = new Map<Pipe, OneSubscriber>();
  /** Pipes whose reading is stopped until notices are taken. */
  readonly #held = new Set<Pipe>();

  /** @param givesNotices XPUB: subscriptions are messages for the program */
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

  override joined(pipe: Pipe): void {
    const welcome = this.effects.options.welcomeMessage;
    if (welcome !== null && welcome !== undefined) pipe.send(welcome as OutgoingFrame, 0, undefined);
  }

  /** A connection is gone, and its subscriptions with it: they come again with the next. */
  override lost(pipe: Pipe): void {
    this.#forget(pipe);
    this.#endSubscriber(pipe);
    this.readerLess();
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    this.#forget(pipe);
    this.#endSubscriber(pipe);
    this.readerLess();
  }

  override close(): void {
    this.#leaving.clear();
  }

  override room(pipe: Pipe): void {
    super.room(pipe);
    this.#subscribers.get(pipe)?.writable();
  }

  /** With `noDrop`: where subscribers are full, the publisher waits for each of them. */
  override awaited(): void {
    for (const pipe of this.pipes) pipe.awaited();
  }

  override messages(pipe: Pipe): void {
    while (pipe.in.messages > 0) {
      // What follows in a chunk after its connection was closed would be kept for nobody.
      if (pipe.link === undefined) {
        this.overflowed += pipe.discard();
        return;
      }
      const frames = pipe.take();
      const [first] = frames;
      if (frames.length === 1 && first !== undefined && (first[0] === SUBSCRIBE || first[0] === CANCEL)) {
        this.#change(pipe, first[0] === SUBSCRIBE, first.subarray(1));
      } else if (this.#givesNotices) this.#addNotice(frames, pipe, "message");
    }
  }

  override command(pipe: Pipe, body: Buffer): void {
    const command = parseCommand(body);
    if (command?.name === "SUBSCRIBE") this.#change(pipe, true, command.data);
    else if (command?.name === "CANCEL") this.#change(pipe, false, command.data);
  }

  offer(message: OutgoingMessage): OfferResult {
    const matched = this.match(message);
    if (matched.length === 0) return OfferResult.Accepted;
    const { noDrop } = this.effects.options;
    if (noDrop === true) {
      let full = false;
      for (let i = 0; i < matched.length; i++) if (!(matched[i] as Pipe).hasRoom()) full = true;
      if (full) return OfferResult.Mute;
    }
    this.#encoder.encode(message, 0, undefined);
    const held = this.#encoder.hold();
    let full: Pipe[] | undefined;
    for (let i = 0; i < matched.length; i++) {
      const pipe = matched[i] as Pipe;
      if (noDrop === true || pipe.hasRoom()) {
        pipe.sendEncoded(this.#encoder);
      } else if (full === undefined) full = [pipe];
      else full.push(pipe);
    }
    letGo(held);
    // Last: a listener of the drop may publish, and the encoder and the list are one for all messages.
    if (full !== undefined) for (const pipe of full) this.effects.routingOnDrop("peer-full", pipe);
    return OfferResult.Accepted;
  }

  override get relaySink(): RelaySink | undefined {
    return this.effects.relays?.publishedSink(this, this.#encoder, this.effects);
  }

  override get directed(): DirectedSending | undefined {
    return this.#givesNotices ? this : undefined;
  }

  override get subscriptions(): EngineSubscriptions | undefined {
    return this.#givesNotices ? this : undefined;
  }

  take(): Buffer[] | undefined {
    const before = this.#notices.cost;
    const notice = this.#notices.shift();
    if (notice === undefined) return undefined;
    this.#last = notice.peer;
    this.#kept(before);
    return notice.frames;
  }

  sender(): EngineSubscriber | undefined {
    const pipe = this.#last;
    if (pipe?.link === undefined || pipe.ended) return undefined;
    let subscriber = this.#subscribers.get(pipe);
    if (subscriber === undefined) {
      subscriber = new OneSubscriber(this.#sessionOf(pipe), this.#index);
      this.#subscribers.set(pipe, subscriber);
    }
    return subscriber;
  }

  override discard(): number {
    const messages = this.#notices.length;
    while (this.take() !== undefined);
    return messages;
  }

  /** Manual: the peer of the last notice gets the prefix. */
  subscribe(prefix: Buffer): void {
    if (this.#last !== undefined && !this.#last.ended)
      this.#index.add(keyOf(prefix), this.#sessionOf(this.#last));
  }

  unsubscribe(prefix: Buffer): void {
    if (this.#last === undefined) return;
    this.#index.remove(keyOf(prefix), this.#sessionOf(this.#last));
    this.readerLess();
  }

  get #limit(): number {
    return markOf(this.effects.options.receiveHighWaterMark);
  }

  get #limitBytes(): number {
    return markOf(this.effects.options.receiveHighWaterMarkBytes);
  }

  /** The notices cost so much before. */
  #kept(before: number): void {
    this.effects.routingOnKept(this.#notices.cost - before);
    const { length, cost } = this.#notices;
    if (this.#held.size === 0 || length > this.#limit / 2 || cost > this.#limitBytes / 2) return;
    const held = [...this.#held];
    this.#held.clear(); // First: one that is read at once may be stopped again.
    for (const pipe of held) pipe.setBackPressure(false);
  }

  get isUniform(): boolean {
    return this.#index.isUniform && this.effects.options.invertMatching !== true;
  }

  /** The subscribers of a message; valid until the next call. */
  match(message: OutgoingMessage): readonly Pipe[] {
    const { version } = this.#index;
    const inverted = this.effects.options.invertMatching;
    if (this.#everybodyAt === version && !inverted) return this.#everybody;
    if (this.#index.isUniform && !inverted) {
      const everybody: Pipe[] = [];
      this.#index.match(NO_TOPIC, ({ pipe, gone }) => {
        if (!gone) everybody.push(pipe);
      });
      this.#everybody = everybody;
      this.#everybodyAt = version;
      return everybody;
    }
    const first = (Array.isArray(message) ? message[0] : message) as OutgoingFrame;
    const topic = typeof first === "string" ? Buffer.from(first) : first;
    this.#epoch += 1;
    const matched = this.#matched;
    matched.length = 0;
    this.#index.match(topic, this.#visit, this.#isMatched);
    if (!inverted) return matched;
    const others: Pipe[] = [];
    for (const pipe of this.pipes)
      if (pipe.mark !== this.#epoch && pipe.link !== undefined) others.push(pipe);
    return others;
  }

  #isMatched = ({ pipe, gone }: Subscriber): boolean => gone || pipe.mark === this.#epoch;

  #visit = ({ pipe, gone }: Subscriber): void => {
    if (gone || pipe.mark === this.#epoch) return;
    pipe.mark = this.#epoch;
    this.#matched.push(pipe);
  };

  #change(pipe: Pipe, on: boolean, prefix: Buffer): void {
    if (pipe.link === undefined) return; // As for a message.
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
    this.readerLess(); // Or, where what nobody asked for is sent, one that has asked.
    if (!this.#givesNotices) {
      if (outcome === "known" || outcome === "unknown" || outcome === "foreign") return;
      this.effects.routingOnEvent({ type: on ? "subscribe" : "unsubscribe", topic: Buffer.from(prefix) });
      return;
    }
    const { verbosity } = options;
    const all = manual || verbosity === "allSubsUnsubs" || (on && verbosity === "allSubs");
    // A cancellation that matches no subscription is passed on, too, as libzmq does; not one of what others have: a proxy would
    // take it back for these.
    if (all || outcome === "first" || outcome === "last" || outcome === "unknown") {
      const ofAll = outcome === "first" || outcome === "last";
      const changes = ofAll || (this.#givesEach && (outcome === "added" || outcome === "removed"));
      const frames = [Buffer.concat([Buffer.of(on ? SUBSCRIBE : CANCEL), prefix])];
      this.#addNotice(frames, pipe, changes ? "change" : "echo");
    }
  }

  #endSubscriber(pipe: Pipe): void {
    const subscriber = this.#subscribers.get(pipe);
    if (subscriber === undefined) return;
    this.#subscribers.delete(pipe);
    subscriber.end();
  }

  /** Whether the program gets the changes of each peer, and not only those of all together. */
  get #givesEach(): boolean {
    const { verbosity, manual } = this.effects.options;
    return manual === true || verbosity === "allSubsUnsubs";
  }

  #forget(pipe: Pipe): void {
    this.#held.delete(pipe);
    if (this.#last === pipe) this.#last = undefined;
    const before = this.#notices.cost;
    const each = this.#givesEach;
    const { changed, dropped } = this.#notices.leave(pipe, each, this.#limit, this.#limitBytes);
    if (dropped > 0) {
      this.overflowed += dropped;
      this.report("full", `Dropped ${dropped} messages of a peer that has left: nobody had received them`);
    }
    const session = this.#sessions.get(pipe);
    this.#sessions.delete(pipe);
    // What it does not have any more has to be settled now; the rest with each prefix.
    const others = session === undefined ? changed : new Set<string>();
    if (session !== undefined) {
      session.gone = true;
      this.#index.version += 1;
      for (const prefix of changed)
        if (!this.#index.has(prefix, session) && !this.#asked.has(prefix, session)) others.add(prefix);
    }
    if (!each) this.#notices.settle(others, (prefix) => this.#index.isAsked(prefix));
    this.#kept(before);
    if (this.#notices.length > 0) this.effects.routingOnReadable();
    if (session === undefined) return;
    this.#toTakeBack += this.#index.countOf(session) + this.#asked.countOf(session);
    this.#leaving.push({ prefixes: this.#prefixesOf(session, each), changed });
    // Few at once; and not more wait than one peer may have, however many leave.
    do this.#takeBack();
    while (this.#toTakeBack > MAX_PREFIXES);
  }

  #sessionOf(pipe: Pipe): Subscriber {
    let session = this.#sessions.get(pipe);
    if (session === undefined) {
      session = { pipe, gone: false };
      this.#sessions.set(pipe, session);
    }
    return session;
  }

  /** Takes back what a peer had; whether the program is to hear of each. */
  *#prefixesOf(session: Subscriber, each: boolean): Generator<[prefix: string, ends: boolean], void> {
    const manual = this.#givesNotices && this.effects.options.manual === true;
    for (const [prefix, outcome] of this.#index.removeEach(session))
      yield [prefix, this.#givesNotices && !manual && (each || outcome === "last")];
    for (const [prefix] of this.#asked.removeEach(session)) yield [prefix, true];
  }

  /** A step of what peers that have left had subscribed to; the next one in the next turn. */
  #takeBack(): void {
    const before = this.#notices.cost;
    const each = this.#givesEach;
    for (let left = LEAVE_STEP; left > 0; left--) {
      const leaving = this.#leaving.peek();
      if (leaving === undefined) break;
      const next = leaving.prefixes.next();
      if (next.done === true) {
        this.#leaving.shift();
        continue;
      }
      this.#toTakeBack -= 1;
      const [prefix, ends] = next.value;
      // A listener may close the socket: then others leave within the call.
      if (!this.#givesNotices)
        this.effects.routingOnEvent({ type: "unsubscribe", topic: Buffer.from(prefix, "latin1") });
      const isChanged = leaving.changed.has(prefix);
      if (!ends && !isChanged) continue;
      const isSettled = each
        ? isChanged
        : this.#notices.settle([prefix], (asked) => this.#index.isAsked(asked)).has(prefix);
      if (ends && !isSettled) this.#notices.pushEnd(prefix);
    }
    this.#kept(before);
    if (this.#notices.length > 0) this.effects.routingOnReadable();
    if (this.#leaving.length === 0 || this.#stepIsDue) return;
    this.#stepIsDue = true;
    setImmediate(() => {
      this.#stepIsDue = false;
      this.#takeBack();
    });
  }

  #addNotice(frames: Buffer[], pipe: Pipe, kind: NoticeKind): void {
    const before = this.#notices.cost;
    this.#notices.push(frames, pipe, kind);
    this.effects.routingOnKept(this.#notices.cost - before);
    // A peer that subscribes faster than the program reads is not read from for a while.
    const full = this.#notices.length >= this.#limit || this.#notices.cost >= this.#limitBytes;
    if (full && pipe.link !== undefined) {
      this.#held.add(pipe);
      pipe.setBackPressure(true);
    }
    this.effects.routingOnReadable();
  }
}

/** Whether a subscriber may not have one more prefix, of that length. */
function isTooMuch(index: SubscriptionIndex<Subscriber>, peer: Subscriber, length: number): boolean {
  if (length > MAX_PREFIX_LENGTH || index.countOf(peer) >= MAX_PREFIXES) return true;
  if (index.bytesOf(peer) + length > MAX_PREFIX_BYTES) return true;
  const lengths = index.lengthsOf(peer);
  return lengths.size >= MAX_PREFIX_LENGTHS && !lengths.has(length);
}

/** A mark of 0: no limit. */
function markOf(mark: unknown): number {
  return typeof mark === "number" && mark > 0 ? mark : Number.POSITIVE_INFINITY;
}
