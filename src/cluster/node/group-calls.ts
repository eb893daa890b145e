/**
 * How nodes that do not know each other meet by the multicast group: one that is alone calls again and again, since a beat may be
 * lost and the others may start later, and of those that hear a stranger a few answer.
 */

/** Of strangers whose beats come by the group, so many members answer on average. */
const GREETERS = 4;
/** ms after the start at which a node that is still alone calls again; the last one repeats. */
const CALLS = [100, 300, 1_000, 2_000, 5_000];

/** Whether this member answers a stranger: by all of them it would be a storm. @param size live members, this node and those that are being met included */
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
        // The call may have stopped it.
        if (this.#timer === timer) this.#callAfter(calls + 1);
      },
      pause * (0.75 + Math.random() / 2),
    );
    this.#timer = timer;
    timer.unref();
  }
}
