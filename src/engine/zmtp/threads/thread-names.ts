/**
 * Finds the thread with a bound inproc name and connects another thread's socket to it, by words over a wire
 * (node-threads.ts).
 *
 *   bind        ask(name)  -->  every thread answers at once, without its program
 *               bound(name) --> threads that look for the name seek again
 *
 *   connect     seek(name) -->            the thread that has bound it
 *               <-- offer(place)
 *               accept(place) -->
 *               <== a MessagePort, handed over at that place (thread-port.ts)
 *
 * One thread hands over a port, even if two have bound the name; if it ends first, the other seeks again
 * after HANDOVER_TIMEOUT.
 *
 * Of several asking threads the lowest rank wins, then the lowest id. A rank is random, and above those
 * granted before, so that threads cannot refuse each other in a ring.
 */
import type { Description, MessagePortLike } from "./thread-port.js";

/** ms to wait for answers. */
export const ANSWER_WAIT = 50;
/** ms between polls for answers. */
export const LOOK_INTERVAL = 1;
/** ms to wait for a port after an accepted offer. */
const HANDOVER_TIMEOUT = 1_000;

/** Indices in the memory of an ask: number of answers, the name is taken, the wait is over. */
const ANSWERS = 0;
const TAKEN = 1;
const OVER = 2;

/** `from` and `to` are ids of threads. */
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

export interface ThreadWire {
  readonly handsOver: boolean;
  /** Two copies of this package in one thread share its number. */
  readonly thread: number;
  /** Whether older threads may exist. */
  readonly mayHaveOthers: boolean;
  post(word: ThreadWord): void;
  /** @returns cancels the wait for a port at the place */
  receive(place: string, onPort: (port: MessagePortLike, description: unknown) => void): () => void;
  /** @returns the port's other end; `undefined`: no thread waits */
  handOver(place: string, description: Description): MessagePortLike | undefined;
  /** Blocks up to `ms` while `memory[ANSWERS]` equals `seen`, then handles received words. */
  standStill(memory: Int32Array, seen: number, ms: number): void;
  now(): number;
  /** @param holds keeps the thread alive */
  setTimer(onTime: () => void, ms: number, holds?: boolean): () => void;
  newId(): string;
}

export interface ThreadNamesEffects {
  isBound(name: string): boolean;
  describe(name: string): Description | undefined;
  accepted(name: string, port: MessagePortLike): void;
}

interface Seek {
  readonly name: string;
  readonly onPort: (port: MessagePortLike, description: unknown) => void;
  id: string;
  stop: (() => void) | undefined;
}

export class ThreadNames {
  readonly #wire: ThreadWire;
  readonly #effects: ThreadNamesEffects;
  readonly #id: string;
  readonly #others = new Set<string>();
  readonly #seeks = new Set<Seek>();
  readonly #offers = new Map<string, { readonly name: string; readonly cancel: () => void }>();
  readonly #asking = new Map<string, number>();
  /** Until then the other thread may still bind the name. */
  #grants: { readonly name: string; readonly rank: number; readonly until: number }[] = [];
  #settled: boolean;

  constructor(wire: ThreadWire, effects: ThreadNamesEffects) {
    this.#wire = wire;
    this.#effects = effects;
    this.#id = wire.newId();
    this.#settled = !wire.mayHaveOthers;
    wire.post({ kind: "hello", from: this.#id, thread: wire.thread });
  }

  get hasOthers(): boolean {
    return !this.#settled || this.#others.size > 0;
  }

  isAsking(name: string): boolean {
    return this.#asking.has(name);
  }

  /** Blocks up to `ANSWER_WAIT`. */
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

  /** Bind a free name within `done`, which is called later. */
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

  /** @param random above 0, at most 1 */
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
    // An unsettled thread does not know how many answers to expect.
    return Atomics.load(answer, TAKEN) === 1 || (this.#settled && answers >= this.#others.size);
  }

  /** @returns whether the name is taken; `undefined`: too late, grants may have expired */
  #conclude(name: string, answer: Int32Array, until: number): boolean | undefined {
    const wire = this.#wire;
    this.#asking.delete(name);
    Atomics.store(answer, OVER, 1);
    const taken = Atomics.load(answer, TAKEN) === 1;
    if (taken) return true;
    this.#settled = Atomics.load(answer, ANSWERS) >= this.#others.size;
    // Threads without an answer have ended or are busy.
    if (!this.#settled) {
      this.#others.clear();
      wire.post({ kind: "hello", from: this.#id, thread: wire.thread });
    }
    return wire.now() < until + ANSWER_WAIT ? false : undefined;
  }

  /** The name is bound, or its socket has room for peers again. */
  announce(name: string): void {
    this.#wire.post({ kind: "bound", from: this.#id, name });
  }

  /** @param now `false`: waits for the next announcement of the name @returns cancels the seek */
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
    // The asking thread may not know this one.
    if (Atomics.load(answer, OVER) === 1 || !this.#others.has(from))
      this.#wire.post({ kind: "here", from: this.#id, thread: this.#wire.thread });
  }

  #grant(name: string, rank: number): void {
    const now = this.#wire.now();
    this.#grants = this.#grants.filter(({ until }) => until > now);
    // The ask may be up to ANSWER_WAIT old, and its thread may conclude up to ANSWER_WAIT late.
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
    // If the name was unbound meanwhile, the other thread waits for the next `bound`.
    const port = description === undefined ? undefined : this.#wire.handOver(place, description);
    if (port !== undefined) this.#effects.accepted(name, port);
  }
}
