/**
 * Inproc names of all threads of a process, by words that every thread gets.
 *
 *   bind      ask(name) --> every other thread answers
 *             bound(name) --> threads that look for the name seek again
 *
 *   connect   seek(name, the connecting socket) --> the thread that has bound it
 *             <== to that thread alone: a MessagePort with the bound socket, or a refusal
 *
 * A name is taken if it is bound, or if another thread asked for it before it answered this one. If two asks
 * cross, the thread with the lower id gets the name.
 */

import type { MessagePortLike } from "./port-link.js";

/** ms to wait for answers. */
const ANSWER_WAIT = 50;

/** `from` is an id of ThreadNames, and `thread` the number of its thread. */
export type ThreadWord =
  | { readonly kind: "hello" | "here"; readonly from: string }
  | { readonly kind: "ask"; readonly from: string; readonly ask: string; readonly name: string }
  | { readonly kind: "answer"; readonly from: string; readonly ask: string; readonly taken: boolean }
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
  /** Number of known others when it began. */
  readonly others: number;
  readonly answered: Set<string>;
  end(taken: boolean): void;
}

export class ThreadNames {
  readonly #wire: ThreadWire;
  readonly #effects: ThreadNamesEffects;
  #others = new Set<string>();
  readonly #asks = new Map<string, Ask>();
  readonly #seeks = new Map<string, Seek>();
  /** Seeks with an open port. A seek may arrive twice: at once, and after an announcement. */
  readonly #given = new Set<string>();
  /** Whether all other threads are known. */
  #settled: boolean;
  #ids = 0;

  constructor(wire: ThreadWire, effects: ThreadNamesEffects) {
    this.#wire = wire;
    this.#effects = effects;
    this.#settled = !wire.mayHaveOthers;
    wire.post({ kind: "hello", from: wire.id });
  }

  get hasOthers(): boolean {
    return !this.#settled || this.#others.size > 0;
  }

  /**
   * Asks the other threads, whose answers take up to `ANSWER_WAIT`. A thread that computes meanwhile does not
   * count. Bind a free name in the turn in which the promise resolves.
   *
   * @returns whether the name is taken
   */
  ask(name: string): Promise<boolean> {
    const id = this.#nextId();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        // Answers may have arrived while this thread was blocked.
        setImmediate(() => this.#expire(id));
      }, ANSWER_WAIT);
      const end = (taken: boolean): void => {
        clearTimeout(timer);
        this.#asks.delete(id);
        resolve(taken);
      };
      this.#asks.set(id, { name, others: this.#others.size, answered: new Set(), end });
      this.#wire.post({ kind: "ask", from: this.#wire.id, ask: id, name });
    });
  }

  #expire(id: string): void {
    const ask = this.#asks.get(id);
    if (ask === undefined) return;
    const { answered, others } = ask;
    // Threads without an answer have ended or are busy. Another ask may have forgotten them.
    this.#settled = answered.size >= Math.max(others, this.#others.size);
    this.#others = answered;
    ask.end(false);
  }

  announce(name: string): void {
    this.#wire.post({ kind: "bound", name });
  }

  /** @param describe called for each word @param onReply a port ends the seek @returns cancels the seek */
  seek(name: string, describe: () => unknown, onReply: (reply: ThreadReply) => void): () => void {
    const id = this.#nextId();
    const seek: Seek = { name, describe, onReply };
    this.#seeks.set(id, seek);
    this.#post(id, seek);
    return () => this.#seeks.delete(id);
  }

  receive(word: ThreadWord): void {
    if ("from" in word) this.#others.add(word.from);
    switch (word.kind) {
      case "hello":
        this.#wire.post({ kind: "here", from: this.#wire.id });
        break;
      case "ask":
        this.#answer(word);
        break;
      case "answer":
        this.#answered(word);
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

  #answer({ from, ask, name }: Extract<ThreadWord, { kind: "ask" }>): void {
    const taken = this.#effects.isBound(name) || this.#precedes(from, name);
    this.#wire.post({ kind: "answer", from: this.#wire.id, ask, taken });
  }

  #precedes(from: string, name: string): boolean {
    for (const ask of this.#asks.values())
      if (ask.name === name && (ask.answered.has(from) || this.#wire.id < from)) return true;
    return false;
  }

  #answered({ from, ask: id, taken }: Extract<ThreadWord, { kind: "answer" }>): void {
    const ask = this.#asks.get(id);
    if (ask === undefined) return;
    ask.answered.add(from);
    // An unsettled thread does not know how many answers to expect.
    if (taken || (this.#settled && ask.answered.size >= this.#others.size)) ask.end(taken);
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

  #nextId(): string {
    this.#ids += 1;
    return `${this.#wire.id} ${this.#ids}`;
  }
}
