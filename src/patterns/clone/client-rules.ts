/**
 * A client's rules, without sockets, timers or a clock: attempts to follow a server.
 *
 *   idle ──a server──> connecting ──> connected: ICANHAZ ──KTHXBAI──> live
 *                        ^   │            │                             │
 *     the next server,   │   no progress, or lost         missed updates, or lost
 *     or the same again  └── pausing <────┴─────────────────────────────┘      no pause after silence
 *
 * The old map stays readable until a new one is whole. After missed updates the same server sends its map again. A
 * working server that leaves the list stays in use for 5 s, and while the list is empty.
 */

import { owned } from "../../core/bytes.js";
import { costOf } from "../../core/memory.js";
import { backOff } from "../../core/timers.js";
import { EndpointChooser } from "../../kit/endpoint-chooser.js";
import type { FrameBatch } from "../../sockets/internal.js";
import { ClientCalls, type ClientEffects } from "./client-calls.js";
import type { ClientRulesOptions, CloneClientStats, CloneState } from "./client-options.js";
import { hasLine, REFUSED, revisionOf, SUPPORT, subtreeName, subtreeSequence } from "./properties.js";
import {
  type CloneFault,
  hasPrefix,
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
import { CloneTable } from "./table.js";
import { UpdateView } from "./update-view.js";
import type { RawChange } from "./watch.js";

/** ms to the next attempt, doubled each time up to a heartbeat or a second, with jitter. */
const RETRY_DELAY = 50;
const MAX_RETRY_DELAY = 1_000;
/** ms at most to the next one for a map that was sent in vain: with missed updates, or too large. */
const MAX_RELOAD_DELAY = 10_000;
/** ms at a working server that left the list. */
const LEAVE_DELAY = 5_000;

type FailOverReason = "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";
/** Why an attempt ended. */
type AttemptEnd = FailOverReason | "missed";

/**
 * A snapshot in flight.
 *
 *   KVSYNC   into the table, which is used once it is whole
 *   KVPUB    into the queue
 *   KTHXBAI  the table takes the place of the map, and the queue is applied to it
 */
interface Loading {
  readonly table: CloneTable;
  readonly updates: (readonly Buffer[])[];
  /** Cost of the queue (core/memory.ts). */
  queued: number;
}

export class ClientRules {
  readonly #options: ClientRulesOptions;
  readonly #effects: ClientEffects;
  readonly calls: ClientCalls;
  readonly #servers = new EndpointChooser([]);
  readonly #counts = { received: 0, applied: 0, old: 0, gaps: 0, snapshots: 0, faults: 0 };
  state: CloneState = "syncing";
  #heardAt: number;
  #phase: "idle" | "connecting" | "connected" | "pausing" = "idle";
  /** Messages of earlier attempts are dropped. */
  #attempt = 0;
  /** End of a pause, or of an attempt without progress. */
  #until = Number.POSITIVE_INFINITY;
  #reason: AttemptEnd = "silent";
  /** Attempts in a row without a whole map, of which nothing was missed. */
  #failures = 0;
  #leaveAt = Number.POSITIVE_INFINITY;
  #failOvers = 0;
  table = new CloneTable();
  /** Sequence of the last update in the map. */
  sequence = 0;
  #loading: Loading | undefined;
  /** Property of the subtree's number at the server, such as `s3` (properties.ts). */
  #subtreeName: string | undefined;

  constructor(options: ClientRulesOptions, effects: ClientEffects, now: number) {
    this.#options = options;
    this.#effects = effects;
    this.#heardAt = now;
    this.calls = new ClientCalls(options, effects);
  }

  holds(key: Buffer): boolean {
    return hasPrefix(key, this.#options.subtree);
  }

  setServers(names: readonly string[], now: number): void {
    const isFirst = this.#servers.used === "";
    if (this.#servers.follow(names) || isFirst) this.#leaveAt = Number.POSITIVE_INFINITY;
    else this.#leaveAt = Math.min(this.#leaveAt, now + LEAVE_DELAY);
    if (isFirst && this.#servers.next() !== undefined) this.#open(now);
  }

  /** The server's collector can take updates, or not any more. */
  collector(attempt: number, collects: boolean, now: number): void {
    if (attempt === this.#attempt) this.calls.collector(collects, now);
  }

  /** The subscription was sent: later KVPUBs come. */
  connected(attempt: number, now: number): void {
    // A threaded engine may report it late.
    if (attempt !== this.#attempt || this.#phase !== "connecting") return;
    this.#phase = "connected";
    this.#loading = { table: new CloneTable(), updates: [], queued: 0 };
    this.#progress(now);
    this.#effects.ask(attempt);
  }

  /** @param refused it was never connected */
  disconnected(attempt: number, refused: boolean, now: number): void {
    if (attempt !== this.#attempt || this.#phase === "pausing") return;
    if (refused || this.#phase === "connected") this.#end(refused ? "refused" : "disconnected", now);
  }

  /** KVSYNC or KTHXBAI. */
  snapshot(attempt: number, frames: readonly Buffer[], now: number): void {
    const loading = this.#loading;
    if (attempt !== this.#attempt || loading === undefined) return;
    if (!this.#isValid("snapshot", frames)) return;
    this.#heardAt = now;
    this.#progress(now);
    if (isGoodbye(frames)) {
      this.#snapshotEnd(loading, frames, now);
      return;
    }
    if (this.state === "stale") this.#become("syncing", now);
    const [key, value] = [frames[KEY] as Buffer, frames[VALUE] as Buffer];
    if (!this.holds(key)) this.#fault("snapshot", "subtree");
    else if (bytesOf(loading) + key.length + value.length > this.#options.maxBytes) this.#tooLarge(now);
    else if (value.length > 0) loading.table.put(key, value, readSequence(frames[SEQUENCE] as Buffer));
  }

  /** KVPUBs and HUGZ as bytes, retained only if the batch has pinned them. */
  updates(attempt: number, batch: FrameBatch, now: number): void {
    const { bytes, end } = batch;
    const view = new UpdateView(bytes);
    let applies = this.#appliesNext(attempt);
    for (let position = batch.start; position < end; ) {
      view.read(position);
      const { uuid, end: next } = view;
      const isNext = applies && view.isPlain && view.sequence === this.sequence + 1;
      if (!isNext || (uuid >= 0 && this.calls.isOwn(bytes, uuid)) || !this.#applyNext(view, now)) {
        this.update(attempt, batch.messageAt(position, next), now);
        applies = this.#appliesNext(attempt);
      }
      position = next;
    }
  }

  #appliesNext(attempt: number): boolean {
    if (!this.#hears(attempt) || this.#loading !== undefined) return false;
    return this.#isWhole && !this.#effects.watching();
  }

  /** @returns `false` above the bound of bytes: {@link update} follows */
  #applyNext(update: UpdateView, now: number): boolean {
    this.table.putFrom(update, update.sequence);
    if (this.table.bytes > this.#options.maxBytes) return false;
    this.sequence = update.sequence;
    this.#heardAt = now;
    this.#counts.received += 1;
    this.#counts.applied += 1;
    this.#failures = 0;
    return true;
  }

  #hears(attempt: number): boolean {
    return attempt === this.#attempt && this.#phase === "connected";
  }

  /** KVPUB or HUGZ. */
  update(attempt: number, frames: readonly Buffer[], now: number): void {
    if (!this.#hears(attempt)) return;
    if (!this.#isValid("publisher", frames)) return;
    this.#heardAt = now;
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    if (isHugz(frames)) {
      this.#hugz(sequence, frames[PROPERTIES] as Buffer, now);
      return;
    }
    this.#counts.received += 1;
    if (sequence === 0 && hasLine(frames[PROPERTIES] as Buffer, REFUSED)) this.calls.refuse(frames, now);
    else this.#take(frames, now);
  }

  #take(frames: readonly Buffer[], now: number): void {
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const loading = this.#loading;
    if (loading !== undefined) {
      loading.updates.push(frames.map(owned));
      loading.queued += costOf(frames);
      if (bytesOf(loading) > this.#options.maxBytes) this.#tooLarge(now);
    } else if (sequence > this.sequence) {
      const previous = this.#lastInSubtree(sequence - 1, frames[PROPERTIES] as Buffer);
      if (previous > this.sequence) this.#gap(this.sequence + 1, sequence, now);
      else this.#apply(frames, sequence, now);
    } else {
      this.#counts.old += 1;
      this.calls.acknowledge(frames, sequence, now);
    }
  }

  #apply(frames: readonly Buffer[], sequence: number, now: number): void {
    const key = frames[KEY] as Buffer;
    const revision = revisionOf(frames[PROPERTIES] as Buffer);
    // A repeated update or a conflict changes nothing.
    const own = revision === undefined && this.calls.numberOf(frames[UUID] as Buffer) > 0;
    const entry = revision === undefined || revision === 0 ? sequence : revision;
    // The subscription to HUGZ may bring keys outside the subtree; their sequences count.
    if (this.holds(key)) {
      this.#counts.applied += 1;
      this.#change(key, frames[VALUE] as Buffer, entry, own);
    }
    const fits = this.table.bytes <= this.#options.maxBytes;
    this.sequence = sequence;
    if (fits) this.#failures = 0;
    this.calls.acknowledge(frames, sequence, now);
    if (!fits) this.#tooLarge(now);
  }

  /** @param value empty: deleted */
  #change(key: Buffer, value: Buffer, sequence: number, own: boolean): void {
    const table = this.table;
    const watching = this.#effects.watching();
    let old: Buffer | undefined;
    if (watching || value.length === 0) {
      const id = table.find(key);
      if (id >= 0 && watching) old = table.value(id);
      if (id >= 0 && value.length === 0) table.remove(id);
    }
    if (value.length > 0) table.put(key, value, sequence);
    if (!watching || (value.length === 0 && old === undefined)) return;
    if (old?.equals(value) === true && !own) return;
    const set = value.length === 0 ? undefined : value;
    this.#effects.changed({ key, old, value: set, sequence, own, resync: false });
  }

  tick(now: number): void {
    this.calls.tick(now);
    if (this.#phase !== "connected" || this.#loading !== undefined) {
      if (now >= this.#until) this.#failOver(now, this.#phase === "pausing" ? this.#reason : "no-snapshot");
    } else if (now >= this.#silentAt) this.#failOver(now, "silent");
    else if (now >= this.#leavesAt) this.#failOver(now, "removed");
  }

  /** Infinite: never. */
  nextWakeUp(): number {
    const follows = this.#phase === "connected" && this.#loading === undefined;
    return Math.min(follows ? Math.min(this.#silentAt, this.#leavesAt) : this.#until, this.calls.next());
  }

  close(now: number): void {
    this.calls.close();
    this.#become("closed", now);
    this.#loading = undefined;
    this.#attempt += 1;
    this.#phase = "idle";
    this.#until = Number.POSITIVE_INFINITY;
  }

  stats(now: number): Omit<CloneClientStats, "handshakeErrors" | "invalid" | "watchLost"> {
    const { size, bytes, memory } = this.table;
    return {
      state: this.state,
      server: this.#servers.used,
      entries: size,
      bytes,
      memory,
      sequence: this.sequence,
      silentFor: this.#silentFor(now),
      ...this.#counts,
      failOvers: this.#failOvers,
      ...this.calls.counts,
      inFlight: this.calls.count,
    };
  }

  /** At the server in use. */
  #open(now: number): void {
    if (this.state === "closed") return; // By a listener of the failover.
    this.#loading = undefined;
    this.calls.shut();
    this.#attempt += 1;
    this.#phase = "connecting";
    this.#progress(now);
    this.#effects.open(this.#attempt, this.#servers.used);
  }

  #progress(now: number): void {
    this.#until = now + this.#options.attemptTimeout;
  }

  /** Ends an attempt. The pause avoids a busy loop with dead or refusing servers, and with another numbering. */
  #end(reason: AttemptEnd, now: number): void {
    this.#becomeStale(now);
    if (this.state === "closed") return;
    this.#phase = "pausing";
    this.#reason = reason;
    const { heartbeatInterval, random } = this.#options;
    const inVain = reason === "missed" || reason === "no-snapshot";
    const longest = inVain
      ? MAX_RELOAD_DELAY
      : Math.max(RETRY_DELAY, Math.min(MAX_RETRY_DELAY, heartbeatInterval));
    this.#until = now + backOff(this.#failures++, RETRY_DELAY, longest, random);
  }

  #failOver(now: number, reason: AttemptEnd): void {
    this.#becomeStale(now);
    if (reason !== "missed") this.#chooseServer(reason);
    this.#open(now);
  }

  #chooseServer(reason: FailOverReason): void {
    const from = this.#servers.used;
    this.#servers.failed();
    const to = this.#servers.next() ?? from;
    if (to === from) return;
    this.#leaveAt = Number.POSITIVE_INFINITY;
    this.#failOvers += 1;
    this.#effects.event({ type: "server:failed-over", from, to, reason });
  }

  #snapshotEnd({ table, updates }: Loading, frames: readonly Buffer[], now: number): void {
    const subtree = frames[VALUE] as Buffer;
    // The Guide's servers in C leave it empty.
    if (subtree.length > 0 && !subtree.equals(this.#options.subtree)) {
      this.#fault("snapshot", "subtree");
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const properties = frames[PROPERTIES] as Buffer;
    this.#subtreeName = subtreeName(properties);
    this.#loading = undefined;
    const before = this.table;
    this.table = table;
    this.sequence = sequence;
    this.#counts.snapshots += 1;
    if (this.#effects.watching()) this.#reportDifference(before);
    for (const update of updates) {
      const at = readSequence(update[SEQUENCE] as Buffer);
      if (at <= sequence) this.calls.acknowledge(update, at, now);
      else this.#take(update, now);
      // Some were missed.
      if (this.#phase !== "connected") break;
    }
    this.#effects.synced();
    if (this.#phase !== "connected") return;
    this.#become("live", now);
    this.calls.serves(hasLine(properties, SUPPORT), now);
  }

  #hugz(sequence: number, properties: Buffer, now: number): void {
    const last = this.sequence;
    if (this.#loading !== undefined) return;
    const theirs = this.#lastInSubtree(sequence, properties);
    // A server that speaks as the text of 12/CHP sends 0.
    if (sequence > 0 && sequence < last) this.#gap(last, sequence, now);
    else if (sequence > 0 && theirs > last) this.#gap(last + 1, theirs, now);
    else this.#failures = 0;
  }

  #reportDifference(before: CloneTable): void {
    const after = this.table;
    const report = (change: Pick<RawChange, "key" | "old" | "value" | "sequence">): void =>
      this.#effects.changed({ ...change, own: false, resync: true });
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0)
        report({ key, old: before.value(id), value: undefined, sequence: this.sequence });
    }
    for (let id = 0; id < after.high; id++) {
      if (!after.isLive(id)) continue;
      const key = after.key(id);
      const there = before.find(key);
      const old = there < 0 ? undefined : before.value(there);
      const value = after.value(id);
      if (old?.equals(value) !== true) report({ key, old, value, sequence: after.sequence(id) });
    }
  }

  get #isWhole(): boolean {
    return this.#options.subtree.length === 0;
  }

  /**
   * The last update in the subtree before an update or HUGZ; 0 if unknown.
   * @param whole the last one of the whole map
   */
  #lastInSubtree(whole: number, properties: Buffer): number {
    if (this.#isWhole) return whole;
    return this.#subtreeName === undefined ? 0 : (subtreeSequence(properties, this.#subtreeName) ?? 0);
  }

  #gap(expected: number, got: number, now: number): void {
    this.#counts.gaps += 1;
    this.#effects.event({ type: "update:missed", expected, got });
    this.#end("missed", now);
  }

  #tooLarge(now: number): void {
    this.#fault("snapshot", "too-large");
    this.#end("no-snapshot", now);
  }

  get #silentAt(): number {
    return this.#heardAt + this.#options.heartbeatInterval * this.#options.liveness;
  }

  get #leavesAt(): number {
    return this.#servers.list.length > 0 ? this.#leaveAt : Number.POSITIVE_INFINITY;
  }

  #silentFor(now: number): number {
    return Math.max(0, now - this.#heardAt);
  }

  #become(state: CloneState, now: number): void {
    if (state === this.state || this.state === "closed") return;
    this.state = state;
    this.#effects.event({ type: "state:changed", state, silentFor: this.#silentFor(now) });
  }

  #isValid(port: "snapshot" | "publisher", frames: readonly Buffer[]): boolean {
    const isCommand = port === "snapshot" ? isGoodbye : isHugz;
    let fault = updateFault(frames, MAX_SERVER_PROPERTIES);
    if (fault === undefined && !isCommand(frames)) fault = keyFault(frames[KEY] as Buffer);
    if (fault !== undefined) this.#fault(port, fault);
    return fault === undefined;
  }

  #fault(port: "snapshot" | "publisher", reason: CloneFault | "too-large"): void {
    this.#counts.faults += 1;
    this.#effects.event({ type: "message:invalid", port, reason });
  }

  #becomeStale(now: number): void {
    this.#loading = undefined;
    if (this.#counts.snapshots > 0) this.#become("stale", now);
  }
}

function bytesOf({ table, queued }: Loading): number {
  return table.bytes + queued;
}
