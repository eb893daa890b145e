/**
 * The state machine of sessions: operations on a view of the store that depend only on it and their arguments. After a
 * lost answer of the store an operation runs again, with the same result.
 *
 *   (none) ──open──> owned ──detach, its server is lost──> kept ──expiry──> (none)
 *                    │  ^                                   │
 *                    │  └──────────────open─────────────────┘
 *                    └──open by another connection: owned by that one; operations of the first one fail with `taken`
 *
 * Messages have numbers from `head` to `tail`, except acknowledged and dropped ones.
 */

import { type OpenRequest, type Publication, SessionError } from "./protocol.js";
import {
  decodeMessage,
  encodeMessage,
  hashOf,
  KEPT_CHANGES,
  keys,
  MAX_PUBLISHING,
  MAX_SESSION_FILTER_BYTES,
  MAX_SESSION_FILTERS,
  MAX_SESSION_SHAPES,
  messageSize,
  numberOf,
  type SessionLimits,
  type SessionOwner,
  type SessionRecord,
  type StoredMessage,
  type StoreTotals,
} from "./records.js";
import type { SessionServerSettings } from "./server-options.js";
import { NotPrepared, type View } from "./transactions.js";

export interface SessionHandle {
  readonly id: string;
  readonly life: string;
  readonly epoch: number;
}

/** What a client asks for, within the server's bounds. */
export interface SessionTerms
  extends Pick<OpenRequest, "instance" | "attempt" | "expiry" | "clean" | "again"> {
  readonly limits: SessionLimits;
}

export type StoreBounds = Pick<SessionServerSettings, "maxSessions" | "maxFilters" | "maxFilterBytes">;

export interface OpenedSession {
  readonly record: SessionRecord;
  readonly previous: SessionOwner | undefined;
  /** Whether an earlier session was removed. */
  readonly isClean: boolean;
}

/** Filters of all sessions, in a server's memory. */
export interface SubscriptionDirectory {
  /** Changes read. */
  readonly version: number;
  match(topic: string): readonly string[];
  refresh(): Promise<void>;
}

/** With `refusedBy` "" the store is full. */
export interface PublishOutcome extends Kept {
  /** The number or message id was published before: nothing was kept. */
  readonly isDuplicate: boolean;
}

export interface Owned {
  readonly session: string;
  readonly server: string;
}

export function readSession(view: View, id: string): SessionRecord | undefined {
  return view.getJson<SessionRecord>(keys.session(id));
}

function writeSession(view: View, id: string, record: SessionRecord): void {
  view.setJson(keys.session(id), record);
}

function readFilters(view: View, id: string): readonly string[] {
  return view.getJson<string[]>(keys.filters(id)) ?? [];
}

export function readTotals(view: View): StoreTotals {
  return view.getJson<StoreTotals>(keys.totals) ?? { sessions: 0, filters: 0, filterBytes: 0 };
}

function addTotals(view: View, sessions: number, filters: number, filterBytes: number): void {
  const before = readTotals(view);
  view.setJson(keys.totals, {
    sessions: before.sessions + sessions,
    filters: before.filters + filters,
    filterBytes: before.filterBytes + filterBytes,
  });
}

function bytesOf(filters: Iterable<string>): number {
  let bytes = 0;
  for (const filter of filters) bytes += Buffer.byteLength(filter);
  return bytes;
}

export function directoryVersion(view: View): number {
  return view.getJson<number>(keys.directory) ?? 0;
}

function noteChange(view: View, id: string): void {
  const version = directoryVersion(view) + 1;
  view.setJson(keys.directory, version);
  view.setJson(keys.change(version), id);
  view.set(keys.change(version - KEPT_CHANGES), undefined);
}

function owned(view: View, { id, life, epoch }: SessionHandle): SessionRecord {
  const record = readSession(view, id);
  if (record === undefined || record.life !== life) throw new SessionError("gone");
  if (record.epoch !== epoch) throw new SessionError("taken");
  if (record.owner === undefined) throw new SessionError("unavailable", "The session was released");
  return record;
}

const EMPTY = {
  owner: undefined,
  filters: 0,
  head: 0,
  tail: 0,
  count: 0,
  bytes: 0,
  mark: 0,
  published: 0,
  refused: [],
  ids: 0,
  drops: { full: 0, old: 0 },
  reported: 0,
} as const;

/**
 * Gives a session to a connection, and makes a missing one. The last client to open it for the first time has it; an
 * earlier one that connects again was taken over.
 *
 * @param life of a new session
 * @throws SessionError `taken` for a client taken over or an outdated attempt; `unavailable` past `maxSessions`
 */
