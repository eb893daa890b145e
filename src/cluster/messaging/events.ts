/** Events of messaging. Drops are counted, and reported at most once per second for each cause. */
import { type EventsOf, event } from "../../core/event-stream.js";
import { LatestMap } from "../bounds.js";

/** Why messages are dropped. */
export type DropReason = "full" | "size" | "slow" | "gone";

export const MESSAGING_EVENTS = {
  /**
   * Messages were dropped. `full`: the mark of `node` was reached; `size`: `node` takes no messages of this size; `gone`:
   * `node` is gone and had not acknowledged them; `slow`: the mark of the subscription `filter` was reached. `prefix` is
   * the first level of the topic, empty for `gone`; `count` is since the last event of this cause.
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

/** Per cause: drops since the last event, and its time. */
interface Report {
  count: number;
  at: number;
}

export class DropReports {
  readonly #emit: (event: MessagingEvent) => void;
  readonly #reports = new LatestMap<string, Report>(1_024);

  constructor(emit: (event: MessagingEvent) => void) {
    this.#emit = emit;
  }

  /** @param of the node or the filter */
  dropped(reason: DropReason, of: string, prefix: string): void {
    const key = `${reason} ${of}`;
    const now = performance.now();
    let report = this.#reports.get(key);
    if (report === undefined) {
      report = { count: 0, at: Number.NEGATIVE_INFINITY };
      this.#reports.set(key, report);
    }
    report.count += 1;
    if (now - report.at < 1_000) return;
    const { count } = report;
    // First: a listener may publish, and drop.
    report.count = 0;
    report.at = now;
    this.#report(reason, of, prefix, count);
  }

  /** Unacknowledged items of a link were dropped, since its node is gone. */
  lost(node: string, count: number): void {
    this.#report("gone", node, "", count);
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
