/**
 * How subscriptions get retained values: this node's own and those of nodes that are gone at once, and those of the others, whom it asks.
 *
 *   asking    ASK ──> every live member that takes messages ──> VALUE … VALUE END
 *   ready     when all have sent END, or are gone, or after ASK_TIMEOUT; what comes later is taken all the same
 *
 * A copy here of a live publisher's value may be out of date: without interest nobody kept it so. It is withheld until its publisher answers:
 *
 *   VALUE, the same           it is given
 *   VALUE, a later one        that is given
 *   END without it            it is its publisher's value no longer: it is not given
 *   the publisher is lost, cannot be asked, or has not answered in time: it is given
 *
 * A value that is later than what this node has of its topic goes to all subscriptions with `retained`, not only to that which asked: so what this
 * node has of a topic is what all of them were given last (retained.ts). Where that value may have been evicted, it goes to
 * the subscription that asked alone, once.
 *
 * So that nobody stays behind:
 *
 *   a member is met, or is back     it is asked, for all subscriptions there are then (ASK)
 *   a member is lost                it may have reached some nodes and not others: all are asked what they have of it (LOST)
 *   a copy for a member was dropped, or it was lost here: it may not know. It is reminded to ask again (AGAIN)
 *   a node has asked                what is published reaches it, also before its interest is known here
 */
import { systemClock } from "../../core/clock.js";
import { TurnBudget } from "../../core/turn-budget.js";
import {
  AGAIN_INTERVAL,
  ASK_TIMEOUT,
  ASKED_TIME,
  LOST_MARGIN,
  MAX_ANSWER_FILTERS,
  MAX_ANSWERS,
  MAX_ASKS,
  MAX_RETAINED_SEEN,
} from "./bounds.js";
import {
  encodeAgain,
  encodeAsk,
  encodeEnd,
  encodeLost,
  encodeName,
  encodePublish,
  encodeValue,
} from "./items.js";
import { MessageKind, type SendResult } from "./parts.js";
import { compareValues, type RetainedValue, type RetainedValues } from "./retained.js";
import { matches } from "./topics.js";

/** ms of looking for values between two turns of the event loop. */
const ANSWER_TIME = 1;
/** What they are counted under where a link drops them. */
const PREFIX = "$retained";

/** A subscription that gets retained values. */
interface Reader {
  readonly filter: string;
  readonly give: (value: RetainedValue) => void;
  /** Copies here that it has not got, until their publishers have answered: by publisher and topic, the stamp. */
  readonly withheld: Map<string, Map<string, number>>;
}

interface Question {
  /** `undefined`: whatever the readers want. */
  readonly filter: string | undefined;
  /** Who gets values of which nobody knows whether they were given; `undefined`: nobody. */
  readonly reader: Reader | undefined;
  /** Nodes that have not sent END. */
  readonly asked: Set<string>;
  /** Topics that were given to `reader`, and their stamps. */
  readonly given: Map<string, number>;
  timer: NodeJS.Timeout | undefined;
  /** Called once, when it is over or has taken too long. */
  settle: (() => void) | undefined;
}

/** What a node asks: of a filter, or what another node published after a stamp. */
type Asked =
  | { readonly request: number; readonly filter: string }
  | { readonly request: number; readonly filter: undefined; readonly node: string; readonly since: number };

/** What a node asks of this one: questions, and the characters of their filters. */
interface Answers {
  readonly waiting: Asked[];
  characters: number;
}

/** Filters of a node that has asked, and until when they count as its interest. */
interface AskedFilters {
  readonly until: Map<string, number>;
  characters: number;
}

export interface RetentionEffects {
  send(to: string, kind: number, item: Uint8Array, prefix: string, uncounted: boolean): SendResult;
  room(to: string): Promise<void>;
  /** Ids of the live members that take messages. */
  peers(): readonly string[];
  /** Whether another node is there. */
  isLive(id: string): boolean;
  /** Whether another node wants a topic, as far as it is known here. */
  isInterested(id: string, topic: string): boolean;
  count(reason: string): void;
}

