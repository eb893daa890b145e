/**
 * The bytes that all peers of one socket may have in its receive queues together (`maxReceiveQueueBytes`). A message of
 * each peer fits its own mark; thousands of peers with a message each would still fill the memory.
 *
 *   whole messages at the bound  -> a peer that brings more is read no further, until the program has taken half of them
 *   unfinished at half of it     -> peers in the middle of a large message wait for the one that began first
 *
 * The one that the others wait for has to get on: a peer that begins large messages and stops must not hold them up.
 */

/** Bytes of an unfinished message from which on it counts: less of one passes at any time. */
const LARGE = 65_536;
/** ms in which a peer that others wait for has to bring so many bytes, or its message's end. */
const STALL_TIME = 10_000;

/** What the budget does to a pipe. */
export interface BudgetedPipe {
  /** Bytes of the message that is arriving. */
  readonly unfinished: number;
  /** Whether this side does not read it, for whatever reason. */
  readonly paused: boolean;
  budgetOnFull(): void;
  budgetOnRoom(): void;
  /** It holds others up. */
  budgetOnStall(): void;
}

export class ReceiveBudget {
  /** Bytes of whole messages, of all pipes. */
  #whole = 0;
  /** Bytes of unfinished large messages, of all pipes. */
  #unfinished = 0;
  readonly #limit: () => number;
  /** Pipes in the middle of a large message, with its bytes so far; the first to begin is first. */
  readonly #large = new Map<BudgetedPipe, number>();
  /** Those that wait for the program to take messages. */
  readonly #full = new Set<BudgetedPipe>();
  /** Those that wait for the end of another peer's message. */
  readonly #behind = new Set<BudgetedPipe>();
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param limit bytes; asked again each time, since the program may change it. 0: no limit */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** A pipe has got, or given, so many bytes of whole messages. */
  add(bytes: number): void {
    this.#whole += bytes;
    if (bytes < 0 && this.#full.size > 0) this.#relieve();
  }

  /** What a pipe has of a message that is still arriving, after it has brought something. */
  arriving(pipe: BudgetedPipe, unfinished: number): void {
    if (unfinished < LARGE && !this.#large.has(pipe)) return;
    this.#unfinished += unfinished - (this.#large.get(pipe) ?? 0);
    if (unfinished > 0) this.#large.set(pipe, unfinished);
    else this.#done(pipe);
  }

  /** Stops the pipe if there is no room for what it would bring next. */
  check(pipe: BudgetedPipe): void {
    const limit = this.#limit();
    if (limit === 0) return;
    if (this.#whole > 0 && this.#whole + this.#unfinished >= limit) {
      this.#full.add(pipe);
      pipe.budgetOnFull();
    } else if (this.#unfinished >= limit / 2 && this.#large.has(pipe) && pipe !== this.#first) {
      this.#behind.add(pipe);
      this.#timer ??= this.#watch();
      pipe.budgetOnFull();
    }
  }

  /** It brings nothing more; what it has brought counts until it is taken. */
  forget(pipe: BudgetedPipe): void {
    this.arriving(pipe, 0);
    this.#full.delete(pipe);
    this.#behind.delete(pipe);
    if (this.#behind.size === 0) this.#stopWatching();
  }

  get #first(): BudgetedPipe | undefined {
    for (const pipe of this.#large.keys()) return pipe;
    return undefined;
  }

  #relieve(): void {
    const limit = this.#limit();
    if (limit > 0 && this.#whole > Math.max(0, limit - this.#unfinished) / 2) return;
    for (const pipe of [...this.#full]) {
      this.#full.delete(pipe);
      pipe.budgetOnRoom();
    }
  }

  /** A large message is whole, or its peer has left: it is another's turn. */
  #done(pipe: BudgetedPipe): void {
    if (!this.#large.delete(pipe)) return;
    if (this.#full.size > 0) this.#relieve();
    if (this.#behind.size === 0) return;
    const crowded = this.#unfinished >= this.#limit() / 2;
    for (const waiting of [...this.#behind]) {
      if (crowded && waiting !== this.#first) continue;
      this.#behind.delete(waiting);
      waiting.budgetOnRoom();
    }
    this.#stopWatching();
    if (this.#behind.size > 0) this.#timer = this.#watch();
  }

  /** Looks at the first after a while: has it got on? */
  #watch(): NodeJS.Timeout {
    const first = this.#first;
    const before = first?.unfinished ?? 0;
    const look = (): void => {
      this.#timer = undefined;
      if (this.#behind.size === 0) return;
      // A first that is not read cannot get on: the program takes nothing.
      if (first !== undefined && first === this.#first && !first.paused && first.unfinished < before + LARGE)
        first.budgetOnStall();
      if (this.#behind.size > 0) this.#timer ??= this.#watch();
    };
    return setTimeout(look, STALL_TIME).unref();
  }

  #stopWatching(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
