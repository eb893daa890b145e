/** Calls that wait until nothing is in flight, or until a socket has messages or room. */
export class IdleWaits {
  #waits: (() => void)[] = [];

  get isAwaited(): boolean {
    return this.#waits.length > 0;
  }

  wait(isIdle: boolean): Promise<void> {
    return isIdle ? Promise.resolve() : new Promise((resolve) => this.#waits.push(resolve));
  }

  /** What they wait for is there, or the owner closes. */
  end(): void {
    if (this.isAwaited) for (const resolve of this.#waits.splice(0)) resolve();
  }
}
