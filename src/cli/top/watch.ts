/**
 * An address that is read at an interval.
 *
 *   up <--answer-- | --no answer--> away, since then
 */
import type { Subject } from "../../dashboard/subject.js";
import { rated, type TimedReading } from "../../metrics/readings.js";
import type { AddressView } from "./view.js";

export class Watch {
  readonly #subject: Subject;
  #last: TimedReading | undefined;
  #since: number | undefined;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Reads once. Never rejects. @param timeout ms */
  async look(timeout: number, signal: AbortSignal): Promise<AddressView> {
    const { address } = this.#subject;
    const begin = performance.now();
    try {
      const { reading } = await this.#subject.read(timeout, signal);
      const now = { at: performance.now(), reading };
      const before = this.#last;
      this.#last = now;
      this.#since = undefined;
      return { address, up: true, latency: now.at - begin, reading: rated(before, now) };
    } catch (error) {
      this.#last = undefined; // No rates across the gap.
      this.#since ??= Date.now();
      return { address, up: false, since: this.#since, reason: this.#subject.reasonOf(error) };
    }
  }

  close(): Promise<void> {
    return this.#subject.close();
  }
}
