/**
 * How subscriptions get retained values: this node's own and those of nodes that are gone at once, and those of the others, whom it asks.
 *
 *   asking    ASK ──> every live member that takes messages ──> VALUE … VALUE END          (retained-answers.ts)
 *   ready     when all have sent END, or are gone, or after ASK_TIMEOUT; what comes later is taken all the same
 *
 * A copy here of a live publisher's value may be out of date: without interest nobody kept it so. It is withheld until its publisher answers:
 *
 *   VALUE, the same           it is given
 *   VALUE, a later one        that is given
 *   END without it            it is its publisher's value no longer: it is not given, unless the publisher is lost before a later one came
 *   the publisher is lost, cannot be asked, or has not answered in time: it is given
 *
 * A value that is later than what this node has of its topic goes to all subscriptions with `retained`, not only to that which asked: so what this
 * node has of a topic is what all of them were given last (retained.ts). Where that value may have been evicted, it goes to
 * the subscription that asked alone, once.
 *
 * So that all end with the same values, two nodes compare theirs (retained-sync.ts) whenever one of them sees the cluster otherwise than before:
 *
 *   this node                                          what it does
 *   meets a member, or it is back                      asks it; one that it had lost gets STALE, FORGOT: what was on its way is lost
 *   loses a member                                     asks all others: they may have what that one published or handed on last. Where it
 *                                                      has values of that one, or from it, they get STALE, LOST
 *   gets STALE                                         asks its sender; with LOST unless it sees that node as live, and can ask it
 *   dropped a copy of a value, or does not answer      sends STALE, MISSED or FORGOT
 *   a node has asked                                   what is published reaches it, also before its interest is known here
 *
 * What is compared are a live publisher's values with that publisher alone, and a lost one's with everybody. So when all see the same members as live, the
 * last of these events between any two has made what one has known to the other, and each subscription has the latest
 * value that a live node has.
 */
import { ASK_TIMEOUT, MAX_ASKS, MAX_RETAINED_SEEN } from "./bounds.js";
import type { SendResult } from "./parts.js";
import { compareValues, type RetainedValue, type RetainedValues } from "./retained.js";
import { RetainedAnswers } from "./retained-answers.js";
import { type Ask, encodeAsk, type Stale, StaleReason } from "./retained-items.js";
import { RetainedSender } from "./retained-sender.js";
import { StaleNotes } from "./retained-stale.js";
import { RetainedSync, type Sync, type SyncWish } from "./retained-sync.js";
import { matches } from "./topics.js";

/** A subscription that gets retained values. */
interface Reader {
  readonly filter: string;
  readonly give: (value: RetainedValue) => void;
  /** Copies here that it has not got, since their publishers have not confirmed them: by publisher and topic, the stamp. */
  readonly withheld: Map<string, Map<string, number>>;
}

/** What a subscription asks when it begins. */
interface Question {
  readonly reader: Reader;
  /** Nodes that have not sent END. */
  readonly asked: Set<string>;
  /** Topics that were given to `reader`, and their stamps. */
  readonly given: Map<string, number>;
  timer: NodeJS.Timeout | undefined;
  /** Called once, when it is over or has taken too long. */
  settle: (() => void) | undefined;
}

export interface RetentionEffects {
  send(to: string, kind: number, item: Uint8Array, prefix: string, uncounted: boolean): SendResult;
  room(to: string): Promise<void>;
  /** Ids of the live members that take messages. */
  peers(): readonly string[];
  /** Whether another node is there. */
  isLive(id: string): boolean;
  count(reason: string): void;
}

export class Retention {
  readonly #self: string;
  readonly #values: RetainedValues;
  readonly #effects: RetentionEffects;
  readonly #sender: RetainedSender;
  readonly #answers: RetainedAnswers;
  readonly #sync: RetainedSync;
  readonly #stale: StaleNotes;
  /** Those that have taken too long are among them until their answers are complete, the oldest first. */
  readonly #questions = new Map<number, Question>();
  readonly #readers = new Set<Reader>();
  /** Members that are live, and were asked if there was something to ask. */
  readonly #known = new Set<string>();
  /** Members that were lost here, and may come back. */
  readonly #lost = new Set<string>();
  /** Members whose questions do not count any longer, and that had no note of it. */
  readonly #forgotten = new Set<string>();
  /** Members that have handed on values of others. */
  readonly #relays = new Set<string>();
  #number = 0;
  #closed = false;

