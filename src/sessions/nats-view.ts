/**
 * What a stream of commits says, message by message: the values, and which commits took place. It decides alone by the messages and their order, so
 * that each server that reads the stream decides alike. No socket, no clock.
 *
 *   following ──message is missing: the stream was purged──> seeking ──a whole snapshot that stands for it──> following
 *
 * A commit carries its checks and its writes; it takes place where all checks hold at its place in the stream. So no writer is ever refused for
 * another one's being faster, and one that is far from the stream waits no longer than one that is near.
 *
 * A batch is sent again where its acknowledgement is lost. It takes effect the first time: each writer numbers its batches, and the numbers of the last
 * writers are part of what all servers know.
 *
 * A snapshot lies in the stream too, so whatever is lost of a stream's end, no snapshot stands for more than the stream has had. It counts when its
 * pieces are there one after the other; the first piece of another one ends it. What is before a whole one's sequence may be purged.
 */
import {
  MAX_PENDING_PIECE_BYTES,
  MAX_STREAM_WRITERS,
  STREAM_ENTRY_BYTES,
  STREAM_MESSAGE_BYTES,
} from "./bounds.js";
import {
  type Commit,
  decodeCommits,
  decodeMessage,
  HEADER_BYTES,
  Kind,
  SnapshotParser,
  type SnapshotRecord,
  type StreamMessage,
} from "./nats-messages.js";
import { SortedKeys } from "./sorted-keys.js";
import type { SessionStoreCheck, SessionStoreEntry, SessionStoreScan, SessionStoreValue } from "./store.js";

/** Commits of a batch, at most: a version has the sequence and the place in the batch in one number. */
export const COMMITS_PER_BATCH = 1_000;
const VERSIONS_PER_MESSAGE = 1_024;

export type ViewEvent =
  /** A batch is whole; of each commit whether it took place. */
  | {
      readonly type: "batch";
      readonly writer: string;
      readonly number: number;
      readonly results: readonly boolean[];
    }
  /** A piece of the snapshot that counts was read. */
  | { readonly type: "snapshot"; readonly id: string; readonly next: number; readonly isWhole: boolean }
  /** The values are those of a snapshot: the stream has to be read again from the message after {@link StreamView.position}. */
  | { readonly type: "restored" }
  /** The stream is another one than was read, or has lost its end. */
  | { readonly type: "diverged" }
  /** Written by a version of shoal that this one does not understand. */
  | { readonly type: "newer" };

interface Writer {
  /** Of its last batch that was whole; 0: none. */
  number: number;
  pending: Pending | undefined;
}

interface Pending {
  readonly number: number;
  readonly count: number;
  readonly pieces: Buffer[];
  bytes: number;
}

/** What a snapshot is restored to, and what a view is. */
interface State {
  readonly values: Map<string, SessionStoreValue>;
  readonly writers: Map<string, Writer>;
  bytes: number;
}

/** The snapshot whose pieces come. */
interface Candidate {
  readonly id: string;
  readonly sequence: number;
  next: number;
  /** Bytes of other messages since its first piece. */
  since: number;
  readonly restoring: { readonly parser: SnapshotParser; readonly state: State } | undefined;
}

/** A snapshot that is taken of a view that goes on. */
interface Cut {
  readonly sequence: number;
  cursor: string;
  /** What was changed before the cut came to it, as it was. */
  readonly displaced: SessionStoreEntry[];
}

export class StreamView {
  #state: State = emptyState();
  readonly #keys = new SortedKeys();
  #position = 0;
  #isFollowing = true;
  /** Of the last message: whether it is the same when it is read again. */
  #last: Buffer | undefined;
  /** While it seeks: what a snapshot has to stand for. */
  #base = 0;
  #pendingBytes = 0;
  #candidate: Candidate | undefined;
  #cut: Cut | undefined;
  /** Bytes of messages that no whole snapshot stands for. */
  logBytes = 0;
  /** What a whole snapshot in the stream stands for; 0: none was read. */
  snapshotSequence = 0;
  /** Messages that are not of sessions. */
  malformed = 0;

