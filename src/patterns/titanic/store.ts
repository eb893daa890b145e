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
 *   claimed -- bury --> dead -- requeue --> pending      a dead letter: tried as often as it may be
 *
 * A record that cannot be read is set aside: it is in no state but "damaged",
 * is never delivered, and is kept for the operator.
 */

/** A request to be kept. */
export interface TitanicNewRequest {
  /** 16 bytes, unique; as a rule later requests have greater ones. */
  readonly uuid: Buffer;
  /** 1 to 255 bytes. */
  readonly service: Buffer;
  readonly body: readonly Buffer[];
  /** ms since 1970; from then on the request is unknown. */
  readonly expires: number;
}

/** A request on its way to a service. */
export interface TitanicClaimedRequest extends TitanicNewRequest {
  /** The attempt that begins with this claim: 1, and 1 more for each that failed. */
  readonly attempts: number;
}

/** A request that is not tried any more. */
export interface TitanicStoredDeadLetter {
  readonly uuid: Buffer;
  readonly service: Buffer;
  readonly body: readonly Buffer[];
  /** Attempts that failed. */
  readonly attempts: number;
  /** Why the last one failed. */
  readonly reason: string;
  /** ms since 1970 at which it was given up, and at which it is removed. */
  readonly died: number;
  readonly expires: number;
}

/** What a store keeps of a request with its end. */
export interface TitanicBurial {
  readonly attempts: number;
  readonly reason: string;
  readonly died: number;
  readonly expires: number;
}

/** What is known of a request. */
export type TitanicRequestState =
  | { readonly state: "unknown" | "pending" | "damaged" }
  | { readonly state: "answered"; readonly reply: readonly Buffer[] }
  | { readonly state: "dead"; readonly reason: string };

/** A record that was set aside. */
export interface TitanicDamagedRecord {
  /** 32 hexadecimal digits, or what the store calls the record. */
  readonly uuid: string;
  readonly reason: string;
}

/** What a store counts. */
export interface TitanicStoreStats {
  /** Requests that wait for a reply, and replies that wait to be fetched; `undefined` where counting costs too much. */
  readonly pending: number | undefined;
  readonly answered: number | undefined;
  /** Dead letters. */
  readonly dead: number | undefined;
  /** Records set aside, as found by this process. */
  readonly damaged: number;
  /** Commits since the store was opened, and operations in those that worked. */
  readonly commits: number;
  readonly operations: number;
}

/**
 * A store. Whatever settles is durable: a process killed at any moment, or the
 * machine, loses nothing of it. All methods may be called at the same time.
 * Each rejects with a StoreError, or ClosedError `EBADF` after `close`.
 */
export interface TitanicStore {
  /** For messages: "lmdb", "postgres", … */
  readonly name: string;
  /** Called with each record set aside; the dispatcher sets it. */
  onDamage: ((record: TitanicDamagedRecord) => void) | undefined;
  /**
   * Keeps a request. One whose UUID is known, whatever became of it, is a repetition: what is kept stays as
   * it is, and the answer is false.
   */
  put(request: TitanicNewRequest): Promise<boolean>;
  /**
   * Takes up to `limit` of a service's pending requests, the oldest first, that nobody else has taken.
   * They come back by themselves when the process dies; with a shared store when `lease` ms are over.
   */
  claim(service: Buffer, limit: number, lease: number): Promise<TitanicClaimedRequest[]>;
  /**
   * Gives a claimed request back; it is not claimed again before `delay` ms are over.
   *
   * @param failed counts the attempt, durably; without it the service never had the request
   */
  release(uuid: Buffer, delay: number, failed: boolean): Promise<void>;
  /** Makes a claimed request a dead letter; false when it was closed, expired or answered before. */
  bury(uuid: Buffer, burial: TitanicBurial): Promise<boolean>;
  /** Dead letters, by UUID, at most `limit`; only those after the UUID `after`. */
  deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]>;
  /** Makes a dead letter a request again, until `expires`, with no attempt counted; false when there is no such dead letter. */
  requeue(uuid: Buffer, expires: number): Promise<boolean>;
  /** Keeps the reply until `expires`; false when the request was closed, expired or answered before. */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean>;
  /** What is known of a request. */
  look(uuid: Buffer): Promise<TitanicRequestState>;
  /** Forgets a request, its reply and its dead letter, whichever there is. */
  forget(uuid: Buffer): Promise<void>;
  /** Removes up to `limit` records whose time is over; gives how many it removed. */
  expire(limit: number): Promise<number>;
  /** Services with pending requests, at most `limit`. */
  services(limit: number): Promise<Buffer[]>;
  stats(): TitanicStoreStats;
  /** Finishes what was begun and closes; what comes later is refused. */
  close(): Promise<void>;
}
