/**
 * A server that stands by: it follows the one that serves, and keeps what clients
 * send it, until the other server's update with the same UUID comes.
 */
import { Follower, type LoadedMap } from "./follower.js";
import { KeptUpdates } from "./kept-updates.js";
import { copyOf, type Operation } from "./operation.js";
import type { ServerParts } from "./server-parts.js";

/** Bytes of updates that may wait while the store takes a whole map. */
const MAX_WAITING_BYTES = 268_435_456;

export class Standby {
  readonly #parts: ServerParts;
  readonly #follower: Follower;
  readonly #kept: KeptUpdates;
  /** The other server's map, on its way to the store. */
  #replacing: LoadedMap | undefined;
  /** The time of the message that is being taken. */
  #now = 0;

  constructor(parts: ServerParts) {
    const { options, outbox, accounts, map } = parts;
    this.#parts = parts;
    this.#kept = new KeptUpdates(options.maxPending, options.heartbeatInterval);
    this.#follower = new Follower(
      {
        follow: (frames) => outbox.follow(frames),
        fault: () => accounts.fault("replication", "frames"),
        incompatible: () => outbox.event({ type: "incompatible" }),
        loaded: (loaded) => this.#load(loaded),
        update: (operation) => this.#replicated(operation),
        beat: () => this.#follower.have(this.#replacing === undefined ? map.sequence : 0),
      },
      options.heartbeatInterval,
      options.liveness,
    );
  }

  /** Whether it has the whole map, and each update as it comes. */
  get following(): boolean {
    return this.#follower.following;
  }

  /** Updates that are kept. */
  get kept(): number {
    return this.#kept.size;
  }

  /** The store takes a whole map: nothing else may go there. */
  get replacing(): boolean {
    return this.#replacing !== undefined;
  }

  /** Asks the other server for its map. */
  start(now: number): void {
    this.#follower.start(now);
  }

  /** The other server serves in a term: what is followed may be of the one before. */
  followTerm(term: number, now: number): void {
    if (this.#follower.following && this.#follower.term !== term) this.#follower.start(now);
  }

  stop(): void {
    this.#follower.stop();
  }

  /** What the store is being given is not the map any more. */
  abandon(): void {
    this.#replacing = undefined;
  }

  /** What clients sent here, and the other server did not apply. */
  take(): Operation[] {
    return this.#kept.take();
  }

  /** A client's update. */
  keep(operation: Operation, now: number): void {
    const { accounts, map } = this.#parts;
    if (operation.uuid.length === 0) accounts.refuse("no-uuid", 1);
    else if (this.#kept.has(operation.uuid) || map.window.has(operation.uuid)) accounts.paired += 1;
    else if (!this.#kept.add(operation, now)) accounts.refuse("overloaded", 1);
  }

  /** From the server that serves. */
  receive(frames: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#follower.receive(frames, now);
  }

  /** The store has them, if there is one. */
  durable(batch: readonly Operation[], now: number): void {
    const { map } = this.#parts;
    for (const operation of batch) map.apply(operation, now);
    if (batch.length > 0) this.#follower.have(map.sequence);
  }

  /** Gives the store the other server's map, once it has nothing else to do. */
  replaceStore(): void {
    const loaded = this.#replacing;
    if (loaded === undefined) return;
    const expires = (id: number): number => loaded.expires.get(loaded.table.key(id).toString("latin1")) ?? 0;
    // Whoever becomes active meanwhile goes on with the map that it had, in its store, too.
    this.#parts.outbox.replace(loaded, expires, () => this.#replacing === loaded, this.#lost(loaded)?.after);
  }

  /** The store has the whole map that the other server gave. @param active whether this one serves by now */
  replaced(loaded: LoadedMap, active: boolean, aside?: string): void {
    // A later map may be on its way already: the store has not got that one.
    if (this.#replacing !== loaded) return;
    this.#replacing = undefined;
    if (!active) this.#adopt(loaded, aside);
  }

  /** Those that had their time: the other server refused them. */
  forget(now: number): void {
    this.#parts.accounts.refuse("stale", this.#kept.forget(now));
  }

  tick(now: number): void {
    this.#follower.tick(now);
  }

  next(): number | undefined {
    const [follower, kept] = [this.#follower.next(), this.#kept.next()];
    return follower === undefined || kept === undefined ? (follower ?? kept) : Math.min(follower, kept);
  }

  #load(loaded: LoadedMap): void {
    const { options, inHand } = this.#parts;
    if (!options.hasStore) {
      this.#adopt(loaded);
      return;
    }
    this.#replacing = loaded;
    inHand.drop();
    if (!inHand.committing) this.replaceStore();
  }

  /** What this server acknowledged alone, and a map has not. */
  #lost({ standing, sequence }: LoadedMap): { readonly after: number; readonly updates: number } | undefined {
    return this.#parts.standing.lostTo(standing, sequence);
  }

  /** The map is the other server's from now on. @param aside where the store keeps what it has not */
  #adopt(loaded: LoadedMap, aside?: string): void {
    const { map, inHand, outbox, standing } = this.#parts;
    const lost = this.#lost(loaded);
    if (lost !== undefined)
      outbox.event({ type: "diverged", ...lost, entries: map.table.countAfter(lost.after), aside });
    map.adopt(loaded);
    standing.adopt(loaded.standing);
    for (const uuid of loaded.uuids) this.#seen(uuid);
    inHand.restart(loaded.sequence);
    outbox.event({ type: "replicated", entries: map.table.size, sequence: loaded.sequence });
    const later = inHand.drop();
    for (const operation of loaded.updates) this.#replicated(operation);
    // They came while the store took the map; the window that knew them was the old one.
    for (const operation of later) this.#replicated(operation);
    if (inHand.waiting === 0) this.#follower.have(map.sequence);
  }

  /** The next update of the server that serves. */
  #replicated(operation: Operation): void {
    if (operation.uuid.length > 0) this.#seen(operation.uuid);
    const { inHand } = this.#parts;
    inHand.push(copyOf(operation));
    if (this.#replacing === undefined || inHand.bytes <= MAX_WAITING_BYTES) return;
    // The store takes the map more slowly than updates come: their map is asked for again, when it is done.
    inHand.drop();
    this.#replacing = undefined;
    this.#follower.start(this.#now);
  }

  /** The other server has applied it: what a client sent here of it is done with. */
  #seen(uuid: Buffer): void {
    const { map, accounts } = this.#parts;
    map.window.add(uuid);
    if (this.#kept.remove(uuid)) accounts.paired += 1;
  }
}
