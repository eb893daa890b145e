/**
 * A server's rules, without sockets, timers or a clock: one order for all updates.
 *
 *   KVSET ──> in flight ──order──> store ──> other server ──> applied and published (KVPUB)
 *               │     bounded        │            │
 *               └ refused            └ refused    └ held until it has them, while it is in step,
 *                                                 or until the store has "alone" (standing.ts)
 *
 *   active    serves (serving.ts)
 *   passive   follows the other server (standby.ts), and drops clients' updates: they repeat them where it serves
 */

import { thrownText } from "../../core/arguments.js";
import { ShoalError } from "../../core/errors.js";
import { IdleWaits } from "../../core/waiter.js";
import { StoreError } from "../../store/store.js";
import type { BinaryStarOrder, BinaryStarState } from "../binary-star/index.js";
import { parseLink } from "./link.js";
import { CommitQueue, type Operation, operationOf } from "./operation.js";
import { parseRequest } from "./protocol.js";
import type { CloneServerStats, ServerRulesOptions } from "./server-options.js";
import {
  type LoadedMap,
  type ServerEffects,
  ServerMap,
  type ServerState,
  ServerStatistics,
} from "./server-state.js";
import { Serving } from "./serving.js";
import { Standby } from "./standby.js";
import { ServerStanding } from "./standing.js";
import type { CloneStoredState } from "./store.js";

export class ServerRules {
  readonly #options: ServerRulesOptions;
  readonly #effects: ServerEffects;
  readonly #map = new ServerMap();
  readonly #queue = new CommitQueue();
  readonly #statistics: ServerStatistics;
  readonly #serving: Serving;
  readonly #standby: Standby;
  readonly #standing: ServerStanding;
  #active = false;
  readonly #idleWaits = new IdleWaits();

  constructor(options: ServerRulesOptions, effects: ServerEffects, now: number) {
    this.#options = options;
    this.#effects = effects;
    this.#statistics = new ServerStatistics(effects);
    this.#standing = new ServerStanding(options, effects, () => this.#map.sequence);
    const state: ServerState = {
      options,
      effects,
      map: this.#map,
      queue: this.#queue,
      statistics: this.#statistics,
      standing: this.#standing,
    };
    this.#serving = new Serving(state, now);
    this.#standby = new Standby(state);
  }

