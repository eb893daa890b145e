/**
 * Which of the subscriptions that were asked for pass upstream. Pure.
 *
 *   asked --passes--> told upstream
 *     |                  ^
 *     +-- refused -------+  when other rules let it pass; and the other way round
 */

/** A subscription or its end, on its way upstream. */
export interface SubscriptionChange {
  readonly prefix: Buffer;
  readonly on: boolean;
}

export class Subscriptions {
  /** By prefix, one character a byte: whether it was told upstream. */
  readonly #asked = new Map<string, boolean>();
  readonly #passes: (prefix: Uint8Array) => boolean;

  /** @param passes by the rules of the moment */
  constructor(passes: (prefix: Uint8Array) => boolean) {
    this.#passes = passes;
  }

  /** Somebody has subscribed, or nobody does any more. @returns whether that passes upstream */
  change(prefix: Uint8Array, on: boolean): boolean {
    const key = Buffer.from(prefix).toString("latin1");
    if (on) {
      const told = this.#passes(prefix);
      this.#asked.set(key, told);
      return told;
    }
    const told = this.#asked.get(key);
    this.#asked.delete(key);
    return told !== false;
  }

  /** The rules have changed. @returns what is to be told upstream now */
  reconsider(): readonly SubscriptionChange[] {
    const changes: SubscriptionChange[] = [];
    for (const [key, told] of this.#asked) {
      const prefix = Buffer.from(key, "latin1");
      const on = this.#passes(prefix);
      if (on === told) continue;
      this.#asked.set(key, on);
      changes.push({ prefix, on });
    }
    return changes;
  }
}