export class Retention {
  readonly #self: string;
  readonly #values: RetainedValues;
  readonly #maxItem: number;
  readonly #effects: RetentionEffects;
  /** Those that have taken too long are among them until their answers are complete, the oldest first. */
  readonly #questions = new Map<number, Question>();
  /** What is asked of this node and not answered yet, for each node that asks. */
  readonly #answers = new Map<string, Answers>();
  readonly #asked = new Map<string, AskedFilters>();
  readonly #readers = new Set<Reader>();
  /** Peers that were asked for all subscriptions. */
  readonly #met = new Set<string>();
  /** Members that were lost, and may not know. */
  readonly #lost = new Set<string>();
  /** Members that are reminded to ask again; `true`: once more, afterwards. */
  readonly #reminded = new Map<string, boolean>();
  /** Members that have reminded this node lately; `true`: once more, and they are asked when some time is over. */
  readonly #remindedBy = new Map<string, boolean>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #budget = new TurnBudget(ANSWER_TIME, systemClock);
  #number = 0;
  #closed = false;

  /** @param self this node's id @param maxItem bytes of an item that this node's links take */
  constructor(self: string, values: RetainedValues, maxItem: number, effects: RetentionEffects) {
    this.#self = self;
    this.#values = values;
    this.#maxItem = maxItem;
    this.#effects = effects;
  }

  // --- Asking ----------------------------------------------------------------------------------------------------------

  /**
   * Collects the values of a filter, and later those of members that are met.
   *
   * @returns settles when no more come of those that are known; `stop` ends it
   */
  ask(filter: string, give: (value: RetainedValue) => void): { over: Promise<void>; stop: () => void } {
    // Those before have asked whom this one asks.
    const peers = this.#effects.peers();
    for (const id of peers) this.#meet(id);
    const reader: Reader = { filter, give, withheld: new Map() };
    let settle!: () => void;
    const over = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#readers.add(reader);
    const question = newQuestion(filter, reader, settle);
    const asked = new Set(peers);
    for (const value of this.#values.values()) {
      if (!matches(filter, value.topic)) continue;
      if (asked.has(value.node)) withhold(reader, value);
      else this.#giveTo(reader, question, value);
    }
    this.#start(question, peers, (request) => encodeAsk(request, filter));
    const stop = (): void => {
      this.#readers.delete(reader);
      reader.withheld.clear();
      this.#end(question);
    };
    return { over, stop };
  }

