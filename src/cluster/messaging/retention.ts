/**
 * How a new subscription gets retained values: this node's own at once, and those of the others, whom it asks.
 *
 *   asking    ASK ──> every live member that takes messages ──> VALUE … VALUE END
 *   over      when all have sent END, or are gone, or after ASK_TIMEOUT
 *
 * A subscription gets a value of a topic once, and after it later ones only. A member that is met later, or that is back, is asked for
 * all subscriptions there are then: of its values they get those that are later than what this node has.
 */
import { systemClock } from "../../core/clock.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { ASK_TIMEOUT, MAX_ANSWER_FILTERS, MAX_ANSWERS, MAX_ASKS, MAX_RETAINED_SEEN } from "./bounds.js";
import { encodeAsk, encodeEnd, encodeName, encodePublish, encodeValue } from "./items.js";
import { MessageKind, type SendResult } from "./parts.js";
import type { RetainedValue, RetainedValues } from "./retained.js";
import { matches } from "./topics.js";

/** ms of looking for values between two turns of the event loop. */
const ANSWER_TIME = 1;
/** What they are counted under where a link drops them. */
const PREFIX = "$retained";

interface Question {
  readonly filter: string;
  /** Nodes that have not sent END. */
  readonly asked: Set<string>;
  /** Topics that were given, and their stamps. */
  readonly given: Map<string, number>;
  /** Whether it is to a member that was met later, for all subscriptions. */
  readonly isLater: boolean;
  give(value: RetainedValue): void;
  over(): void;
}

/** A subscription that gets retained values. */
interface Standing {
  readonly filter: string;
  readonly give: (value: RetainedValue) => void;
}

/** What a node asks of this one: questions, and the characters of their filters. */
interface Answers {
  readonly waiting: { readonly request: number; readonly filter: string }[];
  characters: number;
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
  readonly #maxItem: number;
  readonly #effects: RetentionEffects;
  readonly #questions = new Map<number, Question>();
  /** What is asked of this node and not answered yet, for each node that asks. */
  readonly #answers = new Map<string, Answers>();
  readonly #standing = new Set<Standing>();
  /** Peers that all subscriptions have asked. */
  readonly #met = new Set<string>();
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

  /**
   * Collects the values of a filter, and later those of members that are met.
   *
   * @returns settles when no more come of those that are known; `stop` ends it
   */
  ask(filter: string, give: (value: RetainedValue) => void): { over: Promise<void>; stop: () => void } {
    // Those before have asked whom this one asks.
    const peers = this.#effects.peers();
    for (const id of peers) this.#meet(id);
    const standing: Standing = { filter, give };
    this.#standing.add(standing);
    let settle!: () => void;
    const over = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const question = this.#ask(standing, peers, false, settle);
    const stop = (): void => {
      this.#standing.delete(standing);
      question.over();
    };
    return { over, stop };
  }