  get map(): ServerMap {
    return this.#map;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Whether the other server has every acknowledged update. */
  get replicated(): boolean {
    return this.#active ? this.#serving.shared : this.#standby.following;
  }

  get standing(): ServerStanding {
    return this.#standing;
  }

  /** @param theirs position. @param own this server's state */
  hear(
    peer: BinaryStarState,
    theirs: Uint8Array,
    own: BinaryStarState,
    now: number,
  ): BinaryStarOrder | undefined {
    const order = this.#standing.compare(peer, theirs, own);
    const { servingTerm } = this.#standing;
    if (this.#active) this.#serving.heard();
    else if (servingTerm !== undefined) this.#standby.followTerm(servingTerm, now);
    return order;
  }

  /** After all entries. @returns `false` for an unreadable standing */
  restored(state: CloneStoredState): boolean {
    if (!this.#standing.restore(state.standing)) return false;
    this.#map.restored(state);
    this.#queue.ordered = state.sequence;
    if (state.damaged > 0) this.#effects.event({ type: "store:damaged", entries: state.damaged });
    return true;
  }

  /** @param forced by the operator's decision */
  activate(now: number, forced = false): void {
    if (this.#active) return;
    this.#active = true;
    this.#standby.stop();
    this.#standby.abandon();
    // The other server's updates in the queue keep their sequences.
    this.#queue.continueAfter(this.#map.sequence);
    this.#serving.begin(now);
    this.#standing.begin(forced);
    this.flush(now);
  }

  /** Acknowledges nothing until {@link resume}: the process paused. */
  suspend(): void {
    if (this.#active) this.#serving.suspend();
  }

  resume(now: number): void {
    if (this.#active) this.#serving.resume(now);
    this.flush(now);
    this.#noteIdle();
  }

  /** @param follow whether the other server serves */
  deactivate(follow: boolean, now: number): void {
    if (this.#active) {
      this.#active = false;
      this.#serving.end();
      this.#map.forget(this.#queue.drop());
      // Held updates are durable, so they took effect.
      for (const operation of this.#queue.release()) this.#map.apply(operation, now);
      this.#noteIdle();
    }
    if (follow) this.#standby.start(now);
    else this.#standby.stop();
  }

  /** @returns the subtree of a client's request */
  checkRequest(frames: readonly Buffer[]): Buffer | undefined {
    const subtree = parseRequest(frames);
    if (typeof subtree !== "string") return subtree;
    this.#statistics.fault("snapshot", subtree);
    return undefined;
  }

  request(routingId: Buffer, subtree: Buffer, now: number): void {
    this.#serving.request(routingId, subtree);
    this.pump(now);
  }

  /** `flush` follows, once for a batch. */
  update(frames: readonly Buffer[], now: number): void {
    this.#statistics.counts.received += 1;
    const operation = operationOf(frames, now);
    if (typeof operation === "string") this.#statistics.fault("collector", operation);
    else if (this.#active) this.#serving.accept(operation);
  }

  /** @param ttl ms; 0: none. @returns whether it was taken */
  set(key: Buffer, value: Buffer, ttl: number, now: number): boolean {
    return this.#active && this.#serving.make(key, value, ttl, now);
  }

  flush(now: number): void {
    const queue = this.#queue;
    while (queue.waiting > 0 && !queue.committing) {
      const batch = queue.take();
      if (this.#active) this.#serving.decide(batch);
      if (this.#options.hasStore) {
        queue.commit(batch);
        this.#statistics.counts.commits += 1;
        this.#effects.commit(batch);
        return;
      }
      this.#durable(batch, now);
    }
  }

  marked(now: number): void {
    this.#standing.marked();
    // The other server has to know it first.
    this.#effects.announce();
    if (this.#active) this.#serving.release(now);
    this.#noteIdle();
  }

  markFailed(error: unknown, now: number): void {
    this.#effects.event({ type: "store:failed", error: asShoalError(error) });
    this.#standing.markFailed(now);
  }

  committed(now: number): void {
    this.#durable(this.#queue.committed(), now);
    this.#standby.replaceStore();
    this.flush(now);
    this.#noteIdle();
  }

  commitFailed(error: unknown, now: number): void {
    this.#effects.event({ type: "store:failed", error: asShoalError(error) });
    if (!this.#active) {
      this.#map.forget(this.#queue.committed());
      this.#standby.storeFailed(now);
      return;
    }
    const refused = this.#queue.refuse();
    this.#map.forget(refused);
    if (error instanceof StoreError && error.reason === "full")
      for (const operation of refused)
        if (operation.counted && operation.kind === "set") this.#serving.refuse(operation);
    this.#statistics.refuse("store", refused.filter(({ counted }) => counted).length);
    this.flush(now);
    this.#noteIdle();
  }

  replaced(loaded: LoadedMap, now: number): void {
    this.#standby.replaced(loaded, now);
    this.flush(now);
  }

  replaceFailed(loaded: LoadedMap, error: unknown, now: number): void {
    this.#effects.event({ type: "store:failed", error: asShoalError(error) });
    this.#standby.replaceFailed(loaded, now);
  }

  /** From the server that stands by. */
  replica(routingId: Buffer, frames: readonly Buffer[], now: number): void {
    if (this.#active) {
      this.#serving.replica(routingId, frames, now);
      this.#noteIdle();
    } else if (parseLink(frames) === undefined) this.#statistics.fault("replication", "frames");
  }

  /** From the server that serves. `flush` follows. */
  follow(frames: readonly Buffer[], now: number): void {
    if (!this.#active) this.#standby.receive(frames, now);
  }

  pump(now: number): void {
    if (!this.#active) return;
    this.#serving.pump(now);
    this.#noteIdle();
  }

  /** Whether {@link pump} can continue at once. */
  get busy(): boolean {
    return this.#active && this.#serving.busy;
  }

  tick(now: number): void {
    this.#standing.tick(now);
    if (!this.#active) {
      this.#standby.tick(now);
      return;
    }
    this.#serving.tick(now);
    this.flush(now);
    this.#noteIdle();
  }

  /** Settles when nothing is in flight, at once while it does not serve. */
  idle(): Promise<void> {
    return this.#idleWaits.wait(this.#idle);
  }

  nextWakeUp(): number | undefined {
    const next = this.#active ? this.#serving.next() : this.#standby.next();
    const mark = this.#standing.next();
    return next === undefined || mark === undefined ? (next ?? mark) : Math.min(next, mark);
  }

  stats(): CloneServerStats {
    const { table, expiry, sequence } = this.#map;
    const { counts, refused, faults } = this.#statistics;
    const { active, waiting, done, lost } = this.#serving.snapshots;
    return {
      entries: table.size,
      bytes: table.bytes,
      memory: table.memory,
      sequence,
      term: this.#standing.term,
      serving: this.#active,
      ephemeral: expiry.size,
      ...counts,
      refused: { ...refused },
      faults: { ...faults },
      inFlight: this.#queue.size,
      snapshots: { active, waiting, done, lost },
      replicated: this.replicated,
    };
  }

  get #idle(): boolean {
    return !this.#active || this.#queue.size + this.#serving.snapshots.active === 0;
  }

  #noteIdle(): void {
    if (this.#idle) this.#idleWaits.end();
  }

  #durable(batch: readonly Operation[], now: number): void {
    if (this.#active) this.#serving.durable(batch, now);
    else this.#standby.durable(batch, now);
  }
}

function asShoalError(error: unknown): ShoalError {
  if (error instanceof ShoalError) return error;
  return new StoreError("failed", thrownText(error), { cause: error });
}