  /** A member came, or something about it changed. */
  onMember(id: string): void {
    if (this.#closed || !this.#effects.peers().includes(id)) return;
    if (this.#lost.delete(id)) this.missed(id);
    // Without subscriptions there is nothing to ask, and the next one asks all.
    if (this.#readers.size > 0) this.#meet(id);
  }

  #meet(id: string): void {
    if (this.#met.has(id) || this.#closed) return;
    this.#met.add(id);
    const readers = new Map([...this.#readers].map((reader) => [reader.filter, reader]));
    for (const reader of readers.values())
      this.#start(newQuestion(reader.filter, reader, undefined), [id], (request) =>
        encodeAsk(request, reader.filter),
      );
  }

  #start(question: Question, peers: readonly string[], encode: (request: number) => Buffer): void {
    if (this.#questions.size >= MAX_ASKS && !this.#endLate()) {
      // The values of this node alone.
      this.#effects.count("retained:asks");
      for (const id of peers) this.#giveWithheld(question, id);
      this.#end(question);
      return;
    }
    const request = this.#nextNumber();
    this.#questions.set(request, question);
    question.timer = setTimeout(() => {
      for (const id of question.asked) this.#giveWithheld(question, id);
      settle(question);
    }, ASK_TIMEOUT).unref();
    const item = encode(request);
    for (const id of peers) {
      question.asked.add(id);
      void this.#sendAsk(id, item, question);
    }
    this.#look(question);
  }

  /** @returns whether one that has taken too long gave its place */
  #endLate(): boolean {
    for (const question of this.#questions.values())
      if (question.settle === undefined) {
        // Those that have not answered are asked when something about them changes.
        for (const id of question.asked) this.#met.delete(id);
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
    if ((await this.#send(to, item)) === "sent" || !question.asked.delete(to)) return;
    // It is asked when something about it changes.
    this.#met.delete(to);
    this.#giveWithheld(question, to);
    this.#look(question);
  }

  /** A publisher does not answer: the copies here of its values are what there is. */
  #giveWithheld(question: Question, node: string): void {
    const { reader } = question;
    const withheld = reader?.withheld.get(node);
    if (withheld === undefined) return;
    reader?.withheld.delete(node);
    for (const [topic, stamp] of withheld) {
      const value = this.#values.get(topic);
      // A later one was given when it came.
      if (value?.node === node && value.stamp === stamp) this.#giveTo(reader, question, value);
    }
  }

  // --- Values that come ------------------------------------------------------------------------------------------------

  /** A message with a value came that is the last one of its topic. */
  published(value: RetainedValue): void {
    for (const { filter, given } of this.#questions.values())
      if (given.size < MAX_RETAINED_SEEN && filter !== undefined && matches(filter, value.topic))
        given.set(value.topic, value.stamp);
  }

  /** Keeps a value that is an answer, and gives it to those that have not got it. @returns why it is refused */
  onValue(from: string, request: number, value: RetainedValue): string | undefined {
    const question = this.#questions.get(request);
    if (question === undefined) return "retained:late";
    const { filter } = question;
    const { topic } = value;
    if (!question.asked.has(from) || (filter !== undefined && !matches(filter, topic)))
      return "retained:unasked";
    const readers = [...this.#readers].filter((reader) => matches(reader.filter, topic));
    if (readers.length === 0) return undefined;
    const known = this.#values.get(topic);
    const mayBeEvicted = known === undefined && this.#values.mayBeEvicted(value);
    if (!this.#values.keep(value)) {
      if (known !== undefined && compareValues(value, known) === 0 && isWithheld(question.reader, known)) {
        question.reader?.withheld.get(known.node)?.delete(topic);
        this.#giveTo(question.reader, question, known);
      }
      return undefined;
    }
    if (mayBeEvicted) return this.#giveTo(question.reader, question, value) ? undefined : "retained:many";
    this.published(value);
    // That a value was taken back matters to those that have it.
    if (value.data.length === 0 && (known === undefined || known.data.length === 0)) return undefined;
    for (const reader of readers)
      if (value.data.length > 0 || known === undefined || !isWithheld(reader, known)) reader.give(value);
    return undefined;
  }

  /** @returns `false` where there are too many topics */
  #giveTo(reader: Reader | undefined, { given }: Question, value: RetainedValue): boolean {
    const stamp = given.get(value.topic);
    if (stamp !== undefined && stamp >= value.stamp) return true;
    if (stamp === undefined && given.size >= MAX_RETAINED_SEEN) return false;
    given.set(value.topic, value.stamp);
    if (value.data.length > 0) reader?.give(value);
    return true;
  }

  onEnd(from: string, request: number): void {
    const question = this.#questions.get(request);
    if (!question?.asked.delete(from)) return;
    question.reader?.withheld.delete(from);
    this.#look(question);
  }

  /** A member says that this node may lack values of it. */
  onAgain(from: string): void {
    if (this.#closed) return;
    if (this.#remindedBy.has(from)) {
      this.#remindedBy.set(from, true);
      return;
    }
    this.#remindedBy.set(from, false);
    this.#later(() => {
      const isReminded = this.#remindedBy.get(from) === true;
      this.#remindedBy.delete(from);
      if (isReminded) this.onAgain(from);
    });
    for (const [request, question] of this.#questions) {
      const { filter, reader } = question;
      if (!question.asked.has(from)) continue;
      // It may have dropped the question. What is withheld waits for the answer to this very one.
      if (filter !== undefined && reader?.withheld.has(from))
        void this.#sendAsk(from, encodeAsk(request, filter), question);
      else if (question.asked.delete(from)) this.#look(question);
    }
    this.#met.delete(from);
    this.onMember(from);
  }

  /** A node is not there any more. @param isLost it may come back, and not know that it was lost */
  onGone(id: string, isLost: boolean): void {
    const wasMet = this.#met.delete(id);
    this.#answers.delete(id);
    this.#asked.delete(id);
    if (isLost) this.#lost.add(id);
    else this.#lost.delete(id);
    const isUnfinished = this.#forget(id);
    if (!wasMet || this.#readers.size === 0 || this.#closed) return;
    // What it published last may have reached others alone. Copies of one publisher may be dropped at a mark: hence the margin.
    const since = isUnfinished ? 0 : Math.max(0, this.#lastStampOf(id) - LOST_MARGIN * 1_000);
    const peers = this.#effects.peers().filter((peer) => peer !== id);
    this.#start(newQuestion(undefined, undefined, undefined), peers, (request) =>
      encodeLost(request, id, since),
    );
  }

  /** @returns whether an answer of it is not complete */
  #forget(id: string): boolean {
    let isUnfinished = false;
    for (const question of [...this.#questions.values()])
      if (question.asked.delete(id)) {
        isUnfinished = true;
        this.#giveWithheld(question, id);
        this.#look(question);
      }
    return isUnfinished;
  }

  #lastStampOf(id: string): number {
    let last = 0;
    for (const { node, stamp } of this.#values.values()) if (node === id && stamp > last) last = stamp;
    return last;
  }

  close(): void {
    this.#closed = true;
    this.#answers.clear();
    this.#asked.clear();
    for (const { withheld } of this.#readers) withheld.clear();
    this.#readers.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const question of [...this.#questions.values()]) this.#end(question);
  }

  // --- Answering -------------------------------------------------------------------------------------------------------

  /** @param filter of an ASK that came; it is a filter @returns why it is refused */
  onAsk(from: string, request: number, filter: string): string | undefined {
    const reason = this.#onQuestion(from, { request, filter });
    if (reason === undefined) this.#keepAsked(from, filter);
    return reason;
  }

  /** @param node whose values are asked for, that have a later stamp than `since` @returns why it is refused */
  onLost(from: string, request: number, node: string, since: number): string | undefined {
    return this.#onQuestion(from, { request, filter: undefined, node, since });
  }

  #onQuestion(from: string, asked: Asked): string | undefined {
    const known = this.#answers.get(from);
    const answers = known ?? { waiting: [], characters: 0 };
    const characters = answers.characters + (asked.filter?.length ?? 0);
    if (answers.waiting.length >= MAX_ANSWERS || characters > MAX_ANSWER_FILTERS) return "retained:asks";
    answers.waiting.push(asked);
    answers.characters = characters;
    if (known !== undefined) return undefined;
    this.#answers.set(from, answers);
    void this.#answer(from, answers);
    return undefined;
  }

  async #answer(to: string, answers: Answers): Promise<void> {
    const { waiting } = answers;
    for (let asked = waiting[0]; asked !== undefined; asked = waiting[0]) {
      // As they are now: what changes meanwhile is published, and arrives by itself.
      for (const value of [...this.#values.values()]) {
        // A node that asks and asks holds up nobody: also a look that finds nothing takes its time.
        if (this.#budget.spend()) await turn();
        if (this.#answers.get(to) !== answers || this.#closed) return;
        if (!this.#isAnswer(asked, value, to)) continue;
        const { topic, node, client, subtopic, stamp, data } = value;
        const publish = encodePublish(
          client,
          node,
          encodeName(topic),
          subtopic === undefined ? undefined : encodeName(subtopic),
          stamp,
          data,
        );
        const item = encodeValue(asked.request, publish);
        if (item.length > this.#maxItem) {
          // Another node's, which just fitted as it came.
          this.#effects.count("retained:size");
          continue;
        }
        const result = await this.#send(to, item);
        if (result !== "sent" && result !== "too-large") break;
      }
      await this.#send(to, encodeEnd(asked.request));
      if (this.#answers.get(to) !== answers || this.#closed) return;
      waiting.shift();
      answers.characters -= asked.filter?.length ?? 0;
    }
    this.#answers.delete(to);
  }

  /** Its own that match, and of others those that are not there to answer for themselves; or those of one that the other has lost. */
  #isAnswer(asked: Asked, value: RetainedValue, to: string): boolean {
    const { node, topic, stamp } = value;
    if (node === to) return false;
    if (asked.filter === undefined)
      return node === asked.node && stamp > asked.since && this.#wants(to, topic);
    return (node === this.#self || !this.#effects.isLive(node)) && matches(asked.filter, topic);
  }

  /** Whether another node has interest in a topic: its route may come later than its question. */
  #wants(id: string, topic: string): boolean {
    if (this.#effects.isInterested(id, topic)) return true;
    const now = performance.now();
    for (const [filter, until] of this.#asked.get(id)?.until ?? [])
      if (until > now && matches(filter, topic)) return true;
    return false;
  }

  // --- Those that would lack what is published ---------------------------------------------------------------------------

  #keepAsked(from: string, filter: string): void {
    const known = this.#asked.get(from);
    const asked = known ?? { until: new Map(), characters: 0 };
    const isNew = !asked.until.has(filter);
    const characters = asked.characters + (isNew ? filter.length : 0);
    if ((isNew && asked.until.size >= MAX_ANSWERS) || characters > MAX_ANSWER_FILTERS) return;
    asked.characters = characters;
    asked.until.set(filter, performance.now() + ASKED_TIME);
    if (known === undefined) this.#asked.set(from, asked);
  }

  /**
   * Nodes with interest in a topic, with those that have asked for its values: a question may be faster than the route that goes with it.
   *
   * @param targets those whose interest is known
   */
  withAsked(topic: string, targets: readonly string[]): readonly string[] {
    if (this.#asked.size === 0) return targets;
    const now = performance.now();
    const all = new Set(targets);
    for (const [id, asked] of this.#asked) {
      for (const [filter, until] of asked.until) {
        if (until <= now) {
          asked.until.delete(filter);
          asked.characters -= filter.length;
        } else if (matches(filter, topic)) all.add(id);
      }
      if (asked.until.size === 0) this.#asked.delete(id);
    }
    return all.size === targets.length ? targets : [...all];
  }

  /** A member did not get what it should have: it is reminded to ask again, when there is room for that, once in a while. */
  missed(id: string): void {
    if (this.#closed || this.#values.size === 0) return;
    const isFirst = !this.#reminded.has(id);
    this.#reminded.set(id, !isFirst);
    if (isFirst) void this.#remind(id);
  }

  async #remind(id: string): Promise<void> {
    const result = await this.#send(id, encodeAgain());
    if (this.#closed) return;
    if (result !== "sent") {
      this.#reminded.delete(id);
      if (this.#effects.isLive(id)) this.#lost.add(id);
      return;
    }
    this.#later(() => {
      const isMissing = this.#reminded.get(id) === true;
      this.#reminded.delete(id);
      if (isMissing) this.missed(id);
    });
  }

  #later(work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, AGAIN_INTERVAL).unref();
    this.#timers.add(timer);
  }

  // --- Sending -----------------------------------------------------------------------------------------------------------

  /** Waits for room; a peer that is slow holds up its own answers only. */
  async #send(to: string, item: Buffer): Promise<SendResult> {
    for (;;) {
      const result = this.#effects.send(to, MessageKind.RETAINED, item, PREFIX, true);
      if (result !== "full" || this.#closed) return result;
      try {
        await this.#effects.room(to);
      } catch {
        // The peer is gone.
        return "unreachable";
      }
      await turn();
    }
  }

  #nextNumber(): number {
    do this.#number = (this.#number + 1) >>> 0;
    while (this.#questions.has(this.#number));
    return this.#number;
  }
}

function newQuestion(
  filter: string | undefined,
  reader: Reader | undefined,
  settled: (() => void) | undefined,
): Question {
  return { filter, reader, asked: new Set(), given: new Map(), timer: undefined, settle: settled };
}

function withhold({ withheld }: Reader, { node, topic, stamp, data }: RetainedValue): void {
  // Of one that was taken back there is nothing to give.
  if (data.length === 0) return;
  const topics = withheld.get(node) ?? new Map<string, number>();
  withheld.set(node, topics.set(topic, stamp));
}

function isWithheld(reader: Reader | undefined, { node, topic, stamp }: RetainedValue): boolean {
  return reader?.withheld.get(node)?.get(topic) === stamp;
}

function settle(question: Question): void {
  clearTimeout(question.timer);
  question.settle?.();
  question.settle = undefined;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
