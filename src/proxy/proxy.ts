/** The `Proxy` of the package `zeromq`. */
import { invalidArgument } from "../core/arguments.js";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../core/errors.js";
import { countLost, listen } from "../sockets/internal.js";
import { Pump } from "../sockets/pump.js";
import type { Readable } from "../sockets/readable.js";
import { Socket } from "../sockets/socket.js";
import type { Writable } from "../sockets/writable.js";

type Capture = (from: "frontend" | "backend", frames: readonly Buffer[]) => void;

/**
 * Passes unchanged messages from one socket to another and, if the types allow it, back. A full queue stops reading
 * from the other side.
 *
 * @example
 * ```ts
 * import { Publisher, Pull, Push, Proxy as MessageProxy, Subscriber } from "shoal";
 *
 * const [frontend, backend] = [new Pull(), new Publisher()];
 * const [source, sink] = [new Push(), new Subscriber()];
 * source.connect(await frontend.bind("tcp://127.0.0.1:*"));
 * sink.connect(await backend.bind("tcp://127.0.0.1:*"));
 * sink.subscribe("");
 * await backend.waitForSubscribers();
 * new MessageProxy(frontend, backend).run();
 * await source.send("through a proxy");
 * console.log(String(await sink.receive())); // through a proxy
 * await Promise.all([source, sink, frontend, backend].map((socket) => socket.close()));
 * ```
 */
// biome-ignore lint/suspicious/noShadowRestrictedNames: the name that programs for the package zeromq import
export class Proxy<F extends Socket = Socket, B extends Socket = Socket> {
  readonly #frontEnd: F;
  readonly #backEnd: B;
  readonly #capture: Capture | undefined;
  #state: "idle" | "running" | "ended" = "idle";
  /** With their targets. */
  readonly #pumps = new Map<Pump, Socket>();
  #end: (error?: unknown) => void = () => undefined;

  /**
   * The sockets must have no codec.
   *
   * @param capture called in order with each passed message and its side, such as `EspressoTap.capture`; must be quick,
   *   not throw, and not change frames
   * @throws InvalidArgumentError `EINVAL`, also for sockets that cannot exchange messages
   */
  constructor(
    frontEnd: F,
    backEnd: B,
    capture?: (from: "frontend" | "backend", frames: readonly Buffer[]) => void,
  ) {
    for (const socket of [frontEnd, backEnd] as unknown[]) {
      if (!(socket instanceof Socket)) throw invalidArgument("A proxy's ends must be sockets", socket);
    }
    if (capture !== undefined && typeof capture !== "function")
      throw new InvalidArgumentError(`A proxy's capture must be a function; got ${typeof capture}`);
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
   * Runs until {@link terminate} or a socket closes; then closes both. A taken message that cannot be sent counts in
   * the other socket's `dropped.closed`.
   *
   * @throws InvalidArgumentError `EINVAL` for a socket neither bound nor connected, or if no message could pass;
   *   InvalidStateError `EFSM` on a second run
   * @throws errors of a send, such as a mandatory ROUTER's `EHOSTUNREACH`, after closing both sockets
   */
  async run(): Promise<void> {
    if (this.#state !== "idle") throw new InvalidStateError("EFSM", "A proxy runs once");
    for (const [name, socket] of [
      ["front-end", this.#frontEnd],
      ["back-end", this.#backEnd],
    ] as const) {
      if (socket.lastEndpoint === null || socket.closed)
        throw new InvalidArgumentError(`The ${name} socket must be bound or connected`);
    }
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#pump(this.#frontEnd, this.#backEnd, "frontend");
    this.#pump(this.#backEnd, this.#frontEnd, "backend");
    if (this.#pumps.size === 0)
      throw new InvalidArgumentError("Neither socket can send what the other receives");
    this.#state = "running";
    // A paused or waiting pump does not see its target close.
    for (const socket of [this.#frontEnd, this.#backEnd])
      listen(socket, ({ type }) => {
        if (type === "end") this.#end();
      });
    const runs = [...this.#pumps.keys()].map((pump) => pump.run());
    try {
      await Promise.race([ended, ...runs]);
    } finally {
      this.#state = "ended";
      for (const pump of this.#pumps.keys()) pump.end();
      await Promise.all([this.#frontEnd.close(), this.#backEnd.close()]);
      await Promise.all(runs);
      for (const [pump, to] of this.#pumps) countLost(to, pump.counts.dropped.stopped ?? 0);
    }
  }

  /**
   * Stops passing messages, which queue up to the high-water marks.
   *
   * @throws ClosedError `EBADF` when not running, as {@link resume} and {@link terminate}
   */
  pause(): void {
    this.#assertRunning();
    for (const pump of this.#pumps.keys()) pump.pause();
  }

  resume(): void {
    this.#assertRunning();
    for (const pump of this.#pumps.keys()) pump.resume();
  }

  terminate(): void {
    this.#assertRunning();
    this.#end();
  }

  #assertRunning(): void {
    if (this.#state !== "running") throw new ClosedError("EBADF", "The proxy does not run");
  }

  /** None if messages cannot pass this way. */
  #pump(
    from: Socket & Partial<Readable>,
    to: Socket & Partial<Writable>,
    side: "frontend" | "backend",
  ): void {
    if (from.receiveMany === undefined || to.send === undefined) return;
    const capture = this.#capture;
    const effects = {
      capture: capture === undefined ? undefined : (frames: Buffer[]) => capture(side, frames),
      refused: () => undefined,
      failed: (error: unknown) => this.#end(error),
    };
    this.#pumps.set(new Pump(from, to, effects), to);
  }
}
