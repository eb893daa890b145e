import { ShoalError } from "../core/errors.js";

/** Why a store refused or failed. */
export type StoreErrorReason =
  /** The disk or the store is full. Kept requests stay. */
  | "full"
  /** More operations wait than the store allows. */
  | "overloaded"
  /** Another process took the store over. */
  | "taken"
  /** The disk or the database reported an error (`cause`); nothing was changed. */
  | "failed"
  /** The answer was lost, so the write may have taken place. Repeat it with the same UUID to find out. */
  | "outcome-unknown"
  /** The store's file is damaged; nothing was changed. */
  | "damaged";

/** A store refused or failed, for `reason`. Code `ERR_STORE`. */
export class StoreError extends ShoalError {
  /** `full` and `overloaded` are temporary. */
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, details?: { readonly cause?: unknown }) {
    super("ERR_STORE", message, details);
    this.reason = reason;
  }
}