export function open(
  view: View,
  id: string,
  owner: SessionOwner,
  { instance, attempt, expiry, limits, clean, again }: SessionTerms,
  life: string,
  { maxSessions }: StoreBounds,
  now: number,
): OpenedSession {
  view.need([keys.session(id), keys.filters(id), keys.directory]);
  const found = readSession(view, id);
  // A repetition: the commit's answer was lost.
  if (found?.owner !== undefined && found.owner.connection === owner.connection)
    return { record: found, previous: undefined, isClean: false };
  if (found?.instance === instance && attempt <= found.attempt) throw new SessionError("taken");
  if (found !== undefined && found.instance !== instance && again) throw new SessionError("taken");
  if (found !== undefined && clean) remove(view, id, found);
  const isNew = found === undefined || clean;
  if (isNew) {
    if (readTotals(view).sessions >= maxSessions)
      throw new SessionError("unavailable", `There are ${maxSessions} sessions, and no further one is made`);
    addTotals(view, 1, 0, 0);
  }
  const before = isNew ? { ...EMPTY, life } : found;
  const record: SessionRecord = {
    ...before,
    instance,
    attempt,
    epoch: (found?.epoch ?? 0) + 1,
    owner,
    isPresent: !isNew,
    isContinued: !isNew && found.instance === instance,
    since: now,
    expiry,
    limits,
    // A connection that did not end by itself may have delivered all.
    mark: before.owner === undefined ? before.mark : before.tail,
  };
  writeSession(view, id, record);
  return { record, previous: found?.owner, isClean: isNew && found !== undefined };
}

/** @returns whether it is removed @throws SessionError `taken` if it was to be, and another connection has it */
export function close(
  view: View,
  handle: SessionHandle,
  progress: Progress,
  isEnd: boolean,
  now: number,
): boolean {
  const record = readSession(view, handle.id);
  if (record?.life !== handle.life) return false;
  if (record.epoch !== handle.epoch) {
    if (isEnd) throw new SessionError("taken");
    return false;
  }
  // The store may have failed to remove some below `low`, which are still to be found then.
  const left = record.owner === undefined ? record : settle(view, handle, { ...progress, low: 0 });
  if (isEnd) remove(view, handle.id, left);
  return isEnd || (left.owner !== undefined && release(view, handle.id, left, progress.sent, now));
}

/** @param sent lower numbers may have been delivered @returns whether it is removed */
function release(view: View, id: string, record: SessionRecord, sent: number, now: number): boolean {
  if (record.expiry === 0) {
    remove(view, id, record);
    return true;
  }
  writeSession(view, id, { ...record, owner: undefined, since: now, mark: Math.max(record.mark, sent) });
  return false;
}

/** A sweep (Sweeper) removes messages and message ids. */
function remove(view: View, id: string, record: SessionRecord): void {
  view.set(keys.session(id), undefined);
  const filters = readFilters(view, id);
  addTotals(view, -1, -filters.length, -bytesOf(filters));
  if (filters.length > 0) {
    view.set(keys.filters(id), undefined);
    noteChange(view, id);
  }
  if (record.count > 0 || record.ids > 0) view.setJson(keys.removed(id, record.life), 0);
}

/** An operator removes a session. @returns its owner @throws SessionError `gone` */
export function end(view: View, id: string): SessionOwner | undefined {
  const record = readSession(view, id);
  if (record === undefined) throw new SessionError("gone");
  remove(view, id, record);
  return record.owner;
}

/** Whether a server has its sign of life (Sweeper). */
function isRunning(view: View, server: string): boolean {
  return view.get(keys.server(server)) !== undefined;
}

/** Whether a session's time is over, or its server is lost. */
export function isDue(
  { owner, expiry, since }: SessionRecord,
  runs: (server: string) => boolean,
  now: number,
): boolean {
  return owner === undefined ? expiry >= 0 && now - since >= expiry : !runs(owner.server);
}

/** Removes or releases a session that is due. @returns whether it is removed */
export function expire(view: View, id: string, now: number): boolean {
  const record = readSession(view, id);
  if (record === undefined || !isDue(record, (server) => isRunning(view, server), now)) return false;
  if (record.owner !== undefined) return release(view, id, record, record.tail, now);
  remove(view, id, record);
  return true;
}

