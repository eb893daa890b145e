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
import { CARRIES_CONTEXT } from "../../message-context.js";
import { parseCommand } from "../codec/command.js";
import { Encoder, letGo } from "../codec/encoder.js";
import { sendContext } from "../context-queue.js";
import { KERNEL } from "../kernel.js";
import type { Pipe } from "../pipe.js";
import { CANCEL, type NoticeKind, Notices, SUBSCRIBE } from "./notices.js";
import { OneSubscriber } from "./one-subscriber.js";
import { type Matching, publishedSink, RELAYS } from "./relaying.js";
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

export class PublishRouting extends Routing implements Matching, DirectedSending, EngineSubscriptions {
  readonly #index = new SubscriptionIndex<Pipe>();
  /** The prefixes that peers asked for where the program decides (manual). */
  readonly #asked = new SubscriptionIndex<Pipe>();
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

  override room(pipe: Pipe): void {
    super.room(pipe);
    if (RELAYS) this.#subscribers.get(pipe)?.writable();
  }

  /** With `noDrop`: where subscribers are full, the publisher waits for each of them. */
  override awaited(): void {
    if (KERNEL) for (const pipe of this.pipes) pipe.awaited();
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
        if (CARRIES_CONTEXT && pipe.carriesContext) sendContext(pipe, message);
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
    return publishedSink(this, this.#encoder, this.effects);
  }

  override get directed(): DirectedSending | undefined {
    return RELAYS && this.#givesNotices ? this : undefined;
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
    if (!RELAYS) return undefined;
    const pipe = this.#last;
    if (pipe?.link === undefined || pipe.ended) return undefined;
    let subscriber = this.#subscribers.get(pipe);
    if (subscriber === undefined) {
      subscriber = new OneSubscriber(pipe, this.#index);
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
    if (this.#last !== undefined && !this.#last.ended) this.#index.add(keyOf(prefix), this.#last);
  }

  unsubscribe(prefix: Buffer): void {
    if (this.#last === undefined) return;
    this.#index.remove(keyOf(prefix), this.#last);
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
      this.#index.match(NO_TOPIC, (pipe) => everybody.push(pipe));
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

  #isMatched = (pipe: Pipe): boolean => pipe.mark === this.#epoch;

  #visit = (pipe: Pipe): void => {
    if (pipe.mark === this.#epoch) return;
    pipe.mark = this.#epoch;
    this.#matched.push(pipe);
  };

  #change(pipe: Pipe, on: boolean, prefix: Buffer): void {
    if (pipe.link === undefined) return; // As for a message.
    const { options } = this.effects;
    const manual = this.#givesNotices && options.manual === true;
    const index = manual ? this.#asked : this.#index;
    if (on && isTooMuch(index, pipe, prefix.length)) {
      this.effects.closePipe(pipe, "protocol");
      return;
    }
    const key = keyOf(prefix);
    const outcome = on ? index.add(key, pipe) : index.remove(key, pipe);
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
    if (!RELAYS) return;
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
    const gone = new Set<string>();
    const manual = this.#givesNotices && this.effects.options.manual === true;
    this.#index.removeAll(pipe, (prefix, outcome) => {
      if (!this.#givesNotices)
        this.effects.routingOnEvent({ type: "unsubscribe", topic: Buffer.from(prefix, "latin1") });
      else if (!manual && (each || outcome === "last")) gone.add(prefix);
    });
    this.#asked.removeAll(pipe, (prefix) => gone.add(prefix));
    const isAsked = (prefix: string): boolean => this.#index.isAsked(prefix);
    const settled = each ? changed : this.#notices.settle(new Set([...changed, ...gone]), isAsked);
    for (const prefix of gone) if (!settled.has(prefix)) this.#notices.pushEnd(prefix);
    this.#kept(before);
    if (this.#notices.length > 0) this.effects.routingOnReadable();
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
function isTooMuch(index: SubscriptionIndex<Pipe>, pipe: Pipe, length: number): boolean {
  if (length > MAX_PREFIX_LENGTH || index.countOf(pipe) >= MAX_PREFIXES) return true;
  if (index.bytesOf(pipe) + length > MAX_PREFIX_BYTES) return true;
  const lengths = index.lengthsOf(pipe);
  return lengths.size >= MAX_PREFIX_LENGTHS && !lengths.has(length);
}

/** A mark of 0: no limit. */
function markOf(mark: unknown): number {
  return typeof mark === "number" && mark > 0 ? mark : Number.POSITIVE_INFINITY;
}
