/** The proxy of the package `zeromq`: messages between two sockets, both ways. */
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../core/errors.js";
import type { MessageLike } from "../sockets/message.js";
import type { Readable } from "../sockets/readable.js";
import { Socket } from "../sockets/socket.js";
import type { Writable } from "../sockets/writable.js";

/** Messages moved at once. */
const BATCH = 256;

type Capture = (from: "frontend" | "backend", frames: readonly Buffer[]) => void;

type Source = Socket & Partial<Readable<Buffer[]>>;
type Target = Socket & Partial<Writable<MessageLike[]>>;

/**
 * Passes messages from one socket to another and, where both can, back. Frames
 * pass as they are. A side that is mute stops the reading of the other.
 */
// biome-ignore lint/suspicious/noShadowRestrictedNames: the name that programs for the package zeromq import
export class Proxy<F extends Socket = Socket, B extends Socket = Socket> {
  readonly #frontEnd: F;
  readonly #backEnd: B;
  readonly #capture: Capture | undefined;
  readonly #stop = new AbortController();
  #started = false;
  #running = false;
  #paused: Promise<void> | undefined;
  #resume: (() => void) | undefined;

  /**
   * The sockets have no codec, and at least one direction to pass messages in.
   *
   * @param capture told of each message when it has passed, with the side it came from, in order; such as an
   *   `EspressoTap` gives. It must be quick, throw nothing and leave the frames as they are.
   * @throws InvalidArgumentError `EINVAL` for what is no socket
   */
  constructor(
    frontEnd: F,
    backEnd: B,
    capture?: (from: "frontend" | "backend", frames: readonly Buffer[]) => void,
  ) {
    for (const socket of [frontEnd, backEnd] as unknown[]) {
      if (!(socket instanceof Socket)) throw new InvalidArgumentError("A proxy stands between two sockets");
    }
    if (capture !== undefined && typeof capture !== "function")
      throw new InvalidArgumentError(`A proxy's capture is a function; got ${typeof capture}`);
    this.#frontEnd = frontEnd;
    this.#backEnd = backEnd;
    this.#capture = capture;
  }

  get frontEnd(): F {
    return this.#frontEnd;
  }

  get backEnd(): B {
    return this.#backEnd;
  }

  /**
   * Runs until {@link terminate}, or until one of the sockets is closed; both are closed then.
   *
   * @throws InvalidArgumentError `EINVAL` when a socket is neither bound nor connected, or no message could pass
   * @throws InvalidStateError `EFSM` when it ran before
   */
  async run(): Promise<void> {
    if (this.#started) throw new InvalidStateError("EFSM", "A proxy runs once");
    for (const [name, socket] of [
      ["front-end", this.#frontEnd],
      ["back-end", this.#backEnd],
    ] as const) {
      if (socket.lastEndpoint === null || socket.closed)
        throw new InvalidArgumentError(`The ${name} socket must be bound or connected`);
    }
    const flows = [
      this.#flow(this.#frontEnd, this.#backEnd, "frontend"),
      this.#flow(this.#backEnd, this.#frontEnd, "backend"),
    ];
    const possible = flows.filter((flow) => flow !== undefined);
    if (possible.length === 0)
      throw new InvalidArgumentError("Neither socket can send what the other receives");
    this.#started = true;
    this.#running = true;
    try {
      await Promise.race(possible.map((flow) => flow()));
    } finally {
      this.#running = false;
      this.#stop.abort();
      await Promise.all([this.#frontEnd.close(), this.#backEnd.close()]);
    }
  }

  /**
   * Stops passing messages until {@link resume}; they queue up to the high-water marks.
   *
   * @throws ClosedError `EBADF` when the proxy does not run, as {@link resume} and {@link terminate} do
   */
  pause(): void {
    this.#assertRunning();
    this.#paused ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.#assertRunning();
    this.#paused = undefined;
    this.#resume?.();
  }

  /** Ends {@link run}. */
  terminate(): void {
    this.#assertRunning();
    this.#stop.abort();
    this.resume();
  }

  #assertRunning(): void {
    if (!this.#running) throw new ClosedError("EBADF", "The proxy does not run");
  }

  #flow(from: Source, to: Target, side: "frontend" | "backend"): (() => Promise<void>) | undefined {
    if (from.receiveMany === undefined || to.send === undefined) return undefined;
    const { signal } = this.#stop;
    const capture = this.#capture;
    return async () => {
      try {
        while (!signal.aborted) {
          if (this.#paused !== undefined) {
            await this.#paused;
            continue;
          }
          const messages = await (from as Readable<Buffer[]>).receiveMany({ max: BATCH, signal });
          // What came just before a pause waits here.
          while (this.#paused !== undefined) await this.#paused;
          for (const message of messages) {
            await (to as Writable<MessageLike[]>).send(message, { signal });
            capture?.(side, message);
          }
        }
      } catch (error) {
        if (!signal.aborted && !from.closed && !to.closed) throw error;
      }
    };
  }
}
