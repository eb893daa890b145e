/**
 * Whether the peer is still there (37/ZMTP, Heartbeating):
 *
 *   every interval   PING: 04 "PING" | time to live 2, tenths of a second | context
 *   no traffic within the time-out after a PING: the peer is gone
 *   the peer's PING is answered with its context: 04 "PONG" | context up to 16
 *   no traffic within the peer's time to live, if it named one: gone, too
 *
 * Whatever comes counts as life. While this side does not read, because its queue
 * is full, the peer's silence means nothing; our PINGs go on, so that the peer knows
 * that we live.
 */
import { encodeCommand } from "./codec/command.js";

/** Bytes of a PING's context at most (37/ZMTP, Heartbeating); longer ones are cut. */
const MAX_CONTEXT = 16;
const NOTHING = Buffer.alloc(0);

/** All in ms. */
export interface HeartbeatOptions {
  /** Between PINGs; 0: none are sent. */
  readonly interval: number;
  /** From a PING to the peer's next traffic. */
  readonly timeout: number;
  /** What this side's PINGs tell the peer: how long it may hear nothing; 0: nothing told. */
  readonly timeToLive: number;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #send: (ping: Buffer) => void;
  readonly #onSilence: () => void;
  readonly #ping: Buffer;
  #pinging: NodeJS.Timeout;
  #waiting: NodeJS.Timeout | undefined = undefined;
  #remote: NodeJS.Timeout | undefined = undefined;
  #paused = false;

  constructor(options: HeartbeatOptions, send: (ping: Buffer) => void, onSilence: () => void) {
    this.#options = options;
    this.#send = send;
    this.#onSilence = onSilence;
    const data = Buffer.alloc(2);
    data.writeUInt16BE(Math.floor(options.timeToLive / 100));
    this.#ping = encodeCommand("PING", data);
    this.#pinging = setInterval(this.#timerOnPing, options.interval).unref();
  }

  /** The answer to a PING, or `undefined` to one that is malformed. */
  static pong(data: Buffer): Buffer | undefined {
    if (data.length < 2) return undefined;
    return encodeCommand("PONG", data.length === 2 ? NOTHING : data.subarray(2, 2 + MAX_CONTEXT));
  }

  /** The peer's PING. @returns the answer */
  ping(data: Buffer): Buffer | undefined {
    if (data.length >= 2) {
      const timeToLive = data.readUInt16BE(0) * 100;
      if (timeToLive > 0) {
        clearTimeout(this.#remote);
        this.#remote = setTimeout(this.#timerOnSilence, timeToLive).unref();
      }
    }
    return Heartbeat.pong(data);
  }

  /** Something has come. */
  heard(): void {
    if (this.#waiting !== undefined) {
      clearTimeout(this.#waiting);
      this.#waiting = undefined;
    }
    if (this.#remote !== undefined) {
      clearTimeout(this.#remote);
      this.#remote = undefined;
    }
  }

  /** This side has stopped reading. */
  pause(): void {
    this.#paused = true;
    this.heard();
  }

  resume(): void {
    this.#paused = false;
  }

  stop(): void {
    clearInterval(this.#pinging);
    this.heard();
  }

  #timerOnPing = (): void => {
    this.#send(this.#ping);
    if (!this.#paused) this.#waiting ??= setTimeout(this.#timerOnSilence, this.#options.timeout).unref();
  };

  /** Before the peer is given up, what has come meanwhile is read: this side's event loop may have been busy. */
  #timerOnSilence = (): void => {
    const waiting = this.#waiting;
    const remote = this.#remote;
    setImmediate(() => {
      const silent =
        (waiting !== undefined && waiting === this.#waiting) ||
        (remote !== undefined && remote === this.#remote);
      if (silent && !this.#paused) this.#onSilence();
    });
  };
}
