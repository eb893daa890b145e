/**
 * Whether the peer is still there (37/ZMTP, Heartbeating). Rules only: no clock, no timer, no socket; those are in
 * heartbeat-driver.ts.
 *
 *   every interval   PING: 04 "PING" | time to live 2, tenths of a second | context
 *   the peer's PING is answered with its context: 04 "PONG" | context up to 16
 *
 *   quiet --a PING left, or the kernel was full--> waiting --timeout over--> gone
 *     ^                                              |
 *     +--bytes came, or a full kernel took some------+
 *
 * Bytes in either direction are a sign of life: a peer that reads slowly what waits for it answers no PING that is behind it, and a
 * kernel that was full takes more only when the peer has made room.
 *
 * With `whenIdle: false` there are PINGs only for messages: one an interval after a message on which no other followed that came after something
 * of the peer's. What comes says nothing of the last message, since it may answer an earlier one, but the answer to that PING does. A link at rest costs
 * nothing then; one that is cut meanwhile is noticed an interval and a timeout after the next message.
 *
 * No traffic within the peer's time to live, if its last PING named one: gone, too. That holds whether this side sends
 * PINGs or not, and from each traffic on again until a PING changes it: libzmq forgets it with the first traffic, and would
 * not notice a peer that falls silent right after.
 *
 * While this side does not read, because its queue is full, the peer's silence means nothing; our PINGs go on, so that the
 * peer knows that we live.
 */
import { encodeCommand } from "./codec/command.js";

/** Bytes of a PING's context at most (37/ZMTP, Heartbeating); longer ones are cut. */
const MAX_CONTEXT = 16;
const NOTHING = Buffer.alloc(0);

/** All in ms. */
export interface HeartbeatOptions {
  /** Between PINGs; 0: none are sent, and only the peer's own time to live counts. */
  readonly interval: number;
  /** Whether PINGs go, too, while nothing was sent since the last one. */
  readonly whenIdle: boolean;
  /** From a PING to the next traffic, at most; 0: no limit. */
  readonly timeout: number;
  /** How long the peer may receive nothing, as this side's PINGs state it; 0: they state nothing. */
  readonly timeToLive: number;
}

/** The writing side of a link. */
export interface WriteState {
  /** The kernel has not taken yet what it was given. */
  readonly blocked: boolean;
  /** Bytes that the kernel has taken since the link was made. */
  readonly taken: number;
}

/** What the driver is to do. */
export type HeartbeatStep = "ping" | "gone" | undefined;

/** The body of a PING. @param timeToLive ms */
export function pingCommand(timeToLive: number): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(Math.floor(timeToLive / 100));
  return encodeCommand("PING", data);
}

/** The answer to a PING, or `undefined` to one that is malformed. */
export function pongCommand(data: Buffer): Buffer | undefined {
  if (data.length < 2) return undefined;
  return encodeCommand("PONG", data.length === 2 ? NOTHING : data.subarray(2, 2 + MAX_CONTEXT));
}

/** Of one connection. Times are in ms on any scale that only goes forward. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  /** The same with 0 as what it means. */
  readonly #timeout: number;
  #nextPing: number;
  /** Messages have gone since the last PING. */
  #hasSent = false;
  /** Since when the peer has owed something; `undefined`: it does not. */
  #since: number | undefined = undefined;
  /** Something has come since the last step. */
  #heard = false;
  #lastHeard: number;
  /** As of the last step. */
  #blocked = false;
  #taken = 0;
  /** The peer's time to live, in ms; 0: it named none. */
  #timeToLive = 0;
  #paused = false;

  constructor(options: HeartbeatOptions, now: number) {
    this.#options = options;
    const { interval, timeout } = options;
    this.#timeout = timeout === 0 ? Number.POSITIVE_INFINITY : timeout;
    this.#nextPing = interval > 0 && options.whenIdle ? now + interval : Number.POSITIVE_INFINITY;
    this.#lastHeard = now;
  }

  /** Whether `heard` needs the time. */
  get timed(): boolean {
    return this.#timeToLive > 0;
  }

  /** Something has come. @param now only where `timed` */
  heard(now: number): void {
    this.#heard = true;
    this.#lastHeard = now;
  }

  /** Whether messages that go concern it: no PING is to come, or one that may come later, since something has come. */
  get awaitsSends(): boolean {
    const { interval, whenIdle } = this.#options;
    return interval > 0 && !whenIdle && (this.#heard || this.#nextPing === Number.POSITIVE_INFINITY);
  }

  /** Messages have gone; only where `awaitsSends`. */
  sent(now: number): void {
    if (this.#heard) this.#quiet();
    this.#hasSent = true;
    this.#nextPing = now + this.#options.interval;
  }

  /** The peer's PING. @returns the answer */
  ping(data: Buffer, now: number): Buffer | undefined {
    if (data.length >= 2) {
      this.#timeToLive = data.readUInt16BE(0) * 100;
      this.heard(now);
    }
    return pongCommand(data);
  }

  /** This side has stopped reading. */
  pause(): void {
    this.#paused = true;
    this.#heard = true;
  }

  /** It reads again. */
  resume(now: number): void {
    this.#paused = false;
    this.heard(now);
    const { interval, whenIdle } = this.#options;
    if (whenIdle || interval === 0) return;
    // Whether something is owed since before is not known.
    this.#quiet();
    this.#nextPing = now + interval;
  }

  /** When `step` is wanted next. */
  get next(): number {
    let next = this.#nextPing;
    if (this.#since !== undefined) next = Math.min(next, this.#since + this.#timeout);
    if (this.timed && !this.#paused) next = Math.min(next, this.#lastHeard + this.#timeToLive);
    return next;
  }

  /**
   * What is due now, one thing after the other until there is nothing.
   *
   * @returns `ping`: send one, then call `pinged`; `gone`: the peer is, unless the next step, after what has come was read, finds
   *   otherwise
   */
  step(now: number, link: WriteState): HeartbeatStep {
    if (this.#heard && !this.#options.whenIdle && !this.#hasSent) this.#nextPing = Number.POSITIVE_INFINITY;
    // A kernel that was full takes more only when the peer has made room.
    if (this.#heard || (this.#blocked && link.taken > this.#taken)) this.#quiet();
    this.#note(link);
    if (this.#isGone(now)) return "gone";
    if (now >= this.#nextPing) {
      // In step with the interval, unless steps were missed.
      const { interval } = this.#options;
      this.#nextPing = Math.max(this.#nextPing, now - interval) + interval;
      this.#hasSent = false;
      return "ping";
    }
    return undefined;
  }

  /** Since when the peer has owed an answer; `undefined`: it owes none, or something has come by now. */
  get owedSince(): number | undefined {
    return this.#heard ? undefined : this.#since;
  }

  /** A PING has left, or could not because the kernel is full: either way something of the peer's has to follow. */
  pinged(now: number, link: WriteState): void {
    this.#note(link);
    if (!this.#paused && this.#since === undefined) this.#since = now;
  }

  #isGone(now: number): boolean {
    if (this.timed && !this.#paused && now >= this.#lastHeard + this.#timeToLive) return true;
    return this.#since !== undefined && now >= this.#since + this.#timeout;
  }

  /** The peer owes nothing. */
  #quiet(): void {
    this.#heard = false;
    this.#since = undefined;
  }

  #note({ blocked, taken }: WriteState): void {
    this.#blocked = blocked;
    this.#taken = taken;
  }
}
