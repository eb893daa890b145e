/**
 * What the dashboard's `/api` answers. Types only: the page has them, too.
 *
 *   state ── process (an address, or the program itself) ── source (proxy, broker, socket, node …) ── side
 *        └── link (a side is connected to an endpoint, which another side listens at, or nobody who is watched)
 */

/** Counters of a side, all since its program started, or their rates per second; those that are not known are absent. */
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
  /** Of its socket. */
  readonly type?: string;
  readonly peers?: number;
  readonly queued?: number;
  /** Per second; absent at first, and after a gap. */
  readonly rates: DashboardCounts;
  /** Messages that it dropped, by reason: those of which there are some. */
  readonly drops?: Readonly<Record<string, number>>;
  /** Endpoints that it listens at, 16 at most. */
  readonly bound?: readonly string[];
  /** Endpoints that it is connected to, or tries to, 16 at most. */
  readonly connected?: readonly string[];
}

export type DashboardAction = "pause" | "resume" | "drain";

/** What runs in a process under a name. */
export interface DashboardSource {
  /** Stays the same while the dashboard runs. */
  readonly id: string;
  readonly name: string;
  /** As `kind` of metrics, or a socket's type. */
  readonly kind: string;
  readonly state: string;
  readonly sides: readonly DashboardSide[];
  /** Lists that `/api/list` has of it, and how long they are. */
  readonly lists: Readonly<Record<string, number>>;
  /** What who has the token can do to it. */
  readonly actions: readonly DashboardAction[];
  /** Why what it was asked to do last failed, after that was accepted. */
  readonly refusal?: string;
}

/** One address that is watched, or the program itself. */
export interface DashboardProcess {
  readonly id: string;
  readonly address: string;
  /** `undefined`: it has not answered yet. */
  readonly up: boolean | undefined;
  /** ms of its last answer. */
  readonly latency?: number;
  /** ms since 1970, from which on it does not answer. */
  readonly since?: number;
  /** Why it does not answer. */
  readonly reason?: string;
  /** Share of one processor. */
  readonly cpu?: number;
  /** Bytes. */
  readonly memory?: number;
  /** s: the 99th percentile of the event loop's delay. */
  readonly loopDelay?: number;
  readonly sources: readonly DashboardSource[];
}

/** A connection between two sides, by their endpoints. */
export interface DashboardLink {
  /** `id` of the source that connects. */
  readonly from: string;
  readonly fromSide: string;
  /** Where to. */
  readonly endpoint: string;
  /** The source that listens there, if it is watched. */
  readonly to?: string;
  readonly toSide?: string;
}

/** `/api/state`, and each event `state` of `/api/events`. */
export interface DashboardState {
  readonly version: 1;
  /** ms since 1970. */
  readonly time: number;
  /** ms between two states. */
  readonly interval: number;
  /** Whether there is a token: without one nothing can be paused or drained. */
  readonly control: boolean;
  readonly processes: readonly DashboardProcess[];
  /** 4,096 at most. */
  readonly links: readonly DashboardLink[];
  /** Sources that were left out: a state has 2,000 at most. */
  readonly omitted: number;
}

/** One line of a list: a peer of a socket, a member of a cluster, a service of a broker, a key of a map. */
export interface DashboardItem {
  readonly name: string;
  readonly state: string;
  readonly address?: string;
  readonly detail?: string;
}

/** `/api/list`. */
export interface DashboardList {
  /** Lines that match the filter. */
  readonly total: number;
  readonly offset: number;
  /** 200 at most. */
  readonly items: readonly DashboardItem[];
}

/** A step of a message's way. */
export interface DashboardTraceStep {
  /** `id` and address of the process that recorded it. */
  readonly process: string;
  readonly address: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  /** `span` of the step that caused it, if it is known; it may be one that was not recorded. */
  readonly parent?: string;
  readonly kind: "send" | "request" | "receive" | "process" | "acknowledge";
  /** What was done, and with what: "publish orders/1". */
  readonly name: string;
  /** ms since 1970, by the clock of its machine. */
  readonly at: number;
  /** ms; absent: of one moment, or its end was not waited for. */
  readonly duration?: number;
  /** Of the message; 0: not known. */
  readonly bytes: number;
  /** Why it failed: the code of its error. */
  readonly error?: string;
}

/** A sampled message's way. */
export interface DashboardTrace {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Of the first step. */
  readonly name: string;
  /** ms since 1970. */
  readonly start: number;
  /** ms from the first step's begin to the last one's end. */
  readonly duration: number;
  /** Processes with steps. */
  readonly processes: number;
  readonly failed: boolean;
  /** Each after the one that caused it; 64 at most. */
  readonly steps: readonly DashboardTraceStep[];
  /** Steps that were left out. */
  readonly omitted: number;
}

/** `/api/traces`, and each event `traces` of `/api/events`. */
export interface DashboardTraces {
  readonly version: 1;
  /** The newest first; 50 at most. */
  readonly traces: readonly DashboardTrace[];
  /** Traces that were left out. */
  readonly omitted: number;
  /** Steps that the processes have not recorded, since each of them records 1,000 a second at most. */
  readonly missed: number;
}
