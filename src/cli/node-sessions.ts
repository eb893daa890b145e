/** Sessions that `shoal node start` serves: the store that a flag names, and the server. What they need is loaded with the flag alone. */
import type { ClusterNode } from "../cluster/index.js";
import type { SessionInfo, SessionServer, SessionStore } from "../cluster/sessions/index.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";

/** Flags of `node start`. */
export interface SessionsFlags {
  readonly sessions?: string;
  readonly sessionsStore?: string;
}

/** What the flags ask for. */
export interface SessionsSettings {
  readonly endpoint: string;
  readonly store: string;
}

/** Sessions of one reply. */
const LISTED = 1_000;
const IN_MEMORY = "memory";
const DATABASE = /^postgres(?:ql)?:\/\//;
const OWN_HOST = /^(?:ipc:|tcp:\/\/(?:127\.|localhost[:/]|\[::1\]))/;

/** @returns `undefined` without such flags @throws UsageError */
export function sessionsOfFlags({ sessions, sessionsStore }: SessionsFlags): SessionsSettings | undefined {
  if (sessions === undefined && sessionsStore === undefined) return undefined;
  if (sessions === undefined || sessionsStore === undefined)
    throw new UsageError("--sessions EP and --sessions-store STORE go together");
  return { endpoint: sessions, store: sessionsStore };
}

/** The sessions that a node serves. */
export class NodeSessions {
  readonly #server: SessionServer;
  readonly #store: SessionStore;
  readonly endpoint: string;

  private constructor(server: SessionServer, store: SessionStore, endpoint: string) {
    this.#server = server;
    this.#store = store;
    this.endpoint = endpoint;
  }

  /** @throws UsageError, or what the store throws */
  static async start(
    node: ClusterNode,
    { endpoint, store: where }: SessionsSettings,
    log: Log,
  ): Promise<NodeSessions> {
    const { LmdbSessionStore, MemorySessionStore, PostgresSessionStore, SessionServer } = await import(
      "../cluster/sessions/index.js"
    );
    const store = await asUsage(async () => {
      if (where === IN_MEMORY) return new MemorySessionStore();
      if (DATABASE.test(where)) return PostgresSessionStore.open({ connectionString: where });
      return LmdbSessionStore.open(where);
    });
    const server = new SessionServer({ node, store });
    server.events.on("store:failed", ({ error }) =>
      log.warnOnce(`the store of the sessions failed: ${(error as Error).message}`),
    );
    try {
      const bound = await asUsage(() => server.bind(endpoint));
      log.info(`sessions are at ${bound}`, { endpoint: bound, store: store.name });
      if (!OWN_HOST.test(bound)) log.warn(`all who reach ${bound} may have any session`, { endpoint: bound });
      return new NodeSessions(server, store, bound);
    } catch (error) {
      await server.close({ linger: 0 });
      await store.close();
      throw error;
    }
  }

  async list(
    after: string | undefined,
  ): Promise<{ readonly sessions: readonly SessionInfo[]; readonly more?: string }> {
    const sessions = await this.#server.sessions({
      limit: LISTED,
      ...(after === undefined ? {} : { after }),
    });
    const last = sessions.at(-1);
    return { sessions, ...(sessions.length < LISTED || last === undefined ? {} : { more: last.id }) };
  }

  /** @throws SessionError `gone` */
  async remove(id: string): Promise<{ readonly removed: string }> {
    await this.#server.remove(id);
    return { removed: id };
  }

  async close(): Promise<void> {
    await this.#server.close();
    await this.#store.close();
  }
}
