/**
 * Whether the peer is still there (37/ZMTP, Heartbeating):
 *
 *   every interval   PING: 04 "PING" | time to live 2, tenths of a second | context
 *   no traffic within the time-out after a PING: the peer is gone
 *   the peer's PING is answered with its context: 04 "PONG" | context up to 16
 *   no traffic within the peer's time to live, if its last PING named one: gone, too
 *
 * The time to live holds whether this side sends PINGs or not, and from each traffic on anew until a PING changes it:
 * libzmq forgets it with the first traffic, and would not notice a peer that falls silent right after.
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
  /** Between PINGs; 0: none are sent, and only the peer's own time to live counts. */
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
  readonly #pinging: NodeJS.Timeout | undefined;
  #waiting: NodeJS.Timeout | undefined = undefined;
  /** The peer's time to live, in ms; 0: it named none. */
  #timeToLive = 0;
  #remote: NodeJS.Timeout | undefined = undefined;
  #paused = false;
  /** Counts what has come, and what else makes a silence that was measured mean nothing. */
  #heard = 0;

  constructor(options: HeartbeatOptions, send: (ping: Buffer) => void, onSilence: () => void) {
    this.#options = options;
    this.#send = send;
    this.#onSilence = onSilence;
    const data = Buffer.alloc(2);
    data.writeUInt16BE(Math.floor(options.timeToLive / 100));
    this.#ping = encodeCommand("PING", data);
    this.#pinging =
      options.interval > 0 ? setInterval(this.#timerOnPing, options.interval).unref() : undefined;
  }

  /** The answer to a PING, or `undefined` to one that is malformed. */
  static pong(data: Buffer): Buffer | undefined {
    if (data.length < 2) return undefined;
    return encodeCommand("PONG", data.length === 2 ? NOTHING : data.subarray(2, 2 + MAX_CONTEXT));
  }

  /** The peer's PING. @returns the answer */
  ping(data: Buffer): Buffer | undefined {
    if (data.length >= 2) {
      this.#timeToLive = data.readUInt16BE(0) * 100;
      this.#forgetRemote();
      this.#awaitRemote();
    }
    return Heartbeat.pong(data);
  }

  /** Something has come. */
  heard(): void {
    this.#heard += 1;
    if (this.#waiting !== undefined) {
      clearTimeout(this.#waiting);
      this.#waiting = undefined;
    }
    this.#remote?.refresh();
  }

  /** This side has stopped reading. */
  pause(): void {
    this.#paused = true;
    this.heard();
    this.#forgetRemote();
  }

  resume(): void {
    this.#paused = false;
    this.#awaitRemote();
  }

  stop(): void {
    clearInterval(this.#pinging);
    this.heard();
    this.#forgetRemote();
    this.#timeToLive = 0;
  }

  #awaitRemote(): void {
    if (this.#timeToLive === 0 || this.#paused) return;
    this.#remote ??= setTimeout(this.#timerOnSilence, this.#timeToLive).unref();
  }

  #forgetRemote(): void {
    clearTimeout(this.#remote);
    this.#remote = undefined;
  }

  #timerOnPing = (): void => {
    this.#send(this.#ping);
    if (!this.#paused) this.#waiting ??= setTimeout(this.#timerOnSilence, this.#options.timeout).unref();
  };

  /** Before the peer is given up, what has come meanwhile is read: this side's event loop may have been busy. */
  #timerOnSilence = (): void => {
    const heard = this.#heard;
    setImmediate(() => {
      if (heard === this.#heard) this.#onSilence();
    });
  };
}
