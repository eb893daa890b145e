/**
 * Replaces engine/zmtp/inproc-names.ts. Until inproc is added, `inproc://` endpoints are
 * refused.
 */
import { ADDITIONS } from "../../browser/additions.js";
import type { InprocNames as RealNames } from "./inproc-names.js";

export class InprocNames {
  readonly #shared: boolean;
  #real: RealNames | undefined;

  constructor(shared = false) {
    this.#shared = shared;
  }

  /** Present once inproc is added. */
  get real(): RealNames | undefined {
    this.#real ??= ADDITIONS.inproc?.names(this.#shared);
    return this.#real;
  }

  has(name: string): boolean {
    return this.#real?.has(name) === true;
  }

  assertFree(name: string): void {
    this.real?.assertFree(name);
  }

  claim(name: string): Promise<void> | undefined {
    return this.real?.claim(name);
  }

  assertWithinReach(name: string): void {
    this.real?.assertWithinReach(name);
  }
}
