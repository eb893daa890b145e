import type { EventStream } from "../core/event-stream.js";
import type { Directory } from "./directory.js";
import type { SessionServerEvent, SessionServerSettings } from "./server-options.js";
import type { Transactions } from "./transactions.js";

/** The objects and calls that the parts of a server share. */
export interface ServerContext {
  /** The id of this server. */
  readonly server: string;
  readonly settings: SessionServerSettings;
  readonly transactions: Transactions;
  readonly directory: Directory;
  readonly events: Pick<EventStream<SessionServerEvent>, "emit">;
  /** A session may have a new message, or another owner. @param server that its client is connected to */
  wake(server: string, session: string): void;
  /** A client of this server has changed the filters of its session. */
  filtersChanged(): void;
  storeFailed(error: unknown): void;
}
