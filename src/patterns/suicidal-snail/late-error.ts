/** Why a snail is dead. */
import { TimeoutError } from "../../core/errors.js";
import type { LateCause, Lateness } from "./lateness-rules.js";

/** The subscriber was too late, and has closed itself, as its policy says. Code `ETIMEDOUT`. */
export class LateError extends TimeoutError {
  /** ms. */
  readonly lateness: number;
  /** Messages that waited in this process; they are gone. */
  readonly queued: number;
  /** Messages lost shortly before. */
  readonly lost: number;
  /** What made it late. */
  readonly lateCause: LateCause;

  constructor({ lateness, queued, lost, cause }: Lateness) {
    super(
      "ETIMEDOUT",
      `The subscriber was ${Math.round(lateness)} ms late with ${queued} messages waiting and ${lost} lost, and closed itself`,
    );
    this.lateness = lateness;
    this.queued = queued;
    this.lost = lost;
    this.lateCause = cause;
  }
}
