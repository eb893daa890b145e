/**
 * Inproc names of all threads of a process, by words that every thread gets.
 *
 *   bind      ask(name) --> every thread answers at once, without its program
 *             bound(name) --> threads that look for the name seek again
 *
 *   connect   seek(name, the connecting socket) --> the thread that has bound it
 *             <== to that thread alone: a MessagePort with the bound socket, or a refusal
 *
 * Of threads that ask for a name at the same time, those with higher ids fail, and the lowest asks again.
 */

import type { MessagePortLike } from "./thread-port.js";

/** ms to wait for answers. */
export const ANSWER_WAIT = 50;
/** ms between polls for answers. */
export const LOOK_INTERVAL = 1;
/** ms beyond ANSWER_WAIT after which a thread was blocked, so that another may have bound the name. */
const LATE = 5;
const MAX_ASKS = 20;

/** Indices in the memory of an ask: number of answers, and the worst of them. */
const ANSWERS = 0;
const VERDICT = 1;
const ASK_AGAIN = 1;
const TAKEN = 2;

/** `from` is an id of ThreadNames, and `thread` the number of its thread. */
export type ThreadWord =
  | { readonly kind: "hello" | "here"; readonly from: string; readonly thread: number }
  | { readonly kind: "ask"; readonly from: string; readonly name: string; readonly answer: Int32Array }
  | { readonly kind: "bound"; readonly name: string }
  | {
      readonly kind: "seek";
      readonly thread: number;
      readonly name: string;
      readonly seek: string;
      readonly socket: unknown;
    };

/** To the thread that seeks: the other end of a port with the bound socket, or the fault. */
export interface ThreadReply {
  readonly seek: string;
  readonly port?: MessagePortLike;
  readonly socket?: unknown;
  readonly fault?: unknown;
}

export interface ThreadWire {
  /** Two copies of this package in one thread share its number. */
  readonly thread: number;
  /** Whether older threads may exist. */
  readonly mayHaveOthers: boolean;
  readonly id: string;
  post(word: ThreadWord): void;
  /** @param onFailed the thread has ended */
  reply(thread: number, reply: ThreadReply, onFailed: () => void): void;
  /** Blocks up to LOOK_INTERVAL while `memory[0]` equals `seen`, then handles received words. */
  pause(memory: Int32Array, seen: number): void;
}

/** What the connecting thread gets, and this thread's end of the port. */
export interface Sought extends Omit<ThreadReply, "seek"> {
  readonly near?: Pick<MessagePortLike, "close" | "addEventListener">;
}

export interface ThreadNamesEffects {
  isBound(name: string): boolean;
  sought(name: string, socket: unknown): Sought | undefined;
}

interface Seek {
  readonly name: string;
  readonly describe: () => unknown;
  readonly onReply: (reply: ThreadReply) => void;
}

interface Ask {
  readonly name: string;
  readonly answer: Int32Array;
  readonly until: number;
  /** Number of known other threads. */
  readonly others: number;
}

export class ThreadNames {
  readonly #wire: ThreadWire;
  readonly #effects: ThreadNamesEffects;
  readonly #others = new Set<string>();
  readonly #seeks = new Map<string, Seek>();
  /** Seeks with an open port. A seek may arrive twice: at once, and after an announcement. */
  readonly #given = new Set<string>();
  readonly #asking = new Set<string>();
  #settled: boolean;
  #sought = 0;

  constructor(wire: ThreadWire, effects: ThreadNamesEffects) {
    this.#wire = wire;
    this.#effects = effects;
    this.#settled = !wire.mayHaveOthers;
    this.#meetAll("hello");
  }

  get hasOthers(): boolean {
    return !this.#settled || this.#others.size > 0;
  }

  isAsking(name: string): boolean {
    return this.#asking.has(name);
  }

