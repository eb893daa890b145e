/**
 * The inproc names of one context: which sockets are bound, and which wait for a socket to bind.
 *
 * An inproc peer is reached within its own thread only. A name that another thread has bound would be waited for without
 * end: connecting to it fails instead (ThreadNames).
 */

import type { BroadcastChannel } from "node:worker_threads";
import { NotSupportedError, TransportError } from "../../core/errors.js";

/** A socket that takes inproc peers. */
export interface InprocTarget<C> {
  /** A peer that connects; called once both are there. */
  inprocOnPeer(connecter: C): void;
}

export class InprocNames<C = unknown> {
  readonly #bound = new Map<string, InprocTarget<C>>();
  readonly #waiting = new Map<string, Set<C>>();
  /** Of the process-wide context, whose names a program may expect in all its threads. */
  readonly #threads: ThreadNames | undefined;

  /** @param shared they are those of the process-wide context */
  constructor(shared = false) {
    this.#threads = shared ? new ThreadNames((name) => this.has(name)) : undefined;
  }

  has(name: string): boolean {
    return this.#bound.has(name);
  }

  /** @throws TransportError `EADDRINUSE` */
  assertFree(name: string): void {
    if (this.#bound.has(name)) {
      throw new TransportError("EADDRINUSE", `Cannot bind ${name}: the address is in use`, {
        endpoint: name,
      });
    }
  }

  /**
   * A name that no socket has bound here is waited for; one that another thread has bound would never come.
   *
   * @throws NotSupportedError `NOT_SUPPORTED`
   */
  assertWithinReach(name: string): void {
    if (this.#bound.has(name) || this.#threads?.isElsewhere(name) !== true) return;
    throw new NotSupportedError(
      `${name} is bound in another thread; with the engine zmtp inproc connects sockets of one thread. Between threads ` +
        "use ipc or tcp, or the engine libzmq",
      "NOT_SUPPORTED",
      { endpoint: name },
    );
  }

  /** @throws TransportError `EADDRINUSE` */
  bind(name: string, target: InprocTarget<C>): void {
    this.assertFree(name);
    this.#bound.set(name, target);
    this.#threads?.open();
    this.#admit(name, target);
  }

  unbind(name: string): void {
    this.#bound.delete(name);
  }

  /** Connects to the socket that is bound now, or to the next that binds. */
  connect(name: string, connecter: C): void {
    const target = this.#bound.get(name);
    if (target !== undefined) {
      target.inprocOnPeer(connecter);
      return;
    }
    this.wait(name, connecter);
  }

  /** Waits for the next socket that binds, or for `admit`: there was no place. */
  wait(name: string, connecter: C): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, new Set([connecter]));
    else waiting.add(connecter);
  }

  /** A bound socket may have a place again for those that wait for its names. */
  admit(target: InprocTarget<C>): void {
    for (const name of [...this.#waiting.keys()])
      if (this.#bound.get(name) === target) this.#admit(name, target);
  }

  /** A socket that waits for a name meets the one that is bound to it, if there is one. */
  again(name: string, connecter: C): void {
    if (this.#bound.has(name) && this.#leave(name, connecter)) this.connect(name, connecter);
  }

  /** Waits no longer. */
  disconnect(name: string, connecter: C): void {
    this.#leave(name, connecter);
  }

  /** Each that waits now meets the target once; one that finds no place waits again, behind the rest. */
  #admit(name: string, target: InprocTarget<C>): void {
    for (const connecter of [...(this.#waiting.get(name) ?? [])]) {
      // Meanwhile the name may have been unbound, or the connection given up.
      if (this.#bound.get(name) !== target) return;
      if (this.#leave(name, connecter)) target.inprocOnPeer(connecter);
    }
  }

  #leave(name: string, connecter: C): boolean {
    const waiting = this.#waiting.get(name);
    if (waiting?.delete(connecter) !== true) return false;
    if (waiting.size === 0) this.#waiting.delete(name);
    return true;
  }
}

/** ms that a thread stands still for an answer. */
const ANSWER_WAIT = 50;

const CHANNEL = "shoal.inproc";

/** A thread is there; or it asks for a name, and gives a place for the answer. */
type Word = { readonly hello: boolean } | { readonly name: string; readonly answer: Int32Array };

/**
 * Which inproc names other threads have bound. Threads share no table, so the others are asked on a channel, and the
 * asking one stands still for their answer. A thread whose event loop does not turn cannot answer; then the name counts as
 * not bound yet. A program of one thread never asks: the main thread asks only once another has announced that it uses
 * inproc.
 */
class ThreadNames {
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
    channel.onmessage = (event) => this.#receive((event as { data: Word }).data);
    channel.unref();
    channel.postMessage({ hello: true });
  }

  /** Whether another thread answers that it has bound the name. */
  isElsewhere(name: string): boolean {
    this.open();
    if (!this.#others) return false;
    const answer = new Int32Array(new SharedArrayBuffer(4));
    this.#channel?.postMessage({ name, answer });
    Atomics.wait(answer, 0, 0, ANSWER_WAIT);
    return Atomics.load(answer, 0) === 1;
  }

  #receive(word: Word): void {
    this.#others = true;
    if ("name" in word) {
      if (!this.#isBound(word.name)) return;
      Atomics.store(word.answer, 0, 1);
      Atomics.notify(word.answer, 0);
    } else if (word.hello) this.#channel?.postMessage({ hello: false });
  }
}
