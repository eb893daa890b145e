/**
 * What happens to sessions: each function is an operation on a view of the store, and decides nothing by anything else than
 * what it reads there and its arguments. It may run again after it was committed (the store's answer was lost), and then
 * has to come to the same end.
 *
 *   (none) ──open──> owned ──detach, its server is lost──> kept ──expiry──> (none)
 *                    │  ^                                   │
 *                    │  └──────────────open─────────────────┘
 *                    └──open by another connection: owned by that one; the first one's operations are refused as `taken`
 *
 * A session's queue is the numbers from `head` to `tail`: a message gets the next one when it is published, and keeps it. What was acknowledged or
 * dropped is not there any more.
 */
import {
  EVICTED_AT_ONCE,
  ID_WINDOW,
  ID_WINDOW_TIME,
  KEPT_CHANGES,
  MAX_PUBLISHING,
  MAX_SESSION_FILTER_BYTES,
  MAX_SESSION_FILTERS,
} from "./bounds.js";
import { SessionError } from "./error.js";
import {
  decodeJson,
  decodeMessage,
  encodeJson,
  encodeMessage,
  hashOf,
  keys,
  messageSize,
  type SessionLimits,
  type SessionOwner,
  type SessionRecord,
  type StoredMessage,
  type StoreTotals,
} from "./records.js";
import { NotPrepared, type View } from "./view.js";

/** Which connection an operation is for. */
export interface SessionHandle {
  readonly id: string;
  readonly life: string;
  readonly epoch: number;
}

/** What a client asks for when it opens a session. */
export interface SessionTerms {
  /** The client's program, and which of its attempts this is. */
  readonly instance: string;
  readonly attempt: number;
  readonly expiry: number;
  readonly limits: SessionLimits;
  /** Whether what is kept of an earlier session is removed. */
  readonly clean: boolean;
  /** Whether the client's program has had the session before. */
  readonly again: boolean;
}

/** How much a store takes of all sessions together. */
export interface StoreBounds {
  readonly maxSessions: number;
  readonly maxFilters: number;
  readonly maxFilterBytes: number;
}

/** A session as its new connection finds it. */
export interface OpenedSession {
  readonly record: SessionRecord;
  /** Who had it until now. */
  readonly previous: SessionOwner | undefined;
}

/** Filters of all sessions, as a server has them in memory. */
export interface SubscriptionDirectory {
  /** How many changes it has taken in. */
  readonly version: number;
  /** The sessions with a filter that matches. */
  match(topic: string): readonly string[];
  /** Takes in what has changed. */
  refresh(): Promise<void>;
}

/** A message that a session's client publishes. */
export interface Publication {
  /** 1 greater than that of the one before. */
  readonly number: number;
  /** "": none. */
  readonly id: string;
  readonly topic: string;
  readonly data: Buffer;
  /** Of its publisher's trace. */
  readonly context?: Buffer | undefined;
}

/** What became of a publication. */
export interface PublishOutcome {
  /** The number, or the id, was published before: nothing was kept again. */
  readonly isDuplicate: boolean;
  /** The session that has no room and refuses, "" for the store itself; nothing was kept. */
  readonly refusedBy: string | undefined;
  /** How many sessions keep it. */
  readonly sessions: number;
  /** Those of them that have an owner. */
  readonly owned: readonly Owned[];
}

/** A session that a connection of a server has. */
export interface Owned {
  readonly session: string;
  readonly server: string;
}

export function readSession(view: View, id: string): SessionRecord | undefined {
  const key = keys.session(id);
  const bytes = view.get(key);
  return bytes === undefined ? undefined : (decodeJson(key, bytes) as SessionRecord);
}

function writeSession(view: View, id: string, record: SessionRecord): void {
  view.set(keys.session(id), encodeJson(record));
}

function readFilters(view: View, id: string): readonly string[] {
  const key = keys.filters(id);
  const bytes = view.get(key);
  return bytes === undefined ? [] : (decodeJson(key, bytes) as string[]);
}

/** What all sessions have together. */
export function readTotals(view: View): StoreTotals {
  const bytes = view.get(keys.totals);
  if (bytes === undefined) return { sessions: 0, filters: 0, filterBytes: 0 };
  return decodeJson(keys.totals, bytes) as StoreTotals;
}

