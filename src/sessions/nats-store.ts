/**
 * Sessions in a stream of NATS JetStream: any number of machines, and no database. The stream has the commits in their order; each server reads it and
 * keeps the values in memory (nats-view.ts has the rules).
 *
 *   commit ──> waiting ──batch──> stream ──read──> decided        one batch at a time; what comes meanwhile travels with the next one
 *   read   ──> an empty commit ──────────────────> the values      so it sees what was committed before it began, whichever server leads the stream
 *
 * A read that asks the stream's leader for its last sequence would cost no message. But a leader that was just elected may not have applied all that was acknowledged, and one that was
 * cut off leads on for seconds without knowing. So that is an option, `reads: "leader"`.
 */
import { randomBytes } from "node:crypto";
import { describe } from "../core/arguments.js";
import { ClosedError, InvalidArgumentError } from "../core/errors.js";
import { bytes, checkOptions, choice, integer, object, text } from "../patterns/kit/options.js";
import { StoreError, type StoreErrorReason } from "../patterns/kit/store/error.js";
import {
  MAX_STREAM_BATCH_BYTES,
  MAX_STREAM_PENDING,
  MAX_STREAM_PENDING_BYTES,
  SNAPSHOT_INTERVAL_BYTES,
  STREAM_BACK_OFF,
  STREAM_ENTRY_BYTES,
  STREAM_PIECE_BYTES,
  STREAM_RETRY,
} from "./bounds.js";
import { type Commit, commitBytes, cutBody, encodeCommits, encodeMessage, Kind } from "./nats-messages.js";
import { SnapshotWriter } from "./nats-snapshots.js";
import { NatsStream, type Published } from "./nats-stream.js";
import { COMMITS_PER_BATCH, StreamView, type ViewEvent } from "./nats-view.js";
import type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

/** Options of {@link NatsSessionStore.open}. */
export interface NatsSessionStoreOptions {
  /** Servers, `HOST:PORT`, separated by commas. Default "127.0.0.1:4222". */
  readonly servers?: string | undefined;
  /** The stream and its subject: letters, digits, `_` and `-`, at most 64. Default "shoal-sessions". */
  readonly stream?: string | undefined;
  /** Servers that keep the stream, where this one makes it: 1 to 5. Default 3 in a cluster of NATS servers, else 1. */
  readonly replicas?: number | undefined;
  /**
   * How a read learns what was committed before: by an entry of the stream, which its quorum agrees to; or by asking the stream's leader, which writes nothing
   * and is not right for moments after a change of leaders, and for up to ten seconds at a leader that is cut off from the others. Commits are not affected. Default `"quorum"`.
   */
  readonly reads?: "quorum" | "leader" | undefined;
  /** Bytes of all keys and values, with 256 for each key, that this process keeps in memory. All servers of a stream have the same. Default 268,435,456. */
  readonly maxBytes?: number | undefined;
  /** Bytes of commits after which a server writes a snapshot and purges what is before it; as many as the snapshot has, if that is more. Default 16,777,216. */
  readonly snapshotInterval?: number | undefined;
  /** ms for a connection to be made, and for a call. Default 10,000. */
  readonly timeout?: number | undefined;
  /** Further options of `connect` of the client: `user` and `pass`, `token`, `authenticator`, `tls`, … */
  readonly connection?: object | undefined;
}

/** What {@link NatsSessionStore.stats} returns. */
export interface NatsSessionStoreStats {
  /** Keys, and bytes of them and of their values as `maxBytes` counts them. */
  readonly keys: number;
  readonly bytes: number;
  /** Sequence of the last message that was read. */
  readonly sequence: number;
  /** Bytes of messages that no snapshot stands for. */
  readonly logBytes: number;
  /** Snapshots that this process has written. */
  readonly snapshots: number;
  /** Why the last one was not written, or the stream not purged; `undefined` once one was. */
  readonly snapshotError: unknown;
  /** Why the stream is not read, or takes no commits, at the moment, such as a lost connection or no leader; `undefined` while it does. */
  readonly streamError: unknown;
  /** Messages of the stream that are not of sessions. */
  readonly malformed: number;
}

