/** Future events, by time, rank, creation. */
export interface Happening {
  /** ms since the world began. */
  readonly time: number;
  readonly rank: number;
  readonly order: number;
  /** `undefined`: cancelled or past. */
  run: (() => void) | undefined;
}

/** The order of a queue of events. */
export function before(a: Happening, b: Happening): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.rank !== b.rank ? a.rank < b.rank : a.order < b.order;
}
