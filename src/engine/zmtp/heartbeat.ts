/**
 * Detects dead peers (37/ZMTP, Heartbeating): Heartbeat has the rules and is pure, HeartbeatDriver has the clock.
 *
 *   an interval after the last input, or every interval if the PINGs have a time to live
 *                    PING: 04 "PING" | time to live 2, tenths of a second | context
 *
 *   the peer's PING is answered with its context: 04 "PONG" | context up to 16
 *
 *   quiet --a PING left, or the kernel was full--> waiting --timeout over--> gone
 *     ^                                              |
 *     +--bytes came, or a full kernel took some------+
 *
 * Bytes in either direction show life: a full kernel takes bytes only after the peer has made room.
 *
 * A peer silent for its own time to live is gone, too. Silence means nothing while reading is paused.
 */

import { systemClock } from "../../core/timers.js";
import { MAX_TIMEOUT } from "../../core/waiter.js";
import { encodeCommand } from "./codec/command.js";

/** Most bytes of a PING's context (37/ZMTP, Heartbeating). */
const MAX_CONTEXT = 16;
const NOTHING = Buffer.alloc(0);

/** Times in ms. */
export interface HeartbeatOptions {
  /** Between PINGs; 0: none, but the peer's time to live still applies. */
  readonly interval: number;
  /** From a PING to the next traffic; 0: no limit. */
  readonly timeout: number;
  /** In this side's PINGs; 0: none. */
  readonly timeToLive: number;
}

export interface WriteState {
  readonly blocked: boolean;
  /** Bytes taken by the kernel since the link was made. */
  readonly taken: number;
}

export type HeartbeatStep = "ping" | "gone" | undefined;

export function pingCommand(timeToLive: number): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(Math.floor(timeToLive / 100));
  return encodeCommand("PING", data);
}

export function pongCommand(data: Buffer): Buffer | undefined {
  if (data.length < 2) return undefined;
  return encodeCommand("PONG", data.length === 2 ? NOTHING : data.subarray(2, 2 + MAX_CONTEXT));
}

/** Times of any monotonic clock. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timeout: number;
  #nextPing: number;
  #since: number | undefined = undefined;
  /** Input since the last step. */
  #heard = false;
  #lastHeard: number;
  #blocked = false;
  #taken = 0;
  #timeToLive = 0;
  #paused = false;

  constructor(options: HeartbeatOptions, now: number) {
    this.#options = options;
    const { interval, timeout } = options;
    this.#timeout = timeout === 0 ? Number.POSITIVE_INFINITY : timeout;
    this.#nextPing = interval > 0 ? now + interval : Number.POSITIVE_INFINITY;
    this.#lastHeard = now;
  }

  get timed(): boolean {
    return this.#timeToLive > 0;
  }

  heard(now: number): void {
    this.#heard = true;
    this.#lastHeard = now;
  }

  ping(data: Buffer, now: number): Buffer | undefined {
    if (data.length >= 2) {
      this.#timeToLive = data.readUInt16BE(0) * 100;
      this.heard(now);
    }
    return pongCommand(data);
  }

  pause(): void {
    this.#paused = true;
    this.#heard = true;
  }

  resume(now: number): void {
    this.#paused = false;
    this.heard(now);
  }

  get next(): number {
    let next = this.#nextPing;
    if (this.#since !== undefined) next = Math.min(next, this.#since + this.#timeout);
    if (this.timed && !this.#paused) next = Math.min(next, this.#lastHeard + this.#timeToLive);
    return next;
  }

  /**
   * @returns `ping`: send one, then call `pinged`; `gone`: read pending input and call again to confirm;
   * `undefined`: done
   */
  step(now: number, link: WriteState): HeartbeatStep {
    if (this.#heard || (this.#blocked && link.taken > this.#taken)) this.#quiet();
    this.#note(link);
    if (this.#isGone(now)) return "gone";
    if (now >= this.#nextPing) {
      const { interval, timeToLive } = this.#options;
      // A time to live makes the peer count on this side's PINGs.
      if (timeToLive === 0 && now < this.#lastHeard + interval) {
        this.#nextPing = this.#lastHeard + interval;
        return undefined;
      }
      this.#nextPing = Math.max(this.#nextPing, now - interval) + interval;
      return "ping";
    }
    return undefined;
  }

  /** A PING was sent, or the kernel was full. */
  pinged(now: number, link: WriteState): void {
    this.#note(link);
    if (!this.#paused && this.#since === undefined) this.#since = now;
  }

  #isGone(now: number): boolean {
    if (this.timed && !this.#paused && now >= this.#lastHeard + this.#timeToLive) return true;
    return this.#since !== undefined && now >= this.#since + this.#timeout;
  }

  #quiet(): void {
    this.#heard = false;
    this.#since = undefined;
  }

  #note({ blocked, taken }: WriteState): void {
    this.#blocked = blocked;
    this.#taken = taken;
  }
}

export interface HeartbeatLink extends WriteState {
  /** Hands a command to the kernel, unless it is full. */
  sendPing(body: Buffer): void;
  /** The peer is gone; may be called again until `stop`. */
  heartbeatOnGone(): void;
}

/** The timer and the writes of a Heartbeat. */
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

  ping(data: Buffer): Buffer | undefined {
    const pong = this.#rules.ping(data, systemClock.now());
    this.#arm();
    return pong;
  }

  heard(): void {
    this.#rules.heard(systemClock.now());
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
    this.#timer = setTimeout(this.#timerOnStep, Math.min(MAX_TIMEOUT, Math.max(1, delay))).unref();
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
