/**
 * What `disconnect` leaves behind: pipes that nobody sends by any more, until their messages have left.
 *
 *   in use --begin--> leaving --all sent, or the linger over--> ended
 *
 * A link that stands says what waits and hangs up. Where none stands yet, the dialer, or the inproc name, is kept until
 * one does, as libzmq keeps its session: what `send` has accepted does not depend on when the peer was there.
 */
import { Connection } from "./connection.js";
import type { Pipe } from "./pipe.js";
import type { Pipes } from "./pipes.js";
import { RawConnection } from "./raw-connection.js";

interface Departure {
  /** Ends the attempts to reach the peer. */
  readonly stop: () => void;
  readonly timer: NodeJS.Timeout | undefined;
}

export class Departures {
  readonly #pipes: Pipes;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #all = new Map<Pipe, Departure>();

  constructor(pipes: Pipes, options: Readonly<Record<string, unknown>>) {
    this.#pipes = pipes;
    this.#options = options;
  }

  /**
   * Has what waits in the pipe leave within the socket's linger.
   *
   * @param stop called at its end: no further attempts to reach the peer
   * @returns `false`, and nothing has changed, where nothing is to be sent or there is no linger
   */
  begin(pipe: Pipe, stop: () => void): boolean {
    const linger = Number(this.#options.linger ?? -1);
    const { link } = pipe;
    // A link has something even if nothing waits: what the kernel holds is lost when it is cut with input unread.
    if (linger === 0 || (link === undefined && pipe.out.messages === 0)) return false;
    const patience = linger < 0 ? Number.POSITIVE_INFINITY : linger;
    // Not for the process: at its end the socket closes, and lingers for all that waits (process-end.ts).
    const timer = linger < 0 ? undefined : setTimeout(() => this.#end(pipe), linger).unref();
    this.#all.set(pipe, { stop, timer });
    this.#pipes.depart(pipe, patience);
    if (link instanceof Connection) link.finish(patience);
    else if (link instanceof RawConnection) link.finish();
    this.proceed();
    return true;
  }

  /** Something has left, or a link is gone. */
  proceed(): void {
    for (const pipe of [...this.#all.keys()]) {
      const hasNoWay = pipe.link === undefined && !pipe.outlives;
      if (pipe.out.messages === 0 || hasNoWay) this.#end(pipe);
    }
  }

  /** The socket is at its end, and sees to all pipes itself. */
  forget(): void {
    for (const { timer } of this.#all.values()) clearTimeout(timer);
    this.#all.clear();
  }

  #end(pipe: Pipe): void {
    const departure = this.#all.get(pipe);
    if (departure === undefined) return;
    this.#all.delete(pipe);
    clearTimeout(departure.timer);
    departure.stop();
    const { link } = pipe;
    // A connection that has said all goes on by itself until the peer has hung up.
    const hasSaid = pipe.out.messages === 0 && link?.blocked === false;
    this.#pipes.endDeparted(pipe);
    if (!hasSaid) link?.close("local");
  }
}