interface Waiting {
  readonly commit: Commit;
  readonly bytes: number;
  readonly resolve: (done: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Somebody who waits for what is read. */
interface Watcher {
  readonly look: (event: ViewEvent | undefined) => void;
  readonly fail: (error: unknown) => void;
}

const OPTIONS = {
  servers: text(),
  stream: text(),
  replicas: integer({ max: 5 }),
  reads: choice(["quorum", "leader"], "quorum"),
  maxBytes: bytes({ default: 268_435_456, min: 1_048_576 }),
  snapshotInterval: bytes({ default: SNAPSHOT_INTERVAL_BYTES, min: 65_536 }),
  timeout: integer({ default: 10_000 }),
  connection: object<object>(),
};

const STREAM = /^[A-Za-z0-9_-]{1,64}$/;
const NOTHING: Commit = { checks: [], writes: [] };

/**
 * A {@link SessionStore} in a stream of NATS JetStream. Needs nats-server 2.9 or later with JetStream on, and the package `@nats-io/transport-node`.
 *
 * @example
 * ```ts no-run
 * import { NatsSessionStore, SessionServer } from "shoal/sessions";
 *
 * const store = await NatsSessionStore.open({ servers: "a.example:4222,b.example:4222", replicas: 3 });
 * const server = new SessionServer({ store }); // One for each machine, on the same stream.
 * await server.bind("tcp://*:5570");
 * ```
 */
export class NatsSessionStore implements SessionStore {
  readonly name = "nats";
  readonly #stream: NatsStream;
  readonly #settings: {
    readonly maxBytes: number;
    readonly snapshotInterval: number;
    readonly timeout: number;
  };
  readonly #asksLeader: boolean;
  readonly #id = randomBytes(8).toString("hex");
  readonly #view = new StreamView();
  readonly #waiting: Waiting[] = [];
  readonly #watchers = new Set<Watcher>();
  #waitingBytes = 0;
  /** Commits that wait for a snapshot, and what they wait for. */
  #held = 0;
  #snapshotWait: Promise<boolean> | undefined;
  #number = 0;
  #working: Promise<void> | undefined;
  /** Reads that wait for the next batch, or for the next answer of the leader. */
  #reading: Promise<unknown> | undefined;
  #asking: Promise<unknown> = Promise.resolve();
  readonly #snapshots: SnapshotWriter;
  /** No call succeeds any more. */
  #failure: StoreError | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Connects, makes the stream if it is not there, and reads it.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `@nats-io/transport-node`; InvalidArgumentError `EINVAL`; StoreError `failed` when no
   *   server answers or JetStream refuses, `damaged` when messages are missing
   */
  static async open(options: NatsSessionStoreOptions = {}): Promise<NatsSessionStore> {
    const settings = checkOptions("NatsSessionStore", OPTIONS, options);
    const { stream = "shoal-sessions", servers = "127.0.0.1:4222", replicas = 0, timeout } = settings;
    if (!STREAM.test(stream))
      throw new InvalidArgumentError(
        `Option stream of NatsSessionStore is up to 64 letters, digits, _ and -; got ${describe(stream)}`,
      );
    const opened = await NatsStream.open(
      { stream, replicas, timeout },
      { servers: servers.split(","), ...settings.connection },
    );
    const store = new NatsSessionStore(opened, settings, settings.reads === "leader");
    try {
      await store.#start();
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  private constructor(
    stream: NatsStream,
    settings: { readonly maxBytes: number; readonly snapshotInterval: number; readonly timeout: number },
    asksLeader: boolean,
  ) {
    this.#stream = stream;
    this.#settings = settings;
    this.#asksLeader = asksLeader;
    this.#snapshots = new SnapshotWriter(
      this.#view,
      stream,
      settings.snapshotInterval,
      async (message, look) => {
        if ((await this.#send([message], look)) !== "there") throw this.#notRead();
      },
    );
  }

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    this.#assertOpen();
    if (keys.length === 0) return [];
    await this.#refresh();
    return keys.map((key) => this.#view.read(key));
  }

  async scan(range: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    this.#assertOpen();
    await this.#refresh();
    return this.#view.scan(range);
  }

  async commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean> {
    this.#assertOpen();
    if (this.#view.isFollowing && this.#view.isLost(checks)) return false;
    this.#assertRoom(writes);
    const commit = { checks, writes };
    if (this.#snapshots.isLate) {
      await this.#untilSnapshot(commitBytes(commit));
      this.#assertOpen();
    }
    return await this.#submit(commit);
  }

  stats(): NatsSessionStoreStats {
    const { size, bytes, position, logBytes, malformed } = this.#view;
    return {
      keys: size,
      bytes,
      sequence: position,
      logBytes,
      snapshots: this.#snapshots.written,
      snapshotError: this.#snapshots.error,
      streamError: this.#failure ?? this.#stream.failure,
      malformed,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const stopped = this.#snapshots.stop();
    await this.#working;
    for (const watcher of this.#watchers) watcher.fail(closed());
    await stopped;
    await this.#stream.close();
  }

  async #start(): Promise<void> {
    this.#stream.read({
      next: () => this.#view.nextRead,
      message: (sequence, bytes) => this.#onMessage(sequence, bytes),
    });
    const { last, messages } = await this.#stream.range();
    if (messages === 0 && last > 0)
      throw new StoreError("damaged", "The stream was purged: what it acknowledged is not there any more");
    for (;;) {
      const before = this.#view.position;
      if (await this.#until(() => this.#view.position >= last, this.#settings.timeout)) break;
      if (this.#view.position === before) throw this.#notRead();
    }
    if (this.#view.isFollowing) return;
    // One that purges has written a snapshot before; it may have come after `last`, and what was purged before that was read.
    const isGrown = (await this.#stream.range()).last > last;
    if (!isGrown || !(await this.#until(() => this.#view.isFollowing, this.#settings.timeout)))
      throw new StoreError("damaged", "Messages of the stream are missing, and no snapshot stands for them");
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What removes has room in any case. */
  #assertRoom(writes: readonly SessionStoreWrite[]): void {
    const { maxBytes } = this.#settings;
    let added = 0;
    for (const { key, value } of writes)
      if (value !== undefined) added += key.length + value.length + STREAM_ENTRY_BYTES;
    if (added > 0 && this.#view.bytes + added > maxBytes)
      throw new StoreError("full", `The store has its ${maxBytes} bytes (maxBytes); nothing was kept`);
  }

  /** Commits that come faster than snapshots wait for one. @throws StoreError `full` where none comes */
  async #untilSnapshot(bytes: number): Promise<void> {
    this.#assertPending(bytes);
    this.#held += 1;
    this.#waitingBytes += bytes;
    try {
      const isWritten = (): boolean => !this.#snapshots.isLate;
      const { timeout } = this.#settings;
      const end = performance.now() + timeout;
      // One look at each message for all of them, and each with its own time.
      for (let left = timeout; left > 0; left = end - performance.now()) {
        this.#snapshotWait ??= this.#until(isWritten, timeout).finally(() => {
          this.#snapshotWait = undefined;
        });
        if (await within(this.#snapshotWait, left)) return;
      }
    } finally {
      this.#held -= 1;
      this.#waitingBytes -= bytes;
    }
    throw new StoreError("full", "No server could write a snapshot of the stream; nothing was kept", {
      cause: this.#snapshots.error,
    });
  }

  #assertPending(bytes: number): void {
    const count = this.#waiting.length + this.#held;
    if (count >= MAX_STREAM_PENDING || this.#waitingBytes + bytes > MAX_STREAM_PENDING_BYTES)
      throw new StoreError("overloaded", "Too many commits wait for the stream");
  }

  /** Settles when all is read that was committed before the call. */
  async #refresh(): Promise<void> {
    for (;;) {
      this.#reading ??= this.#asksLeader ? this.#askLeader() : this.#submit(NOTHING);
      await this.#reading;
      // A message may have come since that says that some are missing.
      if (this.#view.isFollowing) return;
      this.#assertOpen();
      if (!(await this.#until(() => this.#view.isFollowing, this.#settings.timeout))) throw this.#notRead();
    }
  }

  #askLeader(): Promise<unknown> {
    // The answer that is on its way may be older than this read.
    const asked = this.#asking.then(async () => {
      this.#reading = undefined;
      const { last } = await this.#stream.range();
      const isRead = (): boolean => this.#view.isFollowing && this.#view.position >= last;
      if (!(await this.#until(isRead, this.#settings.timeout))) throw this.#notRead();
    });
    // The reads that share it fail with its error.
    this.#asking = asked.catch(() => undefined);
    return asked;
  }

  #submit(commit: Commit): Promise<boolean> {
    const bytes = commitBytes(commit);
    if (bytes > MAX_STREAM_BATCH_BYTES)
      throw new StoreError("full", `A commit has at most ${MAX_STREAM_BATCH_BYTES} bytes; got ${bytes}`);
    this.#assertPending(bytes);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, bytes, resolve, reject });
      this.#waitingBytes += bytes;
      this.#working ??= this.#work();
    });
  }

  async #work(): Promise<void> {
    // What arrives in one turn belongs together.
    await undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        const results = await this.#publish(batch.map(({ commit }) => commit));
        for (const [i, { resolve }] of batch.entries()) resolve(results[i] === true);
      } catch (error) {
        for (const { reject } of batch) reject(error);
        // They have waited as long, and would wait as long once more.
        const others = this.#waiting.splice(0);
        for (const { bytes } of others) this.#waitingBytes -= bytes;
        this.#reading = undefined;
        const reason = new StoreError("failed", "The stream does not answer; nothing was kept", {
          cause: error,
        });
        for (const { reject } of others) reject(this.#failure ?? reason);
      }
      // Those who wait for the results may have more.
      await undefined;
    }
    this.#working = undefined;
  }

  #takeBatch(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const each of this.#waiting) {
      if (count === COMMITS_PER_BATCH || (count > 0 && bytes + each.bytes > STREAM_PIECE_BYTES)) break;
      count += 1;
      bytes += each.bytes;
    }
    this.#waitingBytes -= bytes;
    // Reads that come from now on have to be in the next one.
    if (!this.#asksLeader) this.#reading = undefined;
    return this.#waiting.splice(0, count);
  }

  /**
   * Sends a batch until it is read.
   *
   * @returns of each commit whether it took place
   * @throws StoreError
   */
  async #publish(commits: readonly Commit[]): Promise<readonly boolean[]> {
    this.#number += 1;
    const number = this.#number;
    const bodies = cutBody(encodeCommits(commits), this.#stream.pieceBytes);
    const messages = bodies.map((body, index) =>
      encodeMessage(Kind.batch, { id: this.#id, number, index, count: bodies.length, body }),
    );
    let results: readonly boolean[] | undefined;
    let isLost = false;
    const look = (event: ViewEvent | undefined): boolean => {
      if (event?.type === "batch" && event.writer === this.#id && event.number === number)
        results = event.results;
      // It lies before a snapshot that this server goes on from.
      isLost = results === undefined && this.#view.isFollowing && this.#view.lastBatch(this.#id) >= number;
      return results !== undefined || isLost;
    };
    const isThere = await this.#send(messages, look);
    if (results !== undefined) return results;
    if (isThere === "absent") throw this.#notRead();
    throw new StoreError(
      "outcome-unknown",
      "The stream did not answer; whether the commit took place is not known",
      { cause: this.#stream.failure },
    );
  }

  /**
   * Publishes messages, again where no answer comes, until they are read or the time is over.
   *
   * @returns what is known of them; "there" once they were read
   * @throws StoreError where they were refused, and are not there
   */
  async #send(
    messages: readonly Buffer[],
    look: (event: ViewEvent | undefined) => boolean,
  ): Promise<Published> {
    const until = performance.now() + this.#settings.timeout;
    const left = (most: number): number => Math.max(1, Math.min(most, until - performance.now()));
    const reading = this.#watch(look);
    // A batch has no effect while one of its messages is not there.
    const possible = new Set<number>();
    const isAbsent = (): boolean => possible.size < messages.length;
    try {
      for (;;) {
        const published = await Promise.race([
          reading.seen,
          this.#publishAll(messages, left(2 * STREAM_RETRY), possible),
        ]);
        if (published === "seen") return "there";
        // What was sent before may be there all the same.
        if (published instanceof StoreError && isAbsent()) throw published;
        const pause = published === "there" ? STREAM_RETRY : STREAM_BACK_OFF;
        if ((await within(reading.seen, left(pause))) === "seen") return "there";
        // In less no answer comes, and what was absent would be unknown.
        if (performance.now() > until - STREAM_BACK_OFF / 2) return isAbsent() ? "absent" : "unknown";
        if (published === "there") this.#stream.readAgain();
      }
    } finally {
      reading.end();
    }
  }

  /** @param possible gets the indices of those that may be there, by now or later */
  async #publishAll(
    messages: readonly Buffer[],
    timeout: number,
    possible: Set<number>,
  ): Promise<Published | StoreError> {
    const sent = messages.map((each) => this.#stream.publish(each, timeout).catch(asStoreError));
    const results = await Promise.all(sent);
    for (const [index, each] of results.entries())
      if (each === "there" || each === "unknown") possible.add(index);
    const refusal = results.find((each) => each instanceof StoreError);
    if (refusal !== undefined) return refusal;
    if (results.includes("absent")) return "absent";
    return results.includes("unknown") ? "unknown" : "there";
  }

  /** Looks after each message that is read, until it has seen enough or `end` is called. */
  #watch(look: (event: ViewEvent | undefined) => boolean): {
    readonly seen: Promise<"seen">;
    readonly end: () => void;
  } {
    let watcher: Watcher | undefined;
    const end = (): void => {
      if (watcher !== undefined) this.#watchers.delete(watcher);
    };
    const seen = new Promise<"seen">((resolve, reject) => {
      if (look(undefined)) {
        resolve("seen");
        return;
      }
      watcher = {
        look: (event) => {
          if (!look(event)) return;
          end();
          resolve("seen");
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
      this.#watchers.add(watcher);
    });
    // Where nobody waits any more: those who do get the error.
    seen.catch(() => undefined);
    return { seen, end };
  }

  /** @returns whether it has seen enough within the time @throws what ends all calls */
  async #until(look: () => boolean, timeout: number): Promise<boolean> {
    const { seen, end } = this.#watch(look);
    const result = await within(seen, timeout);
    end();
    return result === "seen";
  }

  #notRead(): StoreError {
    const message = this.#view.isFollowing
      ? `The stream did not answer within ${this.#settings.timeout} ms; nothing was kept`
      : "Messages of the stream are missing, and no snapshot was read that stands for them";
    const cause = this.#stream.failure;
    return new StoreError("failed", message, cause === undefined ? undefined : { cause });
  }

  #onMessage(sequence: number, bytes: Buffer): void {
    if (this.#failure !== undefined) return;
    const event = this.#view.apply(sequence, bytes);
    if (event?.type === "restored") this.#stream.readAgain();
    else if (event?.type === "diverged")
      this.#fail(
        "damaged",
        "The stream has lost what it acknowledged, or is another one; open the store again to go on with what is there",
      );
    else if (event?.type === "newer")
      this.#fail("failed", "A later version of shoal has written to the stream; this one does not read it");
    const most = this.#settings.maxBytes + 2 * MAX_STREAM_BATCH_BYTES;
    if (this.#view.bytes > most || this.#view.restoringBytes > most)
      this.#fail("full", "The stream has more than maxBytes: a server has written to it that may have more");
    for (const watcher of this.#watchers) watcher.look(event);
    this.#snapshots.onMessage(event);
  }

  /** Ends all calls, now and later. */
  #fail(reason: StoreErrorReason, message: string): void {
    this.#failure ??= new StoreError(reason, message);
    for (const watcher of this.#watchers) watcher.fail(this.#failure);
    void this.#snapshots.stop();
  }
}

/** What it settles with, or `undefined` after the time. */
async function within<T>(promise: Promise<T>, time: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), time);
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError("failed", "The NATS client failed", { cause: error });
}

function closed(): ClosedError {
  return new ClosedError("EBADF", "The store is closed");
}