function addTotals(view: View, sessions: number, filters: number, filterBytes: number): void {
  const before = readTotals(view);
  const totals: StoreTotals = {
    sessions: before.sessions + sessions,
    filters: before.filters + filters,
    filterBytes: before.filterBytes + filterBytes,
  };
  view.set(keys.totals, encodeJson(totals));
}

function bytesOf(filters: Iterable<string>): number {
  let bytes = 0;
  for (const filter of filters) bytes += Buffer.byteLength(filter);
  return bytes;
}

/** How often filters have changed. */
export function directoryVersion(view: View): number {
  const bytes = view.get(keys.directory);
  return bytes === undefined ? 0 : (decodeJson(keys.directory, bytes) as number);
}

function noteChange(view: View, id: string): void {
  const version = directoryVersion(view) + 1;
  view.set(keys.directory, encodeJson(version));
  view.set(keys.change(version), encodeJson(id));
  view.set(keys.change(version - KEPT_CHANGES), undefined);
}

/** The session of a connection. @throws SessionError `taken`, `gone` */
function owned(view: View, { id, life, epoch }: SessionHandle): SessionRecord {
  const record = readSession(view, id);
  if (record === undefined || record.life !== life) throw new SessionError("gone");
  if (record.epoch !== epoch) throw new SessionError("taken");
  if (record.owner === undefined) throw new SessionError("unavailable", "The session was released");
  return record;
}

/**
 * Gives a session to a connection, and makes it where it is not there. Of several clients the one has it that opened it last for the first time:
 * one that had it, and connects again after another one has opened it, was taken over, though nobody could say so to it.
 *
 * @param life of a session that is made
 * @throws SessionError `taken` for a client that was taken over, and for an attempt of one that has made a later one meanwhile; `unavailable` for a session more than the store takes
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
  // The commit's answer was lost: it is done.
  if (found?.owner !== undefined && found.owner.connection === owner.connection)
    return { record: found, previous: undefined };
  if (found?.instance === instance && attempt <= found.attempt) throw new SessionError("taken");
  if (found !== undefined && found.instance !== instance && again) throw new SessionError("taken");
  if (found !== undefined && clean) remove(view, id, found);
  if (found === undefined || clean) {
    if (readTotals(view).sessions >= maxSessions)
      throw new SessionError("unavailable", `There are ${maxSessions} sessions, and no further one is made`);
    addTotals(view, 1, 0, 0);
    const epoch = (found?.epoch ?? 0) + 1;
    const record: SessionRecord = {
      instance,
      attempt,
      epoch,
      life,
      owner,
      isPresent: false,
      isContinued: false,
      since: now,
      expiry,
      limits,
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
    };
    writeSession(view, id, record);
    return { record, previous: found?.owner };
  }
  const record: SessionRecord = {
    ...found,
    instance,
    attempt,
    epoch: found.epoch + 1,
    owner,
    isPresent: true,
    isContinued: found.instance === instance,
    since: now,
    expiry,
    limits,
    // A connection that did not end by itself may have delivered all there is.
    mark: found.owner === undefined ? found.mark : found.tail,
  };
  writeSession(view, id, record);
  return { record, previous: found.owner };
}

/** The client has said that it leaves. @param isEnd whether the session is removed */
export function close(
  view: View,
  handle: SessionHandle,
  progress: Progress,
  isEnd: boolean,
  now: number,
): void {
  const record = readSession(view, handle.id);
  if (record?.life !== handle.life || record.epoch !== handle.epoch) return;
  if (record.owner !== undefined) {
    settle(view, handle, progress);
    detach(view, handle, progress.sent, now);
  }
  const left = readSession(view, handle.id);
  if (isEnd && left !== undefined) remove(view, handle.id, left);
}

/** The connection has ended. @param sent messages below this number were delivered */
export function detach(view: View, handle: SessionHandle, sent: number, now: number): void {
  const record = readSession(view, handle.id);
  if (record?.life !== handle.life || record.epoch !== handle.epoch || record.owner === undefined) return;
  if (record.expiry === 0) remove(view, handle.id, record);
  else {
    const mark = Math.max(record.mark, sent);
    writeSession(view, handle.id, { ...record, owner: undefined, since: now, mark });
  }
}

/** Removes a session; its messages and message ids are removed later, by a sweep (sweeper.ts). */
function remove(view: View, id: string, record: SessionRecord): void {
  view.set(keys.session(id), undefined);
  const filters = readFilters(view, id);
  addTotals(view, -1, -filters.length, -bytesOf(filters));
  if (filters.length > 0) {
    view.set(keys.filters(id), undefined);
    noteChange(view, id);
  }
  if (record.count > 0 || record.ids > 0) view.set(keys.removed(id, record.life), encodeJson(0));
}

