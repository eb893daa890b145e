/**
 * Keeps the event loop of a thread from sleeping where the next message is probably near: to wake it takes longer than a message
 * takes from one process to another. The loop polls as long as an immediate is due; spin-rules.ts says how long that is.
 */
import { cpus } from "node:os";
import { SpinRules } from "./spin-rules.js";

/** ms of polling between two looks at the processor time used, which take a microsecond or two. */
const LOOK_EVERY = 1;

/** What it stands on. */
export interface SpinEffects {
  /** ms, by a clock that does not jump. */
  now(): number;
  /** Calls back in the next turn of the event loop, which does not sleep before that. */
  nextTurn(callback: () => void): void;
  /** ms of processor time used: by this thread, or, where that is not known, by the whole process. */
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

  /** A socket begins to wait for a message. */
  waits(): void {
    const now = this.#effects.now();
    if (!this.#rules.waits(now) || this.#isPolling) return;
    this.#isPolling = true;
    this.#lookedAt = now;
    this.#processorTime = this.#effects.processorTime();
    this.#effects.nextTurn(this.#turn);
  }

  /** Something that was waited for has come. */
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

/** That of this thread; `undefined` where there is no core to spare, or the system counts processor time in steps of 16 ms. */
export function spinHere(): Spin | undefined {
  spin ??= canSpin() ? new Spin(EFFECTS) : null;
  return spin ?? undefined;
}

let spin: Spin | null | undefined;

/** Node.js 23.9 and later have it. */
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
