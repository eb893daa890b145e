/**
 * The subscriptions of all nodes in a cluster: feeds membership, links and time to the rules (route-lists.ts). Time
 * excludes pauses of the process, in which it received nothing.
 */
import { DriverTimer } from "../../core/driver-timer.js";
import { ClosedError, TimeoutError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import { neverLate, Waiter } from "../../core/waiter.js";
import { ROUTE_FLUSH, ROUTE_READY_TIMEOUT } from "./bounds.js";
import type { NodeLinks } from "./links.js";
import type { MessagingSettings } from "./options.js";
import { MessageKind, type MessageRoutesStats, type SendResult } from "./parts.js";
import { RouteLists } from "./route-lists.js";
import type { RouteTable } from "./route-table.js";

export interface RouteDriverOptions {
  readonly id: string;
  readonly table: RouteTable;
  readonly links: NodeLinks;
  /** Whether it is a live member that takes messages, or whose details have not come yet. */
  takesPart(id: string): boolean;
  readonly settings: MessagingSettings;
  /** `targets` or `unsettled` may have changed. */
  readonly onChanged?: () => void;
}

/** Callers that wait until all know a version; they need not await it. */
interface Known {
  version: number;
  readonly since: number;
  readonly waiter: Waiter<void>;
}

export class RouteDriver {
  readonly #options: RouteDriverOptions;
  readonly #rules: RouteLists;
  /** Counts this many ms of a pause of the process. */
  readonly #timer = new DriverTimer(1_000);
  /** By version, and by time. */
  readonly #waits: Known[] = [];
  readonly #full = new Set<string>();
  #sweptAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Changes with the results of `targets` and `unsettled`. */
  version = 0;

  constructor(options: RouteDriverOptions) {
    const { id, table, settings, onChanged } = options;
    this.#options = options;
    this.#rules = new RouteLists({
      id,
      store: table,
      grace: settings.grace,
      settle: settings.settle,
      effects: {
        send: (to, item) => this.#send(to, item),
        session: (to) => options.links.session(to),
        onDelivered: (to, done) =>
          options.links.onDelivered(to, (isDelivered) => {
            if (this.#closed) return;
            done(this.#timer.now(), isDelivered);
            this.#timer.update();
          }),
        changed: () => {
          this.version += 1;
          onChanged?.();
        },
        progressed: () => this.#onProgress(),
      },
    });
    this.#timer.hold(false);
    this.#timer.start({
      nextWakeUp: () => Math.min(this.#rules.nextWakeUp(), this.#nextTimeout(), this.#nextSweep()),
      tick: (now) => {
        this.#rules.tick(now);
        this.#expire(now);
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
    const now = this.#timer.now();
    const version = this.#rules.subscribe(now, filter);
    this.#timer.update();
    return this.#known(now, version);
  }

  /** @returns as `subscribe` */
  unsubscribe(filter: string): Promise<void> {
    const now = this.#timer.now();
    const version = this.#rules.unsubscribe(now, filter);
    this.#timer.update();
    return this.#known(now, version);
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
    else this.#waits.push({ version, since: now, waiter });
    this.#timer.update();
    return waiter.promise;
  }

  #onProgress(): void {
    let done = 0;
    while (done < this.#waits.length && this.#rules.acked((this.#waits[done] as Known).version)) done += 1;
    for (const { waiter } of this.#waits.splice(0, done)) waiter.resolve();
  }

  #nextTimeout(): number {
    const first = this.#waits[0];
    return first === undefined ? Number.POSITIVE_INFINITY : first.since + ROUTE_READY_TIMEOUT;
  }

  #expire(now: number): void {
    let due = 0;
    while (due < this.#waits.length && (this.#waits[due] as Known).since + ROUTE_READY_TIMEOUT <= now)
      due += 1;
    if (due === 0) return;
    const missing = this.#rules.missing((this.#waits[due - 1] as Known).version);
    const error = new TimeoutError(
      "ETIMEDOUT",
      `${missing === 0 ? "some" : missing} of the other nodes have not taken the subscription within ${ROUTE_READY_TIMEOUT} ms`,
    );
    for (const { waiter } of this.#waits.splice(0, due)) waiter.abandon(error);
  }

  // --- Others --------------------------------------------------------------------------------------------------------

  /** Appends the ids of other live nodes with a matching filter, each once. */
  targets(topic: string, into: string[]): void {
    this.#options.table.match(topic, into);
  }

  /**
   * New members whose subscriptions `targets` may lack, by id: until they are known, the member is gone, or a timeout.
   * Always the same map.
   */
  get unsettled(): ReadonlyMap<string, unknown> {
    return this.#rules.unsettled;
  }

  /** A caller waits for members in `unsettled`. */
  askUnsettled(): void {
    this.#rules.askUnsettled(this.#timer.now());
    this.#timer.update();
  }

  /** Filters with the ids of live nodes, unordered, at most `most`. @param topic only matching filters */
  list(most: number, topic?: string): { readonly filter: string; readonly nodes: readonly string[] }[] {
    return this.#options.table.list(most, topic);
  }

  /** @returns why it was refused */
  onItem(from: string, item: Buffer): string | undefined {
    if (this.#closed) return undefined;
    // The event of its arrival may follow.
    if (!this.#rules.has(from)) this.onMember(from, "alive");
    const reason = this.#rules.onItem(this.#timer.now(), from, item);
    this.#timer.update();
    return reason;
  }

  /** The link to a peer has a session, or room. */
  onUp(id: string): void {
    if (this.#closed) return;
    this.#rules.onRoom(this.#timer.now(), id);
    this.#timer.update();
  }

  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    if (this.#closed) return;
    const isOut = state === "alive" && !this.#options.takesPart(id);
    this.#rules.onMember(this.#timer.now(), id, isOut ? "gone" : state);
    this.#timer.update();
  }

  #send(to: string, item: Uint8Array): SendResult {
    const result = this.#options.links.send(to, MessageKind.ROUTES, item);
    if (result === "full" && !this.#full.has(to)) {
      this.#full.add(to);
      void this.#options.links.room(to, item.length).then((isThere) => {
        this.#full.delete(to);
        // Membership reports as well that a peer is gone.
        if (isThere) this.onUp(to);
      });
    }
    return result;
  }

  /** In short turns of some tenths of a ms, even without other changes. */
  #nextSweep(): number {
    return this.#options.table.unswept > 0 ? this.#sweptAt + 5 : Number.POSITIVE_INFINITY;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    this.#options.table.sweep();
  }

  stats(): MessageRoutesStats {
    return this.#rules.stats();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.stop();
    const error = new ClosedError("EAGAIN", "messaging closed before all nodes had taken the subscription");
    for (const { waiter } of this.#waits.splice(0)) waiter.abandon(error);
  }
}