/** An operator removes a session. @returns who had it @throws SessionError `gone` */
export function end(view: View, id: string): SessionOwner | undefined {
  const record = readSession(view, id);
  if (record === undefined) throw new SessionError("gone");
  remove(view, id, record);
  return record.owner;
}

/**
 * Removes a session whose time is over, or takes it from a server that is lost.
 *
 * @param isLost whether a server does not run any more
 * @returns what was done
 */
export function expire(
  view: View,
  id: string,
  isLost: (server: string) => boolean,
  now: number,
): "removed" | "released" | undefined {
  const record = readSession(view, id);
  if (record === undefined) return undefined;
  if (record.owner !== undefined) {
    if (!isLost(record.owner.server)) return undefined;
    if (record.expiry === 0) {
      remove(view, id, record);
      return "removed";
    }
    writeSession(view, id, { ...record, owner: undefined, since: now, mark: record.tail });
    return "released";
  }
  if (record.expiry < 0 || now - record.since < record.expiry) return undefined;
  remove(view, id, record);
  return "removed";
}

/** Adds filters to those of a session, or removes them. @throws SessionError `taken`, `gone`, `too-large` */
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
  view.set(keys.filters(id), filters.size === 0 ? undefined : encodeJson([...filters]));
  writeSession(view, id, { ...record, filters: filters.size });
  noteChange(view, id);
}

/**
 * Keeps a message in each session that has a filter for it.
 *
 * @throws SessionError `taken`, `gone`; `invalid` for a number that does not follow
 */
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
  const counted = countPublication(self, number);
  if (id !== "" && isRepeated(view, handle, id, now)) {
    writeSession(view, handle.id, counted);
    return duplicate(undefined);
  }
  writeSession(view, handle.id, id === "" ? counted : { ...counted, ids: self.ids + 1 });
  const message = { topic, publisher: handle.id, id, time: now, data, context };
  const kept = keepMessage(view, directory, message, (target) => noteRefusal(view, handle, counted, target));
  if ("isDuplicate" in kept) return kept;
  if (id !== "") remember(view, handle, self.ids, id, now);
  return { isDuplicate: false, refusedBy: undefined, ...kept };
}

/**
 * The store has no room for a publication: it is refused as that, and the next one can follow. Writes nothing new.
 *
 * @throws as `publish`
 */
export function refusePublication(view: View, handle: SessionHandle, number: number): PublishOutcome {
  view.need([keys.session(handle.id)]);
  const self = owned(view, handle);
  if (number <= self.published) return duplicate(self.refused.includes(number) ? "" : undefined);
  return noteRefusal(view, handle, countPublication(self, number), "");
}

/** @throws SessionError `invalid` */
function countPublication(self: SessionRecord, number: number): SessionRecord {
  if (number !== self.published + 1)
    throw new SessionError("invalid", `The publication ${number} follows ${self.published}`);
  return { ...self, published: number };
}

function noteRefusal(
  view: View,
  handle: SessionHandle,
  counted: SessionRecord,
  refusedBy: string,
): PublishOutcome {
  const { published } = counted;
  const refused = [...counted.refused.filter((each) => each > published - MAX_PUBLISHING), published];
  writeSession(view, handle.id, { ...counted, refused });
  return { isDuplicate: false, refusedBy, sessions: 0, owned: [] };
}

/** What became of a message: how many sessions keep it, and those with a filter for it that have an owner. */
export interface Kept {
  readonly sessions: number;
  readonly owned: readonly Owned[];
}

/**
 * Keeps a message in each session with a filter for its topic.
 *
 * @param refuse gives the result if a session refuses the message: then no session keeps it. Default: that session drops it
 */
