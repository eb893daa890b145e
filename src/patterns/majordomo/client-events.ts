/** What a client tells: its events and its accounts. */

/** Why a client leaves a broker. */
export type BrokerLeaveReason =
  /** It was asked who it is, and did not say. */
  | "no-answer"
  /** It said nothing for `liveness` intervals, while answers were awaited. */
  | "silent"
  /** It has begun a new life behind the same endpoint. */
  | "restarted"
  /** Its connection ended. */
  | "disconnected"
  /** No connection to it could be made, and there are other brokers. */
  | "refused";

/** What happens to a client. */
export type ClientEvent =
  /** A broker answers. `extended`: requests carry ids; otherwise it is a plain MDP broker. */
  | { readonly type: "broker:join"; readonly endpoint: string; readonly extended: boolean }
  /** A broker is lost: what it was asked is asked again. */
  | { readonly type: "broker:leave"; readonly endpoint: string; readonly reason: BrokerLeaveReason }
  /** A message that the protocol does not allow. */
  | { readonly type: "peer:fault"; readonly endpoint: string };

/** A client's accounts. `requests = answered + failed + timedOut + cancelled + pending + inFlight`. */
export interface ClientStats {
  readonly requests: number;
  readonly answered: number;
  /** Ended with a ServiceError. */
  readonly failed: number;
  readonly timedOut: number;
  readonly cancelled: number;
  /** Answers to what nobody waits for. */
  readonly late: number;
  readonly faults: number;
  /** Requests that wait to be sent. */
  readonly pending: number;
  /** Requests that wait for their answer. */
  readonly inFlight: number;
  /** The broker in use; `undefined` while none answers. */
  readonly broker: string | undefined;
}
