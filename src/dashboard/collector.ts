/**
 * Reads the subjects while the dashboard is in use, and builds states.
 *
 *   idle ──request, stream──> reads each subject, publishes a state at each interval ──10 s without requests──> idle
 *
 * A slow subject is polled less often: responses take at most 1 % of the time, but come at least every 10 s.
 */
import { InvalidArgumentError } from "../core/errors.js";
import { ignore, withTimeout } from "../core/waiter.js";
import type { TimedReading } from "../metrics/reading.js";
import { rated } from "../metrics/readings.js";
import { type SeenProcess, type StateOptions, type Subject, sourceId, stateOf } from "./build.js";
import type { DashboardAction, DashboardItem, DashboardState } from "./state.js";

/** Pause between polls, as a multiple of the response time. */
const COST_FACTOR = 100;
/** ms between polls; also bounds the response timeout below. */
const MAX_LOOK_PAUSE = 10_000;
const MAX_LOOK_TIMEOUT = 5_000;
const MIN_LOOK_TIMEOUT = 1_000;
/** The fastest of these last responses counts, since a pause of the reader can slow one. */
const COSTS = 3;
/** ms of polling after the last request. */
const IDLE_LOOK_TIME = 10_000;
/** ms that a state waits for responses: a silent subject delays no one. */
const FIRST_LOOK_TIME = 150;

/**
 * A subject that is read at an interval.
 *
 *   up <--answer-- | --no answer--> away, since then
 */
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

/** The JSON is written once for all clients. */
export interface Snapshot {
  readonly state: DashboardState;
  readonly text: string;
}

export type CollectorOptions = Omit<StateOptions, "time">;

export class Collector {
  readonly #watches: readonly Watch[];
  readonly #options: CollectorOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  #timer: NodeJS.Timeout | undefined;
  #lastAsked = Number.NEGATIVE_INFINITY;
  #snapshot: Snapshot | undefined;
  #first: Promise<unknown> | undefined;

  constructor(subjects: readonly Subject[], options: CollectorOptions) {
    this.#options = options;
    this.#watches = subjects.map((subject, at) => new Watch(`p${at}`, subject, options.interval));
  }

  async snapshot(): Promise<Snapshot> {
    this.#lastAsked = performance.now();
    this.#begin();
    await this.#first;
    this.#snapshot ??= this.#make();
    return this.#snapshot;
  }

  /** Calls the listener with each new state. @returns unsubscribes */
  subscribe(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener);
    this.#begin();
    return () => {
      this.#lastAsked = performance.now();
      this.#listeners.delete(listener);
    };
  }

  async list(id: string, name: string): Promise<readonly DashboardItem[] | undefined> {
    const { lists = {} } = (await this.#find(id))?.details ?? {};
    return Object.hasOwn(lists, name) ? lists[name]?.items() : undefined;
  }

  /** @throws InvalidArgumentError `EINVAL` for an action that the source lacks; the source's error */
  async act(id: string, action: DashboardAction): Promise<void> {
    const found = await this.#find(id);
    if (found?.details.actions?.includes(action) !== true)
      throw new InvalidArgumentError(`no source of this id can ${action}`);
    await found.watch.subject.act(found.source, action);
    // The next action is one of the new state.
    await withTimeout(found.watch.look(this.#stop.signal), FIRST_LOOK_TIME);
    this.#snapshot = undefined;
  }

  close(): void {
    this.#stop.abort();
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
  }

  async #find(id: string) {
    await this.snapshot();
    for (const watch of this.#watches)
      for (const [source, details] of watch.seen.details)
        if (sourceId(watch.seen.id, source) === id) return { watch, source, details };
    return undefined;
  }

  #begin(): void {
    if (this.#timer !== undefined || this.#stop.signal.aborted) return;
    const looks = Promise.all(this.#watches.map((watch) => watch.look(this.#stop.signal)));
    this.#snapshot = undefined;
    this.#first = withTimeout(looks, FIRST_LOOK_TIME);
    this.#timer = setInterval(() => this.#turn(), this.#options.interval);
    this.#timer.unref();
  }

  #turn(): void {
    const now = performance.now();
    if (this.#listeners.size === 0 && now - this.#lastAsked > IDLE_LOOK_TIME) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      // No rates across the gap.
      for (const watch of this.#watches) watch.forget();
      return;
    }
    this.#snapshot = undefined;
    const due = this.#watches.filter((watch) => watch.isDue(now));
    const asked = Promise.all(due.map((watch) => watch.look(this.#stop.signal)));
    const publish = (): void => {
      this.#snapshot = undefined;
      if (this.#listeners.size === 0 || this.#stop.signal.aborted) return;
      this.#snapshot = this.#make();
      for (const listener of this.#listeners) listener(this.#snapshot);
    };
    // A custom source may have what no state can show: requests get the error.
    withTimeout(asked, FIRST_LOOK_TIME).then(publish).catch(ignore);
  }

  #make(): Snapshot {
    const state = stateOf(
      this.#watches.map(({ seen }) => seen),
      { time: Date.now(), ...this.#options },
    );
    return { state, text: JSON.stringify(state) };
  }
}
