/** Which listed endpoint comes next: the first, and after a failure the one behind it. */
export class EndpointChooser {
  #list: readonly string[] = [];
  #used = "";
  #failed = false;

  constructor(list: readonly string[]) {
    this.follow(list);
  }

  get list(): readonly string[] {
    return this.#list;
  }

  /** The one chosen last, perhaps not listed any more; "" before. */
  get used(): string {
    return this.#used;
  }

  /** `undefined` while the list is empty. */
  get upcoming(): string | undefined {
    const at = this.#list.indexOf(this.#used);
    return this.#list[at >= 0 && this.#failed ? (at + 1) % this.#list.length : Math.max(0, at)];
  }

  next(): string | undefined {
    const next = this.upcoming;
    if (next === undefined) return undefined;
    this.#used = next;
    this.#failed = false;
    return next;
  }

  /** The one in use failed. */
  failed(): void {
    this.#failed = true;
  }

  /** @returns whether the one in use is listed */
  follow(list: readonly string[]): boolean {
    this.#list = [...new Set(list)];
    return this.#list.includes(this.#used);
  }
}
