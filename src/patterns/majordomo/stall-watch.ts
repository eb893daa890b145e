/**
 * Notices that nothing goes on: a count that has not changed between looks, twice in a row. Twice, since a process that stood
 * still itself comes to its timers first, and to what has ended meanwhile only then.
 *
 *   start         a look: changed     again unchanged
 *   ------> watching <----+  |  |  -------------------> stalled(), and on
 *              |  nothing to be watched
 *              +-----> idle
 */

/** ms between two looks. */
const LOOK_INTERVAL = 5;

/** Looks in a row that find nothing changed. */
const STALLED_LOOKS = 2;

export class StallWatch {
  readonly #progress: () => number | undefined;
  readonly #stalled: () => void;
  #timer: NodeJS.Timeout | undefined;
  #last: number | undefined;
  #unchanged = 0;

  /**
   * @param progress a count of what has ended; `undefined`: nothing is to be watched
   * @param stalled it has not changed for a while
   */
  constructor(progress: () => number | undefined, stalled: () => void) {
    this.#progress = progress;
    this.#stalled = stalled;
  }

  /** Begins to look, until there is nothing to be watched. Cheap when it does already. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#last = this.#progress();
    this.#unchanged = 0;
    this.#timer = setTimeout(this.#look, LOOK_INTERVAL);
    // Whether the process goes on is for the sockets to say.
    this.#timer.unref();
  }

  #look = (): void => {
    const now = this.#progress();
    if (now === undefined) {
      this.#timer = undefined;
      return;
    }
    this.#unchanged = now === this.#last ? this.#unchanged + 1 : 0;
    this.#last = now;
    if (this.#unchanged >= STALLED_LOOKS) {
      this.#unchanged = 0;
      this.#stalled();
    }
    this.#timer?.refresh();
  };
}