  /** A member came, or something about it changed. */
  onMember(id: string): void {
    // Without subscriptions there is nothing to ask, and the next one asks all.
    if (this.#standing.size > 0 && !this.#met.has(id) && this.#effects.peers().includes(id)) this.#meet(id);
  }

  #meet(id: string): void {
    if (this.#met.has(id) || this.#closed) return;
    this.#met.add(id);
    const filters = new Map([...this.#standing].map((standing) => [standing.filter, standing]));
    for (const standing of filters.values()) this.#ask(standing, [id], true, () => undefined);
  }

  #ask(standing: Standing, peers: readonly string[], isLater: boolean, settle: () => void): Question {
    const { filter, give } = standing;
    const request = this.#nextNumber();
    const timer = setTimeout(() => question.over(), ASK_TIMEOUT).unref();
    const question: Question = {
      filter,
      asked: new Set(),
      given: new Map(),
      isLater,
      give,
      over: () => {
        clearTimeout(timer);
        this.#questions.delete(request);
        settle();
      },
    };
    this.#questions.set(request, question);
    if (!isLater)
      for (const value of this.#values.values())
        if (matches(filter, value.topic)) this.#give(question, value);
    if (this.#questions.size > MAX_ASKS) {
      // The values of this node alone.
      this.#effects.count("retained:asks");
      question.over();
      return question;
    }
    const item = encodeAsk(request, filter);
    for (const id of peers) {
      question.asked.add(id);
      void this.#sendAsk(id, item, question);
    }
    this.#look(question);
    return question;
  }

  /** A message with a value came, which is later than what is still to come of it. */
  published(value: RetainedValue): void {
    for (const { filter, given } of this.#questions.values())
      if (given.size < MAX_RETAINED_SEEN && matches(filter, value.topic)) given.set(value.topic, value.stamp);
  }

  /** @param filter of an ASK that came; it is a filter @returns why it is refused */
  onAsk(from: string, request: number, filter: string): string | undefined {
    const known = this.#answers.get(from);
    const answers = known ?? { waiting: [], characters: 0 };
    const characters = answers.characters + filter.length;
    if (answers.waiting.length >= MAX_ANSWERS || characters > MAX_ANSWER_FILTERS) return "retained:asks";
    answers.waiting.push({ request, filter });
    answers.characters = characters;
    if (known !== undefined) return undefined;
    this.#answers.set(from, answers);
    void this.#answer(from, answers);
    return undefined;
  }

  /** @returns why it is refused */
  onValue(from: string, request: number, value: RetainedValue): string | undefined {
    const question = this.#questions.get(request);
    if (question === undefined) return "retained:late";
    if (!question.asked.has(from) || !matches(question.filter, value.topic)) return "retained:unasked";
    return this.#give(question, value) ? undefined : "retained:many";
  }

  onEnd(from: string, request: number): void {
    const question = this.#questions.get(request);
    if (question?.asked.delete(from)) this.#look(question);
  }

  /** A node is not there any more. */
  onGone(id: string): void {
    this.#met.delete(id);
    this.#answers.delete(id);
    for (const question of [...this.#questions.values()]) if (question.asked.delete(id)) this.#look(question);
  }

  close(): void {
    this.#closed = true;
    this.#answers.clear();
    this.#standing.clear();
    for (const question of [...this.#questions.values()]) question.over();
  }

  #look(question: Question): void {
    if (question.asked.size === 0) question.over();
  }

  /** @returns `false` where there are too many topics */
  #give(question: Question, value: RetainedValue): boolean {
    const { given } = question;
    if (question.isLater) {
      this.#giveLater(value);
      return true;
    }
    const stamp = given.get(value.topic);
    if (stamp !== undefined && stamp >= value.stamp) return true;
    if (stamp === undefined && given.size >= MAX_RETAINED_SEEN) return false;
    given.set(value.topic, value.stamp);
    if (value.data.length > 0) question.give(value);
    return true;
  }

  /** To all subscriptions that have not got it: once, for this node has it from now on. */
  #giveLater(value: RetainedValue): void {
    const known = this.#values.get(value.topic);
    if (known !== undefined && known.stamp >= value.stamp) return;
    // That a value was taken back matters to those that have it.
    const isNothing = value.data.length === 0 && (known === undefined || known.data.length === 0);
    this.published(value);
    if (isNothing) return;
    for (const { filter, give } of [...this.#standing]) if (matches(filter, value.topic)) give(value);
  }

  async #sendAsk(to: string, item: Buffer, question: Question): Promise<void> {
    if ((await this.#send(to, item)) !== "sent" && question.asked.delete(to)) this.#look(question);
  }

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

  async #answer(to: string, answers: Answers): Promise<void> {
    const { waiting } = answers;
    for (let asked = waiting[0]; asked !== undefined; asked = waiting[0]) {
      const { request, filter } = asked;
      // As they are now: what changes meanwhile is published, and arrives by itself.
      for (const value of [...this.#values.values()]) {
        // A node that asks and asks holds up nobody: also a look that finds nothing takes its time.
        if (this.#budget.spend()) await turn();
        if (this.#answers.get(to) !== answers || this.#closed) return;
        if (!matches(filter, value.topic) || !this.#isToGive(value, to)) continue;
        const { topic, node, client, subtopic, stamp, data } = value;
        const publish = encodePublish(
          client,
          node,
          encodeName(topic),
          subtopic === undefined ? undefined : encodeName(subtopic),
          stamp,
          data,
        );
        const item = encodeValue(request, publish);
        if (item.length > this.#maxItem) {
          // Another node's, which just fitted as it came.
          this.#effects.count("retained:size");
          continue;
        }
        const result = await this.#send(to, item);
        if (result !== "sent" && result !== "too-large") break;
      }
      await this.#send(to, encodeEnd(request));
      if (this.#answers.get(to) !== answers || this.#closed) return;
      waiting.shift();
      answers.characters -= filter.length;
    }
    this.#answers.delete(to);
  }

  /** Those of its own, and of others those that are not there to answer for themselves. */
  #isToGive({ node }: RetainedValue, to: string): boolean {
    return node !== to && (node === this.#self || !this.#effects.isLive(node));
  }

  #nextNumber(): number {
    do this.#number = (this.#number + 1) >>> 0;
    while (this.#questions.has(this.#number));
    return this.#number;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
