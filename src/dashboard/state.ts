/**
 * Types of the dashboard's `/api`, shared with the page.
 *
 *   state ── process (an address, or the program itself) ── source (proxy, broker, socket, node …) ── side
 *        └── link (a side's connection to an endpoint, with the side that listens there if it is watched)
 */
import type { ProcessReading, RatedSide, SourceReading } from "../metrics/reading.js";

export type { Counts as DashboardCounts } from "../metrics/reading.js";

export interface DashboardSide extends RatedSide {
  /** Socket type. */
  readonly type?: string;
  /** Drops by reason, without zeros. */
  readonly drops?: Readonly<Record<string, number>>;
  /** At most 16. */
  readonly bound?: readonly string[];
  /** Connected or connecting, at most 16. */
  readonly connected?: readonly string[];
}

export type DashboardAction = "pause" | "resume" | "drain";

/** `kind`: of metrics, or a socket's type. */
export interface DashboardSource extends Omit<SourceReading, "sides"> {
  /** Stable while the dashboard runs. */
  readonly id: string;
  readonly sides: readonly DashboardSide[];
  /** The other members of a node's cluster, at most 32: NAME, or "NAME, STATE" unless it is alive. */
  readonly members?: readonly string[];
  /** Lengths of lists for `/api/list`. */
  readonly lists: Readonly<Record<string, number>>;
  /** Actions of clients with the token. */
  readonly actions: readonly DashboardAction[];
  /** Why the last accepted action failed. */
  readonly refusal?: string;
}

/** A watched address, or the program itself. */
export interface DashboardProcess extends ProcessReading {
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
