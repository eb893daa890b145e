/**
 * Names of all pages and workers of a channel. A page cannot stand still for answers, and has no memory in common with others:
 * a name that is bound is a lock (Web Locks), which ends with its owner. The build puts it in the place of
 * engine/zmtp/threads/thread-names.ts (rolldown.config.js).
 */
import { NotSupportedError } from "../../core/errors.js";
import {
  ThreadNames as RealNames,
  type ThreadNamesEffects,
  type ThreadWire,
} from "../../engine/zmtp/threads/thread-names.js";
import { holdName, releaseName } from "./channel-wire.js";

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
      // Its socket may have been closed meanwhile.
      setTimeout(() => {
        if (held && !this.#effects.isBound(name)) releaseName(name);
      }, 0);
    });
  }
}
