/**
 * Snapshots of a stream of sessions: when a server writes one, and how. A snapshot is due when the stream has grown by as much as the values have. Each server
 * waits by chance, so one of them is first; the others leave it to that one as long as its pieces come.
 *
 *   due ──delay──> writing ──whole──> purging what it stands for
 *    ^               │ failed                │ failed
 *    └───retry───────┴───────────────────────┘
 */
import { randomBytes } from "node:crypto";
import { MAX_LOG_FACTOR, SNAPSHOT_DELAY, SNAPSHOT_RETRY, SNAPSHOT_SILENCE } from "./bounds.js";
import { encodeMessage, Kind, piecesOf } from "./nats-messages.js";
import type { NatsStream } from "./nats-stream.js";
import type { StreamView, ViewEvent } from "./nats-view.js";

/** What a server knows of the stream's growth and of a snapshot that is on its way. */
export interface SnapshotState {
  /** Bytes of messages that no snapshot stands for, and those at which one is due. */
  readonly logBytes: number;
  readonly dueBytes: number;
  /** Whether another server's snapshot is on its way, and when its last piece was read. */
  readonly isOther: boolean;
  readonly pieceSeen: number;
}

/** When to write a snapshot, in ms of one clock. No timer, no clock. */
export class SnapshotSchedule {
  readonly #random: () => number;
  /** From when on it may be written; `undefined`: it was not due. */
  #from: number | undefined;
  #delay = 0;
  #hasFailed = false;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** @returns when to begin; `undefined`: not as long as nothing changes */
  begin({ logBytes, dueBytes, isOther, pieceSeen }: SnapshotState, now: number): number | undefined {
    if (logBytes < dueBytes && !this.#hasFailed) {
      this.#from = undefined;
      return undefined;
    }
    if (this.#from === undefined) {
      this.#delay = this.#random() * SNAPSHOT_DELAY;
      this.#from = now + this.#delay;
    }
    // Two or more that begin at once cost some pieces; waiting costs refused commits.
    const isUrgent = logBytes >= 2 * dueBytes && !this.#hasFailed;
    const from = isUrgent ? Math.min(this.#from, now) : this.#from;
    return isOther ? Math.max(from, pieceSeen + SNAPSHOT_SILENCE + this.#delay) : from;
  }

  /** It was written, or given up for another one. */
  ended(): void {
    this.#from = undefined;
    this.#hasFailed = false;
  }

  /** It was not written, or the stream not purged. */
  failed(now: number): void {
    this.#from = now + SNAPSHOT_RETRY * (0.5 + this.#random() / 2);
    this.#hasFailed = true;
  }
}

/** Publishes a message until it was looked at. @throws StoreError */
export type SendPiece = (message: Buffer, look: (event: ViewEvent | undefined) => boolean) => Promise<void>;

/** Writes the snapshots of one server. */
export class SnapshotWriter {
  readonly #view: StreamView;
  readonly #stream: NatsStream;
  readonly #interval: number;
  readonly #send: SendPiece;
  readonly #schedule = new SnapshotSchedule();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  #writing: Promise<void> | undefined;
  #isStopped = false;
  #pieceSeen = 0;
  /** The last one that this server has begun. */
  #id: string | undefined;
  /** What this server has purged the stream up to. */
  #purged = 0;
  /** Snapshots that were written. */
  written = 0;
  /** Why the last one was not, or the stream not purged. */
  error: unknown;

  constructor(view: StreamView, stream: NatsStream, interval: number, send: SendPiece) {
    this.#view = view;
    this.#stream = stream;
    this.#interval = interval;
    this.#send = send;
  }

  /** Whether the stream has grown past all that a snapshot should have come before. */
  get isLate(): boolean {
    return this.#view.logBytes > MAX_LOG_FACTOR * this.#dueBytes;
  }

  get #dueBytes(): number {
    return Math.max(this.#interval, this.#view.bytes);
  }

  /** After each message that was read. */
  onMessage(event: ViewEvent | undefined): void {
    if (event?.type === "snapshot") this.#pieceSeen = performance.now();
    this.#consider();
  }

  /** Settles when nothing is written any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#writing;
  }

  #consider(): void {
    if (this.#isStopped || this.#writing !== undefined || !this.#view.isFollowing) return;
    const now = performance.now();
    const { logBytes, snapshotInProgress } = this.#view;
    const at = this.#schedule.begin(
      {
        logBytes,
        dueBytes: this.#dueBytes,
        isOther: snapshotInProgress !== undefined && snapshotInProgress !== this.#id,
        pieceSeen: this.#pieceSeen,
      },
      now,
    );
    if (at !== undefined && at <= now) this.#writing = this.#write();
    else if (at !== undefined && (this.#timer === undefined || at < this.#timerAt)) this.#wait(at, at - now);
  }

  #wait(at: number, delay: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#consider();
    }, delay);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      // Its writer may have been killed before it did, and a full stream has no room for another one. Where the server lets
      // nobody purge, the stream grows, and snapshots are written all the same.
      let refusal: unknown;
      await this.#purge(this.#view.snapshotSequence).catch((error: unknown) => {
        refusal = error;
      });
      const sequence = this.#view.logBytes < this.#dueBytes ? undefined : await this.#writePieces();
      if (sequence !== undefined) {
        this.written += 1;
        await this.#purge(sequence);
      } else if (refusal !== undefined) throw refusal;
      this.error = undefined;
      this.#schedule.ended();
    } catch (error) {
      // Past MAX_LOG_FACTOR the commits are refused with this.
      this.error = error;
      this.#schedule.failed(performance.now());
    }
    this.#view.endCut();
    this.#writing = undefined;
    this.#consider();
  }

  async #purge(sequence: number): Promise<void> {
    if (sequence <= this.#purged) return;
    await this.#stream.purge(sequence);
    this.#purged = sequence;
  }

  /** @returns what the snapshot stands for; `undefined` when it was given up */
  async #writePieces(): Promise<number | undefined> {
    const id = randomBytes(8).toString("hex");
    this.#id = id;
    const number = this.#view.beginCut();
    let index = 0;
    for (const { body, isLast } of piecesOf(this.#view.cutRecords(), this.#stream.pieceBytes)) {
      // Another one's snapshot has begun, or this server has to read again from one.
      const isOwn = index === 0 || this.#view.snapshotInProgress === id;
      if (!isOwn || !this.#view.isCutting || this.#isStopped) return undefined;
      const message = encodeMessage(Kind.snapshot, { id, number, index, count: isLast ? 1 : 0, body });
      let isRead = false;
      const look = (event: ViewEvent | undefined): boolean => {
        if (event?.type === "snapshot" && event.id === id && event.next > index) isRead = true;
        return isRead || !this.#view.isCutting || (index > 0 && this.#view.snapshotInProgress !== id);
      };
      await this.#send(message, look);
      if (!isRead) return undefined;
      index += 1;
    }
    return number;
  }
}
