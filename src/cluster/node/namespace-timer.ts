/**
 * The single timer of a cluster. When it fires late, sockets are read first, so that timely answers are not missed. The
 * timer also measures the event loop's delay, and compares the wall clock with the monotonic one, which stops while the
 * host is suspended.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { DriverTimer } from "../../core/timers.js";
import { MACHINE, type Platform } from "../../engine/zmtp/transport/transports.js";

export interface NamespaceTimed {
  nextWakeUp(): number;
  tick(): void;
  stalled(ms: number): void;
}

export class NamespaceTimer {
  readonly #timed: NamespaceTimed;
  /** Minimum ms of a counted delay. */
  readonly #threshold: number;
  /** ms between samples of the event loop, each of which wakes the process. */
  readonly #resolution: number;
  readonly #loop: ReturnType<typeof monitorEventLoopDelay> | undefined;
  /** Pauses of the process count. */
  readonly #timer = new DriverTimer(Number.POSITIVE_INFINITY);
  #isReading = false;
  #stopped = false;
  #wallOffset = 0;
  #lookedAt = 0;
  #worst = 0;
  #worstBefore = 0;
  #minuteAt = 0;
  stalls = 0;

  constructor(platform: Platform, probeTimeout: number, timed: NamespaceTimed) {
    this.#timed = timed;
    this.#threshold = Math.max(50, probeTimeout / 2);
    this.#resolution = Math.floor(Math.min(this.#threshold, 100));
    // In virtual time the real event loop is irrelevant.
    if (platform === MACHINE) this.#loop = monitorEventLoopDelay({ resolution: this.#resolution });
  }

  /** In the last one to two minutes, ms; 0 if not measured. */
  get loopDelay(): number {
    return Math.max(this.#worst, this.#worstBefore);
  }

  start(): void {
    this.#wallOffset = Date.now() - performance.now();
    this.#loop?.enable();
    this.#timer.start({
      nextWakeUp: () => (this.#isReading ? undefined : this.#timed.nextWakeUp()),
      tick: (now) => this.#onFired(now),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer.stop();
    this.#loop?.disable();
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
    this.#readFirst(late > this.#threshold ? 64 : 1, late);
  }

  #readFirst(turns: number, late: number): void {
    setImmediate(() => {
      if (turns > 1) this.#readFirst(turns - 1, late);
      else this.#tick(late);
    });
  }

  #tick(late: number): void {
    this.#isReading = false;
    if (this.#stopped) return;
    this.#look(performance.now(), late);
    this.#timed.tick();
    this.update();
  }

  #noteDelay(now: number, delay: number): void {
    if (now - this.#minuteAt >= 60_000) {
      this.#minuteAt = now;
      this.#worstBefore = this.#worst;
      this.#worst = 0;
    }
    this.#worst = Math.max(this.#worst, delay);
  }

  /** @param late ms, which the rules see themselves */
  #look(now: number, late: number): void {
    const loop = this.#loop;
    if (loop !== undefined && now - this.#lookedAt >= this.#threshold) {
      this.#lookedAt = now;
      const delay = Math.max(0, loop.max / 1e6 - this.#resolution);
      loop.reset();
      this.#noteDelay(now, delay);
      if (delay > this.#threshold) this.stalls += 1;
      if (late < this.#threshold && delay > this.#threshold) this.#timed.stalled(delay);
    }
    const offset = Date.now() - now;
    // Less is an adjustment of the wall clock.
    if (offset - this.#wallOffset > 2_000) this.#timed.stalled(this.#threshold * 2);
    this.#wallOffset = offset;
  }
}
