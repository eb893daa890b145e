/** The lengths that occur among a collection of prefixes, ascending: a topic is looked up once for each. Pure. */
export class LengthSet {
  readonly #counts = new Map<number, number>();
  #sorted: readonly number[] = [];

  get sorted(): readonly number[] {
    return this.#sorted;
  }

  add(length: number): void {
    const count = this.#counts.get(length) ?? 0;
    this.#counts.set(length, count + 1);
    if (count === 0) this.#sort();
  }

  remove(length: number): void {
    const count = this.#counts.get(length) ?? 0;
    if (count > 1) this.#counts.set(length, count - 1);
    else if (this.#counts.delete(length)) this.#sort();
  }

  #sort(): void {
    this.#sorted = [...this.#counts.keys()].sort((a, b) => a - b);
  }
}
