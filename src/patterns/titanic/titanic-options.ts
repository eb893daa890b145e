/** Options, events and statistics of Titanic. */
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { DispatchStats } from "./dispatch-rules.js";

const DAY = 86_400_000;

export const DEFAULTS = Object.freeze({
  requestTtl: DAY,
  replyTtl: DAY,
  deadLetterTtl: 7 * DAY,
  maxAttempts: 10,
  timeout: 30_000,
  concurrency: 1_024,
  perService: 512,
  workerConcurrency: 4_096,
  checkTimeout: 2_500,
  checkInterval: 1_000,
  maxCheckInterval: 10_000,
  retryDelay: 1_000,
  maxRetryDelay: 60_000,
  maxRetrying: 1_000,
  maxServices: 10_000,
  scanInterval: 5_000,
  expireInterval: 1_000,
});

/** Options of {@link Titanic}. Times are in ms. */
export interface TitanicOptions {
  /** How long a request is kept and tried, unless its client wants less. Default a day. */
  readonly requestTtl?: number;
  /** How long a reply is kept to be fetched. Default a day. */
  readonly replyTtl?: number;
  /** How long a dead letter is kept. Default 7 days. */
  readonly deadLetterTtl?: number;
  /**
   * Attempts of a request that may fail, 1 or more: the handler fails, its worker is lost, it takes longer than
   * `timeout`. Then the request is a dead letter, and its client gets "503". Default 10.
   */
  readonly maxAttempts?: number;
  /** For one try of a request; a slower service gets it again. Default 30,000. */
  readonly timeout?: number;
  /** Requests in the hands of services at once, until the reply is on disk. Default 1,024. */
  readonly concurrency?: number;
  /** The same for each service, so that a slow one leaves places to the others. Default 512. */
  readonly perService?: number;
  /** Requests of clients handled at once, for each of the three services: what one commit can hold. Default 4,096. */
  readonly workerConcurrency?: number;
  /** For the broker's answer whether a service is there. Default 2,500. */
  readonly checkTimeout?: number;
  /** Between two such questions for a service that is not there; doubled up to `maxCheckInterval`. Default 1,000. */
  readonly checkInterval?: number;
  /** Default 10,000. */
  readonly maxCheckInterval?: number;
  /** Until a request that failed is tried again; doubled up to `maxRetryDelay`. Default 1,000. */
  readonly retryDelay?: number;
  /** Default 60,000. */
  readonly maxRetryDelay?: number;
  /** Requests of one service that wait for another try; past it no further ones are begun. Default 1,000. */
  readonly maxRetrying?: number;
  /** Services looked after at once; the requests of others wait in the store. Default 10,000. */
  readonly maxServices?: number;
  /** Between two looks into the store for what others put there, or left. Default 5,000. */
  readonly scanInterval?: number;
  /** Between two removals of what expired. Default 1,000. */
  readonly expireInterval?: number;
  /** Options of the sockets to the broker: security, context. */
  readonly socketOptions?: DealerOptions;
}

/** What happens in {@link Titanic}. */
export type TitanicEvent =
  /** A reply was kept. */
  | { readonly type: "answer"; readonly uuid: string; readonly service: string }
  /** A call failed; the request is tried again. */
  | {
      readonly type: "retry";
      readonly uuid: string;
      readonly service: string;
      readonly attempts: number;
      readonly error: unknown;
    }
  /** A request failed as often as it may, and is a dead letter. */
  | {
      readonly type: "dead";
      readonly uuid: string;
      readonly service: string;
      readonly attempts: number;
      readonly reason: string;
    }
  /** Requests, replies and dead letters whose time was over were removed. */
  | { readonly type: "expire"; readonly count: number }
  /** A record cannot be read, and was set aside. */
  | { readonly type: "damage"; readonly uuid: string; readonly reason: string }
  /** A client's request is malformed, and was answered with 500. */
  | { readonly type: "refuse"; readonly reason: string }
  /** The store refused or failed; a client that asked got 500, or 502 when the outcome is unknown. */
  | { readonly type: "store:error"; readonly error: unknown };

/** What {@link Titanic.stats} counts since it was made. */
export interface TitanicStats extends DispatchStats {
  /** Requests acknowledged, repetitions apart. */
  readonly stored: number;
  /** Repetitions of a request that was stored before, acknowledged. */
  readonly repeated: number;
  /** Answers 500 and 502 because of the store. */
  readonly refused: number;
  /** Answers 500 because of what the client sent. */
  readonly malformed: number;
  /** Replies kept. */
  readonly answered: number;
  /** Calls that ended without a reply. */
  readonly failed: number;
  /** Requests that became dead letters. */
  readonly died: number;
  /** Records removed because their time was over. */
  readonly expired: number;
  /** Records set aside. */
  readonly damaged: number;
}
