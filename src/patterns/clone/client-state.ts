/**
 * What the rules of a client are made of: their effects, the state that a program sees, the counters, the choice of a
 * server, and the pauses between snapshots.
 */
import { backOff } from "../../core/back-off.js";
import type { CloneClientEvent, CloneState } from "./client-options.js";
import type { CloneFault } from "./protocol.js";

/** What the rules have their driver do. */
export interface ClientEffects {
  /** Connects to the collector of a server that is new. */
  join(server: number, name: string): void;
  /** Closes all connections to a server. */
  leave(server: number): void;
  /** Connects to a server, in place of what was connected before. */
  open(attempt: number, server: number, name: string): void;
  ask(attempt: number): void;
  sendSet(server: number, frames: Buffer[]): boolean;
  /** Whether anybody watches. */
  readonly watching: boolean;
  changed(
    key: Buffer,
    old: Buffer | undefined,
    value: Buffer | undefined,
    sequence: number,
    own: boolean,
    resync: boolean,
  ): void;
  /** The map is whole, for the first time or again. */
  synced(): void;
  event(event: CloneClientEvent): void;
}

/** How far the map can be trusted, and since when nothing was heard of the server. */
export class ClientStatus {
  readonly #effects: Pick<ClientEffects, "event">;
  readonly #patience: number;
  #state: CloneState = "syncing";
  #heardAt: number;
  #wasLive = false;

  /** @param patience ms of silence after which the server counts as gone */
  constructor(effects: Pick<ClientEffects, "event">, patience: number, now: number) {
    this.#effects = effects;
    this.#patience = patience;
    this.#heardAt = now;
  }

