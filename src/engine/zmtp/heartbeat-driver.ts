/** Time and writes for the rules of heartbeats (heartbeat.ts). */
import { systemClock } from "../../core/clock.js";
import { Heartbeat, type HeartbeatOptions, pingCommand, type WriteState } from "./heartbeat.js";

const MAX_DELAY = 2_147_483_647;

export interface HeartbeatLink extends WriteState {
  /** Hands a command to the kernel, unless it is full. */
  sendPing(body: Buffer): void;
  /** The peer is gone; may be called again until `stop`. */
  heartbeatOnGone(): void;
}

export class HeartbeatDriver {
  readonly #rules: Heartbeat;
  readonly #link: HeartbeatLink;
  readonly #timeToLive: number;
  #timer: NodeJS.Timeout | undefined = undefined;
  #wakesAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(options: HeartbeatOptions, link: HeartbeatLink) {
    this.#rules = new Heartbeat(options, systemClock.now());
    this.#link = link;
    this.#timeToLive = options.timeToLive;
    this.#arm();
  }

  get owedSince(): number | undefined {
    return this.#rules.owedSince;
  }

  ping(data: Buffer): Buffer | undefined {
    const pong = this.#rules.ping(data, systemClock.now());
    this.#arm();
    return pong;
  }

  heard(): void {
    const rules = this.#rules;
    rules.heard(rules.timed ? systemClock.now() : 0);
  }

  pause(): void {
    this.#rules.pause();
  }

  resume(): void {
    this.#rules.resume(systemClock.now());
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    const { next } = this.#rules;
    if (this.#stopped || next >= this.#wakesAt || next === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.#timer);
    this.#wakesAt = next;
    const delay = Math.ceil(next - systemClock.now());
    this.#timer = setTimeout(this.#timerOnStep, Math.min(MAX_DELAY, Math.max(1, delay))).unref();
  }

  #timerOnStep = (): void => {
    this.#wakesAt = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    for (;;) {
      const step = this.#rules.step(systemClock.now(), this.#link);
      if (step === "gone") {
        // The event loop may have been busy, so pending input is read first.
        setImmediate(() => this.#immediateOnGone());
        return;
      }
      if (step === undefined || this.#stopped) break;
      this.#link.sendPing(pingCommand(this.#timeToLive));
      this.#rules.pinged(systemClock.now(), this.#link);
    }
    this.#arm();
  };

  #immediateOnGone(): void {
    if (this.#stopped) return;
    if (this.#rules.step(systemClock.now(), this.#link) === "gone") this.#link.heartbeatOnGone();
    else this.#timerOnStep();
  }
}
