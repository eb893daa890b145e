/**
 * Types of the dashboard's `/api`, shared with the page.
 *
 *   state ── process (an address, or the program itself) ── source (proxy, broker, socket, node …) ── side
 *        └── link (a side's connection to an endpoint, with the side that listens there if it is watched)
 */

/** Counters since the program started, or per second; unknown ones are absent. */
export interface DashboardCounts {
  readonly in?: number;
  readonly out?: number;
  readonly inBytes?: number;
  readonly outBytes?: number;
  readonly dropped?: number;
  readonly refused?: number;
}

/** A socket has one. */
export interface DashboardSide extends DashboardCounts {
  readonly side: string;
  /** Socket type. */
  readonly type?: string;
  readonly peers?: number;
  readonly queued?: number;
  /** Rates per second; absent at first, and after a gap. */
  readonly rates: DashboardCounts;
  /** Drops by reason, without zeros. */
  readonly drops?: Readonly<Record<string, number>>;
  /** At most 16. */
  readonly bound?: readonly string[];
  /** Connected or connecting, at most 16. */
  readonly connected?: readonly string[];
}

export type DashboardAction = "pause" | "resume" | "drain";

export interface DashboardSource {
  /** Stable while the dashboard runs. */
  readonly id: string;
  readonly name: string;
  /** `kind` of metrics, or a socket's type. */
  readonly kind: string;
  readonly state: string;
  readonly sides: readonly DashboardSide[];
  /** Lengths of lists for `/api/list`. */
  readonly lists: Readonly<Record<string, number>>;
  /** Actions of clients with the token. */
  readonly actions: readonly DashboardAction[];
  /** Why the last accepted action failed. */
  readonly refusal?: string;
}

/** A watched address, or the program itself. */
export interface DashboardProcess {
  readonly id: string;
  readonly address: string;
  /** `undefined`: no answer yet. */
  readonly up: boolean | undefined;
  /** ms of the last response. */
  readonly latency?: number;
  /** Start of an outage, ms since 1970. */
  readonly since?: number;
  /** Reason of the outage. */
  readonly reason?: string;
  /** Share of one processor. */
  readonly cpu?: number;
  /** Bytes. */
  readonly memory?: number;
  /** s: 99th percentile of the event loop's delay. */
  readonly loopDelay?: number;
  readonly sources: readonly DashboardSource[];
}

/** Matched by endpoint. */
export interface DashboardLink {
  /** The connecting source's `id`. */
  readonly from: string;
  readonly fromSide: string;
  readonly endpoint: string;
  /** The listening source's `id`, if watched. */
  readonly to?: string;
  readonly toSide?: string;
}

/** Body of `/api/state`, and of each event `state` of `/api/events`. */
export interface DashboardState {
  readonly version: 1;
  /** ms since 1970. */
  readonly time: number;
  /** ms between two states. */
  readonly interval: number;
  /** Whether a token is set, so that clients can act. */
  readonly control: boolean;
  readonly processes: readonly DashboardProcess[];
  /** At most 4,096. */
  readonly links: readonly DashboardLink[];
  /** Sources beyond the state's 2,000. */
  readonly omitted: number;
}

/** A socket's peer, a cluster's member, a broker's service, a map's key. */
export interface DashboardItem {
  readonly name: string;
  readonly state: string;
  readonly address?: string;
  readonly detail?: string;
}

/** Body of `/api/list`. */
export interface DashboardList {
  /** Rows that match the filter. */
  readonly total: number;
  readonly offset: number;
  /** At most 200. */
  readonly items: readonly DashboardItem[];
}

export interface DashboardTraceStep {
  /** The recording process's `id` and address. */
  readonly process: string;
  readonly address: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  /** The causing step's `span`, if known; it may not be recorded. */
  readonly parent?: string;
  readonly kind: "send" | "request" | "receive" | "process" | "acknowledge";
  /** Operation and destination, such as "publish orders/1". */
  readonly name: string;
  /** ms since 1970, by its machine's clock. */
  readonly at: number;
  /** ms; absent: instantaneous, or without a recorded end. */
  readonly duration?: number;
  /** 0: unknown. */
  readonly bytes: number;
  /** Code, if it failed. */
  readonly error?: string;
}

/** The flow of a sampled message. */
export interface DashboardTrace {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Name of the first step. */
  readonly name: string;
  /** ms since 1970. */
  readonly start: number;
  /** ms from the first step's start to the last one's end. */
  readonly duration: number;
  /** Processes with steps. */
  readonly processes: number;
  readonly failed: boolean;
  /** Steps in causal order; at most 64. */
  readonly steps: readonly DashboardTraceStep[];
  readonly omitted: number;
}

/** Body of `/api/traces`, and of each event `traces` of `/api/events`. */
export interface DashboardTraces {
  readonly version: 1;
  /** Newest first; at most 50. */
  readonly traces: readonly DashboardTrace[];
  readonly omitted: number;
  /** Steps beyond each process's 1,000 per second. */
  readonly missed: number;
}
