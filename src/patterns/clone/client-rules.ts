/**
 * A client's rules, without sockets, timers or a clock.
 *
 *             connected: ICANHAZ         KTHXBAI
 *   connecting ─────────────> syncing ────────────> live
 *       ^                        │                   │
 *       └──── no answer ─────────┴─ silence, lost ───┘      the next server, or the same one again
 *                                   missed updates          the same one again
 *
 * The old map stays readable until a new one is whole.
 */

import { owned } from "../../core/bytes.js";
import { costOf } from "../../core/memory.js";
import type { FrameBatch } from "../../sockets/internal.js";
import { ClientCalls, type ClientUpdate, type CloneCall, type UpdateResult } from "./client-calls.js";
import type { ClientRulesOptions, CloneClientStats, CloneState } from "./client-options.js";
import {
  ClientAttempts,
  type ClientEffects,
  ClientMap,
  ClientSubtree,
  type FailOverReason,
  Loading,
  UpdateView,
} from "./client-state.js";
import { isConflict, isRefusedFull, revisionOf, supportsConditions } from "./properties.js";
import {
  type CloneFault,
  isGoodbye,
  isHugz,
  KEY,
  keyFault,
  MAX_SERVER_PROPERTIES,
  PROPERTIES,
  readSequence,
  SEQUENCE,
  UUID,
  updateFault,
  VALUE,
} from "./protocol.js";
import type { CloneTable } from "./table.js";

/** ms after which unacknowledged updates are sent again; up to half as much more, random. */
const RESEND_INTERVAL = 1_000;

export class ClientRules {
  readonly #options: ClientRulesOptions;
  readonly #effects: ClientEffects;
  readonly #calls: ClientCalls;
  readonly #subtree: ClientSubtree;
  readonly #map: ClientMap;
  readonly #attempts: ClientAttempts;
  readonly #counts = { received: 0, applied: 0, old: 0, gaps: 0, snapshots: 0, faults: 0 };
  #state: CloneState = "syncing";
  #heardAt: number;
  #wasLive = false;
  readonly #view = new UpdateView();
  #loading: Loading | undefined;
  /** The server's collector is subscribed. */
  #collects = false;
  /** Whether the server supports conditions; `undefined` before its KTHXBAI, which shows that it serves. */
  #conditions: boolean | undefined;
  #resendAt: number;

  constructor(options: ClientRulesOptions, effects: ClientEffects, now: number) {
    this.#options = options;
    this.#effects = effects;
    this.#subtree = new ClientSubtree(options.subtree);
    this.#heardAt = now;
    this.#resendAt = this.#nextResend(now);
    this.#map = new ClientMap(effects, options.maxBytes);
    const { token, maxPending } = options;
    this.#calls = new ClientCalls(token, maxPending, effects);
    this.#attempts = new ClientAttempts(options, effects);
  }

  get table(): CloneTable {
    return this.#map.table;
  }

  get state(): CloneState {
    return this.#state;
  }

  get sequence(): number {
    return this.#map.last;
  }

  holds(key: Buffer): boolean {
    return this.#subtree.has(key);
  }

