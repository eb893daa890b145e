import { ignore } from "./ignore.js";

/** A call that runs once, and whose events may call it again. */
export class Once<T> {
  #promise: Promise<T> | undefined;

  /** `undefined` before the call. */
  get promise(): Promise<T> | undefined {
    return this.#promise;
  }

  call(begin: () => Promise<T>): Promise<T> {
    if (this.#promise !== undefined) return this.#promise;
    let settle: (result: Promise<T>) => void = ignore;
    this.#promise = new Promise<T>((resolve) => {
      settle = resolve;
    });
    settle(begin());
    return this.#promise;
  }
}
