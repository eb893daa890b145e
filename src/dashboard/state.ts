/**
 * Types of the dashboard's `/api`, shared with the page.
 *
 *   state ── process (an address, or the program itself) ── source (proxy, broker, socket, node …) ── side
 *        └── link (a side's connection to an endpoint, with the side that listens there if it is watched)
 */

/** Counters of a side since its program started, or their rates per second; unknown ones are absent. */
export interface DashboardCounts {
  readonly in?: number;
  readonly out?: number;
  readonly inBytes?: number;
  readonly outBytes?: number;
  readonly dropped?: number;
  readonly refused?: number;
}

/** One side of a source; a socket has one. */
export interface DashboardSide extends DashboardCounts {
  readonly side: string;
  /** Socket type. */
  readonly type?: string;
  readonly peers?: number;
  readonly queued?: number;
  /** Per second; absent at first, and after a gap. */
  readonly rates: DashboardCounts;
  /** Dropped messages by reason, without zeros. */
  readonly drops?: Readonly<Record<string, number>>;
  /** Bound endpoints, at most 16. */
  readonly bound?: readonly string[];
  /** Endpoints that are connected or connecting, at most 16. */
  readonly connected?: readonly string[];
}

export type DashboardAction = "pause" | "resume" | "drain";

/** A named source of a process. */
export interface DashboardSource {
  /** Stable while the dashboard runs. */
  readonly id: string;
  readonly name: string;
  /** `kind` of metrics, or a socket's type. */
  readonly kind: string;
  readonly state: string;
  readonly sides: readonly DashboardSide[];
  /** Lists for `/api/list` with their lengths. */
  readonly lists: Readonly<Record<string, number>>;
  /** Actions that a client with the token can take. */
  readonly actions: readonly DashboardAction[];
  /** Why the last accepted action failed. */
  readonly refusal?: string;
}

/** A watched address, or the program itself. */
export interface DashboardProcess {
  readonly id: string;
  readonly address: string;
  /** `undefined`: it has not answered yet. */
  readonly up: boolean | undefined;
  /** ms of the last response. */
  readonly latency?: number;
  /** Start of the outage, ms since 1970. */
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

/** A connection between two sides, matched by endpoint. */
export interface DashboardLink {
  /** `id` of the connecting source. */
  readonly from: string;
  readonly fromSide: string;
  readonly endpoint: string;
  /** `id` of the listening source, if it is watched. */
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
  /** Whether a token is set; without one nothing can be paused or drained. */
  readonly control: boolean;
  readonly processes: readonly DashboardProcess[];
  /** At most 4,096. */
  readonly links: readonly DashboardLink[];
  /** Sources beyond the 2,000 of a state. */
  readonly omitted: number;
}

/** A row of a list: a socket's peer, a cluster's member, a broker's service, a map's key. */
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

/** A step of a message flow. */
export interface DashboardTraceStep {
  /** `id` and address of the recording process. */
  readonly process: string;
  readonly address: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  /** `span` of the causing step, if known; that step may not be recorded. */
  readonly parent?: string;
  readonly kind: "send" | "request" | "receive" | "process" | "acknowledge";
  /** Operation and destination: "publish orders/1". */
  readonly name: string;
  /** ms since 1970, by the clock of its machine. */
  readonly at: number;
  /** ms; absent: instantaneous, or without a recorded end. */
  readonly duration?: number;
  /** Bytes of the message; 0: unknown. */
  readonly bytes: number;
  /** Error code of a failed step. */
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
  /** ms from the start of the first step to the end of the last. */
  readonly duration: number;
  /** Number of processes with steps. */
  readonly processes: number;
  readonly failed: boolean;
  /** In causal order; at most 64. */
  readonly steps: readonly DashboardTraceStep[];
  /** Number of omitted steps. */
  readonly omitted: number;
}

/** Body of `/api/traces`, and of each event `traces` of `/api/events`. */
export interface DashboardTraces {
  readonly version: 1;
  /** Newest first; at most 50. */
  readonly traces: readonly DashboardTrace[];
  /** Number of omitted traces. */
  readonly omitted: number;
  /** Steps lost to each process's limit of 1,000 recorded steps per second. */
  readonly missed: number;
}