  /** @param self this node's id @param maxItem bytes of an item that this node's links take */
  constructor(self: string, values: RetainedValues, maxItem: number, effects: RetentionEffects) {
    this.#self = self;
    this.#values = values;
    this.#effects = effects;
    this.#sender = new RetainedSender(effects);
    this.#answers = new RetainedAnswers(self, values, maxItem, this.#sender, effects);
    this.#stale = new StaleNotes(this.#sender, (id) => {
      if (effects.isLive(id)) this.#forgotten.add(id);
    });
    this.#sync = new RetainedSync(self, values, this.#sender, {
      isLive: (id) => effects.isLive(id),
      filters: () => [...new Set([...this.#readers].map(({ filter }) => filter))],
      nextNumber: () => this.#nextNumber(),
      // It is asked when something about it changes.
      onUnsent: (id) => this.#known.delete(id),
      onForgotten: (id) => this.#askAgain(id),
    });
  }

  // --- Asking ----------------------------------------------------------------------------------------------------------

  /**
   * Collects the values of a filter, and later those of members that are met.
   *
   * @returns settles when no more come of those that are known; `stop` ends it
   */
  ask(filter: string, give: (value: RetainedValue) => void): { over: Promise<void>; stop: () => void } {
    const peers = this.#effects.peers();
    // Those before have asked whom this one asks.
    for (const id of peers) this.#meet(id);
    const reader: Reader = { filter, give, withheld: new Map() };
    let settle!: () => void;
    const over = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#readers.add(reader);
    const question: Question = {
      reader,
      asked: new Set(peers),
      given: new Map(),
      timer: undefined,
      settle,
    };
    for (const value of this.#values.values()) {
      if (!matches(filter, value.topic)) continue;
      if (question.asked.has(value.node)) withhold(reader, value);
      else this.#giveTo(reader, question.given, value);
    }
    this.#start(question);
    const stop = (): void => {
      this.#readers.delete(reader);
      reader.withheld.clear();
      this.#end(question);
    };
    return { over, stop };
  }

  #start(question: Question): void {
    const { reader, given } = question;
    if (this.#questions.size >= MAX_ASKS && !this.#endLate()) {
      // The values of this node alone.
      this.#effects.count("retained:asks");
      for (const id of question.asked) this.#giveWithheld(reader, given, id);
      this.#end(question);
      return;
    }
    const request = this.#nextNumber();
    this.#questions.set(request, question);
    question.timer = setTimeout(() => {
      for (const id of question.asked) this.#giveWithheld(reader, given, id);
      settle(question);
    }, ASK_TIMEOUT).unref();
    const item = encodeAsk(request, true, [reader.filter]);
    for (const id of [...question.asked]) void this.#sendAsk(id, item, question);
    this.#look(question);
  }

  /** @returns whether one that has taken too long gave its place */
  #endLate(): boolean {
    for (const question of this.#questions.values())
      if (question.settle === undefined) {
        for (const id of question.asked) this.#sync.want(id, "interest");
        this.#end(question);
        return true;
      }
    return false;
  }

  #end(question: Question): void {
    for (const [request, each] of this.#questions) if (each === question) this.#questions.delete(request);
    settle(question);
  }

  #look(question: Question): void {
    if (question.asked.size === 0) this.#end(question);
  }

  async #sendAsk(to: string, item: Buffer, question: Question): Promise<void> {
    if ((await this.#sender.send(to, item)) === "sent" || !question.asked.delete(to)) return;
    // It is asked when something about it changes.
    this.#known.delete(to);
    this.#giveWithheld(question.reader, question.given, to);
    this.#look(question);
  }

  /** A node has forgotten what it was asked. */
  #askAgain(id: string): void {
    for (const [request, question] of this.#questions)
      if (question.asked.has(id))
        void this.#sendAsk(id, encodeAsk(request, true, [question.reader.filter]), question);
  }

  /** A publisher does not answer: the copies here of its values are what there is. */
  #giveWithheld(reader: Reader, given: Map<string, number>, node: string): void {
    const withheld = reader.withheld.get(node);
    if (withheld === undefined) return;
    reader.withheld.delete(node);
    for (const [topic, stamp] of withheld) {
      const value = this.#values.get(topic);
      // A later one was given when it came.
      if (value?.node === node && value.stamp === stamp) this.#giveTo(reader, given, value);
    }
  }

  // --- Members ---------------------------------------------------------------------------------------------------------

  /** A member came, or something about it changed. */
  onMember(id: string): void {
    if (this.#closed || !this.#effects.peers().includes(id)) return;
    // What was on its way to it is lost, and what was published meanwhile was not sent.
    const mayLack = this.#lost.delete(id) && this.#values.size > 0;
    if (this.#forgotten.delete(id) || mayLack) this.#stale.forgot(id);
    this.#meet(id);
  }

  #meet(id: string): void {
    if (this.#closed || this.#known.has(id)) return;
    this.#known.add(id);
    this.#want(id, "interest");
  }

  /** Without subscriptions there is nothing to ask, and the next one asks all. */
  #want(id: string, wish: SyncWish): void {
    if (this.#readers.size > 0) this.#sync.want(id, wish);
  }

  /** A node is not there any more. @param isLost it may come back, and not know that it was lost */
  onGone(id: string, isLost: boolean): void {
    const wasKnown = this.#known.delete(id);
    const hasAsked = this.#answers.onGone(id);
    this.#sync.onGone(id, isLost);
    if (isLost) {
      this.#lost.add(id);
      if (hasAsked) this.#forgotten.add(id);
    } else {
      this.#lost.delete(id);
      this.#forgotten.delete(id);
    }
    for (const question of [...this.#questions.values()])
      if (question.asked.delete(id)) {
        this.#giveWithheld(question.reader, question.given, id);
        this.#look(question);
      }
    // Also those that it did not confirm: what it had in their place is not here.
    for (const reader of this.#readers) this.#giveWithheld(reader, new Map(), id);
    const isRelay = this.#relays.delete(id);
    if (this.#closed) return;
    const isNews = isRelay || this.#values.has(id);
    if (wasKnown) for (const peer of this.#effects.peers()) this.#want(peer, "values");
    if (isNews) this.#noteLost(id);
  }

  /** Others may have lost it before this node got its last values. */
  #noteLost(id: string): void {
    for (const peer of this.#effects.peers()) this.#stale.lost(peer, id);
  }

  /** A member says that this node may lack values that it has. */
  onStale(from: string, { reason, node }: Stale): void {
    if (this.#closed) return;
    if (reason === StaleReason.FORGOT) this.#want(from, "forgotten");
    else if (reason === StaleReason.MISSED || (node !== this.#self && !this.#effects.isLive(node)))
      this.#want(from, "values");
  }

  /** A member did not get what it should have: it gets a note of that when there is room, once in a while. */
  missed(id: string): void {
    this.#stale.missed(id);
  }

  // --- Values that come ------------------------------------------------------------------------------------------------

  /** A message with a value came that is the last one of its topic. */
  published(value: RetainedValue): void {
    // It was on its way when its publisher was lost: it may have reached nobody else.
    if (this.#lost.size > 0 && this.#lost.has(value.node)) this.#noteLost(value.node);
    for (const { reader, given } of this.#questions.values())
      if (given.size < MAX_RETAINED_SEEN && matches(reader.filter, value.topic))
        given.set(value.topic, value.stamp);
  }

  /**
   * Keeps a value that is an answer, and gives it to those that have not got it.
   *
   * @param isAhead its stamp was too far ahead, and is that of this moment: what is the same but for that is no later one
   * @returns why it is refused
   */
  onValue(from: string, request: number, value: RetainedValue, isAhead: boolean): string | undefined {
    const { topic } = value;
    const question = this.#questions.get(request);
    const sync = this.#sync.get(request);
    if (question === undefined && sync === undefined) return "retained:late";
    if (question === undefined ? sync?.peer !== from : !question.asked.has(from)) return "retained:unasked";
    if (question !== undefined && !matches(question.reader.filter, topic)) return "retained:unasked";
    const readers = [...this.#readers].filter((reader) => matches(reader.filter, topic));
    if (readers.length === 0) return undefined;
    const known = this.#values.get(topic);
    const mayBeEvicted = known === undefined && this.#values.mayBeEvicted(value);
    const isSame =
      isAhead && known !== undefined && compareValues({ ...value, stamp: known.stamp }, known) === 0;
    if (isSame || !this.#values.keep(value)) {
      if (question !== undefined && known !== undefined && (isSame || compareValues(value, known) === 0))
        this.#confirm(question, known);
      return undefined;
    }
    if (value.node !== from) this.#relays.add(from);
    if (mayBeEvicted) return this.#giveEvicted(question, sync, readers, value);
    this.published(value);
    // That a value was taken back matters to those that have it.
    if (value.data.length === 0 && (known === undefined || known.data.length === 0)) return undefined;
    for (const reader of readers)
      if (value.data.length > 0 || known === undefined || !isWithheld(reader, known)) reader.give(value);
    return undefined;
  }

  /** A publisher has the value still of which there is a copy here. */
  #confirm({ reader, given }: Question, value: RetainedValue): void {
    if (!isWithheld(reader, value)) return;
    reader.withheld.get(value.node)?.delete(value.topic);
    this.#giveTo(reader, given, value);
  }

  /** Nobody knows whether it was given: who asked gets it, and of a member that was just met all. @returns why it is refused */
  #giveEvicted(
    question: Question | undefined,
    sync: Sync | undefined,
    readers: readonly Reader[],
    value: RetainedValue,
  ): string | undefined {
    if (question !== undefined)
      return this.#giveTo(question.reader, question.given, value) ? undefined : "retained:many";
    if (sync?.isFirst !== true) return "retained:evicted";
    const { given } = sync;
    const stamp = given.get(value.topic);
    if (stamp === undefined && given.size >= MAX_RETAINED_SEEN) return "retained:many";
    if (stamp !== undefined && stamp >= value.stamp) return undefined;
    given.set(value.topic, value.stamp);
    if (value.data.length > 0) for (const { give } of readers) give(value);
    return undefined;
  }

  /** @returns `false` where there are too many topics */
  #giveTo(reader: Reader, given: Map<string, number>, value: RetainedValue): boolean {
    const stamp = given.get(value.topic);
    if (stamp !== undefined && stamp >= value.stamp) return true;
    if (stamp === undefined && given.size >= MAX_RETAINED_SEEN) return false;
    given.set(value.topic, value.stamp);
    if (value.data.length > 0) reader.give(value);
    return true;
  }

  /** @param differing buckets of the sums that were asked with */
  onEnd(from: string, request: number, differing: number[]): void {
    const question = this.#questions.get(request);
    if (question === undefined) {
      this.#sync.onEnd(from, request, differing);
      return;
    }
    if (question.asked.delete(from)) this.#look(question);
  }

  // --- Answering -------------------------------------------------------------------------------------------------------

  /** @param bytes of its item @returns why it is refused */
  onAsk(from: string, ask: Ask, bytes: number): string | undefined {
    if (this.#closed || this.#answers.onAsk(from, ask, bytes)) return undefined;
    // It asks again.
    this.#stale.forgot(from);
    return "retained:asks";
  }

  /**
   * Nodes with interest in a topic, with those that have asked for its values: a question may be faster than the route that goes with it.
   *
   * @param targets those whose interest is known
   */
  withAsked(topic: string, targets: readonly string[]): readonly string[] {
    return this.#answers.withAsked(topic, targets);
  }

  close(): void {
    this.#closed = true;
    this.#sender.close();
    this.#answers.close();
    this.#stale.close();
    this.#sync.close();
    for (const { withheld } of this.#readers) withheld.clear();
    this.#readers.clear();
    for (const question of [...this.#questions.values()]) this.#end(question);
  }

  #nextNumber(): number {
    do this.#number = (this.#number + 1) >>> 0;
    while (this.#questions.has(this.#number) || this.#sync.has(this.#number));
    return this.#number;
  }
}

function withhold({ withheld }: Reader, { node, topic, stamp, data }: RetainedValue): void {
  // Of one that was taken back there is nothing to give.
  if (data.length === 0) return;
  const topics = withheld.get(node) ?? new Map<string, number>();
  withheld.set(node, topics.set(topic, stamp));
}

function isWithheld(reader: Reader, { node, topic, stamp }: RetainedValue): boolean {
  return reader.withheld.get(node)?.get(topic) === stamp;
}

function settle(question: Question): void {
  clearTimeout(question.timer);
  question.settle?.();
  question.settle = undefined;
}