  setServers(names: readonly string[], now: number): void {
    if (!this.#isClosed && this.#attempts.setServers(names, now)) this.#open(now);
  }

  set(update: ClientUpdate, result: UpdateResult, now: number): CloneCall {
    if (this.#calls.count === 0) this.#resendAt = this.#nextResend(now);
    return this.#calls.add(update, result, now);
  }

  abort(call: CloneCall, now: number): void {
    this.#calls.abort(call, now);
  }

  /** The server's collector can take updates, or not any more. */
  collector(attempt: number, collects: boolean, now: number): void {
    if (attempt !== this.#attempts.number || this.#isClosed) return;
    this.#collects = collects;
    if (!collects) this.#calls.shut();
    else if (this.#conditions !== undefined) this.#calls.open(this.#conditions, now);
  }

  /** The subscription was sent: later KVPUBs come. */
  connected(attempt: number, now: number): void {
    const attempts = this.#attempts;
    // A threaded engine may report it late.
    if (attempt !== attempts.number || attempts.phase !== "connecting" || this.#isClosed) return;
    attempts.phase = "connected";
    this.#loading = new Loading();
    attempts.progress(now);
    this.#effects.ask(attempts.number);
  }

  /** @param refused it was never connected */
  disconnected(attempt: number, refused: boolean, now: number): void {
    const attempts = this.#attempts;
    if (attempt !== attempts.number || attempts.phase === "pausing" || this.#isClosed) return;
    if (!refused && attempts.phase !== "connected") return;
    this.#becomeStale(now);
    attempts.end(refused ? "refused" : "disconnected", now);
  }

  /** KVSYNC or KTHXBAI. */
  snapshot(attempt: number, frames: readonly Buffer[], now: number): void {
    const loading = this.#loading;
    if (attempt !== this.#attempts.number || loading === undefined) return;
    const key = frames[KEY];
    const fault = updateFault(frames, MAX_SERVER_PROPERTIES);
    if (fault !== undefined || key === undefined) {
      this.#fault("snapshot", fault ?? "frames");
      return;
    }
    this.#heardAt = now;
    this.#attempts.progress(now);
    if (isGoodbye(frames)) {
      this.#snapshotEnd(loading, frames, now);
      return;
    }
    if (this.#state === "stale") this.#become("syncing", now);
    const bad = keyFault(key) ?? (this.#subtree.has(key) ? undefined : "subtree");
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

  /** KVPUBs and HUGZ as bytes, retained only if the batch has pinned them. */
  updates(attempt: number, batch: FrameBatch, now: number): void {
    const view = this.#view;
    const map = this.#map;
    const { bytes, end } = batch;
    let applies = this.#appliesNext(attempt);
    let applied = 0;
    view.open(bytes);
    for (let position = batch.start; position < end; ) {
      view.read(position);
      const { uuid, end: next } = view;
      if (
        applies &&
        view.isPlain &&
        view.sequence === map.last + 1 &&
        (uuid < 0 || !this.#calls.isOwn(bytes, uuid)) &&
        map.applyNext(view)
      )
        applied += 1;
      else {
        this.#countApplied(applied, now);
        applied = 0;
        this.update(attempt, batch.messageAt(position, next), now);
        applies = this.#appliesNext(attempt);
      }
      position = next;
    }
    view.close();
    this.#countApplied(applied, now);
  }

  #appliesNext(attempt: number): boolean {
    if (!this.#hears(attempt) || this.#loading !== undefined) return false;
    return this.#subtree.isWhole && !this.#effects.watching();
  }

  #countApplied(updates: number, now: number): void {
    if (updates === 0) return;
    this.#heardAt = now;
    this.#counts.received += updates;
    this.#counts.applied += updates;
    this.#attempts.succeed();
  }

  #hears(attempt: number): boolean {
    const { number, phase } = this.#attempts;
    return attempt === number && phase === "connected" && !this.#isClosed;
  }

  /** KVPUB or HUGZ. */
  update(attempt: number, frames: readonly Buffer[], now: number): void {
    if (!this.#hears(attempt)) return;
    const fault = updateFault(frames, MAX_SERVER_PROPERTIES);
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
    if (sequence === 0 && isRefusedFull(frames[PROPERTIES] as Buffer))
      this.#calls.refuse(this.#calls.numberOf(frames[UUID] as Buffer), now);
    else this.#take(frames, now);
  }

  #take(frames: readonly Buffer[], now: number): void {
    const map = this.#map;
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const loading = this.#loading;
    if (loading !== undefined) {
      loading.queue(frames.map(owned), costOf(frames));
      if (loading.bytes > this.#options.maxBytes) this.#tooLarge(now);
    } else if (sequence > map.last) {
      const previous = this.#subtree.last(sequence - 1, frames[PROPERTIES] as Buffer);
      if (previous > map.last) this.#gap(map.last + 1, sequence, now);
      else this.#apply(frames, sequence, now);
    } else {
      this.#counts.old += 1;
      this.#acknowledge(frames, sequence, now);
    }
  }

  #apply(frames: readonly Buffer[], sequence: number, now: number): void {
    const [key, value, properties] = [frames[KEY], frames[VALUE], frames[PROPERTIES]] as [
      Buffer,
      Buffer,
      Buffer,
    ];
    const revision = revisionOf(properties);
    // A repeated update or a conflict changes nothing.
    const own = revision === undefined && this.#calls.numberOf(frames[UUID] as Buffer) > 0;
    const entry = revision === undefined || revision === 0 ? sequence : revision;
    // The subscription to HUGZ may bring keys outside the subtree; their sequences count.
    if (this.#subtree.has(key)) {
      this.#counts.applied += 1;
      if (!this.#map.apply(key, value, entry, own)) {
        // The attempt has ended, and its back-off must not begin anew.
        this.#acknowledge(frames, sequence, now);
        this.#tooLarge(now);
        return;
      }
    }
    this.#map.last = sequence;
    this.#attempts.succeed();
    this.#acknowledge(frames, sequence, now);
  }

  #acknowledge(frames: readonly Buffer[], sequence: number, now: number): void {
    const number = this.#calls.numberOf(frames[UUID] as Buffer);
    if (number === 0) return;
    const properties = frames[PROPERTIES] as Buffer;
    const revision = revisionOf(properties);
    const conflict = revision !== undefined && isConflict(properties);
    this.#calls.acknowledge(number, { sequence, revision, conflict, value: frames[VALUE] as Buffer }, now);
  }

  tick(now: number): void {
    if (this.#isClosed) return;
    this.#calls.tick(now);
    if (now >= this.#resendAt) {
      this.#resendAt = this.#nextResend(now);
      this.#calls.resend(now, RESEND_INTERVAL);
    }
    const { phase, until, leaveAt } = this.#attempts;
    if (phase !== "connected" || this.#loading !== undefined) {
      if (now >= until) this.#failOver(now, phase === "pausing" ? undefined : "no-snapshot");
    } else if (now >= this.#silentAt) this.#failOver(now, "silent");
    else if (now >= leaveAt) this.#failOver(now, "removed");
  }

  nextWakeUp(): number | undefined {
    if (this.#isClosed) return undefined;
    const { phase, until, leaveAt } = this.#attempts;
    const follows = phase === "connected" && this.#loading === undefined;
    const next = follows ? Math.min(this.#silentAt, leaveAt) : until;
    if (this.#calls.count === 0) return next === Number.POSITIVE_INFINITY ? undefined : next;
    return Math.min(next, this.#resendAt, this.#calls.next() ?? next);
  }

  close(now: number): void {
    this.#calls.close();
    this.#become("closed", now);
    this.#loading = undefined;
  }

  stats(now: number): Omit<CloneClientStats, "handshakeErrors" | "invalid" | "watchLost"> {
    const { table, last } = this.#map;
    return {
      state: this.#state,
      server: this.#attempts.server,
      entries: table.size,
      bytes: table.bytes,
      memory: table.memory,
      sequence: last,
      silentFor: this.#silentFor(now),
      ...this.#counts,
      failOvers: this.#attempts.failOvers,
      ...this.#calls.counts,
      inFlight: this.#calls.count,
    };
  }

  /** Random: clients of a restarted server do not send at once. */
  #nextResend(now: number): number {
    return now + RESEND_INTERVAL * (1 + this.#options.random() / 2);
  }

  #open(now: number): void {
    if (this.#isClosed) return; // By a listener of the failover.
    this.#loading = undefined;
    this.#collects = false;
    this.#conditions = undefined;
    this.#calls.shut();
    this.#attempts.open(now);
  }

  /** @param reason if the attempt has not ended with one */
  #failOver(now: number, reason?: FailOverReason): void {
    if (reason !== undefined) this.#becomeStale(now);
    this.#attempts.failOver(reason);
    this.#open(now);
  }

  #snapshotEnd({ table, updates }: Loading, frames: readonly Buffer[], now: number): void {
    const subtree = frames[VALUE] as Buffer;
    // The Guide's servers in C leave it empty.
    if (subtree.length > 0 && !this.#subtree.is(subtree)) {
      this.#fault("snapshot", "subtree");
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const properties = frames[PROPERTIES] as Buffer;
    this.#subtree.learn(properties);
    this.#loading = undefined;
    const before = this.#map.replace(table, sequence);
    this.#counts.snapshots += 1;
    this.#map.reportDifference(before);
    for (const update of updates) {
      const at = readSequence(update[SEQUENCE] as Buffer);
      if (at <= sequence) this.#acknowledge(update, at, now);
      else this.#take(update, now);
      // Some were missed.
      if (this.#attempts.phase !== "connected") break;
    }
    this.#effects.synced();
    if (this.#attempts.phase !== "connected") return;
    this.#become("live", now);
    this.#conditions = supportsConditions(properties);
    if (this.#collects) this.#calls.open(this.#conditions, now);
  }

  #hugz(sequence: number, properties: Buffer, now: number): void {
    const { last } = this.#map;
    if (this.#loading !== undefined) {
      this.#attempts.serves(now);
      return;
    }
    const theirs = this.#subtree.last(sequence, properties);
    // A server that speaks as the text of 12/CHP sends 0.
    if (sequence > 0 && sequence < last) this.#gap(last, sequence, now);
    else if (sequence > 0 && theirs > last) this.#gap(last + 1, theirs, now);
    else this.#attempts.succeed();
  }

  #gap(expected: number, got: number, now: number): void {
    this.#counts.gaps += 1;
    this.#effects.event({ type: "update:missed", expected, got });
    this.#becomeStale(now);
    this.#attempts.end("missed", now);
  }

  #tooLarge(now: number): void {
    this.#fault("snapshot", "too-large");
    this.#becomeStale(now);
    this.#attempts.end("no-snapshot", now);
  }

  get #isClosed(): boolean {
    return this.#state === "closed";
  }

  get #silentAt(): number {
    return this.#heardAt + this.#options.heartbeatInterval * this.#options.liveness;
  }

  #silentFor(now: number): number {
    return Math.max(0, now - this.#heardAt);
  }

  #become(state: CloneState, now: number): void {
    if (state === "live") this.#wasLive = true;
    if (state === this.#state || this.#isClosed) return;
    this.#state = state;
    this.#effects.event({ type: "state:changed", state, silentFor: this.#silentFor(now) });
  }

  #fault(port: "snapshot" | "publisher", reason: CloneFault | "too-large"): void {
    this.#counts.faults += 1;
    this.#effects.event({ type: "message:invalid", port, reason });
  }

  #becomeStale(now: number): void {
    this.#loading = undefined;
    if (this.#wasLive) this.#become("stale", now);
  }
}