  /** Blocks up to `ANSWER_WAIT`, longer if another thread asks or this one was blocked. */
  isTaken(name: string): boolean {
    for (let asks = 0; asks < MAX_ASKS; asks++) {
      const ask = this.#ask(name);
      do this.#wire.pause(ask.answer, Atomics.load(ask.answer, ANSWERS));
      while (!this.#isOver(ask));
      const taken = this.#conclude(ask);
      if (taken !== undefined) return taken;
    }
    return true;
  }

  /** Bind a free name in the turn in which the promise resolves. */
  async ask(name: string): Promise<boolean> {
    for (let asks = 0; asks < MAX_ASKS; asks++) {
      const ask = this.#ask(name);
      do await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
      while (!this.#isOver(ask));
      const taken = this.#conclude(ask);
      if (taken !== undefined) return taken;
    }
    return true;
  }

  #ask(name: string): Ask {
    const answer = new Int32Array(new SharedArrayBuffer(8));
    this.#asking.add(name);
    this.#wire.post({ kind: "ask", from: this.#wire.id, name, answer });
    return { name, answer, until: performance.now() + ANSWER_WAIT, others: this.#others.size };
  }

  #isOver({ answer, until }: Ask): boolean {
    if (Atomics.load(answer, VERDICT) >= TAKEN || performance.now() >= until) return true;
    // An unsettled thread does not know how many answers to expect.
    return this.#settled && Atomics.load(answer, ANSWERS) >= this.#others.size;
  }

  /** @returns whether the name is taken; `undefined`: ask again */
  #conclude({ name, answer, until, others }: Ask): boolean | undefined {
    this.#asking.delete(name);
    const verdict = Atomics.load(answer, VERDICT);
    if (verdict >= TAKEN) return true;
    // Another ask may have forgotten the others.
    this.#settled = Atomics.load(answer, ANSWERS) >= Math.max(others, this.#others.size);
    // Threads without an answer have ended or are busy.
    if (!this.#settled) {
      this.#others.clear();
      this.#meetAll("hello");
    }
    return verdict === ASK_AGAIN || performance.now() > until + LATE ? undefined : false;
  }

  announce(name: string): void {
    this.#wire.post({ kind: "bound", name });
  }

  /** @param describe called for each word @param onReply a port ends the seek @returns cancels the seek */
  seek(name: string, describe: () => unknown, onReply: (reply: ThreadReply) => void): () => void {
    this.#sought += 1;
    const id = `${this.#wire.id} ${this.#sought}`;
    const seek: Seek = { name, describe, onReply };
    this.#seeks.set(id, seek);
    this.#post(id, seek);
    return () => this.#seeks.delete(id);
  }

  receive(word: ThreadWord): void {
    switch (word.kind) {
      case "hello":
        this.#meet(word);
        this.#meetAll("here");
        break;
      case "here":
        this.#meet(word);
        break;
      case "ask":
        this.#answer(word);
        break;
      case "bound":
        for (const [id, seek] of [...this.#seeks]) if (seek.name === word.name) this.#post(id, seek);
        break;
      case "seek":
        if (this.#effects.isBound(word.name)) this.#reply(word);
        break;
      default:
    }
  }

  /** Replies to other copies of this package in the thread are theirs. */
  replied(reply: ThreadReply): void {
    if (reply.seek.split(" ", 1)[0] !== this.#wire.id) return;
    const seek = this.#seeks.get(reply.seek);
    if (seek === undefined) reply.port?.close();
    else {
      if (reply.port !== undefined) this.#seeks.delete(reply.seek);
      seek.onReply(reply);
    }
  }

  #meetAll(kind: "hello" | "here"): void {
    this.#wire.post({ kind, from: this.#wire.id, thread: this.#wire.thread });
  }

  #meet({ from, thread }: { readonly from: string; readonly thread: number }): void {
    if (thread !== this.#wire.thread) this.#others.add(from);
  }

  #answer({ from, name, answer }: Extract<ThreadWord, { kind: "ask" }>): void {
    if (this.#effects.isBound(name)) Atomics.or(answer, VERDICT, TAKEN);
    else if (this.#asking.has(name)) Atomics.or(answer, VERDICT, this.#wire.id < from ? TAKEN : ASK_AGAIN);
    Atomics.add(answer, ANSWERS, 1);
    Atomics.notify(answer, ANSWERS);
    // The asking thread may not know this one.
    if (!this.#others.has(from)) this.#meetAll("here");
  }

  #reply({ name, socket, thread, seek }: Extract<ThreadWord, { kind: "seek" }>): void {
    if (this.#given.has(seek)) return;
    const sought = this.#effects.sought(name, socket);
    if (sought === undefined) return;
    const { near, ...rest } = sought;
    if (near !== undefined) {
      this.#given.add(seek);
      near.addEventListener("close", () => this.#given.delete(seek));
    }
    this.#wire.reply(thread, { ...rest, seek }, () => near?.close());
  }

  #post(id: string, { name, describe }: Seek): void {
    this.#wire.post({ kind: "seek", thread: this.#wire.thread, name, seek: id, socket: describe() });
  }
}
