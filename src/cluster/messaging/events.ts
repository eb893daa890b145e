/** What happens to messages, as a bus's events show it. Drops are counted, and reported once a second at most for each cause. */
import type { ClusterAddress } from "./addresses.js";
import { DROP_INTERVAL, MAX_DROP_REPORTS } from "./bounds.js";

/** Why messages are dropped. */
export type DropReason = "full" | "size" | "slow" | "gone";

/** Events of a bus that concern messages. */
export type MessagingEvent =
  /**
   * Messages were dropped: another node's mark was reached (`full`, with its id), another node takes none of their size (`size`,
   * with its id), a subscription's mark here was reached (`slow`, with its filter), or a node is gone that had not acknowledged them (`gone`, with its id; it may
   * have had some). `prefix` is the first level of the first one's topic, and empty for `gone`; `count` is since the last event of this cause.
   */
  | {
      readonly type: "message:dropped";
      readonly reason: DropReason;
      readonly node: string | undefined;
      readonly filter: string | undefined;
      readonly prefix: string;
      readonly count: number;
    }
  /** A subscription's handler threw or rejected. It is called for the next message all the same. */
  | {
      readonly type: "subscription:failed";
      readonly filter: string;
      readonly error: unknown;
    }
  /** A protocol failed with a node, or could not be opened here (`node` is `undefined` then, counted as `messages:listen`): the next one is tried. */
  | {
      readonly type: "protocol:failed";
      readonly node: string | undefined;
      readonly protocol: string;
      readonly reason: string;
    }
  /** Of too many aliases of clients elsewhere this one was not used for the longest time: it leads nowhere from now on. */
  | { readonly type: "address:dropped"; readonly address: ClusterAddress };

interface Report {
  prefix: string;
  count: number;
  timer: NodeJS.Timeout;
}

/** Reports the first drop of a cause at once, and what follows together. */
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
    if (this.#reports.size >= MAX_DROP_REPORTS) return;
    const timer = setInterval(() => this.#look(key, reason, of), DROP_INTERVAL).unref();
    this.#reports.set(key, { prefix, count: 0, timer });
    this.#report(reason, of, prefix, 1);
  }

  /** Items of a link were given up, since its node is gone. */
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
