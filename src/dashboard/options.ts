import type { MetricsDriver, MetricsSource } from "../metrics/index.js";
import type { Socket } from "../sockets/socket.js";

/** This program's name among the addresses. */
export const THIS_PROGRAM = "this program";

/** Named sockets, drivers, proxies, nodes and custom sources. */
export type DashboardSourcesByName = Readonly<Record<string, Socket | MetricsDriver | MetricsSource>>;

/** A function is called for each reading, so sources may come and go. */
export type DashboardSources = DashboardSourcesByName | (() => DashboardSourcesByName);

export interface DashboardOptions {
  /** Poll interval, ms, 200 to 60,000. Default 2,000. */
  readonly interval?: number;
  /**
   * 16 to 1,024 printable ASCII characters without spaces. Clients with it may pause, resume and drain sources.
   * Default: no one may.
   */
  readonly token?: string;
  /** Allowed host names besides localhost and addresses. Default: none. */
  readonly hosts?: readonly string[];
}

export interface DashboardServer {
  /** Address, such as `http://127.0.0.1:9465`. */
  readonly url: string;
  /** Ends the server and its streams, not the shown sources. A second call joins the first. */
  close(): Promise<void>;
}
