/**
 * Storage of requests and replies: LMDB for one machine, PostgreSQL for several, or a custom store.
 *
 *              put                    answer
 *   (unknown) -----> pending -----------------> answered
 *                     |  ^                         |
 *               claim v  | release, lease ends     |
 *                   claimed                        |
 *   close, expire from anywhere --> (unknown) <----+
 *
 *   claimed -- markDead --> dead  a dead letter, after its last attempt
 *
 * An unreadable record is "damaged", and never delivered, until it expires or is closed. A reply to a request that was
 * damaged in flight is kept.
 */
import { costOf, frameCost } from "../../core/memory.js";
import type { TITANIC_STORE } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

/** Bytes of claimed requests, about: a claim ends with the request that passes it. */
export const MAX_CLAIM_BYTES = 33_554_432;

/** At least its bytes in a store. */
export function costOfRequest({ service, body }: Pick<TitanicNewRequest, "service" | "body">): number {
  return frameCost(service.length) + costOf(body);
}

export interface TitanicNewRequest {
  /** 16 bytes, unique, normally in increasing order. */
  readonly uuid: Buffer;
  /** 1 to 255 bytes. */
  readonly service: Buffer;
  readonly body: readonly Buffer[];
  /** ms since 1970; then the request is unknown. */
  readonly expires: number;
}

export interface TitanicClaimedRequest extends TitanicNewRequest {
  /** Number of this attempt: 1, plus 1 for each failed one. */
  readonly attempts: number;
}

export interface TitanicStoredDeadLetter {
  readonly uuid: Buffer;
  readonly service: Buffer;
  readonly body: readonly Buffer[];
  /** Failed attempts. */
  readonly attempts: number;
  /** Of the last failure. */
  readonly reason: string;
  /** ms since 1970; when it is removed. */
  readonly died: number;
  readonly expires: number;
}

export type TitanicDeath = Pick<TitanicStoredDeadLetter, "attempts" | "reason" | "died" | "expires">;

export type TitanicRequestState =
  | { readonly state: "unknown" | "pending" | "damaged" }
  | { readonly state: "answered"; readonly reply: readonly Buffer[] }
  | { readonly state: "dead"; readonly reason: string };

export interface TitanicDamagedRecord {
  /** 32 hexadecimal digits, or the store's name of the record. */
  readonly uuid: string;
  readonly reason: string;
}

export type TitanicStoreStats = StatisticsOf<typeof TITANIC_STORE>;

/**
 * A change is durable when it settles. All methods may be called concurrently; they reject with a StoreError, or with
 * ClosedError `EBADF` after `close`.
 */
export interface TitanicStore {
  /** Hears of a damaged record each time it is found. */
  onDamage: ((record: TitanicDamagedRecord) => void) | undefined;
  /** Stores a request. @returns `false` for a known UUID, which is left as it is */
  put(request: TitanicNewRequest): Promise<boolean>;
  /**
   * Claims pending requests, oldest first: `limit` at most, or fewer that have 32 MiB together. Claims end with the
   * process, in a shared store after `lease` ms.
   */
  claim(service: Buffer, limit: number, lease: number): Promise<TitanicClaimedRequest[]>;
  /** The request can be claimed again after `delay` ms. @param failed counts the attempt, durably */
  release(uuid: Buffer, delay: number, failed: boolean): Promise<void>;
  /** Makes a claimed request a dead letter. @returns `false` if it was closed, expired or answered */
  markDead(uuid: Buffer, death: TitanicDeath): Promise<boolean>;
  /** Dead letters in order of UUID, after the UUID `after`. */
  deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]>;
  /** Stores a reply until `expires`. @returns `false` if the request was closed, expired or answered */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean>;
  look(uuid: Buffer): Promise<TitanicRequestState>;
  /** Deletes a request, its reply or its dead letter. */
  forget(uuid: Buffer): Promise<void>;
  /** Deletes expired records. @returns their number */
  expire(limit: number): Promise<number>;
  /** Services with pending requests, in an order of the store's. @param after the last one seen */
  services(limit: number, after?: Buffer): Promise<Buffer[]>;
  stats(): TitanicStoreStats;
  /** Finishes pending operations; later ones are refused. */
  close(): Promise<void>;
}
