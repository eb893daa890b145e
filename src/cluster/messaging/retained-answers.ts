/**
 * What other nodes ask of this one's retained values, answered in order for each of them: of those that match, its own, and of the others' those of nodes
 * that are not there as it sees them; but for what the asker has shown to have (retained-digest.ts).
 *
 *   ASK, nothing known    VALUE … VALUE END
 *   ASK, sums             END with the buckets that differ
 *   ASK, fingerprints     VALUE … VALUE END: those of these buckets that the asker lacks
 *
 * A live publisher has its own values: nobody answers for it, so a copy of one that was taken back is not handed on.
 *
 * The filters of a question may count as interest of who asks: it gets what is published, also before its routes are here.
 */
import { systemClock } from "../../core/clock.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { ASKED_TIME, MAX_ANSWER_BYTES, MAX_ANSWER_FILTERS, MAX_ANSWERS } from "./bounds.js";
import { encodeName, encodePublish } from "./items.js";
import type { RetainedValue, RetainedValues } from "./retained.js";
import { BucketSums, bucketOf, fingerprintOf } from "./retained-digest.js";
import { type Ask, encodeEnd, encodeValue, type KnownValues } from "./retained-items.js";
import { type RetainedSender, turn } from "./retained-sender.js";
import { matches } from "./topics.js";

/** ms of looking for values between two turns of the event loop. */
const ANSWER_TIME = 1;

/** What a node asks of this one, and how much that is. */
interface Answers {
  readonly waiting: { readonly ask: Ask; readonly bytes: number }[];
  filters: number;
  bytes: number;
}

/** Filters of a node that has asked, and until when they count as its interest. */
interface AskedFilters {
  readonly until: Map<string, number>;
  characters: number;
}

export interface RetainedAnswersEffects {
  /** Whether another node is there. */
  isLive(id: string): boolean;
  count(reason: string): void;
}

export class RetainedAnswers {
  readonly #self: string;
  readonly #values: RetainedValues;
  readonly #maxItem: number;
  readonly #sender: RetainedSender;
  readonly #effects: RetainedAnswersEffects;
  /** What is asked and not answered yet, for each node that asks. */
  readonly #answers = new Map<string, Answers>();
  readonly #asked = new Map<string, AskedFilters>();
  readonly #budget = new TurnBudget(ANSWER_TIME, systemClock);

  constructor(
    self: string,
    values: RetainedValues,
    maxItem: number,
    sender: RetainedSender,
    effects: RetainedAnswersEffects,
  ) {
    this.#self = self;
    this.#values = values;
    this.#maxItem = maxItem;
    this.#sender = sender;
    this.#effects = effects;
  }

  /** @param bytes of the item @returns whether it is answered: otherwise too much waits already */
  onAsk(from: string, ask: Ask, bytes: number): boolean {
    const known = this.#answers.get(from);
    const answers = known ?? { waiting: [], filters: 0, bytes: 0 };
    const filters = answers.filters + ask.filters.length;
    const isMuch = filters > MAX_ANSWER_FILTERS || answers.bytes + bytes > MAX_ANSWER_BYTES;
    if (isMuch || answers.waiting.length >= MAX_ANSWERS) return false;
    answers.waiting.push({ ask, bytes });
    answers.filters = filters;
    answers.bytes += bytes;
    if (ask.isInterest) for (const filter of ask.filters) this.#keepAsked(from, filter);
    if (known !== undefined) return true;
    this.#answers.set(from, answers);
    void this.#answerAll(from, answers);
    return true;
  }

  /** A node is not there any more. @returns whether it may wait for answers, or for what is published since it has asked */
  onGone(id: string): boolean {
    const hasAsked = this.#asked.delete(id);
    return this.#answers.delete(id) || hasAsked;
  }

  close(): void {
    this.#answers.clear();
    this.#asked.clear();
  }

  async #answerAll(to: string, answers: Answers): Promise<void> {
    const { waiting } = answers;
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      await this.#answer(to, answers, first.ask);
      if (this.#answers.get(to) !== answers) return;
      waiting.shift();
      answers.filters -= first.ask.filters.length;
      answers.bytes -= first.bytes;
    }
    this.#answers.delete(to);
  }

  async #answer(to: string, answers: Answers, { request, filters, known }: Ask): Promise<void> {
    const sums = known.is === "sums" ? new BucketSums(known.sums.bits) : undefined;
    const isMeant = (node: string): boolean =>
      node !== to && (node === this.#self || !this.#effects.isLive(node));
    // As they are now: what changes meanwhile is published, and arrives by itself. Values of other live nodes cost nothing.
    for (const value of [...this.#values.of(isMeant)]) {
      // A node that asks and asks holds up nobody: also a look that finds nothing takes its time.
      if (this.#budget.spend()) await turn();
      if (this.#answers.get(to) !== answers) return;
      const { node, topic } = value;
      // One that has come back answers for itself.
      if (node !== this.#self && this.#effects.isLive(node)) continue;
      if (!filters.some((filter) => matches(filter, topic))) continue;
      if (sums !== undefined) sums.add(fingerprintOf(value));
      else if (!isKnown(known, value) && !(await this.#give(to, request, value))) break;
    }
    if (this.#answers.get(to) !== answers) return;
    const differing = sums === undefined || known.is !== "sums" ? [] : sums.differing(known.sums);
    await this.#sender.send(to, encodeEnd(request, differing));
  }

  /** @returns whether the node is there */
  async #give(to: string, request: number, value: RetainedValue): Promise<boolean> {
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
      return true;
    }
    const result = await this.#sender.send(to, item);
    return result === "sent" || result === "too-large";
  }

  // --- Interest --------------------------------------------------------------------------------------------------------

  #keepAsked(from: string, filter: string): void {
    const known = this.#asked.get(from);
    const asked = known ?? { until: new Map(), characters: 0 };
    const isNew = !asked.until.has(filter);
    const characters = asked.characters + (isNew ? filter.length : 0);
    if ((isNew && asked.until.size >= MAX_ANSWERS) || characters > MAX_ANSWER_BYTES) return;
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
}

/** Whether the asker has it, or does not ask for its bucket. */
function isKnown(known: KnownValues, value: RetainedValue): boolean {
  if (known.is !== "fingerprints") return false;
  const fingerprint = fingerprintOf(value);
  const bucket = known.buckets.get(bucketOf(fingerprint, known.bits));
  return bucket === undefined || bucket.has(fingerprint);
}
