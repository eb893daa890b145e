/**
 * A clone's client, without sockets, timers or a clock.
 *
 *             connected: ICANHAZ         KTHXBAI
 *   connecting ─────────────> syncing ────────────> live ──> gap: a new snapshot, from the same server
 *       ^                        │                   │
 *       └──── no answer ─────────┴─ silence, lost ───┘      the next server, or the same one anew
 *
 * The map that it has stays readable until a new one is whole.
 */
import type { ShoalError } from "../../core/errors.js";
import { chainName, chainValue } from "./chains.js";
import { ClientCalls, type CloneCall } from "./client-calls.js";
import type { CloneClientEvent, CloneClientStats, CloneState } from "./client-events.js";
import { ClientLoading } from "./client-loading.js";
import {
  type CloneFault,
  isGoodbye,
  isHugz,
  KEY,
  keyFault,
  PROPERTIES,
  readSequence,
  SEQUENCE,
  UUID,
  updateFault,
  VALUE,
} from "./protocol.js";
import { CloneTable } from "./table.js";

/** ms between a lost connection and the next server, so that two dead ones do not become a busy loop. */
const PAUSE = 50;
/** ms between two snapshots for gaps, at first and at most: a server that counts otherwise must not be asked for ever. */
const HEAL_DELAY = 50;
const MAX_HEAL_DELAY = 10_000;
/** ms after which updates that were not acknowledged are sent again. */
const RESEND_INTERVAL = 1_000;

/** What the rules bring about. */
export interface ClientOutbox {
  /** Connects to a server, in place of what was connected before. */
  open(attempt: number, server: number): void;
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

export interface ClientRulesOptions {
  /** For events. */
  readonly servers: readonly string[];
  readonly subtree: Buffer;
  /** ms between two signs of life of the server. */
  readonly heartbeatInterval: number;
  /** Of them, missing. */
  readonly liveness: number;
  /** ms without progress after which the next server is asked. */
  readonly snapshotTimeout: number;
  readonly maxInFlight: number;
  readonly maxBytes: number;
  /** 8 random bytes: the first half of the UUIDs of this client's updates. */
  readonly token: Buffer;
}

export class ClientRules {
  readonly #options: ClientRulesOptions;
  readonly #outbox: ClientOutbox;
  readonly #calls: ClientCalls;
  readonly #whole: boolean;
  #table = new CloneTable();
  #state: CloneState = "syncing";
  #attempt = 0;
  #server = 0;
  /** Of the last update that the table has. */
  #last = 0;
  /** The name of the subtree's chain at this server. */
  #chain: string | undefined;
  #loading: ClientLoading | undefined;
  #connected = false;
  #heardAt: number;
  /** While loading: when it has failed. */
  #attemptUntil = 0;
  #openAt: number | undefined;
  #reason: "silent" | "disconnected" | "no-snapshot" | "refused" = "silent";
  #healAt = 0;
  #healDelay = HEAL_DELAY;
  #healWanted = false;
  #resendAt: number;
  #wasLive = false;
  #oldInRow = false;
  readonly #counts = { received: 0, applied: 0, old: 0, gaps: 0, snapshots: 0, failOvers: 0, faults: 0 };

  constructor(options: ClientRulesOptions, outbox: ClientOutbox, now: number) {
    this.#options = options;
    this.#outbox = outbox;
    this.#whole = options.subtree.length === 0;
    this.#heardAt = now;
    this.#resendAt = now + RESEND_INTERVAL;
    this.#calls = new ClientCalls(
      options.token,
      options.servers.length,
      options.maxInFlight,
      (server, frames) => outbox.sendSet(server, frames),
    );
  }

  get table(): CloneTable {
    return this.#table;
  }

  get state(): CloneState {
    return this.#state;
  }

  get sequence(): number {
    return this.#last;
  }

