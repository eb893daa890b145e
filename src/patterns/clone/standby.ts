/** The server of a pair that stands by: follows the other one. Clients repeat their updates at the server that serves. */
import { backOff } from "../../core/back-off.js";
import { Follower } from "./follower.js";
import type { LoadedMap } from "./loading.js";
import { copyOf, type Operation } from "./operation.js";
import { conflictMark } from "./server-map.js";
import type { ServerState } from "./server-state.js";

/** Bytes of updates during the write of a whole map. */
const MAX_WAITING_BYTES = 268_435_456;

/**
 * ms between a failed write and the next request for the map, at most. A full store may take a map and refuse the next
 * update: without pauses the map would be sent again and again.
 */
const MAX_RELOAD_PAUSE = 60_000;

export class Standby {
  readonly #state: ServerState;
  readonly #follower: Follower;
  /** The map that the store writes, which excludes commits. */
  #replacing: LoadedMap | undefined;
  #failures = 0;
  #replacedAt: number | undefined;
  #now = 0;

  constructor(state: ServerState) {
    const { map } = state;
    this.#state = state;
    this.#follower = new Follower(state, {
      loaded: (loaded) => this.#load(loaded),
      update: (operation) => this.#replicated(operation),
      beat: () => this.#follower.have(this.#replacing === undefined ? map.sequence : 0),
    });
  }

  get following(): boolean {
    return this.#follower.following;
  }

  get replacing(): boolean {
    return this.#replacing !== undefined;
  }

  start(now: number): void {
    this.#follower.start(now);
  }

  /** A map of an earlier term is loaded again. */
  followTerm(term: number, now: number): void {
    if (this.#follower.following && this.#follower.term !== term) this.#follower.start(now);
  }

  stop(): void {
    this.#follower.stop();
  }

  /** The store differs from memory now, so the map is loaded again, after a pause that grows with failures. */
  storeFailed(now: number): void {
    this.abandon();
    this.#state.queue.drop();
    if (this.#replacedAt !== undefined && now - this.#replacedAt >= MAX_RELOAD_PAUSE) this.#failures = 0;
    this.#replacedAt = undefined;
    const { heartbeatInterval, random } = this.#state.options;
    this.#follower.startAfter(backOff(this.#failures, heartbeatInterval, MAX_RELOAD_PAUSE, random), now);
    this.#failures += 1;
  }

  abandon(): void {
    this.#replacing = undefined;
  }

  receive(frames: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#follower.receive(frames, now);
  }

  durable(batch: readonly Operation[], now: number): void {
    const { map } = this.#state;
    for (const operation of batch) map.apply(operation, now);
    if (batch.length > 0) this.#follower.have(map.sequence);
  }

  /** The store must be idle. */
  replaceStore(): void {
    const loaded = this.#replacing;
    if (loaded === undefined) return;
    // A server that becomes active meanwhile keeps its own map.
    this.#state.effects.replace(loaded, () => this.#replacing === loaded, this.#lost(loaded)?.after);
  }

  /** @param active whether this server serves by now */
  replaced(loaded: LoadedMap, active: boolean, now: number, aside?: string): void {
    if (this.#replacing !== loaded) return;
    this.#replacing = undefined;
    this.#replacedAt = now;
    if (!active) this.#adopt(loaded, aside);
  }

  replaceFailed(loaded: LoadedMap, now: number): void {
    if (this.#replacing === loaded) this.storeFailed(now);
  }

  tick(now: number): void {
    this.#follower.tick(now);
  }

  next(): number | undefined {
    return this.#follower.next();
  }

  #load(loaded: LoadedMap): void {
    const { options, queue } = this.#state;
    if (!options.hasStore) {
      this.#adopt(loaded);
      return;
    }
    this.#replacing = loaded;
    queue.drop();
    if (!queue.committing) this.replaceStore();
  }

  #lost({ standing, sequence }: LoadedMap): { readonly after: number; readonly updates: number } | undefined {
    return this.#state.standing.lostTo(standing, sequence);
  }

  /** @param aside where the store keeps the lost entries */
  #adopt(loaded: LoadedMap, aside?: string): void {
    const { map, queue, effects, standing } = this.#state;
    const lost = this.#lost(loaded);
    if (lost !== undefined)
      effects.event({ type: "map:diverged", ...lost, entries: map.table.countAfter(lost.after), aside });
    map.adopt(loaded);
    standing.adopt(loaded.standing);
    queue.restart(loaded.sequence);
    effects.event({ type: "map:replicated", entries: map.table.size, sequence: loaded.sequence });
    const later = queue.drop();
    for (const operation of loaded.updates) this.#replicated(operation);
    // Updates during the write, unknown to the new window.
    for (const operation of later) this.#replicated(operation);
    if (queue.waiting === 0) this.#follower.have(map.sequence);
  }

  #replicated(operation: Operation): void {
    const { map, queue } = this.#state;
    const { uuid, kind } = operation;
    if (uuid.length > 0) map.window.add(kind === "conflict" ? conflictMark(uuid) : uuid);
    queue.push(copyOf(operation));
    if (this.#replacing === undefined || queue.bytes <= MAX_WAITING_BYTES) return;
    // The store is slower than the updates.
    queue.drop();
    this.#replacing = undefined;
    this.#follower.start(this.#now);
  }
}
