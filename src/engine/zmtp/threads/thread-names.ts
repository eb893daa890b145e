/**
 * The inproc names of a process: which thread has bound a name, and how a socket in another thread gets to it. Threads share
 * no table, so they ask each other; a wire (node-threads.ts) carries their words to all threads. Pure: it opens no channel,
 * and time is passed in.
 *
 *   bind        ask(name)  -->  every thread answers, at once, though its program is not asked
 *               bound(name) --> who looks for it seeks again
 *
 *   connect     seek(name) -->            the thread that has bound it
 *               <-- offer(place)
 *               accept(place) -->
 *               <== a MessagePort, handed over at that place (thread-port.ts)
 *
 * A socket that looks for a name that nobody has bound waits for `bound`. The three steps see to it that a port is handed
 * over by one thread, though two had bound the name. A thread that ends in the middle of them does not answer: the other
 * seeks again after HANDOVER_TIMEOUT.
 *
 * Of several threads that ask for the same name at the same time the one of the lowest rank gets it, of equal ranks the one of
 * the lowest id. A rank is random, above those of the questions that its thread has answered before: so it is one order for
 * all, and no three refuse each other in a ring.
 */
import type { Description, MessagePortLike } from "./thread-port.js";

/** ms that a thread which binds waits for the answers of others; one that does not answer in them has not bound it. */
export const ANSWER_WAIT = 50;
/** ms between two looks at the answers. */
export const LOOK_INTERVAL = 1;
/** ms for which an accepted offer is waited for. */
const HANDOVER_TIMEOUT = 1_000;

/** Of an ask: how many have answered, whether one has it, whether the asking thread still waits. */
const ANSWERS = 0;
const TAKEN = 1;
const OVER = 2;

/** What threads let each other know. `from` and `to` are threads. */
export type ThreadWord =
  | { readonly kind: "hello"; readonly from: string; readonly thread: number }
  | { readonly kind: "here"; readonly from: string; readonly thread: number }
  | {
      readonly kind: "ask";
      readonly from: string;
      readonly name: string;
      readonly rank: number;
      readonly answer: Int32Array;
    }
  | { readonly kind: "bound"; readonly from: string; readonly name: string }
  | { readonly kind: "seek"; readonly from: string; readonly name: string; readonly seek: string }
  | {
      readonly kind: "offer";
      readonly from: string;
      readonly to: string;
      readonly seek: string;
      readonly place: string;
    }
  | { readonly kind: "accept"; readonly to: string; readonly place: string };

/** How words and ports get to other threads. */
export interface ThreadWire {
  /** Whether a port can be handed over. */
  readonly handsOver: boolean;
  /** The number of this thread: two copies of this package may share one, and cannot answer while the other waits. */
  readonly thread: number;
  /** Other threads may have begun before this one: it is not the first. */
  readonly mayHaveOthers: boolean;
  /** To all other threads. */
  post(word: ThreadWord): void;
  /** Waits for a port at a place. @returns call it to wait no longer */
  receive(place: string, onPort: (port: MessagePortLike, description: unknown) => void): () => void;
  /** Hands over one end of a channel at a place. @returns the other end; `undefined`: nobody waits there */
  handOver(place: string, description: Description): MessagePortLike | undefined;
  /** Stands still until `memory[ANSWERS]` is no longer `seen`, for `ms` at most, and handles words that came meanwhile. */
  standStill(memory: Int32Array, seen: number, ms: number): void;
  now(): number;
  /** @param holds the thread does not end before */
  setTimer(onTime: () => void, ms: number, holds?: boolean): () => void;
  newId(): string;
}

/** What the names of this thread do. */
export interface ThreadNamesEffects {
  isBound(name: string): boolean;
  /** How the socket describes itself that is bound to a name; `undefined`: none. */
  describe(name: string): Description | undefined;
  /** A socket of another thread has connected to a name. */
  accepted(name: string, port: MessagePortLike): void;
}

/** A socket of this thread that looks for a name. */
interface Seek {
  readonly name: string;
  readonly onPort: (port: MessagePortLike, description: unknown) => void;
  id: string;
  /** It waits for a port; call it to wait no longer. */
  stop: (() => void) | undefined;
}