export function changeFilters(
  view: View,
  handle: SessionHandle,
  added: readonly string[],
  removed: readonly string[],
  { maxFilters, maxFilterBytes }: StoreBounds,
): void {
  const { id } = handle;
  view.need([keys.session(id), keys.filters(id), keys.directory]);
  const record = owned(view, handle);
  const before = readFilters(view, id);
  const filters = new Set(before);
  for (const filter of removed) filters.delete(filter);
  for (const filter of added) filters.add(filter);
  if (filters.size === before.length && before.every((filter) => filters.has(filter))) return;
  const bytes = bytesOf(filters);
  if (filters.size > MAX_SESSION_FILTERS || bytes > MAX_SESSION_FILTER_BYTES)
    throw new SessionError(
      "too-large",
      `A session has ${MAX_SESSION_FILTERS} filters and ${MAX_SESSION_FILTER_BYTES} bytes of them at most`,
    );
  if (new Set(Array.from(filters, (filter) => filter.replace(/[^/+#]+/g, ""))).size > MAX_SESSION_SHAPES)
    throw new SessionError(
      "too-large",
      `A session's filters have at most ${MAX_SESSION_SHAPES} shapes: which levels are "+", where "#" is`,
    );
  const [more, moreBytes] = [filters.size - before.length, bytes - bytesOf(before)];
  const totals = readTotals(view);
  if (
    (more > 0 && totals.filters + more > maxFilters) ||
    (moreBytes > 0 && totals.filterBytes + moreBytes > maxFilterBytes)
  )
    throw new SessionError(
      "too-large",
      `All sessions have ${maxFilters} filters and ${maxFilterBytes} bytes of them at most`,
    );
  addTotals(view, 0, more, moreBytes);
  if (filters.size === 0) view.set(keys.filters(id), undefined);
  else view.setJson(keys.filters(id), [...filters]);
  writeSession(view, id, { ...record, filters: filters.size });
  noteChange(view, id);
}

/** @throws SessionError `taken`, `gone`; `invalid` unless the number is the previous publication's plus 1 */
export function publish(
  view: View,
  handle: SessionHandle,
  directory: SubscriptionDirectory,
  { number, id, topic, data, context }: Publication,
  now: number,
): PublishOutcome {
  view.need([keys.session(handle.id), keys.directory]);
  if (directoryVersion(view) !== directory.version) throw new NotPrepared(() => directory.refresh());
  const self = owned(view, handle);
  if (number <= self.published) return duplicate(self.refused.includes(number) ? handle.id : undefined);
  countPublication(view, handle.id, self, number);
  if (id !== "" && isRepeated(view, handle, id, now)) return duplicate(undefined);
  const message = { topic, publisher: handle.id, id, time: now, data, context };
  const kept = keepMessage(view, directory, message);
  if (kept.refusedBy !== undefined) return noteRefusal(view, handle, kept.refusedBy);
  if (id !== "") remember(view, handle, id, now);
  return { isDuplicate: false, ...kept };
}

/** Refuses a publication for a full store without a new key, so that the next can follow. @throws as `publish` */
export function refusePublication(view: View, handle: SessionHandle, number: number): PublishOutcome {
  view.need([keys.session(handle.id)]);
  const self = owned(view, handle);
  if (number <= self.published) return duplicate(self.refused.includes(number) ? "" : undefined);
  countPublication(view, handle.id, self, number);
  return noteRefusal(view, handle, "");
}

function countPublication(view: View, id: string, self: SessionRecord, number: number): void {
  if (number !== self.published + 1)
    throw new SessionError("invalid", `The publication ${number} follows ${self.published}`);
  writeSession(view, id, { ...self, published: number });
}

/** Its own session may have dropped old messages for the publication. */
function noteRefusal(view: View, { id }: SessionHandle, refusedBy: string): PublishOutcome {
  const self = readSession(view, id) as SessionRecord;
  const { published } = self;
  const refused = [...self.refused.filter((each) => each > published - MAX_PUBLISHING), published];
  writeSession(view, id, { ...self, refused });
  return { isDuplicate: false, refusedBy, sessions: 0, owned: [] };
}

/** Sessions that keep a message, and matching ones with an owner. */
interface Kept {
  /** The full session that refused the message, which none keeps then. */
  readonly refusedBy: string | undefined;
  readonly sessions: number;
  readonly owned: readonly Owned[];
}

function keepMessage(view: View, directory: SubscriptionDirectory, message: StoredMessage): Kept {
  const size = messageSize(message);
  const targets = directory.match(message.topic);
  view.need(targets.map(keys.session));
  const found: [string, SessionRecord][] = [];
  for (const target of targets) {
    const before = readSession(view, target);
    if (before === undefined) continue;
    // Another session may still refuse the message, so the oldest stay.
    const record =
      before.limits.drop === "oldest" ? before : makeRoom(view, target, before, size, message.time);
    if (record !== before) writeSession(view, target, record);
    if (record.limits.drop === "refuse" && !fits(record, size))
      return { refusedBy: target, sessions: 0, owned: [] };
    found.push([target, record]);
  }
  const owned: Owned[] = [];
  let sessions = 0;
  let encoded: Buffer | undefined;
  for (const [target, before] of found) {
    const record =
      before.limits.drop === "oldest" ? makeRoom(view, target, before, size, message.time) : before;
    const { life, owner, tail, count, bytes, drops } = record;
    if (owner !== undefined) owned.push({ session: target, server: owner.server });
    if (!fits(record, size)) {
      writeSession(view, target, { ...record, drops: { ...drops, full: drops.full + 1 } });
      continue;
    }
    sessions += 1;
    encoded ??= encodeMessage(message);
    view.set(keys.message(target, life, tail), encoded);
    writeSession(view, target, { ...record, tail: tail + 1, count: count + 1, bytes: bytes + size });
  }
  return { refusedBy: undefined, sessions, owned };
}

function duplicate(refusedBy: string | undefined): PublishOutcome {
  return { isDuplicate: true, refusedBy, sessions: 0, owned: [] };
}

type Queue = Pick<SessionRecord, "limits" | "count" | "bytes">;

function fits({ limits, count, bytes }: Queue, size: number): boolean {
  return count < limits.maxQueue && bytes + size <= limits.maxQueueBytes;
}

/** Drops the first messages of a full session, if a message can have their room: with another policy only old ones. */
function makeRoom(view: View, id: string, record: SessionRecord, size: number, now: number): SessionRecord {
  const { limits, life, drops } = record;
  const cause = limits.drop === "oldest" ? "full" : "old";
  const isVain = size > limits.maxQueueBytes || (cause === "old" && limits.maxAge < 0);
  if (isVain || fits(record, size)) return record;
  let { head, count, bytes } = record;
  let evicted = 0;
  const to = keys.message(id, life, record.tail);
  // Acknowledgements in any order leave gaps of any width, and a large message may need the room of many.
  for (let from = keys.message(id, life, head); !fits({ limits, count, bytes }, size) && from !== to; ) {
    const found = view.keysIn({ from, to, limit: Math.max(16, evicted) });
    from = found.end;
    for (const key of found.keys) {
      if (fits({ limits, count, bytes }, size)) break;
      const message = decodeMessage(key, view.get(key) as Buffer);
      if (cause === "old" && now - message.time <= limits.maxAge) {
        from = to;
        break;
      }
      bytes -= messageSize(message);
      view.set(key, undefined);
      head = numberOf(key) + 1;
      count -= 1;
      evicted += 1;
    }
  }
  if (evicted === 0) return record;
  return {
    ...record,
    head,
    count,
    bytes,
    drops: { ...drops, [cause]: drops[cause] + evicted },
  };
}

function isRepeated(view: View, { id, life }: SessionHandle, message: string, now: number): boolean {
  const time = view.getJson<number>(keys.publishedId(id, life, hashOf(message)));
  return time !== undefined && now - time < 600_000;
}

/** Replaces the id of 1,000 ids before. */
function remember(view: View, { id, life }: SessionHandle, message: string, now: number): void {
  const record = readSession(view, id) as SessionRecord;
  writeSession(view, id, { ...record, ids: record.ids + 1 });
  const slot = keys.idSlot(id, life, record.ids % 1_000);
  const hash = hashOf(message);
  const before = view.getJson<string>(slot);
  if (before !== undefined && before !== hash) view.set(keys.publishedId(id, life, before), undefined);
  view.setJson(slot, hash);
  view.setJson(keys.publishedId(id, life, hash), now);
}

export interface Progress {
  readonly acknowledged: readonly number[];
  readonly old: readonly number[];
  /** Lower numbers are acknowledged or dropped. */
  readonly low: number;
  readonly sent: number;
  /** Drops the client knows of; `undefined`: as before. */
  readonly reported: number | undefined;
}

/** Removes acknowledged and old messages. @throws SessionError `taken`, `gone` */
export function settle(view: View, handle: SessionHandle, progress: Progress): SessionRecord {
  const { acknowledged, old, low, sent, reported } = progress;
  const found = owned(view, handle);
  const { id } = handle;
  const keyOf = (number: number): string => keys.message(id, found.life, number);
  // Below the head a full session's messages were dropped.
  const isThere = (number: number): boolean => number >= found.head;
  view.need([...acknowledged, ...old].filter(isThere).map(keyOf));
  let { count, bytes } = found;
  const take = (number: number): boolean => {
    if (!isThere(number)) return false;
    const key = keyOf(number);
    const kept = view.get(key);
    if (kept === undefined) return false;
    view.set(key, undefined);
    count -= 1;
    bytes -= messageSize(decodeMessage(key, kept));
    return true;
  };
  for (const number of acknowledged) take(number);
  const gone = old.filter(take).length;
  const record: SessionRecord = {
    ...found,
    count,
    bytes,
    head: Math.min(Math.max(found.head, low), found.tail),
    mark: Math.max(found.mark, Math.min(sent, found.tail)),
    drops: gone === 0 ? found.drops : { ...found.drops, old: found.drops.old + gone },
    reported: Math.max(found.reported, Math.min(reported ?? 0, found.drops.full + found.drops.old)),
  };
  writeSession(view, id, record);
  return record;
}
