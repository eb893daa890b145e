/** The inproc names of one context: who is bound, and who waits for somebody to be. */
import { TransportError } from "../../core/errors.js";

/** A socket that takes inproc peers. */
export interface InprocTarget<C> {
  /** A peer that connects; called once both are there. */
  inprocOnPeer(connecter: C): void;
}

export class InprocNames<C = unknown> {
  readonly #bound = new Map<string, InprocTarget<C>>();
  readonly #waiting = new Map<string, Set<C>>();

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

  /** @throws TransportError `EADDRINUSE` */
  bind(name: string, target: InprocTarget<C>): void {
    this.assertFree(name);
    this.#bound.set(name, target);
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    this.#waiting.delete(name);
    for (const connecter of waiting) target.inprocOnPeer(connecter);
  }

  unbind(name: string): void {
    this.#bound.delete(name);
  }

  /** Meets who is bound now, or who binds next. */
  connect(name: string, connecter: C): void {
    const target = this.#bound.get(name);
    if (target !== undefined) {
      target.inprocOnPeer(connecter);
      return;
    }
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, new Set([connecter]));
    else waiting.add(connecter);
  }

  /** Waits no longer. */
  disconnect(name: string, connecter: C): void {
    const waiting = this.#waiting.get(name);
    if (waiting?.delete(connecter) === true && waiting.size === 0) this.#waiting.delete(name);
  }
}
