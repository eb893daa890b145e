/**
 * Runs that take turns: all processes of the others are stopped (SIGSTOP) meanwhile. A machine whose speed changes
 * within seconds then slows all implementations alike. What a side measures in seconds is corrected for the others'
 * turns; a single message that is on its way at the end of a turn takes that much longer. A runner that is killed by SIGKILL leaves them stopped.
 */
import { deferred, type SideProcess } from "./side-process.js";

/** ms of a turn: long beside the emptying of caches, short beside a machine's changes. */
const TURN = 250;
/** ms of the turns of all others: patterns take a peer that is silent for two seconds as lost. */
const MOST_PAUSE = 1_000;

/** One run's place in the turns. */
export class Turn {
  /** Number of these runs. */
  readonly of: number;
  readonly #sides: SideProcess[] = [];
  readonly #pauses: { readonly from: number; until: number }[] = [];
  readonly #opened = deferred<void>();
  readonly #first = deferred<void>();

  constructor(of: number) {
    this.of = of;
  }

  add(side: SideProcess): void {
    this.#sides.push(side);
  }

  /** The run's sides are ready. Settles with its first turn. */
  opened(): Promise<void> {
    this.#opened.resolve();
    return this.#first.promise;
  }

  /**
   * Seconds of the others' turns within a side's last `seconds`, whose end was heard at `ended`. Their begin is computed:
   * a side may be stopped between its line and its clock. A line heard in the others' turn was written before it.
   */
  pausedWithin(seconds: number, ended: number): number {
    let until = ended;
    let sum = 0;
    for (const pause of this.#pauses.toReversed())
      if (until < pause.until) until = Math.min(until, pause.from);
      else sum += Math.max(0, pause.until - Math.max(pause.from, until - 1_000 * seconds));
    return sum / 1_000;
  }

  /** Starts all runs, one after the other and none stopped, then lets them work in turns until all have ended. */
  static async all<T>(runs: readonly ((turn: Turn) => Promise<T>)[]): Promise<T[]> {
    const lanes = new Map<Turn, Promise<unknown>>();
    const results: Promise<T>[] = [];
    for (const run of runs) {
      const turn = new Turn(runs.length);
      const result = run(turn);
      results.push(result);
      const ended = result.catch(() => undefined).then(() => lanes.delete(turn));
      lanes.set(turn, ended);
      await Promise.race([turn.#opened.promise, ended]);
    }
    for (const turn of lanes.keys()) turn.#pause();
    const time = Math.min(TURN, MOST_PAUSE / Math.max(1, runs.length - 1));
    while (lanes.size > 0)
      for (const [turn, ended] of [...lanes]) {
        turn.#resume();
        turn.#first.resolve();
        await within(time, ended);
        if (lanes.has(turn) && lanes.size > 1) turn.#pause();
      }
    return await Promise.all(results);
  }

  #pause(): void {
    for (const side of this.#sides) side.signal("SIGSTOP");
    this.#pauses.push({ from: performance.now(), until: Number.POSITIVE_INFINITY });
  }

  #resume(): void {
    const last = this.#pauses.at(-1);
    if (last?.until !== Number.POSITIVE_INFINITY) return;
    last.until = performance.now();
    for (const side of this.#sides) side.signal("SIGCONT");
  }
}

async function within(ms: number, ended: Promise<unknown>): Promise<void> {
  const time = deferred<void>();
  const timer = setTimeout(time.resolve, ms);
  await Promise.race([ended, time.promise]);
  clearTimeout(timer);
}
