/** Why a store on the disk, or in a database, refused or failed. */
import { ShoalError } from "../../../core/errors.js";

/** Why a store refused or failed. */
export type StoreErrorReason =
  /** The disk or the store's own bound is full: new requests are refused, kept ones stay. */
  | "full"
  /** More operations wait than the store allows. */
  | "overloaded"
  /** Another process took the store over. */
  | "taken"
  /** The disk or the database reported an error, and nothing was changed; `cause` has it. */
  | "failed"
  /**
   * The answer to a write was lost: whether it took place is not known. Each write can be repeated: the same
   * UUID finds out.
   */
  | "outcome-unknown"
  /** The store's file is damaged; the message says where, and nothing was changed. */
  | "damaged";

/** A store refused or failed; `reason` says why. Code `ERR_STORE`. */
export class StoreError extends ShoalError {
  /** Why; `full` and `overloaded` pass. */
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, details?: { readonly cause?: unknown }) {
    super("ERR_STORE", message, details);
    this.reason = reason;
  }
}