  /** The sequence of the last message that was read. */
  get position(): number {
    return this.#position;
  }

  /** Whether the values are those at {@link position}. */
  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  /** Where reading begins again: at the last message, to see that it is still the same. */
  get nextRead(): number {
    return this.#last === undefined ? this.#position + 1 : this.#position;
  }

  /** Bytes of keys, values and what keeps them. */
  get bytes(): number {
    return this.#state.bytes + this.#pendingBytes;
  }

  /** Bytes of a snapshot that is read, while there is one. */
  get restoringBytes(): number {
    return this.#candidate?.restoring?.state.bytes ?? 0;
  }

  /** Keys. */
  get size(): number {
    return this.#state.values.size;
  }

  get snapshotInProgress(): string | undefined {
    return this.#candidate?.id;
  }

  /**
   * Reads the next message of the stream. A sequence that is left out is one that the stream has no more.
   *
   * @param bytes copied where something is kept
   */
  apply(sequence: number, bytes: Buffer): ViewEvent | undefined {
    if (sequence <= this.#position)
      return sequence === this.#position && this.#last?.equals(identity(bytes)) === true
        ? undefined
        : { type: "diverged" };
    if (sequence > this.#position + 1) this.#lose(sequence - 1);
    this.#position = sequence;
    this.#last = Buffer.from(identity(bytes));
    const message = decodeMessage(bytes);
    if (message === "newer") return { type: "newer" };
    const isOfCandidate = message?.kind === Kind.snapshot && message.id === this.#candidate?.id;
    if (!isOfCandidate) {
      this.logBytes += bytes.length + STREAM_MESSAGE_BYTES;
      if (this.#candidate !== undefined) this.#candidate.since += bytes.length + STREAM_MESSAGE_BYTES;
    }
    if (message === undefined) {
      this.malformed += 1;
      return undefined;
    }
    if (message.kind === Kind.snapshot) return this.#onSnapshot(message);
    return this.#isFollowing ? this.#onBatch(message, sequence) : undefined;
  }

  read(key: string): SessionStoreValue | undefined {
    return this.#state.values.get(key);
  }

  scan({ from, to, limit, maxBytes }: SessionStoreScan): SessionStoreEntry[] {
    const found: SessionStoreEntry[] = [];
    let bytes = 0;
    for (const key of this.#keys.from(from)) {
      if (key >= to || found.length >= limit) break;
      const entry = this.#state.values.get(key) as SessionStoreValue;
      bytes += entry.value.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push({ key, ...entry });
    }
    return found;
  }

  /** The number of a writer's last batch that was whole, decided or part of a snapshot; 0: none is known. */
  lastBatch(writer: string): number {
    return this.#state.writers.get(writer)?.number ?? 0;
  }

  /** Whether a check fails whatever comes: its version was there, and is no more. */
  isLost(checks: readonly SessionStoreCheck[]): boolean {
    return checks.some(
      ({ key, version }) =>
        version > 0 &&
        sequenceOf(version) <= this.#position &&
        this.#state.values.get(key)?.version !== version,
    );
  }

  /** Takes a snapshot of what is now; one at a time. @returns its sequence */
  beginCut(): number {
    this.#cut = { sequence: this.#position, cursor: "", displaced: [] };
    return this.#position;
  }

  /** Records of the snapshot: first those of writers. It stays right while other messages are applied; it ends where the view begins to seek. */
  *cutRecords(): IterableIterator<SnapshotRecord> {
    const cut = this.#cut;
    if (cut === undefined) return;
    for (const record of this.#writerRecords()) yield record;
    for (let from = ""; this.#cut === cut; ) {
      // Another iterator for each part: keys change between them.
      const part: string[] = [];
      for (const key of this.#keys.from(from)) {
        part.push(key);
        if (part.length === 256) break;
      }
      const last = part.at(-1);
      if (last === undefined) break;
      for (const key of part) {
        const entry = this.#state.values.get(key);
        cut.cursor = key;
        if (entry !== undefined && sequenceOf(entry.version) <= cut.sequence)
          yield { type: "entry", key, ...entry };
      }
      from = `${last}\0`;
    }
    // From here on nothing that changes was not cut.
    cut.cursor = "\x7f";
    for (const entry of cut.displaced) yield { type: "entry", ...entry };
  }

  endCut(): void {
    this.#cut = undefined;
  }

  /** Whether the snapshot that is taken is still one of this view. */
  get isCutting(): boolean {
    return this.#cut !== undefined;
  }

  /** Before anything else is applied. */
  #writerRecords(): SnapshotRecord[] {
    const records: SnapshotRecord[] = [];
    for (const [id, { number, pending }] of this.#state.writers) {
      records.push({ type: "writer", id, number });
      for (const piece of pending?.pieces ?? [])
        records.push({
          type: "piece",
          id,
          number: (pending as Pending).number,
          count: (pending as Pending).count,
          piece,
        });
    }
    return records;
  }

  #lose(base: number): void {
    this.#state = emptyState();
    this.#keys.clear();
    this.#pendingBytes = 0;
    this.#isFollowing = false;
    this.#base = base;
    this.#candidate = undefined;
    this.#cut = undefined;
    this.logBytes = 0;
  }

  #onBatch(message: StreamMessage, sequence: number): ViewEvent | undefined {
    const { id, number } = message;
    const writer = this.#writer(id);
    // A repetition, or one that its writer gave up before it began the next.
    if (number <= writer.number || number < (writer.pending?.number ?? 0)) return undefined;
    const body = this.#join(writer, message);
    if (body === undefined) return undefined;
    writer.number = number;
    this.#dropPending(writer);
    const commits = decodeCommits(body);
    if (commits === undefined || commits.length > COMMITS_PER_BATCH) {
      this.malformed += 1;
      return { type: "batch", writer: id, number, results: [] };
    }
    const results = commits.map((commit, i) => this.#decide(commit, sequence * VERSIONS_PER_MESSAGE + i + 1));
    return { type: "batch", writer: id, number, results };
  }

  /** Moved to the end of those that are known; the one that was silent for longest is forgotten. */
  #writer(id: string): Writer {
    const { writers } = this.#state;
    const writer = writers.get(id) ?? { number: 0, pending: undefined };
    writers.delete(id);
    writers.set(id, writer);
    if (writers.size > MAX_STREAM_WRITERS) {
      const [oldest, gone] = writers.entries().next().value as [string, Writer];
      this.#dropPending(gone);
      writers.delete(oldest);
    }
    return writer;
  }

  /** @returns the batch, when it is whole */
  #join(writer: Writer, { number, index, count, body }: StreamMessage): Buffer | undefined {
    if (count === 1) return body;
    let { pending } = writer;
    if (pending === undefined || pending.number < number) {
      this.#dropPending(writer);
      pending = { number, count, pieces: [], bytes: 0 };
      writer.pending = pending;
    }
    // A piece that came before is sent again; one that is ahead will be, with those before it.
    if (pending.number !== number || pending.count !== count || index !== pending.pieces.length)
      return undefined;
    pending.pieces.push(exactCopy(body));
    pending.bytes += body.length + STREAM_ENTRY_BYTES;
    this.#pendingBytes += body.length + STREAM_ENTRY_BYTES;
    if (pending.pieces.length === count) return Buffer.concat(pending.pieces);
    for (const each of this.#state.writers.values()) {
      if (this.#pendingBytes <= MAX_PENDING_PIECE_BYTES) break;
      this.#dropPending(each);
    }
    return undefined;
  }

  #dropPending(writer: Writer): void {
    this.#pendingBytes -= writer.pending?.bytes ?? 0;
    writer.pending = undefined;
  }

