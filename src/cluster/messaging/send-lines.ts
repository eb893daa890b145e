/**
 * Sends of which something waits: each in its turn at every service that it goes to. What is sent to a service later stays behind them, what
 * goes to others does not.
 *
 *   join ──> what it waits for, such as a hook ──> those that joined before have left ──> the link has it ──> leave
 *
 * What a hook of sending sends itself has lines of its own, one set for each depth of hooks in hooks: the hook may wait for it, and what the hook
 * is called for waits for the hook.
 *
 * A service has a line only while somebody stands in it: where nothing waits, nothing is kept and nobody has to join.
 */
import { MAX_WAITING_SEND_BYTES, MAX_WAITING_SENDS } from "./bounds.js";

/** A turn at a service. */
export interface SendTurn {
  /** Settles when all who joined before have left; `undefined`: nobody has. */
  readonly before: Promise<void> | undefined;
  /** It may be called again. */
  leave(): void;
}

interface Line {
  /** Settles when all have left who are in it now. */
  last: Promise<void> | undefined;
  count: number;
  bytes: number;
}

export class SendLines {
  /** How deep in hooks of sending that is which has its turns here. */
  readonly depth: number;
  readonly #lines = new Map<string, Line>();

  constructor(depth = 0) {
    this.depth = depth;
  }

  /** Whether something waits for its turn at a service. */
  has(id: string): boolean {
    return this.#lines.has(id);
  }

  /** Whether too much waits for another message of so many bytes. One may wait, whatever its size. */
  isFull(id: string, bytes: number): boolean {
    const line = this.#lines.get(id);
    if (line === undefined) return false;
    return line.count >= MAX_WAITING_SENDS || line.bytes + bytes > MAX_WAITING_SEND_BYTES;
  }

  join(id: string, bytes: number): SendTurn {
    const line = this.#lines.get(id) ?? { last: undefined, count: 0, bytes: 0 };
    this.#lines.set(id, line);
    const before = line.last;
    let pass = (): void => undefined;
    line.last = new Promise((resolve) => {
      pass = resolve;
    });
    line.count += 1;
    line.bytes += bytes;
    let isOver = false;
    const leave = (): void => {
      if (isOver) return;
      isOver = true;
      line.count -= 1;
      line.bytes -= bytes;
      if (line.count === 0) this.#lines.delete(id);
      // One that leaves before its turn lets nobody pass those that were before it.
      if (before === undefined) pass();
      else void before.then(pass);
    };
    return { before, leave };
  }

  /** Joins at each service where not too much waits. @returns the turns, by id */
  joinAll(services: Iterable<{ readonly id: string }>, bytes: number): Map<string, SendTurn> {
    const turns = new Map<string, SendTurn>();
    for (const { id } of services) if (!this.isFull(id, bytes)) turns.set(id, this.join(id, bytes));
    return turns;
  }
}

export function leaveAll(turns: ReadonlyMap<string, SendTurn>): void {
  for (const turn of turns.values()) turn.leave();
}
