/**
 * The inproc names of one context. The process-wide context shares them with all threads
 * (threads/thread-names.ts).
 */

import { NotSupportedError, TransportError } from "../../core/errors.js";
import { NodeThreads } from "./threads/node-threads.js";
import { ThreadNames } from "./threads/thread-names.js";
import type { Description, MessagePortLike } from "./threads/thread-port.js";
import { ZAP_ENDPOINT } from "./zap.js";

export interface InprocTarget<C> {
  inprocOnPeer(connecter: C): void;
  inprocDescribe?(): Description;
  inprocOnPort?(name: string, port: MessagePortLike): void;
}

/** Each thread authenticates its own peers. */
const OF_ONE_THREAD: readonly string[] = [ZAP_ENDPOINT];

/** Tables of this thread that share names. */
const participants = new Set<InprocNames<never>>();

export class InprocNames<C = unknown> {
  readonly #bound = new Map<string, InprocTarget<C>>();
  readonly #waiting = new Map<string, Set<C>>();
  readonly #shared: boolean;
  #threads: ThreadNames | undefined = undefined;
  #handsOver = false;

  constructor(shared = false) {
    this.#shared = shared;
  }

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

  /** Blocks this thread until the others answer. @throws TransportError `EADDRINUSE` */
  assertFree(name: string): void {
    if (this.#othersToAsk(name)?.isTaken(name) === true) throw inUse(name, ", by another thread");
  }

  /**
   * Asks other threads. Bind the name in the turn in which the promise resolves.
   *
   * @returns `undefined` if the name is free without asking
   * @throws TransportError `EADDRINUSE`, also as a rejection
   */
  claim(name: string): Promise<void> | undefined {
    const threads = this.#othersToAsk(name);
    if (threads === undefined) return undefined;
    return new Promise((resolve, reject) => {
      threads.ask(name, (taken) => (taken ? reject(inUse(name, ", by another thread")) : resolve()));
    });
  }

  #othersToAsk(name: string): ThreadNames | undefined {
    if (this.#bound.has(name)) throw inUse(name, "");
    const threads = this.#threadsOf(name);
    if (threads === undefined || !this.#handsOver) return undefined;
    for (const other of participants) if (other.has(name)) throw inUse(name, "");
    if (threads.isAsking(name)) throw inUse(name, "");
    return threads.hasOthers ? threads : undefined;
  }

  /**
   * @throws NotSupportedError `NOT_SUPPORTED` for a name of another thread on runtimes whose threads cannot
   * connect
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

  bind(name: string, target: InprocTarget<C>): void {
    if (this.#bound.has(name)) throw inUse(name, "");
    this.#bound.set(name, target);
    this.#admit(name, target);
    if (this.#bound.get(name) === target) this.announce(name);
  }

  announce(name: string): void {
    const threads = this.#threadsOf(name);
    if (this.#handsOver) threads?.announce(name);
  }

  /** @param now `false`: waits for the next announcement @returns ends the search */
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

  connect(name: string, connecter: C): void {
    const target = this.#bound.get(name);
    if (target !== undefined) {
      target.inprocOnPeer(connecter);
      return;
    }
    this.wait(name, connecter);
  }

  wait(name: string, connecter: C): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, new Set([connecter]));
    else waiting.add(connecter);
  }

  admit(target: InprocTarget<C>): void {
    for (const name of [...this.#waiting.keys()])
      if (this.#bound.get(name) === target) this.#admit(name, target);
  }

  again(name: string, connecter: C): void {
    if (this.#bound.has(name) && this.disconnect(name, connecter)) this.connect(name, connecter);
  }

  /** Offers each waiting connecter once. */
  #admit(name: string, target: InprocTarget<C>): void {
    for (const connecter of [...(this.#waiting.get(name) ?? [])]) {
      // An offer may have unbound the name or ended a wait.
      if (this.#bound.get(name) !== target) return;
      if (this.disconnect(name, connecter)) target.inprocOnPeer(connecter);
    }
  }

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
