/**
 * State of a client, which client-rules.ts changes: its attempts to follow a server, and its map. Without sockets, timers
 * or a clock.
 */
import type { ShoalError } from "../../core/errors.js";
import { backOff } from "../../core/timers.js";
import { EndpointChooser } from "../../kit/endpoint-chooser.js";
import { bodyAt, frameEnd, LONG, MORE, messageEnd, SHORT_HEADER } from "../../sockets/internal.js";
import type { ClientRulesOptions, CloneClientEvent } from "./client-options.js";
import { subtreeName, subtreeSequence } from "./properties.js";
import { isReservedKey, MAX_SEQUENCE_BYTE, readSequence, SEQUENCE_BYTES, UUID_BYTES } from "./protocol.js";
import { CloneTable, type EntryBytes } from "./table.js";
import type { RawChange } from "./watch.js";

export interface ClientEffects {
  /** In place of the server before. */
  open(attempt: number, server: string): void;
  ask(attempt: number): void;
  sendSet(frames: Buffer[]): void;
  /** Updates that wait for room. */
  unsent(): number;
  /** Why no server is reached. */
  failure(): ShoalError | undefined;
  watching(): boolean;
  changed(change: RawChange): void;
  synced(): void;
  event(event: CloneClientEvent): void;
}

export type FailOverReason = "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";

/** Why an attempt ended. After missed updates the same server sends its map again. */
export type AttemptEnd = FailOverReason | "missed";

/** ms to the next attempt, doubled each time up to a heartbeat or a second, with jitter. */
const RETRY_DELAY = 50;
const MAX_RETRY_DELAY = 1_000;
/** ms at most to the next one for a map that was sent in vain: with missed updates, or too large. */
const MAX_RELOAD_DELAY = 10_000;
/** Doublings of `attemptTimeout` at servers that serve: one value may be large for the link. */
const MAX_DOUBLINGS = 3;

type AttemptOptions = Pick<ClientRulesOptions, "attemptTimeout" | "heartbeatInterval" | "random">;

/** ms at a working server that left the list. */
const LEAVE_DELAY = 5_000;

export type AttemptPhase = "idle" | "connecting" | "connected" | "pausing";

/**
 * A client's attempts at its servers.
 *
 *   idle ──a server──> connecting ──> connected
 *                        ^   │            │
 *     the next server    │   no progress, or lost
 *                        └── pausing <────┘      no pause after silence
 *
 * A working server that leaves the list stays in use for 5 s, and while the list is empty.
 */
export class ClientAttempts {
  readonly #servers = new EndpointChooser([]);
  readonly #options: AttemptOptions;
  readonly #effects: Pick<ClientEffects, "open" | "event">;
  #reason: AttemptEnd = "silent";
  #number = 0;
  #failures = 0;
  /** Attempts in a row at servers that serve, without a whole map. */
  #doublings = 0;
  /** The server in use does. */
  #serves = false;
  #leaveAt = Number.POSITIVE_INFINITY;
  failOvers = 0;
  phase: AttemptPhase = "idle";
  /** End of a pause, or of an attempt without progress. */
  until = Number.POSITIVE_INFINITY;

  constructor(options: AttemptOptions, effects: Pick<ClientEffects, "open" | "event">) {
    this.#options = options;
    this.#effects = effects;
  }

  /** Messages of earlier attempts are dropped. */
  get number(): number {
    return this.#number;
  }

  /** Empty without a server. */
  get server(): string {
    return this.#servers.used;
  }

  get leaveAt(): number {
    return this.#servers.list.length > 0 ? this.#leaveAt : Number.POSITIVE_INFINITY;
  }

