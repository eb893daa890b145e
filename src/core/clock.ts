/**
 * Where time comes from. Rules never read a clock of their own: they are handed
 * one, so that a test can hold time still and move it by hand.
 */
export interface Clock {
  /** Milliseconds on a monotonic scale; only differences mean anything. */
  now(): number;
}

/** The machine's monotonic clock. */
export const systemClock: Clock = { now: () => performance.now() };
