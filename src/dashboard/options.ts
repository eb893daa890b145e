/** What a program gives the dashboard, and gets. */
import type { MetricsDriver, MetricsSource } from "../metrics/index.js";
import type { Socket } from "../sockets/socket.js";

/** The name of the program itself among the addresses. */
export const THIS_PROGRAM = "this program";

/** Sockets, drivers, proxies, nodes and sources of a program's own, by name. */
export type DashboardSourcesByName = Readonly<Record<string, Socket | MetricsDriver | MetricsSource>>;

/** What is shown; a function is called for each reading, so that sources may come and go. */
export type DashboardSources = DashboardSourcesByName | (() => DashboardSourcesByName);

/** Options of `serveDashboard`. */
export interface DashboardOptions {
  /** ms between two readings, 200 to 60,000. Default 2,000. */
  readonly interval?: number;
  /**
   * 16 to 1,024 printable ASCII characters without spaces: who has it may pause, resume and drain what is shown. Default:
   * nobody may.
   */
  readonly token?: string;
  /**
   * Messages of this program that are sampled each second whether somebody looks or not, 0 to 100, so that their ways are there when
   * somebody does. Default 0: 4, while somebody looks.
   */
  readonly traces?: number;
  /** Names under which the page may be asked for, besides localhost and addresses. Default: none. */
  readonly hosts?: readonly string[];
}

/** What serves a dashboard. */
export interface DashboardServer {
  /** Where, as `http://127.0.0.1:9465`. */
  readonly url: string;
  /** Ends it, and the streams of those who look. What it shows goes on. Closing twice is closing once. */
  close(): Promise<void>;
}
