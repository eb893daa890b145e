/**
 * Waiting sends: each has its turn at every service of its recipients. Later sends to that service stay behind them.
 *
 *   join ──> what it waits for, such as a hook ──> those that joined before have left ──> the link has it ──> leave
 *
 * Sends of a send hook have separate lines, one set for each depth of hooks, since the hook may wait for them, and its
 * own send waits for the hook. A service without a waiting send has no line.
 */
import { MAX_WAITING_SEND_BYTES, MAX_WAITING_SENDS } from "./bounds.js";

export interface SendTurn {
  /** Settles when all earlier ones have left; `undefined`: none. */
  readonly before: Promise<void> | undefined;
  /** May be called again. */
  leave(): void;
}

interface Line {
  /** Settles when all current ones have left. */
  last: Promise<void> | undefined;
  count: number;
  bytes: number;
}

export class SendLines {
  readonly depth: number;
  readonly #lines = new Map<string, Line>();

  constructor(depth = 0) {
    this.depth = depth;
  }

  has(id: string): boolean {
    return this.#lines.has(id);
  }

  /** Whether too much waits for a message of this size. One may wait, whatever its size. */
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
      // One that leaves before its turn lets no one pass the earlier ones.
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
