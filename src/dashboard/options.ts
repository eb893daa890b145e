/** Options of the dashboard and its server handle. */
import type { MetricsDriver, MetricsSource } from "../metrics/index.js";
import type { Socket } from "../sockets/socket.js";

/** The program's own name among the addresses. */
export const THIS_PROGRAM = "this program";

/** Sockets, drivers, proxies, nodes and custom sources by name. */
export type DashboardSourcesByName = Readonly<Record<string, Socket | MetricsDriver | MetricsSource>>;

/** Sources to show. A function is called for each reading, so sources may come and go. */
export type DashboardSources = DashboardSourcesByName | (() => DashboardSourcesByName);

export interface DashboardOptions {
  /** Poll interval in ms, 200 to 60,000. Default 2,000. */
  readonly interval?: number;
  /**
   * 16 to 1,024 printable ASCII characters without spaces. Clients with the token may pause, resume and drain sources.
   * Default: no one may.
   */
  readonly token?: string;
  /**
   * Messages of this program sampled per second even without a client, 0 to 100, so that traces exist when one comes.
   * Default 0: 4 per second while a client is connected.
   */
  readonly traces?: number;
  /** Allowed host names in addition to localhost and addresses. Default: none. */
  readonly hosts?: readonly string[];
}

/** A dashboard server. */
export interface DashboardServer {
  /** Address, such as `http://127.0.0.1:9465`. */
  readonly url: string;
  /** Ends the server and its streams; the shown sources keep running. A second call joins the first. */
  close(): Promise<void>;
}
