/**
 * The inproc names of one context: which sockets are bound, and which wait for a socket to bind. Those of the process-wide
 * context are names of all threads (threads/thread-names.ts).
 */

import { NotSupportedError, TransportError } from "../../core/errors.js";
import { NodeThreads } from "./threads/node-threads.js";
import { ThreadNames } from "./threads/thread-names.js";
import type { Description, MessagePortLike } from "./threads/thread-port.js";
import { ZAP_ENDPOINT } from "./zap.js";

/** A socket that takes inproc peers. */
export interface InprocTarget<C> {
  /** A peer that connects; called once both are there. */
  inprocOnPeer(connecter: C): void;
  /** What a peer in another thread has to know of it. */
  inprocDescribe?(): Description;
  /** A peer in another thread that connects to a name. */
  inprocOnPort?(name: string, port: MessagePortLike): void;
}

/** Names that each thread has for itself: who authenticates peers of its own sockets. */
const OF_ONE_THREAD: readonly string[] = [ZAP_ENDPOINT];

/** The tables of this thread that take part: that of the process-wide context, and of what stands for another thread in tests. */
const participants = new Set<InprocNames<never>>();

export class InprocNames<C = unknown> {
  readonly #bound = new Map<string, InprocTarget<C>>();
  readonly #waiting = new Map<string, Set<C>>();
  /** They are names of all threads. */
  readonly #shared: boolean;
  #threads: ThreadNames | undefined = undefined;
  #handsOver = false;

  /** @param shared they are those of the process-wide context */
  constructor(shared = false) {
    this.#shared = shared;
  }

  /** The threads that have a name, too; made with the first that is used. */
  #threadsOf(name: string): ThreadNames | undefined {
    if (!this.#shared || OF_ONE_THREAD.includes(name)) return undefined;
    if (this.#threads !== undefined) return this.#threads;
    const wire = new NodeThreads((word) => threads.receive(word));
    const threads = new ThreadNames(wire, {
      isBound: (name) => this.#bound.has(name) && !OF_ONE_THREAD.includes(name),
      describe: (name) => this.#bound.get(name)?.inprocDescribe?.(),
      accepted: (name, port) => this.#bound.get(name)?.inprocOnPort?.(name, port),
    });
    this.#handsOver = wire.handsOver;
    this.#threads = threads;
    participants.add(this as unknown as InprocNames<never>);
    return threads;
  }

  has(name: string): boolean {
    return this.#bound.has(name);
  }

  /**
   * Stands still while other threads are asked.
   *
   * @throws TransportError `EADDRINUSE`: a socket is bound to it, or about to be, here or in another thread
   */
  assertFree(name: string): void {
    if (this.#othersToAsk(name)?.isTaken(name) === true) throw inUse(name, ", by another thread");
  }

  /**
   * The same, while the event loop goes on. The name is to be bound in the turn in which it settles.
   *
   * @returns `undefined`: there is nobody to ask, and it is free
   * @throws TransportError `EADDRINUSE`; rejects with it
   */
  claim(name: string): Promise<void> | undefined {
    const threads = this.#othersToAsk(name);
    if (threads === undefined) return undefined;
    return new Promise((resolve, reject) => {
      threads.ask(name, (taken) => (taken ? reject(inUse(name, ", by another thread")) : resolve()));
    });
  }

  /** @throws TransportError `EADDRINUSE`: this thread has bound the name, or is about to */
  #othersToAsk(name: string): ThreadNames | undefined {
    if (this.#bound.has(name)) throw inUse(name, "");
    const threads = this.#threadsOf(name);
    if (threads === undefined || !this.#handsOver) return undefined;
    for (const other of participants) if (other.has(name)) throw inUse(name, "");
    if (threads.isAsking(name)) throw inUse(name, "");
    return threads.hasOthers ? threads : undefined;
  }

  /**
   * A name that no socket has bound here is waited for; one that another thread has bound would never come, where threads
   * cannot connect.
   *
   * @throws NotSupportedError `NOT_SUPPORTED`
   */
  assertWithinReach(name: string): void {
    if (this.#bound.has(name)) return;
    const threads = this.#threadsOf(name);
    if (this.#handsOver || threads?.isTaken(name) !== true) return;
    throw new NotSupportedError(
      `${name} is bound in another thread; on this runtime inproc connects sockets of one thread. Between threads use ` +
        "ipc or tcp",
      "NOT_SUPPORTED",
      { endpoint: name },
    );
  }

  /** @throws TransportError `EADDRINUSE`: a socket of this thread is bound to it */
  bind(name: string, target: InprocTarget<C>): void {
    if (this.#bound.has(name)) throw inUse(name, "");
    this.#bound.set(name, target);
    this.#admit(name, target);
    if (this.#bound.get(name) === target) this.announce(name);
  }

  /** Sockets in other threads that look for the name come to it now. */
  announce(name: string): void {
    const threads = this.#threadsOf(name);
    if (this.#handsOver) threads?.announce(name);
  }

  /**
   * Looks for a name in other threads.
   *
   * @param now `false`: not before it is announced (again)
   * @returns call it to look no longer
   */
  seek(
    name: string,
    onPort: (port: MessagePortLike, description: unknown) => void,
    now: boolean,
  ): (() => void) | undefined {
    const threads = this.#threadsOf(name);
    return this.#handsOver ? threads?.seek(name, onPort, now) : undefined;
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
    if (this.#bound.has(name) && this.disconnect(name, connecter)) this.connect(name, connecter);
  }

  /** Each that waits now meets the target once; one that finds no place waits again, behind the rest. */
  #admit(name: string, target: InprocTarget<C>): void {
    for (const connecter of [...(this.#waiting.get(name) ?? [])]) {
      // Meanwhile the name may have been unbound, or the connection given up.
      if (this.#bound.get(name) !== target) return;
      if (this.disconnect(name, connecter)) target.inprocOnPeer(connecter);
    }
  }

  /** Waits no longer. @returns whether it waited */
  disconnect(name: string, connecter: C): boolean {
    const waiting = this.#waiting.get(name);
    if (waiting?.delete(connecter) !== true) return false;
    if (waiting.size === 0) this.#waiting.delete(name);
    return true;
  }
}

function inUse(endpoint: string, by: string): TransportError {
  return new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the address is in use${by}`, {
    endpoint,
  });
}
