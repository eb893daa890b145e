/**
 * A subject that is read at an interval.
 *
 *   up <--answer-- | --no answer--> away, since then
 */
import type { TimedReading } from "../metrics/reading.js";
import { rated } from "../metrics/readings.js";
import type { SeenProcess } from "./build.js";
import type { Subject } from "./subject.js";

/** Pause between polls, as a multiple of the response time. */
const COST_FACTOR = 100;
/** ms between polls; also bounds the response timeout below. */
const MAX_LOOK_PAUSE = 10_000;
const MAX_LOOK_TIMEOUT = 5_000;
const MIN_LOOK_TIMEOUT = 1_000;
/** The fastest of these last responses counts, since a pause of the reader can slow one. */
const COSTS = 3;

export class Watch {
  readonly subject: Subject;
  /** ms. */
  readonly #timeout: number;
  readonly #interval: number;
  readonly #costs: number[] = [];
  #seen: SeenProcess;
  #last: TimedReading | undefined;
  #due = 0;
  #looking = false;

  /** @param interval ms */
  constructor(id: string, subject: Subject, interval: number) {
    this.subject = subject;
    this.#timeout = Math.min(MAX_LOOK_TIMEOUT, Math.max(MIN_LOOK_TIMEOUT, interval));
    this.#interval = interval;
    this.#seen = { id, address: subject.address, up: undefined, details: new Map() };
  }

  get seen(): SeenProcess {
    return this.#seen;
  }

  isDue(now: number): boolean {
    // Timers are inexact.
    return !this.#looking && now >= this.#due - this.#interval / 2;
  }

  forget(): void {
    this.#last = undefined;
  }

  /** Reads once. Never rejects. */
  async look(signal: AbortSignal): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const begin = performance.now();
    const { id, address } = this.#seen;
    try {
      const { reading, details } = await this.subject.read(this.#timeout, signal);
      const now = { at: performance.now(), reading };
      const latency = now.at - begin;
      const shown = rated(this.#last, now);
      this.#seen = { id, address, up: true, latency, reading: shown, details };
      this.#last = { ...now, reading: { ...reading, sources: shown.sources } };
      this.#due = begin + this.#pauseAfter(latency);
    } catch (error) {
      const since = this.#seen.up === false ? this.#seen.since : undefined;
      const reason = this.subject.reasonOf(error);
      this.#seen = { id, address, up: false, since: since ?? Date.now(), reason, details: new Map() };
      this.#last = undefined; // No rates across the gap.
      this.#due = begin + this.#interval;
    } finally {
      this.#looking = false;
    }
  }

  #pauseAfter(latency: number): number {
    this.#costs.push(latency);
    if (this.#costs.length < COSTS) return this.#interval;
    if (this.#costs.length > COSTS) this.#costs.shift();
    const pause = Math.min(MAX_LOOK_PAUSE, COST_FACTOR * Math.min(...this.#costs));
    return Math.max(this.#interval, pause);
  }
}