  #decide({ checks, writes }: Commit, version: number): boolean {
    const { values } = this.#state;
    for (const check of checks) if ((values.get(check.key)?.version ?? 0) !== check.version) return false;
    for (const { key, value } of writes) {
      const before = values.get(key);
      if (before !== undefined) {
        this.#displace(key, before);
        this.#state.bytes -= entryBytes(key, before.value);
      }
      if (value === undefined) {
        if (values.delete(key)) this.#keys.delete(key);
        continue;
      }
      if (before === undefined) this.#keys.add(key);
      values.set(key, { value: exactCopy(value), version });
      this.#state.bytes += entryBytes(key, value);
    }
    return true;
  }

  #displace(key: string, entry: SessionStoreValue): void {
    const cut = this.#cut;
    if (cut === undefined || key <= cut.cursor || sequenceOf(entry.version) > cut.sequence) return;
    cut.displaced.push({ key, ...entry });
  }

  #onSnapshot({ id, number, index, count, body }: StreamMessage): ViewEvent | undefined {
    if (index === 0 && this.#candidate?.id !== id) {
      const isUseful = !this.#isFollowing && number >= this.#base;
      this.#candidate = {
        id,
        sequence: number,
        next: 0,
        since: 0,
        restoring: isUseful ? { parser: new SnapshotParser(), state: emptyState() } : undefined,
      };
    }
    const candidate = this.#candidate;
    if (candidate === undefined || candidate.id !== id || candidate.next !== index) return undefined;
    candidate.next += 1;
    const { restoring } = candidate;
    if (restoring?.parser.add(body, (record) => restore(restoring.state, record)) === false) {
      this.malformed += 1;
      this.#candidate = undefined;
      return undefined;
    }
    if (count === 0) return { type: "snapshot", id, next: candidate.next, isWhole: false };
    this.#candidate = undefined;
    this.logBytes = candidate.since;
    this.snapshotSequence = Math.max(this.snapshotSequence, candidate.sequence);
    if (restoring === undefined) return { type: "snapshot", id, next: candidate.next, isWhole: true };
    if (!restoring.parser.isAtEnd) return undefined;
    this.#restore(restoring.state, candidate.sequence);
    return { type: "restored" };
  }

  #restore(state: State, sequence: number): void {
    this.#state = state;
    this.#keys.clear();
    for (const key of [...state.values.keys()].sort()) this.#keys.add(key);
    this.#pendingBytes = 0;
    for (const { pending } of state.writers.values()) this.#pendingBytes += pending?.bytes ?? 0;
    this.#position = sequence;
    this.#last = undefined;
    this.#isFollowing = true;
    this.logBytes = 0;
  }
}