export function keepMessage<R = never>(
  view: View,
  directory: SubscriptionDirectory,
  message: StoredMessage,
  refuse?: (by: string) => R,
): Kept | R {
  const size = messageSize(message);
  const targets = directory.match(message.topic);
  view.need(targets.map(keys.session));
  const rooms: [string, Room][] = [];
  for (const target of targets) {
    const record = readSession(view, target);
    if (record === undefined) continue;
    const room = makeRoom(view, target, record, size);
    if (room === undefined && refuse !== undefined) return refuse(target);
    rooms.push([target, room ?? withoutRoom(record)]);
  }
  const owned: Owned[] = [];
  let sessions = 0;
  let encoded: Buffer | undefined;
  for (const [target, { record, evicted, isKept }] of rooms) {
    const { life, owner, tail, count, bytes } = record;
    for (const gone of evicted) view.set(keys.message(target, life, gone), undefined);
    if (owner !== undefined) owned.push({ session: target, server: owner.server });
    if (!isKept) {
      writeSession(view, target, record);
      continue;
    }
    sessions += 1;
    encoded ??= encodeMessage(message);
    view.set(keys.message(target, life, tail), encoded);
    writeSession(view, target, { ...record, tail: tail + 1, count: count + 1, bytes: bytes + size });
  }
  return { sessions, owned };
}

function duplicate(refusedBy: string | undefined): PublishOutcome {
  return { isDuplicate: true, refusedBy, sessions: 0, owned: [] };
}

/** A session in which there is room, or that drops the message. */
interface Room {
  readonly record: SessionRecord;
  /** Messages that go for it. */
  readonly evicted: readonly number[];
  readonly isKept: boolean;
}

/** The message is dropped, and counted. */
function withoutRoom(record: SessionRecord): Room {
  const { drops } = record;
  return { record: { ...record, drops: { ...drops, full: drops.full + 1 } }, evicted: [], isKept: false };
}

/** @returns `undefined`: the session refuses the message */
function makeRoom(view: View, id: string, record: SessionRecord, size: number): Room | undefined {
  const { limits, drops } = record;
  let { head, count, bytes } = record;
  const fits = (): boolean => count < limits.maxQueue && bytes + size <= limits.maxQueueBytes;
  if (fits()) return { record, evicted: [], isKept: true };
  if (limits.drop === "refuse") return undefined;
  if (limits.drop === "newest" || size > limits.maxQueueBytes) return withoutRoom(record);
  const evicted: number[] = [];
  let readUntil = head;
  for (; !fits() && head < record.tail; head++) {
    if (head === readUntil) {
      readUntil = Math.min(head + EVICTED_AT_ONCE, record.tail);
      view.need(numbers(head, readUntil).map((number) => keys.message(id, record.life, number)));
    }
    const key = keys.message(id, record.life, head);
    const kept = view.get(key);
    if (kept === undefined) continue;
    evicted.push(head);
    count -= 1;
    bytes -= messageSize(decodeMessage(key, kept));
  }
  const full = drops.full + evicted.length;
  return { record: { ...record, head, count, bytes, drops: { ...drops, full } }, evicted, isKept: true };
}

/** Whether a client has published with this message id within the window. */
function isRepeated(view: View, { id, life }: SessionHandle, message: string, now: number): boolean {
  const key = keys.publishedId(id, life, hashOf(message));
  const bytes = view.get(key);
  return bytes !== undefined && now - (decodeJson(key, bytes) as number) < ID_WINDOW_TIME;
}

/** A message id takes the place of the one that was published with `ID_WINDOW` ids before it. */
function remember(
  view: View,
  { id, life }: SessionHandle,
  count: number,
  message: string,
  now: number,
): void {
  const slot = keys.idSlot(id, life, count % ID_WINDOW);
  const hash = hashOf(message);
  const bytes = view.get(slot);
  const before = bytes === undefined ? undefined : (decodeJson(slot, bytes) as string);
  if (before !== undefined && before !== hash) view.set(keys.publishedId(id, life, before), undefined);
  view.set(slot, encodeJson(hash));
  view.set(keys.publishedId(id, life, hash), encodeJson(now));
}

/** What a connection reports of its messages. */
export interface Progress {
  /** Acknowledged. */
  readonly acknowledged: readonly number[];
  /** Dropped, since they were too old. */
  readonly old: readonly number[];
  /** No message below this number is kept after that. */
  readonly low: number;
  /** Messages below this number were delivered. */
  readonly sent: number;
  /** Drops that the client knows of; `undefined`: no more than before. */
  readonly reported: number | undefined;
}

/** Removes messages from a session's queue. @throws SessionError `taken`, `gone` */
export function settle(view: View, handle: SessionHandle, progress: Progress): SessionRecord {
  const { acknowledged, old, low, sent, reported } = progress;
  const found = owned(view, handle);
  const { id } = handle;
  const keyOf = (number: number): string => keys.message(id, found.life, number);
  view.need([...acknowledged, ...old].map(keyOf));
  let { count, bytes } = found;
  const take = (number: number): boolean => {
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

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
