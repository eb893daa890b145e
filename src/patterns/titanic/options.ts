/** Options of Titanic. */

import { type Given, integer, object, type Settings } from "../../kit/options.js";
import type { DealerOptions } from "../../sockets/request-reply.js";

const DAY = 86_400_000;

/** Of the dispatch to services. */
const LIMITS = {
  /** Timeout of one attempt, once the service had it; a slower service gets the request again. Default 30,000. */
  timeout: integer({ default: 30_000 }),
  /** Failed attempts, 1 or more, before a request becomes a dead letter and its client gets "503". Default 10. */
  maxAttempts: integer({ default: 10 }),
  /** Requests in flight to services until the reply is on disk. Default 1,024. */
  concurrency: integer({ default: 1_024, max: 1_073_741_823 }), // The client has twice as many.
  /** Requests in flight per service. Default 512. */
  perService: integer({ default: 512 }),
  /** First interval between checks of a missing service; doubled up to `maxCheckInterval`. Default 1,000. */
  checkInterval: integer({ default: 1_000, min: 0 }),
  /** Default 10,000. */
  maxCheckInterval: integer({ default: 10_000, min: 0 }),
  /** First delay before a retry; doubled up to `maxRetryDelay`, up to half of it random. Default 1,000. */
  retryDelay: integer({ default: 1_000, min: 0 }),
  /** Default 60,000. */
  maxRetryDelay: integer({ default: 60_000, min: 0 }),
  /** Requests of a service that wait for a retry before no more are started. Default 1,000. */
  maxRetrying: integer({ default: 1_000, min: 0 }),
  /** Tracked services; others' requests wait in the store. Default 10,000. */
  maxServices: integer({ default: 10_000, min: 0 }),
  /** Between scans of the store for requests of other processes. Default 5,000. */
  scanInterval: integer({ default: 5_000, min: 0 }),
};

export const OPTIONS = {
  ...LIMITS,
  /** How long a request is kept and retried. Default one day. */
  requestTtl: integer({ default: DAY }),
  /** How long a reply is kept. Default one day. */
  replyTtl: integer({ default: DAY }),
  /** How long a dead letter is kept. Default 7 days. */
  deadLetterTtl: integer({ default: 7 * DAY }),
  /** Client requests in flight per Titanic service, at most 65,535; bounds one commit. Default 4,096. */
  workerConcurrency: integer({ default: 4_096, max: 65_535 }),
  /** Timeout of a service check. Default 2,500. */
  checkTimeout: integer({ default: 2_500 }),
  /** Between removals of expired records. Default 1,000. */
  expireInterval: integer({ default: 1_000, min: 0 }),
  /** Options of the broker sockets: security, context. */
  socketOptions: object<DealerOptions>(),
};

/** Options of {@link Titanic}. Times in ms. */
export type TitanicOptions = Given<typeof OPTIONS>;

export type TitanicSettings = Settings<typeof OPTIONS>;

export type DispatchLimits = Settings<typeof LIMITS>;
