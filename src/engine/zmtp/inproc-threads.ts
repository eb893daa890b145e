/**
 * Which inproc names other threads have bound. An inproc peer is reached within its own thread only, and a name that is
 * bound elsewhere would be waited for without end: whoever connects to it is told instead.
 *
 * Threads share no table, so the others are asked on a channel, and the asking one stands still for their answer. One
 * whose event loop does not turn cannot answer; then the name counts as bound by nobody yet. A program of one thread
 * never asks: the main thread does so only when it has heard of another that uses inproc.
 */
import type { BroadcastChannel } from "node:worker_threads";

/** ms that a thread stands still for an answer. */
const ANSWER_WAIT = 50;

const CHANNEL = "shoal.inproc";

/** A thread is there; or it asks for a name, and gives a place for the answer. */
type Word = { readonly hello: boolean } | { readonly name: string; readonly answer: Int32Array };

export class ThreadNames {
  readonly #isBound: (name: string) => boolean;
  #channel: BroadcastChannel | undefined;
  /** Others use inproc, or may. */
  #others = false;

  /** @param isBound whether this thread has bound a name */
  constructor(isBound: (name: string) => boolean) {
    this.#isBound = isBound;
  }

  /** This thread uses inproc: it answers the others from now on. */
  open(): void {
    if (this.#channel !== undefined) return;
    const { BroadcastChannel, isMainThread } = process.getBuiltinModule("node:worker_threads");
    this.#others = !isMainThread;
    const channel = new BroadcastChannel(CHANNEL);
    this.#channel = channel;
    channel.onmessage = (event) => this.#hear((event as { data: Word }).data);
    channel.unref();
    channel.postMessage({ hello: true });
  }

  /** Whether another thread says that it has bound the name. */
  isElsewhere(name: string): boolean {
    this.open();
    if (!this.#others) return false;
    const answer = new Int32Array(new SharedArrayBuffer(4));
    this.#channel?.postMessage({ name, answer });
    Atomics.wait(answer, 0, 0, ANSWER_WAIT);
    return Atomics.load(answer, 0) === 1;
  }

  #hear(word: Word): void {
    this.#others = true;
    if ("name" in word) {
      if (!this.#isBound(word.name)) return;
      Atomics.store(word.answer, 0, 1);
      Atomics.notify(word.answer, 0);
    } else if (word.hello) this.#channel?.postMessage({ hello: false });
  }
}
