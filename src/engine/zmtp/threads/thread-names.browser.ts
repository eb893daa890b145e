/**
 * Names of all pages and workers on a channel. Each bound name is a Web Lock, which ends with its owner.
 * Replaces thread-names.ts.
 */
import { NotSupportedError } from "../../../core/errors.js";
import { holdName, releaseName } from "./node-threads.browser.js";
import { ThreadNames as RealNames, type ThreadNamesEffects, type ThreadWire } from "./thread-names.ts";

export class ThreadNames extends RealNames {
  readonly #effects: ThreadNamesEffects;
  readonly #asking = new Set<string>();

  constructor(wire: ThreadWire, effects: ThreadNamesEffects) {
    super(wire, effects);
    this.#effects = effects;
  }

  override get hasOthers(): boolean {
    return true;
  }

  override isAsking(name: string): boolean {
    return this.#asking.has(name);
  }

  override isTaken(name: string): never {
    throw new NotSupportedError(
      `bindSync cannot bind ${name}: a page learns later whether it is free; use bind`,
    );
  }

  override ask(name: string, done: (taken: boolean) => void): void {
    this.#asking.add(name);
    void holdName(name).then((held) => {
      this.#asking.delete(name);
      done(!held);
      // The socket may have closed in the meantime.
      setTimeout(() => {
        if (held && !this.#effects.isBound(name)) releaseName(name);
      }, 0);
    });
  }
}
