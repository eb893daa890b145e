/**
 * What holds the process for a socket, and what becomes of accepted messages when the process ends without `close`.
 *
 * A socket's streams, servers and timers never hold the process by themselves: one timer does (EventLoopRef), for as long
 * as there is a reason.
 *
 * When the process ends because nothing is left to do, sockets with unsent messages hold it for as long as their linger
 * allows. When the program calls `process.exit`, nothing can be waited for: what a connection can take at once is handed to
 * the kernel. If the process does not end for a while, a warning names the cause, as that of the package `zeromq` does.
 */

import type { OptionValues } from "../../core/option-table.js";
import type { EngineEventLoop } from "../engine.js";

/** The longest delay of a timer, in ms. */
const FOREVER = 2_147_483_647;
/** ms at the end until a warning reports what the process waits for. */
const SILENCE = 500;

/**
 * Holds the process while there is a reason. It lets go at the end of the turn only, since a program that receives in a
 * loop gives up its reason to wait and has it again for every message. Each socket has a timer of its own: one of all sockets that
 * was made while a simulation had replaced the global timers would hold nothing from its end on.
 */
export class EventLoopRef implements EngineEventLoop {
  #timer: NodeJS.Timeout | undefined = undefined;
  #held = false;
  #scheduled = false;
  #ended = false;
  #referenced = false;
  #holdsBound = true;
  readonly #reasons: (bound: boolean) => boolean;

  /** @param reasons whether there is a reason now, `ref` not counted; being bound is one if `bound` */
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

  /** A reason may have come or gone. */
  changed(): void {
    if (this.#ended) return;
    if (this.#referenced || this.#reasons(this.#holdsBound)) {
      if (this.#held) return;
      this.#held = true;
      if (this.#timer === undefined) this.#timer = setInterval(nothing, FOREVER);
      else this.#timer.ref();
    } else if (this.#held && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#release);
    }
  }

  /** The socket is gone, for good: what its last connections still do does not hold the process. */
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

function nothing(): void {}

/** What a socket has at its process's end. */
interface EndingSocket {
  readonly options: Readonly<Pick<OptionValues, "linger">>;
  stats(): { readonly queuedOut?: number | undefined };
  close(linger: number): Promise<unknown>;
}

/** A socket that may have something to send at the end of its process; made with it, and gone with it. */
export class ProcessEnd {
  readonly #socket: EndingSocket;
  readonly #state: { readonly closing: boolean };
  readonly #pipes: Iterable<{ flush(): void }>;
  readonly #blocky: () => boolean;
  readonly #ref = new WeakRef<ProcessEnd>(this);
  #ending = false;

  /** @param blocky what the option of the socket's context is */
  constructor(
    socket: EndingSocket,
    state: { readonly closing: boolean },
    pipes: Iterable<{ flush(): void }>,
    blocky: () => boolean,
  ) {
    this.#socket = socket;
    this.#state = state;
    this.#pipes = pipes;
    this.#blocky = blocky;
    if (open.size === 0) {
      process.on("beforeExit", beforeExit);
      process.on("exit", exit);
    }
    open.add(this.#ref);
    forgotten.register(this, this.#ref, this.#ref);
  }

  /** The program has ended except for this: the socket closes, and holds the process until its messages have left. */
  lastChance(): void {
    const { linger } = this.#socket.options;
    if (linger === 0 || this.#state.closing || this.#socket.stats().queuedOut === 0) return;
    this.#ending = true;
    void this.#socket.close(linger);
  }

  /** Whether it holds the process at its end; with what its context's option `blocky` is. */
  get ending(): { readonly blocky: boolean } | undefined {
    return this.#ending ? { blocky: this.#blocky() } : undefined;
  }

  /** Hands to the kernel what it takes at once. */
  lastFlush(): void {
    for (const pipe of this.#pipes) pipe.flush();
  }

  /** The socket is closed. */
  forget(): void {
    forgotten.unregister(this.#ref);
    drop(this.#ref);
  }
}

/** Held weakly: a socket that the program forgot, and that has no peers, can be collected. */
const open = new Set<WeakRef<ProcessEnd>>();

const forgotten = new FinalizationRegistry<WeakRef<ProcessEnd>>((socket) => drop(socket));

function beforeExit(): void {
  for (const socket of [...open]) socket.deref()?.lastChance();
  if (waits() !== undefined) setTimeout(warn, SILENCE).unref();
}

/** What holds the process; with `blocky` if that is so for any of it. */
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