  /** @returns whether the first attempt has to begin */
  setServers(names: readonly string[], now: number): boolean {
    const isFirst = this.server === "";
    if (this.#servers.follow(names) || isFirst) this.#leaveAt = Number.POSITIVE_INFINITY;
    else this.#leaveAt = Math.min(this.#leaveAt, now + LEAVE_DELAY);
    return isFirst && this.#servers.next() !== undefined;
  }

  /** With a server. */
  open(now: number): void {
    this.#number += 1;
    this.phase = "connecting";
    this.#serves = false;
    this.progress(now);
    this.#effects.open(this.#number, this.server);
  }

  progress(now: number): void {
    this.until = now + this.#options.attemptTimeout * (this.#serves ? 2 ** this.#doublings : 1);
  }

  /** The server in use is heard to serve. */
  serves(now: number): void {
    if (this.#serves) return;
    this.#serves = true;
    this.progress(now);
  }

  /** The map is whole, and nothing was missed since. */
  succeed(): void {
    this.#failures = 0;
    this.#doublings = 0;
  }

  /** Ends an attempt. The pause avoids a busy loop with dead or refusing servers, and with another numbering. */
  end(reason: AttemptEnd, now: number): void {
    this.phase = "pausing";
    this.#reason = reason;
    const { heartbeatInterval, random } = this.#options;
    const inVain = reason === "missed" || reason === "no-snapshot";
    const longest = inVain
      ? MAX_RELOAD_DELAY
      : Math.max(RETRY_DELAY, Math.min(MAX_RETRY_DELAY, heartbeatInterval));
    this.until = now + backOff(this.#failures++, RETRY_DELAY, longest, random);
  }

  /** {@link open} follows. */
  failOver(reason: AttemptEnd = this.#reason): void {
    if (reason === "missed") return;
    if (reason === "no-snapshot" && this.#serves)
      this.#doublings = Math.min(MAX_DOUBLINGS, this.#doublings + 1);
    const from = this.server;
    this.#reason = reason;
    this.#servers.failed();
    const to = this.#servers.next() ?? from;
    if (to === from) return;
    this.#leaveAt = Number.POSITIVE_INFINITY;
    this.failOvers += 1;
    this.#effects.event({ type: "server:failed-over", from, to, reason });
  }
}

// --- Map -------------------------------------------------------------------------------------------------------------

/**
 * A snapshot in flight.
 *
 *   KVSYNC   into the table, which is used once it is whole
 *   KVPUB    into the queue
 *   KTHXBAI  the table takes the place of the map, and the queue is applied to it
 */
export class Loading {
  readonly table = new CloneTable();
  readonly updates: (readonly Buffer[])[] = [];
  #queued = 0;

  get bytes(): number {
    return this.table.bytes + this.#queued;
  }

  /** @param cost core/memory.ts */
  queue(update: readonly Buffer[], cost: number): void {
    this.updates.push(update);
    this.#queued += cost;
  }
}

export class ClientMap {
  readonly #effects: Pick<ClientEffects, "watching" | "changed">;
  readonly #maxBytes: number;
  #table = new CloneTable();
  last = 0;

  constructor(effects: Pick<ClientEffects, "watching" | "changed">, maxBytes: number) {
    this.#effects = effects;
    this.#maxBytes = maxBytes;
  }

  get table(): CloneTable {
    return this.#table;
  }

  /** @param value empty: deleted. @returns `false` above the bound of bytes */
  apply(key: Buffer, value: Buffer, sequence: number, own: boolean): boolean {
    const table = this.#table;
    const watching = this.#effects.watching();
    let old: Buffer | undefined;
    if (watching || value.length === 0) {
      const id = table.find(key);
      if (id >= 0 && watching) old = table.value(id);
      if (id >= 0 && value.length === 0) table.remove(id);
    }
    if (value.length > 0) table.put(key, value, sequence);
    const fits = table.bytes <= this.#maxBytes;
    if (!watching || (value.length === 0 && old === undefined)) return fits;
    if (old?.equals(value) === true && !own) return fits;
    const set = value.length === 0 ? undefined : value;
    this.#effects.changed({ key, old, value: set, sequence, own, resync: false });
    return fits;
  }

  /** Without watches. @returns `false` above the bound of bytes: {@link apply} follows */
  applyNext(update: UpdateView): boolean {
    this.#table.putFrom(update, update.sequence);
    if (this.#table.bytes > this.#maxBytes) return false;
    this.last = update.sequence;
    return true;
  }

  /** @returns the map before */
  replace(table: CloneTable, last: number): CloneTable {
    const before = this.#table;
    this.#table = table;
    this.last = last;
    return before;
  }

  reportDifference(before: CloneTable): void {
    if (!this.#effects.watching()) return;
    const after = this.#table;
    const report = (change: Pick<RawChange, "key" | "old" | "value" | "sequence">): void =>
      this.#effects.changed({ ...change, own: false, resync: true });
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0) report({ key, old: before.value(id), value: undefined, sequence: this.last });
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
}

/** A client's subtree, and its number at the server (properties.ts). */
export class ClientSubtree {
  readonly #prefix: Buffer;
  /** Property of its number, such as `s3`. */
  #property: string | undefined;

  /** @param prefix empty: everything */
  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  get isWhole(): boolean {
    return this.#prefix.length === 0;
  }

  is(subtree: Buffer): boolean {
    return subtree.equals(this.#prefix);
  }

  has(key: Buffer): boolean {
    const { length } = this.#prefix;
    return length === 0 || (key.length >= length && key.compare(this.#prefix, 0, length, 0, length) === 0);
  }

  /** From the properties of a KTHXBAI. */
  learn(properties: Buffer): void {
    this.#property = this.isWhole ? undefined : subtreeName(properties);
  }

  /**
   * The last update in the subtree before an update or HUGZ; 0 if unknown.
   * @param whole the last one of the whole map
   */
  last(whole: number, properties: Buffer): number {
    if (this.isWhole) return whole;
    return this.#property === undefined ? 0 : (subtreeSequence(properties, this.#property) ?? 0);
  }
}

// --- Updates in received bytes ---------------------------------------------------------------------------------------

const LINE_FEED = 0x0a;
/** The first letter of `revision`, the only property that matters to a client of the whole map. */
const R = 0x72;

const NO_BYTES = new Uint8Array(0);

/**
 * Finds the parts of an update in received bytes, without an object for each: 140 ns for an update of 64 B, frame by frame
 * 320.
 *
 *   key | sequence | uuid | properties | value         five frames of a KVPUB (protocol.ts)
 *
 * A *plain* update sets a key, without a property `revision`. Others are read frame by frame elsewhere.
 */
export class UpdateView implements EntryBytes {
  bytes: Uint8Array = NO_BYTES;
  memory: ArrayBufferLike = NO_BYTES.buffer;
  base = 0;
  end = 0;
  /** The fields below are set and checked. */
  isPlain = false;
  key = 0;
  keyEnd = 0;
  sequence = 0;
  /** -1: none. */
  uuid = -1;
  value = 0;
  valueEnd = 0;

  open(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.memory = bytes.buffer;
    this.base = bytes.byteOffset;
  }

  close(): void {
    this.open(NO_BYTES);
  }

  read(position: number): void {
    const { bytes } = this;
    this.isPlain = this.#readFrames(bytes, position);
    this.end = this.isPlain ? this.valueEnd : (messageEnd(bytes, position, bytes.length) as number);
  }

  #readFrames(bytes: Uint8Array, position: number): boolean {
    // A frame follows MORE, so nothing is read past the message.
    if (bytes[position] !== MORE) return false;
    const key = position + SHORT_HEADER;
    const keyEnd = key + (bytes[position + 1] as number);
    if (keyEnd === key || isReservedKey(bytes, key, keyEnd)) return false;

    let at = keyEnd;
    if (bytes[at] !== MORE || bytes[at + 1] !== SEQUENCE_BYTES) return false;
    const sequence = at + SHORT_HEADER;
    if (bytes[sequence] !== 0 || (bytes[sequence + 1] as number) > MAX_SEQUENCE_BYTE) return false;

    at = sequence + SEQUENCE_BYTES;
    const ofUuid = bytes[at + 1] as number;
    if (bytes[at] !== MORE || (ofUuid !== 0 && ofUuid !== UUID_BYTES)) return false;
    const uuid = at + SHORT_HEADER;

    at = uuid + ofUuid;
    if (bytes[at] !== MORE) return false;
    const properties = at + SHORT_HEADER;
    const propertiesEnd = properties + (bytes[at + 1] as number);
    if (!arePlain(bytes, properties, propertiesEnd)) return false;

    if (((bytes[propertiesEnd] as number) & ~LONG) !== 0) return false;
    this.value = bodyAt(bytes, propertiesEnd);
    this.valueEnd = frameEnd(bytes, propertiesEnd);
    this.key = key;
    this.keyEnd = keyEnd;
    this.sequence = readSequence(bytes, sequence);
    this.uuid = ofUuid === 0 ? -1 : uuid;
    return this.value < this.valueEnd;
  }
}

/** Whether no line between two positions may be `revision=`. */
function arePlain(bytes: Uint8Array, start: number, end: number): boolean {
  let before = LINE_FEED;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (before === LINE_FEED && byte === R) return false;
    before = byte;
  }
  return true;
}
