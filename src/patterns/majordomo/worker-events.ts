/** What a worker tells: its events and its accounts. */
export type WorkerEvent =
  /** A broker may give requests from now on. */
  | { readonly type: "broker:join"; readonly endpoint: string; readonly dialect: "0.1" | "0.2" | "shoal" }
  /** A broker said DISCONNECT, is silent, or its connection ended (`lost`); the worker comes back to it after `retryIn` ms. */
  | {
      readonly type: "broker:leave";
      readonly endpoint: string;
      readonly reason: "disconnect" | "expired" | "lost" | "stopping";
      readonly retryIn: number;
    }
  /** The handler threw, rejected or gave what is no reply. */
  | { readonly type: "request:failed"; readonly error: unknown }
  /** A request whose answer nobody waits for any more: its signal is aborted. */
  | { readonly type: "request:cancelled" }
  /** A request that was handled before: its answer is sent again. */
  | { readonly type: "request:duplicate" }
  /** The request does not pass the codec or its schema. */
  | { readonly type: "request:invalid"; readonly error: unknown }
  /** A message that the protocol does not allow. */
  | { readonly type: "peer:fault"; readonly endpoint: string }
  /** The thread of the sockets (option `thread`) failed; the worker offers nothing any more. */
  | { readonly type: "thread:failed"; readonly error: unknown }
  /** Events of that thread that were dropped while this one was held up. */
  | { readonly type: "events:lost"; readonly count: number };

/** A worker's accounts. `requests = answered + failed + cancelled + stale + running + queued`. */
export interface WorkerStats {
  readonly requests: number;
  readonly answered: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Answers for a broker that was lost meanwhile. */
  readonly stale: number;
  /** Requests that were answered from memory, or together with the one they repeat. */
  readonly duplicates: number;
  readonly faults: number;
  /** Handlers that run now, or whose replies wait for room. */
  readonly running: number;
  /** Requests that wait for a handler to end. */
  readonly queued: number;
  /** Bytes of replies that wait for room at the connections. */
  readonly unsentBytes: number;
  /** Brokers that may give requests now; several connections to a plain one count as one. */
  readonly brokers: number;
}
