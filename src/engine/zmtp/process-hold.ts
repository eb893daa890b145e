/**
 * Keeps the process alive for a socket, and sends accepted messages when the process ends without `close`:
 * within their linger, or on `process.exit` what the kernel takes at once. Only EventLoopRef's timer keeps
 * the process alive.
 */

import type { OptionValues } from "../../core/option-table.js";
import { ignore, MAX_TIMEOUT } from "../../core/waiter.js";
import type { EngineEventLoop } from "../engine.js";

/** ms before the warning of the package `zeromq`. */
const SILENCE = 500;

export interface EventLoopHold extends EngineEventLoop {
  changed(): void;
  end(): void;
}

/**
 * Releases at the end of a turn: a receive loop drops and regains its reason at each message. A timer shared
 * by all sockets could stop with a simulation.
 */
export class EventLoopRef implements EventLoopHold {
  #timer: NodeJS.Timeout | undefined = undefined;
  #held = false;
  #scheduled = false;
  #ended = false;
  #referenced = false;
  #holdsBound = true;
  readonly #reasons: (bound: boolean) => boolean;

  /** @param reasons `bound`: bound sockets count */
  constructor(reasons: (bound: boolean) => boolean) {
    this.#reasons = reasons;
  }

  ref(): void {
    this.#referenced = true;
    this.changed();
  }

  unref(): void {
    this.#referenced = false;
    this.changed();
  }

  holdBound(on: boolean): void {
    this.#holdsBound = on;
    this.changed();
  }

  changed(): void {
    if (this.#ended) return;
    if (this.#referenced || this.#reasons(this.#holdsBound)) {
      if (this.#held) return;
      this.#held = true;
      if (this.#timer === undefined) this.#timer = setInterval(ignore, MAX_TIMEOUT);
      else this.#timer.ref();
    } else if (this.#held && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#release);
    }
  }

  end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#held = false;
  }

  #release = (): void => {
    this.#scheduled = false;
    if (!this.#held || this.#referenced || this.#reasons(this.#holdsBound)) return;
    this.#held = false;
    this.#timer?.unref();
  };
}

interface EndingSocket {
  readonly closing: boolean;
  readonly options: Readonly<Pick<OptionValues, "linger">>;
  stats(): { readonly queuedOut?: number | undefined };
  close(linger: number): Promise<unknown>;
}

export class ProcessEnd {
  readonly #socket: EndingSocket;
  readonly #pipes: Iterable<{ flush(): void }>;
  readonly #blocky: () => boolean;
  readonly #ref = new WeakRef<ProcessEnd>(this);
  #ending = false;

  constructor(socket: EndingSocket, pipes: Iterable<{ flush(): void }>, blocky: () => boolean) {
    this.#socket = socket;
    this.#pipes = pipes;
    this.#blocky = blocky;
    if (open.size === 0) {
      process.on("beforeExit", beforeExit);
      process.on("exit", exit);
    }
    open.add(this.#ref);
    forgotten.register(this, this.#ref, this.#ref);
  }

  lastChance(): void {
    const { linger } = this.#socket.options;
    if (linger === 0 || this.#socket.closing || this.#socket.stats().queuedOut === 0) return;
    this.#ending = true;
    void this.#socket.close(linger);
  }

  get ending(): { readonly blocky: boolean } | undefined {
    return this.#ending ? { blocky: this.#blocky() } : undefined;
  }

  lastFlush(): void {
    for (const pipe of this.#pipes) pipe.flush();
  }

  forget(): void {
    forgotten.unregister(this.#ref);
    drop(this.#ref);
  }
}

/** Held weakly: a forgotten socket without peers can be collected. */
const open = new Set<WeakRef<ProcessEnd>>();

const forgotten = new FinalizationRegistry<WeakRef<ProcessEnd>>((socket) => drop(socket));

function beforeExit(): void {
  for (const socket of [...open]) socket.deref()?.lastChance();
  if (waits() !== undefined) setTimeout(warn, SILENCE).unref();
}

function waits(): { readonly blocky: boolean } | undefined {
  const all = [...open].map((socket) => socket.deref()?.ending).filter((ending) => ending !== undefined);
  return all.find(({ blocky }) => blocky) ?? all[0];
}

function warn(): void {
  const waiting = waits();
  if (waiting === undefined) return;
  const advice = waiting.blocky ? " Set 'context.blocky = false' to change this behaviour." : "";
  process.emitWarning(`Waiting for queued ZeroMQ messages to be delivered.${advice}`, "WARNING");
}

function exit(): void {
  for (const socket of open) socket.deref()?.lastFlush();
}

function drop(socket: WeakRef<ProcessEnd>): void {
  if (!open.delete(socket) || open.size > 0) return;
  process.off("beforeExit", beforeExit);
  process.off("exit", exit);
}
