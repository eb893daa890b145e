/**
 * Keeps an event loop awake when the next message is probably near, by a pending immediate: waking a thread
 * takes longer than a message between processes. A round trip of 64 bytes takes 13 to 14 µs in place of 67 (bench/NOTES.md).
 */
import { cpus } from "node:os";

/** ms without a message after which the loop sleeps. */
const MAX_GAP = 1;
/** ms between readings of the processor time (1 to 2 µs). */
const LOOK_EVERY = 1;
/** ms of polling over which its share of the processor is found. */
const LOOK_BACK = 50;
/** Polling takes all time, so a smaller share means that others want the core. */
const MIN_SHARE = 0.9;
/** ms without polling then. */
const PAUSE = 1_000;

export interface SpinEffects {
  /** ms, by a clock that does not jump. */
  now(): number;
  /** In the next turn; the loop does not sleep before it. */
  nextTurn(callback: () => void): void;
  /** ms of this thread, or of the process if that is unknown. */
  processorTime(): number;
}

/** Polls until 1 ms after the last wait or message, if the time between the last two was shorter. */
export class Spin {
  readonly #effects: SpinEffects;
  #last = 0;
  #isWaiting = false;
  #isNear = true;
  #isPolling = false;
  #pausedUntil = 0;
  #lookedAt = 0;
  #processorTime = 0;
  /** ms of polling since the last decision, and of the processor for it. */
  #polled = 0;
  #used = 0;

  constructor(effects: SpinEffects) {
    this.#effects = effects;
  }

  waits(): void {
    const now = this.#effects.now();
    // The previous wait ended without a message.
    if (this.#isWaiting && now - this.#last >= MAX_GAP) this.#isNear = false;
    this.#isWaiting = true;
    this.#last = now;
    if (this.#isPolling || !this.#polls(now)) return;
    this.#isPolling = true;
    this.#lookedAt = now;
    this.#processorTime = this.#effects.processorTime();
    this.#effects.nextTurn(this.#turn);
  }

  came(): void {
    const now = this.#effects.now();
    this.#isNear = now - this.#last < MAX_GAP;
    this.#isWaiting = false;
    this.#last = now;
  }

  #polls(now: number): boolean {
    return this.#isNear && now - this.#last < MAX_GAP && now >= this.#pausedUntil;
  }

  #turn = (): void => {
    const now = this.#effects.now();
    if (now - this.#lookedAt >= LOOK_EVERY) this.#look(now);
    this.#isPolling = this.#polls(now);
    if (this.#isPolling) this.#effects.nextTurn(this.#turn);
  };

  #look(now: number): void {
    const processorTime = this.#effects.processorTime();
    this.#polled += now - this.#lookedAt;
    this.#used += processorTime - this.#processorTime;
    this.#lookedAt = now;
    this.#processorTime = processorTime;
    if (this.#polled < LOOK_BACK) return;
    if (this.#used < MIN_SHARE * this.#polled) this.#pausedUntil = now + PAUSE;
    this.#polled = 0;
    this.#used = 0;
  }
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