function emptyState(): State {
  return { values: new Map(), writers: new Map(), bytes: 0 };
}

function restore(state: State, record: SnapshotRecord): void {
  if (record.type === "entry") {
    const { key, version, value } = record;
    state.values.set(key, { value: exactCopy(value), version });
    state.bytes += entryBytes(key, value);
    return;
  }
  if (record.type === "writer") {
    state.writers.set(record.id, { number: record.number, pending: undefined });
    return;
  }
  const writer = state.writers.get(record.id);
  if (writer === undefined) return;
  const { number, count } = record;
  writer.pending ??= { number, count, pieces: [], bytes: 0 };
  writer.pending.pieces.push(exactCopy(record.piece));
  writer.pending.bytes += record.piece.length + STREAM_ENTRY_BYTES;
}

/** The part of a message that no two have in common, but for one that was sent again. */
function identity(bytes: Buffer): Buffer {
  return bytes.subarray(0, HEADER_BYTES);
}

function entryBytes(key: string, value: Buffer): number {
  return key.length + value.length + STREAM_ENTRY_BYTES;
}

function sequenceOf(version: number): number {
  return Math.floor(version / VERSIONS_PER_MESSAGE);
}

/** In memory of its own: a view would keep the chunk that it came in, a pooled copy its neighbours. */
function exactCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
