/**
 * The subscriptions of all nodes in a cluster: feeds membership, links and time to the rules (route-lists.ts). Time
 * excludes pauses of the process, in which it received nothing.
 */

import { ClosedError, TimeoutError } from "../../core/errors.js";
import { DriverTimer, RunningTimeout } from "../../core/timers.js";
import { ignore, neverLate, Waiter } from "../../core/waiter.js";
import { ROUTE_FLUSH, ROUTE_READY_TIMEOUT } from "./bounds.js";
import type { NodeLinks } from "./links.js";
import type { MessagingSettings } from "./options.js";
import { MessageKind, type MessageRoutesStats, type SendResult } from "./parts.js";
import { RouteLists } from "./route-lists.js";
import { RouteTable } from "./route-table.js";

/** Callers that wait until all know a version; they need not await it. */
interface Known {
  version: number;
  readonly since: number;
  readonly waiter: Waiter<void>;
  readonly timeout: RunningTimeout;
}

export class RouteDriver {
  /** Filters of the other nodes. */
  readonly table = new RouteTable();
  readonly #links: NodeLinks;
  readonly #rules: RouteLists;
  /** Counts this many ms of a pause of the process. */
  readonly #timer = new DriverTimer(1_000);
  /** By version. */
  readonly #waits: Known[] = [];
  readonly #full = new Set<string>();
  #sweptAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Changes with the result of `table.match`, and with `unsettled`. */
  version = 0;

  /** @param id of this node @param onChanged called when `version` has changed */
  constructor(
    id: string,
    { grace, settle }: Pick<MessagingSettings, "grace" | "settle">,
    links: NodeLinks,
    onChanged: () => void,
  ) {
    this.#links = links;
    this.#rules = new RouteLists({
      id,
      store: this.table,
      grace,
      settle,
      effects: {
        send: (to, item) => this.#send(to, item),
        session: (to) => links.session(to),
        onDelivered: (to, done) =>
          links.onDelivered(to, (isDelivered) => {
            if (!this.#closed) this.#timer.run((now) => done(now, isDelivered));
          }),
        changed: () => {
          this.version += 1;
          onChanged();
        },
        progressed: () => this.#onProgress(),
      },
    });
    this.#timer.hold(false);
    this.#timer.start({
      nextWakeUp: () => Math.min(this.#rules.nextWakeUp(), this.#nextSweep()),
      tick: (now) => {
        this.#rules.tick(now);
        if (now >= this.#nextSweep()) this.#sweep(now);
      },
    });
  }

  // --- This node's own -----------------------------------------------------------------------------------------------

  /**
   * Begins this node's own interest in a filter.
   *
   * @returns settles when all present members have acknowledged it; rejects with TimeoutError `ETIMEDOUT` after 10 s,
   * with ClosedError `EAGAIN` when messaging closes. It need not be awaited
   * @throws InvalidStateError `EFSM` for more filters than a node may have
   */
  subscribe(filter: string): Promise<void> {
    return this.#timer.run((now) => this.#known(now, this.#rules.subscribe(now, filter)));
  }

  /** @returns as `subscribe` */
  unsubscribe(filter: string): Promise<void> {
    return this.#timer.run((now) => this.#known(now, this.#rules.unsubscribe(now, filter)));
  }

  #known(now: number, version: number): Promise<void> {
    if (!this.#closed && this.#rules.acked(version)) return Promise.resolve();
    const last = this.#waits.at(-1);
    // Changes in one item have one answer.
    if (last !== undefined && now - last.since < ROUTE_FLUSH) {
      last.version = version;
      return last.waiter.promise;
    }
    const waiter = new Waiter<void>(-1, undefined, neverLate, ignore);
    if (this.#closed) waiter.abandon(new ClosedError("EBADF", "messaging is closed"));
    else {
      const timeout = new RunningTimeout(ROUTE_READY_TIMEOUT, () => this.#expire(known));
      const known: Known = { version, since: now, waiter, timeout };
      this.#waits.push(known);
    }
    return waiter.promise;
  }

  #onProgress(): void {
    let done = 0;
    while (done < this.#waits.length && this.#rules.acked((this.#waits[done] as Known).version)) done += 1;
    for (const { waiter, timeout } of this.#waits.splice(0, done)) {
      timeout.clear();
      waiter.resolve();
    }
  }

  #expire(known: Known): void {
    this.#waits.splice(this.#waits.indexOf(known), 1);
    const missing = this.#rules.missing(known.version);
    known.waiter.abandon(
      new TimeoutError(
        "ETIMEDOUT",
        `${missing} of the other nodes have not taken the subscription within ${ROUTE_READY_TIMEOUT} ms`,
      ),
    );
  }

  // --- Others --------------------------------------------------------------------------------------------------------

  /**
   * New members whose subscriptions the table may lack, by id: until they are known, the member is gone, or a timeout.
   * Always the same map.
   */
  get unsettled(): ReadonlyMap<string, unknown> {
    return this.#rules.unsettled;
  }

  /** Whether there are members in `unsettled`, who are asked then. */
  isSettling(): boolean {
    if (this.unsettled.size === 0) return false;
    this.#timer.run((now) => this.#rules.askUnsettled(now));
    return true;
  }

  /** @returns why it was refused */
  onItem(from: string, item: Buffer): string | undefined {
    if (this.#closed) return undefined;
    // The event of its arrival may follow.
    if (!this.#rules.has(from)) this.onMember(from, "alive");
    return this.#timer.run((now) => this.#rules.onItem(now, from, item));
  }

  /** The link to a peer has a session, or room. */
  onUp(id: string): void {
    if (!this.#closed) this.#timer.run((now) => this.#rules.onRoom(now, id));
  }

  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    if (this.#closed) return;
    const isOut = state === "alive" && !this.#links.takesPart(id);
    this.#timer.run((now) => this.#rules.onMember(now, id, isOut ? "gone" : state));
  }

  #send(to: string, item: Uint8Array): SendResult {
    const result = this.#links.send(to, MessageKind.ROUTES, item);
    if (result === "full" && !this.#full.has(to)) {
      this.#full.add(to);
      void this.#links.room(to, item.length).then((isThere) => {
        this.#full.delete(to);
        // Membership reports as well that a peer is gone.
        if (isThere) this.onUp(to);
      });
    }
    return result;
  }

  /** In short turns of some tenths of a ms, even without other changes. */
  #nextSweep(): number {
    return this.table.unswept > 0 ? this.#sweptAt + 5 : Number.POSITIVE_INFINITY;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    this.table.sweep();
  }

  stats(): MessageRoutesStats {
    return this.#rules.stats();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.stop();
    const error = new ClosedError("EAGAIN", "messaging closed before all nodes had taken the subscription");
    for (const { waiter, timeout } of this.#waits.splice(0)) {
      timeout.clear();
      waiter.abandon(error);
    }
  }
}
