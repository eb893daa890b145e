/** What the parts of a session server share. */
import type { EventStream } from "../core/event-stream.js";
import type { Directory } from "./directory.js";
import type { SessionServerEvent, SessionServerSettings } from "./server-options.js";
import type { Transactions } from "./transactions.js";

export interface ServerContext {
  readonly server: string;
  readonly settings: SessionServerSettings;
  readonly transactions: Transactions;
  readonly directory: Directory;
  readonly events: Pick<EventStream<SessionServerEvent>, "emit">;
  /** A session may have a new message, or another owner. @param server of its client */
  wake(server: string, session: string): void;
  storeFailed(error: unknown): void;
}
