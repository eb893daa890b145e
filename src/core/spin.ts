/**
 * Keeps an event loop awake when the next message is probably near, by a pending immediate: waking a thread
 * takes longer than a message between processes.
 */
import { cpus } from "node:os";
import { SpinRules } from "./spin-rules.js";

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
