/**
 * Keeps an event loop awake when the next message is probably near, by a pending immediate: waking a thread
 * takes longer than a message between processes.
 */
import { cpus } from "node:os";

/** ms between readings of the processor time (1 to 2 µs). */
const LOOK_EVERY = 1;

export interface SpinEffects {
  /** ms, by a clock that does not jump. */
  now(): number;
  /** In the next turn; the loop does not sleep before it. */
  nextTurn(callback: () => void): void;
  /** ms of this thread, or of the process if that is unknown. */
  processorTime(): number;
}

export class Spin {
  readonly #effects: SpinEffects;
  readonly #rules = new SpinRules();
  #isPolling = false;
  #lookedAt = 0;
  #processorTime = 0;

  constructor(effects: SpinEffects) {
    this.#effects = effects;
  }

  waits(): void {
    const now = this.#effects.now();
    if (!this.#rules.waits(now) || this.#isPolling) return;
    this.#isPolling = true;
    this.#lookedAt = now;
    this.#processorTime = this.#effects.processorTime();
    this.#effects.nextTurn(this.#turn);
  }

  came(): void {
    this.#rules.came(this.#effects.now());
  }

  #turn = (): void => {
    const now = this.#effects.now();
    if (now - this.#lookedAt >= LOOK_EVERY) {
      const used = this.#effects.processorTime();
      this.#rules.ran(now - this.#lookedAt, used - this.#processorTime, now);
      this.#lookedAt = now;
      this.#processorTime = used;
    }
    this.#isPolling = this.#rules.turn(now);
    if (this.#isPolling) this.#effects.nextTurn(this.#turn);
  };
}

/** `undefined` on a single core, and on Windows, which counts in steps of 16 ms. */
export function spinHere(): Spin | undefined {
  spin ??= canSpin() ? new Spin(EFFECTS) : null;
  return spin ?? undefined;
}

let spin: Spin | null | undefined;

/** Exists from Node.js 23.9. */
const { threadCpuUsage } = process as { readonly threadCpuUsage?: () => NodeJS.CpuUsage };

const EFFECTS: SpinEffects = {
  now: () => performance.now(),
  nextTurn: (callback) => void setImmediate(callback),
  processorTime: () => {
    const { user, system } = threadCpuUsage === undefined ? process.cpuUsage() : threadCpuUsage();
    return (user + system) / 1_000;
  },
};

function canSpin(): boolean {
  return cpus().length > 1 && process.platform !== "win32";
}

/** ms without a message after which the loop sleeps. */
const MAX_GAP = 1;
const FIRST_CREDIT = 4;
const MAX_CREDIT = 8;
/** The share of time for other processes, and ms above it before a pause. */
const SPARE_SHARE = 0.05;
const MAX_STOLEN = 5;
/** ms without polling after contention for the core. */
const MIN_PAUSE = 100;
const MAX_PAUSE = 10_000;
/** ms after a pause from which the next is again the shortest. */
const FORGIVEN_AFTER = 1_000;

/**
 * Decides whether the event loop polls instead of sleeping.
 *
 *   waits, came:   the time since the last of them is a gap, which predicts the next one
 *   turn:          polls until 1 ms after the last of them, while recent gaps were short
 *   ran:           polling takes all time; if others got more than a twentieth, it pauses for 100 ms to 10 s
 *
 * A long gap halves the credit; a short one adds to it.
 */
class SpinRules {
  #last = 0;
  #waiting = false;
  #credit = FIRST_CREDIT;
  #stolen = 0;
  #pause = MIN_PAUSE;
  #pausedUntil = 0;

  waits(now: number): boolean {
    // The previous wait ended without a message.
    if (this.#waiting && now - this.#last >= MAX_GAP) this.#credit >>= 1;
    this.#waiting = true;
    this.#last = now;
    return this.turn(now);
  }

  came(now: number): void {
    this.#credit = now - this.#last < MAX_GAP ? Math.min(this.#credit + 1, MAX_CREDIT) : this.#credit >> 1;
    this.#last = now;
    this.#waiting = false;
  }

  turn(now: number): boolean {
    return now - this.#last < MAX_GAP && this.#credit > 0 && now >= this.#pausedUntil;
  }

  /** The loop polled for `time` ms, `processorTime` of them on the processor. */
  ran(time: number, processorTime: number, now: number): void {
    const stolen = time - processorTime;
    this.#stolen = Math.max(0, this.#stolen + stolen - SPARE_SHARE * time);
    if (this.#stolen <= MAX_STOLEN) return;
    this.#stolen = 0;
    this.#pause = now - this.#pausedUntil < FORGIVEN_AFTER ? Math.min(2 * this.#pause, MAX_PAUSE) : MIN_PAUSE;
    this.#pausedUntil = now + this.#pause;
  }
}
