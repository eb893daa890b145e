/**
 * How fast another node's routes are fetched: so that the event loop has most of its time for messages, however many routes a node
 * comes with. Pure.
 *
 *   a block comes ──> its operations take their time at the pace ──> the next ones are asked for when that is over
 *                                                                    how many: what takes as long as the answer does, or 1
 *
 * The pace is by operations, and not by the time that they took: a process that was held up meanwhile has not worked. After a while
 * without operations there is credit, so a small table comes at once. Each copy has a pace of its own: a node that floods delays its own routes only.
 */
import { ROUTE_BURST, ROUTE_CREDIT, ROUTE_PACE, ROUTE_PACE_PULLS } from "./bounds.js";

export class RoutePace {
  /** When all operations that came have had their time. */
  #freeAt = Number.NEGATIVE_INFINITY;
  /** Of the last answer: ms that it took, and the time of one of its blocks. */
  #took = 0;
  #block = 0;

  /** When the next blocks may be asked for. */
  get freeAt(): number {
    return this.#freeAt;
  }

  /** A block has come. @param pulls copies that are fetched now: with more than some each is slower */
  spend(now: number, operations: number, pulls: number): void {
    this.#block = (operations / ROUTE_PACE) * Math.max(1, pulls / ROUTE_PACE_PULLS);
    this.#freeAt = Math.max(this.#freeAt, now - ROUTE_CREDIT / ROUTE_PACE) + this.#block;
  }

  /** The last block of an answer has come, so many ms after it was asked for. */
  onAnswer(took: number): void {
    this.#took = took;
  }

  /** Blocks to ask for: of a near node one, so that no turn has two; of a far one, and with credit, as many as an answer may have. */
  blocks(now: number): number {
    const late = Math.max(this.#took, now - this.#freeAt);
    return this.#block === 0
      ? ROUTE_BURST
      : Math.max(1, Math.min(ROUTE_BURST, Math.ceil(late / this.#block)));
  }
}
