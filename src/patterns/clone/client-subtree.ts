/** The part of the map that a client has, and how it sees that an update of it is missing (chains.ts). */
import { chainName, chainValue } from "./chains.js";

export class ClientSubtree {
  readonly #prefix: Buffer;
  /** The name of the subtree's chain at this server. */
  #chain: string | undefined;

  /** @param prefix none: the whole map */
  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  get chain(): string | undefined {
    return this.#chain;
  }

  /** Whether it is known which update came before another. */
  get known(): boolean {
    return this.#whole || this.#chain !== undefined;
  }

  is(subtree: Buffer): boolean {
    return subtree.equals(this.#prefix);
  }

  has(key: Buffer): boolean {
    const { length } = this.#prefix;
    return length === 0 || (key.length >= length && key.compare(this.#prefix, 0, length, 0, length) === 0);
  }

  /** The server has said how it numbers the subtree. @param properties of a KTHXBAI */
  learn(properties: Buffer): void {
    this.#chain = this.#whole ? undefined : chainName(properties);
  }

  /** Another server, or the same anew. */
  forget(): void {
    this.#chain = undefined;
  }

  /** The update before this one, among those that this client gets; 0 when nobody says. */
  previous(sequence: number, properties: Buffer): number {
    if (this.#whole) return sequence - 1;
    return this.#chain === undefined ? 0 : (chainValue(properties, this.#chain) ?? 0);
  }

  /** The last update that this client should have, by a HUGZ; 0 when nobody says. */
  latest(sequence: number, properties: Buffer): number {
    if (this.#whole) return sequence;
    return this.#chain === undefined ? 0 : (chainValue(properties, this.#chain) ?? 0);
  }

  get #whole(): boolean {
    return this.#prefix.length === 0;
  }
}
