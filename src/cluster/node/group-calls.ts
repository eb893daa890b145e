/**
 * First contact by the multicast group: an isolated node calls repeatedly, since a heartbeat may be lost and other
 * nodes may start later.
 */
/** Average number of members that answer an unknown node. */
const GREETERS = 4;
/** After the start; the last one repeats. */
const CALLS = [100, 300, 1_000, 2_000, 5_000];

/** Answers of all members would be a storm. @param size live members, including this node and nodes in admission */
export function answersStranger(size: number): boolean {
  return Math.random() < GREETERS / size;
}

export interface GroupCallsEffects {
  isAlone(): boolean;
  call(): void;
}

export class GroupCalls {
  readonly #effects: GroupCallsEffects;
  #timer: NodeJS.Timeout | undefined;

  constructor(effects: GroupCallsEffects) {
    this.#effects = effects;
  }

  start(): void {
    this.#callAfter(0);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #callAfter(calls: number): void {
    const pause = CALLS[Math.min(calls, CALLS.length - 1)] as number;
    const timer = setTimeout(
      () => {
        if (this.#effects.isAlone()) this.#effects.call();
        // The call may have stopped the timer.
        if (this.#timer === timer) this.#callAfter(calls + 1);
      },
      pause * (0.75 + Math.random() / 2),
    );
    this.#timer = timer;
    timer.unref();
  }
}
