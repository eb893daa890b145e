/** State machines get one, so that tests can stop time and advance it. */
export interface Clock {
  /** Monotonic ms; only differences are meaningful. */
  now(): number;
}

export const systemClock: Clock = { now: () => performance.now() };
