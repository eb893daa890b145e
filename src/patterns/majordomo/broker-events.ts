/** What a broker tells: its events and its accounts. */
import type { FailureReason } from "../kit/errors.js";
import type { FaultReason } from "./protocol-broker.js";

/** Why a worker is no longer registered. */
export type WorkerLeaveReason =
  /** It said DISCONNECT. */
  | "disconnect"
  /** Nothing was heard of it for `liveness` intervals. */
  | "expired"
  /** Its connection is gone. */
  | "lost"
  /** It broke the protocol. */
  | "fault"
  /** The broker stops. */
  | "stopping";

export type BrokerEvent =
  /** A service has its first worker. */
  | { readonly type: "service:up"; readonly service: string }
  /** A service has lost its last worker. */
  | { readonly type: "service:down"; readonly service: string; readonly queued: number }
  | {
      readonly type: "worker:join";
      readonly service: string;
      readonly worker: string;
      readonly dialect: "0.1" | "0.2" | "shoal";
      /** Requests that it handles at once. */
      readonly concurrency: number;
      /** Those, and the ones that it keeps waiting. */
      readonly capacity: number;
    }
  | {
      readonly type: "worker:leave";
      readonly service: string;
      readonly worker: string;
      readonly reason: WorkerLeaveReason;
      /** Requests that it had in hand. */
      readonly inFlight: number;
    }
  /** A worker was lost with a request; another gets it. */
  | { readonly type: "request:redelivered"; readonly service: string; readonly deliveries: number }
  /** A request ended without an answer. */
  | { readonly type: "request:failed"; readonly service: string; readonly reason: FailureReason }
  /** The client of a request is gone, or gave it up. */
  | {
      readonly type: "request:abandoned";
      readonly service: string;
      readonly reason: "client-gone" | "cancelled";
    }
  /** A repetition that was not handled again. */
  | { readonly type: "request:duplicate"; readonly service: string }
  /** An answer that its client could not take. */
  | {
      readonly type: "reply:dropped";
      readonly service: string;
      readonly reason: "client-gone" | "client-full";
    }
  /** A message that no version of the protocol allows. */
  | { readonly type: "peer:fault"; readonly reason: FaultReason | "unexpected"; readonly peer: Buffer };

/** A broker's accounts. `requests = answered + failed + abandoned + queued + inFlight`. */
export interface BrokerStats {
  /** Requests taken in, repetitions not counted. */
  readonly requests: number;
  /** Requests whose answer came from a worker. */
  readonly answered: number;
  /** Requests that ended with an error, refused ones included. */
  readonly failed: number;
  /** Requests whose client was gone or gave up before the answer. */
  readonly abandoned: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly inFlight: number;
  /** Deliveries made again because a worker was lost. */
  readonly redelivered: number;
  /** Repetitions that were not handled again. */
  readonly duplicates: number;
  /** Answers of workers to nothing that was asked, or to what was given to another since. */
  readonly late: number;
  /** Answers that their client could not take. */
  readonly repliesDropped: number;
  /** Bytes of answers that wait for their clients' connections; 0 where the engine cannot know. */
  readonly replyBytes: number;
  /** Messages that broke the protocol. */
  readonly faults: number;
  readonly services: number;
  readonly workers: number;
  readonly clients: number;
}
