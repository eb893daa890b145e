/** The inproc names of one context. */

import { TransportError } from "../../core/errors.js";
import type { Sought, ThreadNames, ThreadReply } from "./threads/thread-names.js";

export interface InprocTarget<C> {
  inprocOnPeer(connecter: C): void;
  /** @param socket in another thread */
  inprocOnSeek?(name: string, socket: unknown): Sought | undefined;
}

export class InprocNames<C = unknown> {
  protected readonly bound = new Map<string, InprocTarget<C>>();
  readonly #waiting = new Map<string, Set<C>>();

  has(name: string): boolean {
    return this.bound.has(name);
  }

  /** `undefined`: no other thread shares the name. */
  protected threadsOf(_name: string): ThreadNames | undefined {
    return undefined;
  }

  /**
   * Asks other threads. Bind the name in the turn in which the promise resolves.
   *
   * @returns `undefined` if there is nobody to ask; rejects with `EADDRINUSE`
   */
  claim(name: string): Promise<void> | undefined {
    const threads = this.threadsOf(name);
    if (threads?.hasOthers !== true) return undefined;
    return threads.ask(name).then((taken) => {
      if (taken) throw inUse(name, ", by another thread");
    });
  }

  /** Seeks the name in other threads. @returns ends it */
  seek(
    name: string,
    describe: () => unknown,
    onReply: (reply: ThreadReply) => void,
  ): (() => void) | undefined {
    return this.threadsOf(name)?.seek(name, describe, onReply);
  }

  /** @throws TransportError `EADDRINUSE` */
  bind(name: string, target: InprocTarget<C>): void {
    if (this.bound.has(name)) throw inUse(name, "");
    this.bound.set(name, target);
  }

  unbind(name: string): void {
    this.bound.delete(name);
  }

  /** @returns `false`: waits until the name is bound */
  connect(name: string, connecter: C): boolean {
    const target = this.bound.get(name);
    if (target !== undefined) {
      target.inprocOnPeer(connecter);
      return true;
    }
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, new Set([connecter]));
    else waiting.add(connecter);
    return false;
  }

  /** Offers each waiting connecter once; then other threads seek the bound name. */
  admit(name: string, target: InprocTarget<C>): void {
    for (const connecter of [...(this.#waiting.get(name) ?? [])]) {
      // An offer may have unbound the name or ended a wait.
      if (this.bound.get(name) !== target) return;
      if (this.disconnect(name, connecter)) target.inprocOnPeer(connecter);
    }
    if (this.bound.get(name) === target) this.threadsOf(name)?.announce(name);
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
