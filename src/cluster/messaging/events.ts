/** Events of messaging. Drops are counted, and reported once per second for each of at most 1,024 causes. */
import { type EventsOf, event } from "../../core/event-stream.js";

/** Why messages are dropped. */
export type DropReason = "full" | "size" | "slow" | "gone";

export const MESSAGING_EVENTS = {
  /**
   * Messages were dropped. `full`: the mark of `node` was reached; `size`: `node` takes no messages of this size; `gone`:
   * `node` is gone and had not acknowledged them; `slow`: the mark of the subscription `filter` was reached. `prefix` is
   * the first level of the first topic, empty for `gone`; `count` is since the last event of this cause.
   */
  "message:dropped": event<{
    readonly reason: DropReason;
    readonly node: string | undefined;
    readonly filter: string | undefined;
    readonly prefix: string;
    readonly count: number;
  }>(),
  /** A subscription's handler threw or rejected. */
  "subscription:failed": event<{ readonly filter: string; readonly error: unknown }>(),
  /**
   * A protocol failed with a node, or could not be opened here (`undefined`). The next protocol is tried.
   */
  "protocol:failed": event<{
    readonly node: string | undefined;
    readonly protocol: string;
    readonly reason: string;
  }>(),
};

export type MessagingEvent = EventsOf<typeof MESSAGING_EVENTS>;

interface Report {
  prefix: string;
  count: number;
  timer: NodeJS.Timeout;
}

export class DropReports {
  readonly #emit: (event: MessagingEvent) => void;
  readonly #reports = new Map<string, Report>();

  constructor(emit: (event: MessagingEvent) => void) {
    this.#emit = emit;
  }

  /** @param of the node or the filter */
  dropped(reason: DropReason, of: string, prefix: string): void {
    const key = `${reason} ${of}`;
    const report = this.#reports.get(key);
    if (report !== undefined) {
      if (report.count === 0) report.prefix = prefix;
      report.count += 1;
      return;
    }
    if (this.#reports.size >= 1_024) return;
    const timer = setInterval(() => this.#look(key, reason, of), 1_000).unref();
    this.#reports.set(key, { prefix, count: 0, timer });
    this.#report(reason, of, prefix, 1);
  }

  /** Unacknowledged items of a link were dropped, since its node is gone. */
  lost(node: string, count: number): void {
    this.#report("gone", node, "", count);
  }

  close(): void {
    for (const { timer } of this.#reports.values()) clearInterval(timer);
    this.#reports.clear();
  }

  #look(key: string, reason: DropReason, of: string): void {
    const report = this.#reports.get(key);
    if (report === undefined) return;
    if (report.count > 0) {
      const { count } = report;
      report.count = 0;
      this.#report(reason, of, report.prefix, count);
      return;
    }
    clearInterval(report.timer);
    this.#reports.delete(key);
  }

  #report(reason: DropReason, of: string, prefix: string, count: number): void {
    this.#emit({
      type: "message:dropped",
      reason,
      node: reason === "slow" ? undefined : of,
      filter: reason === "slow" ? of : undefined,
      prefix,
      count,
    });
  }
}