  start(now: number): void {
    this.#open(now);
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING` */
  set(
    key: Buffer,
    properties: Buffer,
    value: Buffer,
    timeout: number,
    settle: (sequence: number) => void,
    fail: (error: ShoalError) => void,
    now: number,
  ): CloneCall {
    if (this.#calls.count === 0) this.#resendAt = now + RESEND_INTERVAL;
    return this.#calls.add(key, properties, value, timeout, settle, fail, now);
  }

  cancel(call: CloneCall, error: ShoalError, now: number): void {
    this.#calls.cancel(call, error, now);
  }

  collectorReady(server: number, now: number): void {
    this.#calls.ready(server, now);
  }

  collectorLost(server: number): void {
    this.#calls.lost(server);
  }

  writable(server: number): void {
    this.#calls.writable(server);
  }

  /** The subscription is on its way: what is published from now on comes. */
  connected(attempt: number, now: number): void {
    if (attempt !== this.#attempt || this.#connected) return;
    this.#connected = true;
    this.#openAt = undefined;
    this.#load(now);
  }

  /** A connection is lost. @param refused it never was there */
  disconnected(attempt: number, refused: boolean, now: number): void {
    if (attempt !== this.#attempt || this.#openAt !== undefined || this.#state === "closed") return;
    if (!refused && !this.#connected) return;
    this.#connected = false;
    this.#turnStale(now);
    this.#reason = refused ? "refused" : "disconnected";
    this.#openAt = now + PAUSE;
  }

  /** KVSYNC or KTHXBAI. */
  snapshot(attempt: number, frames: readonly Buffer[], now: number): void {
    const loading = this.#loading;
    if (attempt !== this.#attempt || loading === undefined) return;
    const key = frames[KEY];
    const fault = updateFault(frames);
    if (fault !== undefined || key === undefined) {
      this.#fault("snapshot", fault ?? "frames");
      return;
    }
    this.#heardAt = now;
    this.#attemptUntil = now + this.#options.snapshotTimeout;
    if (isGoodbye(frames)) {
      this.#goodbye(loading, frames, now);
      return;
    }
    if (this.#state === "stale") this.#setState("syncing", now);
    const bad = keyFault(key) ?? (this.#isOurs(key) ? undefined : "subtree");
    if (bad !== undefined) {
      this.#fault("snapshot", bad);
      return;
    }
    const value = frames[VALUE] as Buffer;
    if (value.length === 0) return;
    if (loading.bytes + key.length + value.length > this.#options.maxBytes) {
      this.#tooLarge(now);
      return;
    }
    loading.table.put(key, value, readSequence(frames[SEQUENCE] as Buffer));
  }

  /** KVPUB or HUGZ. */
  update(attempt: number, frames: readonly Buffer[], now: number): void {
    // What comes before the snapshot is asked for is in it.
    if (attempt !== this.#attempt || !this.#connected || this.#state === "closed") return;
    const fault = updateFault(frames);
    if (fault !== undefined) {
      this.#fault("publisher", fault);
      return;
    }
    this.#heardAt = now;
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    if (isHugz(frames)) {
      this.#hugz(sequence, frames[PROPERTIES] as Buffer, now);
      return;
    }
    this.#counts.received += 1;
    const key = frames[KEY] as Buffer;
    const bad = keyFault(key);
    if (bad !== undefined) {
      this.#fault("publisher", bad);
      return;
    }
    const number = this.#calls.numberOf(frames[UUID] as Buffer);
    const loading = this.#loading;
    // What a client with more than one subscription gets beside its subtree; its sequence counts all the same.
    const ours = this.#isOurs(key);
    if (loading !== undefined) {
      const known = this.#whole || this.#chain !== undefined;
      const previous = known ? this.#previous(sequence, frames) : (frames[PROPERTIES] as Buffer);
      if (ours) loading.queue(key, frames[VALUE] as Buffer, sequence, previous);
      if (number > 0) this.#calls.came(number, sequence, false, now);
      if (loading.bytes > this.#options.maxBytes) this.#tooLarge(now);
      return;
    }
    if (sequence > this.#last) {
      this.#oldInRow = false;
      // The server counts as this client does: the next gap is a loss, and healed at once.
      if (sequence === this.#last + 1) this.#healDelay = HEAL_DELAY;
      const previous = this.#previous(sequence, frames);
      if (previous > this.#last && !this.#healWanted) {
        this.#gap(this.#last + 1, sequence, now);
        if (this.#loading !== undefined) {
          this.update(attempt, frames, now);
          this.#counts.received -= 1;
          return;
        }
      }
      if (ours) this.#apply(key, frames[VALUE] as Buffer, sequence, number > 0, now);
      this.#last = sequence;
    } else this.#old(sequence);
    if (number > 0) this.#calls.came(number, sequence, true, now);
  }

  tick(now: number): void {
    this.#calls.tick(now);
    if (now >= this.#resendAt) {
      this.#resendAt = now + RESEND_INTERVAL;
      this.#calls.resend(this.#server, now, RESEND_INTERVAL);
    }
    if (this.#openAt !== undefined) {
      if (now >= this.#openAt) this.#turn(now);
    } else if (!this.#connected || this.#loading !== undefined) {
      if (now >= this.#attemptUntil) {
        this.#reason = "no-snapshot";
        this.#turnStale(now);
        this.#turn(now);
      }
    } else if (now >= this.#heardAt + this.#patience) {
      this.#reason = "silent";
      this.#turnStale(now);
      this.#turn(now);
    } else if (this.#healWanted && now >= this.#healAt) this.#heal(now);
  }

  nextWakeUp(): number | undefined {
    if (this.#state === "closed") return undefined;
    let next = this.#openAt;
    if (next === undefined && (!this.#connected || this.#loading !== undefined)) next = this.#attemptUntil;
    if (next === undefined) {
      next = this.#heardAt + this.#patience;
      if (this.#healWanted && this.#healAt < next) next = this.#healAt;
    }
    if (this.#calls.count === 0) return next;
    return Math.min(next, this.#resendAt, this.#calls.next() ?? next);
  }

  close(now: number): void {
    this.#calls.close();
    this.#setState("closed", now);
    this.#loading = undefined;
  }

  stats(now: number): Omit<CloneClientStats, "handshakeErrors" | "invalid" | "watchLost"> {
    const { sets, acknowledged, timedOut, aborted, resent, count } = this.#calls;
    return {
      state: this.#state,
      server: this.#options.servers[this.#server] as string,
      entries: this.#table.size,
      bytes: this.#table.bytes,
      memory: this.#table.memory,
      sequence: this.#last,
      silentFor: Math.max(0, now - this.#heardAt),
      ...this.#counts,
      sets,
      acknowledged,
      timedOut,
      aborted,
      inFlight: count,
      resent,
    };
  }

  get #patience(): number {
    return this.#options.heartbeatInterval * this.#options.liveness;
  }

  #isOurs(key: Buffer): boolean {
    const { subtree } = this.#options;
    if (subtree.length === 0) return true;
    return key.length >= subtree.length && key.compare(subtree, 0, subtree.length, 0, subtree.length) === 0;
  }

  /** The update before this one, among those that this client gets; 0 when nobody says. */
  #previous(sequence: number, frames: readonly Buffer[]): number {
    if (this.#whole) return sequence - 1;
    if (this.#chain === undefined) return 0;
    return chainValue(frames[PROPERTIES] as Buffer, this.#chain) ?? 0;
  }

  #open(now: number): void {
    this.#attempt += 1;
    this.#connected = false;
    this.#loading = undefined;
    this.#openAt = undefined;
    this.#healWanted = false;
    this.#chain = undefined;
    this.#attemptUntil = now + this.#options.snapshotTimeout;
    this.#calls.forgetArrivals();
    this.#outbox.open(this.#attempt, this.#server);
  }

  /** To the next server; to the same, if there is no other. */
  #turn(now: number): void {
    const { servers } = this.#options;
    const from = servers[this.#server] as string;
    this.#server = (this.#server + 1) % servers.length;
    if (servers.length > 1) {
      this.#counts.failOvers += 1;
      const to = servers[this.#server] as string;
      this.#outbox.event({ type: "fail-over", from, to, reason: this.#reason });
    }
    this.#open(now);
  }

  #load(now: number): void {
    this.#loading = new ClientLoading(now);
    this.#attemptUntil = now + this.#options.snapshotTimeout;
    this.#outbox.ask(this.#attempt);
  }

  #goodbye(loading: ClientLoading, frames: readonly Buffer[], now: number): void {
    const subtree = frames[VALUE] as Buffer;
    // The Guide's servers in C leave it empty.
    if (subtree.length > 0 && !subtree.equals(this.#options.subtree)) {
      this.#fault("snapshot", "subtree");
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    this.#chain = this.#whole ? undefined : chainName(frames[PROPERTIES] as Buffer);
    const outcome = loading.finish(sequence, this.#chain);
    if ("gap" in outcome) {
      this.#loading = undefined;
      this.#gap(sequence + 1, outcome.gap + 1, now);
      if (this.#loading === undefined) this.#attemptUntil = this.#healAt + this.#options.snapshotTimeout;
      return;
    }
    this.#loading = undefined;
    this.#counts.snapshots += 1;
    const before = this.#table;
    this.#table = loading.table;
    this.#last = outcome.last;
    this.#wasLive = true;
    this.#oldInRow = false;
    const duration = now - loading.startedAt;
    const server = this.#options.servers[this.#server] as string;
    const entries = this.#table.size;
    this.#outbox.event({ type: "snapshot", server, entries, sequence, duration });
    if (this.#outbox.watching) this.#compare(before, this.#table);
    this.#setState("live", now);
    this.#calls.arrive(now);
    this.#outbox.synced();
    // What an earlier server did not put in order is asked of this one.
    this.#calls.resend(this.#server, now);
  }

  #hugz(sequence: number, properties: Buffer, now: number): void {
    if (this.#loading !== undefined || this.#healWanted || sequence === 0) return;
    if (sequence < this.#last) {
      this.#gap(this.#last, sequence, now);
      return;
    }
    const last = this.#whole ? sequence : this.#chain === undefined ? 0 : chainValue(properties, this.#chain);
    if (last !== undefined && last > this.#last) this.#gap(this.#last + 1, last, now);
  }

  /** Something is missing. At once, or after a while if that happens again and again. */
  #gap(expected: number, got: number, now: number): void {
    this.#counts.gaps += 1;
    this.#outbox.event({ type: "gap", expected, got });
    if (now >= this.#healAt) {
      this.#heal(now);
      return;
    }
    this.#healWanted = true;
    this.#setState("stale", now);
  }

  #heal(now: number): void {
    this.#healWanted = false;
    this.#healAt = now + this.#healDelay;
    this.#healDelay = Math.min(this.#healDelay * 2, MAX_HEAL_DELAY);
    this.#setState("syncing", now);
    this.#load(now);
  }

  #apply(key: Buffer, value: Buffer, sequence: number, own: boolean, now: number): void {
    const table = this.#table;
    this.#counts.applied += 1;
    const watching = this.#outbox.watching;
    let old: Buffer | undefined;
    if (watching || value.length === 0) {
      const id = table.find(key);
      if (id >= 0 && watching) old = table.value(id);
      if (id >= 0 && value.length === 0) table.remove(id);
    }
    if (value.length > 0) {
      if (table.bytes + key.length + value.length > this.#options.maxBytes) {
        this.#tooLarge(now);
        return;
      }
      table.put(key, value, sequence);
    }
    if (!watching || (value.length === 0 && old === undefined)) return;
    // An acknowledgement that had to be repeated changes nothing.
    if (old?.equals(value) === true && !own) return;
    this.#outbox.changed(key, old, value.length === 0 ? undefined : value, sequence, own, false);
  }

  /** What is other in a new map, for those who watch. */
  #compare(before: CloneTable, after: CloneTable): void {
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0)
        this.#outbox.changed(key, before.value(id), undefined, this.#last, false, true);
    }
    for (let id = 0; id < after.high; id++) {
      if (!after.isLive(id)) continue;
      const key = after.key(id);
      const there = before.find(key);
      const old = there < 0 ? undefined : before.value(there);
      const value = after.value(id);
      if (old?.equals(value) !== true) this.#outbox.changed(key, old, value, after.sequence(id), false, true);
    }
  }

  #old(sequence: number): void {
    this.#counts.old += 1;
    if (this.#oldInRow) return;
    this.#oldInRow = true;
    this.#outbox.event({ type: "old", sequence, last: this.#last });
  }

  #tooLarge(now: number): void {
    this.#fault("snapshot", "too-large");
    this.#turnStale(now);
    this.#reason = "no-snapshot";
    this.#connected = false;
    this.#loading = undefined;
    this.#openAt = now + MAX_HEAL_DELAY;
  }

  #turnStale(now: number): void {
    this.#loading = undefined;
    if (this.#wasLive) this.#setState("stale", now);
  }

  #setState(state: CloneState, now: number): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#outbox.event({ type: "state", state, silentFor: Math.max(0, now - this.#heardAt) });
  }

  #fault(port: "snapshot" | "publisher", fault: CloneFault | "too-large"): void {
    this.#counts.faults += 1;
    this.#outbox.event({ type: "fault", port, fault });
  }
}
