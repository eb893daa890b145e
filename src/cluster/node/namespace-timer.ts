/**
 * The single timer of a cluster. When it fires late, sockets are read first, so that timely answers are not missed. The
 * timer also compares the wall clock with the monotonic one, which stops while the host is suspended.
 */
import { DriverTimer } from "../../core/timers.js";

export interface NamespaceTimed {
  nextWakeUp(): number;
  tick(): void;
  stalled(ms: number): void;
}

export class NamespaceTimer {
  readonly #timed: NamespaceTimed;
  /** ms. */
  readonly #late: number;
  /** Pauses of the process count. */
  readonly #timer = new DriverTimer(Number.POSITIVE_INFINITY);
  #isReading = false;
  #stopped = false;
  #wallOffset = 0;

  constructor(probeTimeout: number, timed: NamespaceTimed) {
    this.#timed = timed;
    this.#late = Math.max(50, probeTimeout / 2);
  }

  start(): void {
    this.#wallOffset = Date.now() - performance.now();
    this.#timer.start({
      nextWakeUp: () => (this.#isReading ? undefined : this.#timed.nextWakeUp()),
      tick: (now) => this.#onFired(now),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer.stop();
  }

  /** Must be called after any change of `nextWakeUp`. */
  update(): void {
    this.#timer.update();
  }

  #onFired(now: number): void {
    const late = now - this.#timed.nextWakeUp();
    // Usually nothing is due: the probe was answered.
    if (late < 0) return;
    this.#isReading = true;
    // A receive buffer takes several turns to read.
    this.#readFirst(late > this.#late ? 64 : 1);
  }

  #readFirst(turns: number): void {
    setImmediate(() => {
      if (turns > 1) this.#readFirst(turns - 1);
      else this.#tick();
    });
  }

  #tick(): void {
    this.#isReading = false;
    if (this.#stopped) return;
    const offset = Date.now() - performance.now();
    // Less is an adjustment of the wall clock.
    if (offset - this.#wallOffset > 2_000) this.#timed.stalled(2 * this.#late);
    this.#wallOffset = offset;
    this.#timed.tick();
    this.update();
  }
}