  get state(): CloneState {
    return this.#state;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** When the server counts as gone, unless it is heard before. */
  get silentAt(): number {
    return this.#heardAt + this.#patience;
  }

  silentFor(now: number): number {
    return Math.max(0, now - this.#heardAt);
  }

  heard(now: number): void {
    this.#heardAt = now;
  }

  become(state: CloneState, now: number): void {
    if (state === "live") this.#wasLive = true;
    if (state === this.#state) return;
    this.#state = state;
    this.#effects.event({ type: "state:changed", state, silentFor: this.silentFor(now) });
  }

  /** The connection or the server is lost. A map that never was whole cannot become old. */
  lose(now: number): void {
    if (this.#wasLive) this.become("stale", now);
  }
}

/** Counters of a client; what is counted is an event at the same time. */
export class ClientStatistics {
  readonly #effects: Pick<ClientEffects, "event">;
  readonly #counts = { received: 0, applied: 0, old: 0, gaps: 0, snapshots: 0, faults: 0 };
  #oldInRow = false;

  constructor(effects: Pick<ClientEffects, "event">) {
    this.#effects = effects;
  }

  get counts(): Readonly<Record<"received" | "applied" | "old" | "gaps" | "snapshots" | "faults", number>> {
    return this.#counts;
  }

  received(): void {
    this.#counts.received += 1;
  }

  applied(): void {
    this.#counts.applied += 1;
  }

  /** Updates that came, and were applied, each the next of the one before. */
  followed(updates: number): void {
    this.#counts.received += updates;
    this.#counts.applied += updates;
    this.#oldInRow = false;
  }

  /** An update that is later than the map: the next one that is not begins a row of its own. */
  later(): void {
    this.#oldInRow = false;
  }

  /** An update that is not later than the map. @param last what the map has */
  old(sequence: number, last: number): void {
    this.#counts.old += 1;
    if (this.#oldInRow) return;
    this.#oldInRow = true;
    this.#effects.event({ type: "update:outdated", sequence, last });
  }

  gap(expected: number, got: number): void {
    this.#counts.gaps += 1;
    this.#effects.event({ type: "update:missed", expected, got });
  }

  /** The map was loaded. */
  snapshot(server: string, entries: number, sequence: number, duration: number): void {
    this.#counts.snapshots += 1;
    this.#oldInRow = false;
    this.#effects.event({ type: "snapshot:loaded", server, entries, sequence, duration });
  }

  fault(port: "snapshot" | "publisher", fault: CloneFault | "too-large"): void {
    this.#counts.faults += 1;
    this.#effects.event({ type: "message:invalid", port, reason: fault });
  }
}

/** Why the client fails over. */
export type FailOverReason = "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";

/** How long a client waits between a lost connection and the next server, in ms; doubled each time, with jitter. */
export interface RetryOptions {
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** ms that a client stays at a server that works and is in the list no more, first and at most; doubled with each try of others in vain. */
const LEAVE_DELAY = 5_000;
const MAX_LEAVE_DELAY = 60_000;

/** Servers that are not in the list and are kept, at most. */
const MAX_UNLISTED = 8;

/** A server, and whether it is in the list. One that is not was in use when it went from there. */
interface Server {
  readonly id: number;
  readonly name: string;
  isListed: boolean;
}

/**
 * Which server a client is at, and until when something has to come of it.
 *
 *   open ──> connecting ──> connected          lost, nothing came ──> a pause, or at once ──> the next server
 *
 * The list may change. A server in use that is in it no more is left when one of the list has given the whole map, and not
 * before: of a pair, the other server may stand by for as long as this one serves.
 *
 *   in use, listed ──> in use, not listed ──it fails, or 5 s, later──> others are tried ──one has the map──> left
 *        ^                  │    ^                                            │
 *        └─ listed again ───┘    └───────────────── all in vain ──────────────┘
 */
export class ClientAttempts {
  /** In the order in which they are tried. */
  #servers: Server[] = [];
  readonly #patience: number;
  readonly #retry: RetryOptions;
  readonly #effects: Pick<ClientEffects, "open" | "join" | "leave" | "event">;
  #reason: FailOverReason = "silent";
  #number = 0;
  #ids = 0;
  #server: Server | undefined;
  #openAt: number | undefined;
  #connected = false;
  /** In a row, since a map was whole. */
  #failures = 0;
  /** When others are tried in place of a server that is in the list no more. */
  #leaveAt = Number.POSITIVE_INFINITY;
  #leaves = 0;
  failOvers = 0;
  /** While connecting and loading: when it has failed. */
  until = Number.POSITIVE_INFINITY;

  /** @param patience ms without progress until it has failed */
  constructor(
    patience: number,
    retry: RetryOptions,
    effects: Pick<ClientEffects, "open" | "join" | "leave" | "event">,
  ) {
    this.#patience = patience;
    this.#retry = retry;
    this.#effects = effects;
  }

  /** Of this attempt: what comes of an earlier one has another. */
  get number(): number {
    return this.#number;
  }

  /** The server in use; -1: there is none. */
  get server(): number {
    return this.#server?.id ?? -1;
  }

  /** Empty when there is none. */
  get name(): string {
    return this.#server?.name ?? "";
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** When the next attempt begins, once it is known that this one is over. */
  get openAt(): number | undefined {
    return this.#openAt;
  }

  /** When others are tried, while the map is whole: the server in use is in the list no more. */
  get leaveAt(): number {
    return this.#servers.some(({ isListed }) => isListed) ? this.#leaveAt : Number.POSITIVE_INFINITY;
  }

  /** There are these servers now. @returns whether an attempt has to begin, since there was no server before */
  setServers(names: readonly string[], now: number): boolean {
    const before = new Map(this.#servers.map((server) => [server.name, server]));
    const listed = names.map((name) => {
      const known = before.get(name);
      before.delete(name);
      if (known !== undefined) known.isListed = true;
      return known ?? { id: this.#ids++, name, isListed: true };
    });
    const used = this.#server;
    for (const server of before.values()) {
      // One that others are tried in place of is kept until one of these has the map.
      if (server !== used && server.isListed) {
        this.#forget(server);
        continue;
      }
      if (server.isListed) {
        server.isListed = false;
        this.#leaveAt = now + LEAVE_DELAY;
      }
      listed.push(server);
    }
    const unlisted = listed.filter((server) => !server.isListed && server !== used);
    if (unlisted.length >= MAX_UNLISTED) {
      const oldest = unlisted[0] as Server;
      listed.splice(listed.indexOf(oldest), 1);
      this.#forget(oldest);
    }
    const joined = listed.filter((server) => !this.#servers.includes(server));
    this.#servers = listed;
    if (listed.every(({ isListed }) => isListed)) this.#stay();
    for (const { id, name } of joined) this.#effects.join(id, name);
    if (used !== undefined || listed.length === 0) return false;
    this.#server = listed[0];
    return true;
  }

  open(now: number): void {
    this.#number += 1;
    this.#connected = false;
    this.#openAt = undefined;
    if (this.#server === undefined) {
      this.until = Number.POSITIVE_INFINITY;
      return;
    }
    this.progress(now);
    this.#effects.open(this.#number, this.#server.id, this.#server.name);
  }

  connect(): void {
    this.#connected = true;
    this.#openAt = undefined;
  }

  /** Something came of it. */
  progress(now: number): void {
    this.until = now + this.#patience;
  }

  /** The map is whole. */
  succeed(now: number): void {
    this.#failures = 0;
    if (this.#server?.isListed === true) {
      for (const server of this.#servers) if (!server.isListed) this.#forget(server);
      this.#servers = this.#servers.filter(({ isListed }) => isListed);
      this.#stay();
    } else if (this.#leaveAt <= now) {
      this.#leaveAt = now + Math.min(LEAVE_DELAY * 2 ** this.#leaves, MAX_LEAVE_DELAY);
    }
  }

  /**
   * It is over; the next one begins after a while, so that neither dead servers nor those that refuse this client become
   * a busy loop.
   *
   * @param delay ms at most; left out: longer each time, until one succeeds
   */
  end(reason: FailOverReason, now: number, delay?: number): void {
    this.#connected = false;
    this.#reason = reason;
    const { retryDelay, maxRetryDelay, random } = this.#retry;
    this.#openAt =
      now +
      (delay === undefined
        ? backOff(this.#failures, retryDelay, maxRetryDelay, random)
        : backOff(0, delay, delay, random));
    if (delay === undefined) this.#failures += 1;
  }

  /** To the next server; to the same, if there is no other. {@link open} has to follow. */
  failOver(reason: FailOverReason = this.#reason): void {
    const from = this.#server as Server;
    this.#reason = reason;
    const at = this.#servers.indexOf(from);
    const next = this.#servers[(at + 1) % this.#servers.length];
    if (reason === "removed") this.#leaves += 1;
    if (next === from) return;
    this.#server = next;
    this.failOvers += 1;
    this.#effects.event({ type: "server:failed-over", from: from.name, to: this.name, reason });
  }

  /** The server in use is in the list. */
  #stay(): void {
    this.#leaveAt = Number.POSITIVE_INFINITY;
    this.#leaves = 0;
  }

  #forget(server: Server): void {
    this.#effects.leave(server.id);
  }
}

/** ms between two snapshots that fill gaps, at first and at most. */
const RESYNC_DELAY = 50;
export const MAX_RESYNC_DELAY = 10_000;

/**
 * When a gap may be filled by a new snapshot: at once, and less and less often when that happens again and again, since a
 * server that numbers its updates differently must not be asked for snapshots forever.
 */
export class ResyncBackoff {
  readonly #random: () => number;
  #at = 0;
  /** Snapshots in a row that filled a gap. */
  #resyncs = 0;
  #wanted = false;

  /** @param random for the jitter, from 0 up to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** A gap waits for its snapshot. */
  get pending(): boolean {
    return this.#wanted;
  }

  /** When the next snapshot may be asked for. */
  get at(): number {
    return this.#at;
  }

  /** There is a gap. @returns whether a snapshot may be asked for now; else the gap waits */
  gap(now: number): boolean {
    if (now >= this.#at) return true;
    this.#wanted = true;
    return false;
  }

  /** A snapshot is asked for. */
  begin(now: number): void {
    this.#wanted = false;
    this.#at = now + backOff(this.#resyncs, RESYNC_DELAY, MAX_RESYNC_DELAY, this.#random);
    this.#resyncs += 1;
  }

  /** The server numbers its updates without a gap: the next gap is a loss, and filled at once. */
  reset(): void {
    this.#resyncs = 0;
  }

  /** Another server, or a new connection: its snapshot fills every gap. */
  cancel(): void {
    this.#wanted = false;
  }
}
