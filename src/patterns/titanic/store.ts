/**
 * Where Titanic keeps requests and replies. Two stores are here, LMDB for one
 * machine and PostgreSQL for many; a program can bring another.
 *
 *              put                    answer
 *   (unknown) -----> pending -----------------> answered
 *                     |  ^                         |
 *               claim v  | release, lease ends     |
 *                   claimed                        |
 *   close, expire from anywhere --> (unknown) <----+
 *
 * A record that cannot be read is set aside: it is in no state but "damaged",
 * is never delivered, and is kept for the operator.
 */
import { ShoalError } from "../../core/errors.js";

/** A request to be kept. */
export interface NewRequest {
  /** 16 bytes, unique; later requests have greater ones. */
  readonly uuid: Buffer;
  /** 1 to 255 bytes. */
  readonly service: Buffer;
  readonly body: readonly Buffer[];
  /** ms since 1970; from then on the request is unknown. */
  readonly expires: number;
}

/** A request on its way to a service. */
export interface ClaimedRequest extends NewRequest {
  /** How often it was claimed, this time included, as far as the store remembers. */
  readonly attempts: number;
}

/** What is known of a request. */
export type RequestState =
  | { readonly state: "unknown" | "pending" | "damaged" }
  | { readonly state: "answered"; readonly reply: readonly Buffer[] };

/** A record that was set aside. */
export interface DamagedRecord {
  /** 32 hexadecimal digits, or what the store calls the record. */
  readonly uuid: string;
  readonly reason: string;
}

/** What a store counts. */
export interface StoreStats {
  /** Requests that wait for a reply, and replies that wait to be fetched; `undefined` where counting costs too much. */
  readonly pending: number | undefined;
  readonly answered: number | undefined;
  /** Records set aside, as found by this process. */
  readonly damaged: number;
  /** Commits since the store was opened, and operations in those that worked. */
  readonly commits: number;
  readonly operations: number;
}

/**
 * A store. Whatever settles is durable: a process killed at any moment, or the
 * machine, loses nothing of it. All methods may be called at the same time.
 * Each rejects with a {@link StoreError}, or ClosedError `EBADF` after `close`.
 */
export interface TitanicStore {
  /** For messages: "lmdb", "postgres", … */
  readonly name: string;
  /** Told of each record set aside; the dispatcher sets it. */
  onDamage: ((record: DamagedRecord) => void) | undefined;
  /** Keeps a request. */
  put(request: NewRequest): Promise<void>;
  /**
   * Takes up to `limit` of a service's pending requests, the oldest first, that nobody else has taken.
   * They come back by themselves when the process dies; with a shared store when `lease` ms are over.
   */
  claim(service: Buffer, limit: number, lease: number): Promise<ClaimedRequest[]>;
  /** Gives a claimed request back; it is not claimed again before `delay` ms are over. */
  release(uuid: Buffer, delay: number): Promise<void>;
  /** Keeps the reply until `expires`; false when the request was closed, expired or answered before. */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean>;
  /** What is known of a request. */
  look(uuid: Buffer): Promise<RequestState>;
  /** Forgets a request and its reply, if there is one. */
  forget(uuid: Buffer): Promise<void>;
  /** Removes up to `limit` records whose time is over; gives how many it removed. */
  expire(limit: number): Promise<number>;
  /** Services with pending requests, at most `limit`. */
  services(limit: number): Promise<Buffer[]>;
  stats(): StoreStats;
  /** Finishes what was begun and closes; what comes later is refused. */
  close(): Promise<void>;
}

/** Why a store refused or failed. */
export type StoreErrorReason =
  /** The disk or the store's own bound is full: new requests are refused, kept ones stay. */
  | "full"
  /** More operations wait than the store allows. */
  | "overloaded"
  /** Another process took the store over. */
  | "taken"
  /** The disk or the database reported an error; `cause` has it. */
  | "failed";

/** A store refused or failed. Code `ERR_STORE`. */
export class StoreError extends ShoalError {
  /** Why; `full` and `overloaded` pass. */
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, details?: { readonly cause?: unknown }) {
    super("ERR_STORE", message, details);
    this.reason = reason;
  }
}