export class ThreadNames {
  readonly #wire: ThreadWire;
  readonly #effects: ThreadNamesEffects;
  readonly #id: string;
  /** Those that have answered. */
  readonly #others = new Set<string>();
  readonly #seeks = new Set<Seek>();
  /** Places of which this thread has made offers, with the names, and what ends their timers. */
  readonly #offers = new Map<string, { readonly name: string; readonly cancel: () => void }>();
  /** What this thread asks for now: names, each with the rank of the question. */
  readonly #asking = new Map<string, number>();
  /** Names that this thread has let others have, the ranks of their questions, and until when they may still be about to bind them. */
  #grants: { readonly name: string; readonly rank: number; readonly until: number }[] = [];
  /** Those that are there have made themselves known. */
  #settled: boolean;

  constructor(wire: ThreadWire, effects: ThreadNamesEffects) {
    this.#wire = wire;
    this.#effects = effects;
    this.#id = wire.newId();
    this.#settled = !wire.mayHaveOthers;
    wire.post({ kind: "hello", from: this.#id, thread: wire.thread });
  }

  /** Whether there is another thread to ask. */
  get hasOthers(): boolean {
    return !this.#settled || this.#others.size > 0;
  }

  /** Whether a socket of this thread is about to bind the name: an answer is waited for. */
  isAsking(name: string): boolean {
    return this.#asking.has(name);
  }

  /** Whether a socket in another thread is bound to the name; stands still for the answers where there are other threads. */
  isTaken(name: string, random = 1 - Math.random()): boolean {
    if (!this.hasOthers) return false;
    const wire = this.#wire;
    const until = wire.now() + ANSWER_WAIT;
    const answer = this.#ask(name, random);
    for (;;) {
      const answers = Atomics.load(answer, ANSWERS);
      const left = until - wire.now();
      if (left <= 0 || this.#isAnswered(answer, answers)) break;
      wire.standStill(answer, answers, left);
    }
    return this.#conclude(name, answer, until) ?? this.isTaken(name, random);
  }

  /**
   * The same, while the event loop goes on. Where the name is free it is to be bound within the call of `done`.
   *
   * @param done called later
   */
  ask(name: string, done: (taken: boolean) => void, random = 1 - Math.random()): void {
    const wire = this.#wire;
    const until = wire.now() + ANSWER_WAIT;
    const answer = this.#ask(name, random);
    const look = (): void => {
      if (wire.now() < until && !this.#isAnswered(answer, Atomics.load(answer, ANSWERS)))
        wire.setTimer(look, LOOK_INTERVAL, true);
      else done(this.#conclude(name, answer, until) ?? this.isTaken(name, random));
    };
    wire.setTimer(look, LOOK_INTERVAL, true);
  }

  /** @param random above 0, to 1 */
  #ask(name: string, random: number): Int32Array {
    const answer = new Int32Array(new SharedArrayBuffer(12));
    const now = this.#wire.now();
    this.#grants = this.#grants.filter(({ until }) => until > now);
    const granted = this.#grants.filter((grant) => grant.name === name);
    const rank = Math.max(0, ...granted.map((grant) => grant.rank)) + random;
    this.#asking.set(name, rank);
    this.#wire.post({ kind: "ask", from: this.#id, name, rank, answer });
    return answer;
  }

  #isAnswered(answer: Int32Array, answers: number): boolean {
    // A thread that has just begun, or that some did not answer, does not know how many there are.
    return Atomics.load(answer, TAKEN) === 1 || (this.#settled && answers >= this.#others.size);
  }

  /** @returns whether the name is taken; `undefined`: this thread looks so late that others no longer keep what they answered */
  #conclude(name: string, answer: Int32Array, until: number): boolean | undefined {
    const wire = this.#wire;
    this.#asking.delete(name);
    Atomics.store(answer, OVER, 1);
    const taken = Atomics.load(answer, TAKEN) === 1;
    // One answer ended the wait: it says nothing about who else is there.
    if (taken) return true;
    this.#settled = Atomics.load(answer, ANSWERS) >= this.#others.size;
    // Some have ended, or are busy: those that are there make themselves known. Until then nobody knows how many to wait for.
    if (!this.#settled) {
      this.#others.clear();
      wire.post({ kind: "hello", from: this.#id, thread: wire.thread });
    }
    return wire.now() < until + ANSWER_WAIT ? false : undefined;
  }

  /** A socket of this thread is bound to the name, or has a place for peers again. */
  announce(name: string): void {
    this.#wire.post({ kind: "bound", from: this.#id, name });
  }

  /**
   * Looks for a name until `onPort` is called or the seek is cancelled.
   *
   * @param now `false`: not before the name is announced (again)
   * @returns call it to look no longer
   */
  seek(
    name: string,
    onPort: (port: MessagePortLike, description: unknown) => void,
    now: boolean,
  ): () => void {
    const seek: Seek = { name, onPort, id: "", stop: undefined };
    this.#seeks.add(seek);
    if (now) this.#post(seek);
    return () => {
      this.#seeks.delete(seek);
      seek.stop?.();
    };
  }

  receive(word: ThreadWord): void {
    switch (word.kind) {
      case "hello":
        this.#meet(word);
        this.#wire.post({ kind: "here", from: this.#id, thread: this.#wire.thread });
        break;
      case "here":
        this.#meet(word);
        break;
      case "ask":
        this.#answer(word);
        break;
      case "bound":
        for (const seek of [...this.#seeks])
          if (seek.name === word.name && seek.stop === undefined) this.#post(seek);
        break;
      case "seek":
        this.#offer(word.from, word.name, word.seek);
        break;
      case "offer":
        if (word.to === this.#id) this.#accept(word);
        break;
      case "accept":
        if (word.to === this.#id) this.#handOver(word.place);
        break;
      default:
    }
  }

  #meet({ from, thread }: { readonly from: string; readonly thread: number }): void {
    if (thread !== this.#wire.thread) this.#others.add(from);
  }

  #answer({ from, name, rank, answer }: Extract<ThreadWord, { kind: "ask" }>): void {
    const own = this.#asking.get(name);
    const isBefore = own !== undefined && (own < rank || (own === rank && this.#id < from));
    if (isBefore || this.#effects.isBound(name)) Atomics.store(answer, TAKEN, 1);
    else this.#grant(name, rank);
    Atomics.add(answer, ANSWERS, 1);
    Atomics.notify(answer, ANSWERS);
    // It knows this thread by its hello, unless that came too late for it.
    if (Atomics.load(answer, OVER) === 1 || !this.#others.has(from))
      this.#wire.post({ kind: "here", from: this.#id, thread: this.#wire.thread });
  }

  #grant(name: string, rank: number): void {
    const now = this.#wire.now();
    this.#grants = this.#grants.filter(({ until }) => until > now);
    // It asked before now, and looks once more after its time.
    this.#grants.push({ name, rank, until: now + 2 * ANSWER_WAIT });
  }

  #post(seek: Seek): void {
    seek.id = this.#wire.newId();
    this.#wire.post({ kind: "seek", from: this.#id, name: seek.name, seek: seek.id });
  }

  #offer(to: string, name: string, seek: string): void {
    if (!this.#effects.isBound(name)) return;
    const place = this.#wire.newId();
    const cancel = this.#wire.setTimer(() => this.#offers.delete(place), HANDOVER_TIMEOUT);
    this.#offers.set(place, { name, cancel });
    this.#wire.post({ kind: "offer", from: this.#id, to, seek, place });
  }

  #accept({ from, seek: id, place }: Extract<ThreadWord, { kind: "offer" }>): void {
    for (const seek of this.#seeks) {
      if (seek.id !== id || seek.stop !== undefined) continue;
      const leave = this.#wire.receive(place, (port, description) => {
        seek.stop?.();
        this.#seeks.delete(seek);
        seek.onPort(port, description);
      });
      const cancel = this.#wire.setTimer(() => {
        seek.stop?.();
        if (this.#seeks.has(seek)) this.#post(seek);
      }, HANDOVER_TIMEOUT);
      seek.stop = () => {
        seek.stop = undefined;
        leave();
        cancel();
      };
      this.#wire.post({ kind: "accept", to: from, place });
    }
  }

  #handOver(place: string): void {
    const offer = this.#offers.get(place);
    if (offer === undefined) return;
    const { name } = offer;
    offer.cancel();
    this.#offers.delete(place);
    const description = this.#effects.describe(name);
    // Unbound meanwhile: the other one waits for the next that binds.
    const port = description === undefined ? undefined : this.#wire.handOver(place, description);
    if (port !== undefined) this.#effects.accepted(name, port);
  }
}
