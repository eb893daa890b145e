/**
 * Delivers the cluster's messages to sessions. One server of a store subscribes its node to all sessions' filters and
 * keeps matching messages (bridge-rules.ts); the others check whether it runs.
 *
 *   idle ──look: no running server has the bridge──> subscribed: one subscription of the node for each filter
 *     ^                                                  │
 *     └──────────stop, or another server has it──────────┘
 */
import { randomBytes } from "node:crypto";
import { matches } from "../cluster/messaging/topics.js";
import { ignore } from "../core/ignore.js";
import { MAX_BRIDGED } from "./bounds.js";
import * as rules from "./bridge-rules.js";
import type { ServerContext } from "./server-context.js";
import type { SessionNode, SessionNodeClient, SessionNodeMessage } from "./server-options.js";

export class Bridge {
  readonly #context: ServerContext;
  readonly #node: SessionNode;
  readonly #prefix: string;
  readonly #signals: { close(): unknown }[] = [];
  readonly #subscriptions = new Map<string, { readonly ready: Promise<void>; close(): unknown }>();
  /** Set while this server has the bridge. It gets each message once, even if filters overlap. */
  #client: SessionNodeClient | undefined;
  #handle: rules.BridgeHandle | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** A look that has not begun. */
  #nextLook: Promise<void> | undefined;
  #isStopped = false;
  #next = 1;
  #waiting = 0;
  #isSignalling = false;
  /** Stored copies, and messages lost by the store's failures. */
  kept = 0;
  lost = 0;

  constructor(context: ServerContext, node: SessionNode, prefix: string) {
    this.#context = context;
    this.#node = node;
    this.#prefix = prefix;
    this.#signals.push(
      node.subscribe(`${prefix}/filters`, () => {
        if (this.#client !== undefined) this.#refresh();
      }),
      node.subscribe(`${prefix}/bridge`, () => void this.look().catch(context.storeFailed)),
    );
  }

  /** Takes the bridge if no running server has it, after an earlier attempt. @throws StoreError */
  look(): Promise<void> {
    this.#nextLook ??= this.#looking.catch(ignore).then(() => {
      this.#nextLook = undefined;
      return this.#look();
    });
    this.#looking = this.#nextLook;
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    const { server, directory, transactions } = this.#context;
    this.#handle ??= { server, term: randomBytes(8).toString("hex") };
    const handle = this.#handle;
    const isTaken = await transactions.run((view) => rules.takeBridge(view, handle));
    if (this.#isStopped) return;
    if (!isTaken) this.#end();
    else if (this.#client === undefined) await this.#begin();
    else await directory.refresh();
  }

  filtersChanged(): void {
    if (this.#client !== undefined) this.#refresh();
    else if (!this.#isSignalling) {
      this.#isSignalling = true;
      setImmediate(() => {
        this.#isSignalling = false;
        this.#signal("filters");
      });
    }
  }

  /** Gives the bridge back, and signals that. @throws StoreError */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking.catch(ignore); // Its caller has the error.
    for (const signal of this.#signals.splice(0)) signal.close();
    const handle = this.#handle;
    this.#end();
    if (handle === undefined) return;
    await this.#context.transactions.run((view) => rules.releaseBridge(view, handle));
    this.#signal("bridge");
  }

  async #begin(): Promise<void> {
    this.#next = 1;
    const { directory, events } = this.#context;
    const client = this.#node.createClient();
    this.#client = client;
    directory.onFilter = (filter, isThere) => {
      if (isThere) this.#subscribe(filter);
      else this.#unsubscribe(filter);
    };
    for (const filter of directory.filters()) this.#subscribe(filter);
    try {
      await directory.refresh();
    } finally {
      const all = Array.from(this.#subscriptions.values(), ({ ready }) => ready);
      void Promise.allSettled(all).then(() => {
        if (this.#client === client) events.emit({ type: "topics:taken" });
      });
    }
  }

  #end(): void {
    const client = this.#client;
    this.#handle = undefined;
    if (client === undefined) return;
    this.#client = undefined;
    this.#context.directory.onFilter = () => undefined;
    this.#subscriptions.clear();
    void client.close();
    this.#context.events.emit({ type: "topics:left" });
  }

  #refresh(): void {
    this.#context.directory.refresh().catch(this.#context.storeFailed);
  }

  #subscribe(filter: string): void {
    // The servers' own messages, and those to the node's clients.
    if (filter.startsWith("$sessions/") || filter === "self") return;
    try {
      const subscription = this.#client?.subscribe(filter, (message) => this.#onMessage(message));
      if (subscription !== undefined) this.#subscriptions.set(filter, subscription);
    } catch (error) {
      this.#context.events.emit({ type: "topics:refused", filter, error });
    }
  }

  #unsubscribe(filter: string): void {
    this.#subscriptions.get(filter)?.close();
    this.#subscriptions.delete(filter);
  }

  /** @returns with many waiting, a promise of this one's keeping, for which its link waits */
  #onMessage({ topic, data: given, context: trace }: SessionNodeMessage): void | Promise<void> {
    const { directory, settings, storeFailed, transactions, wake } = this.#context;
    const handle = this.#handle;
    if (handle === undefined || !settings.clusterTopics.some((filter) => matches(filter, topic))) return;
    // A view would retain a whole chunk of the connection.
    const data = Buffer.from(given);
    const context = trace === undefined ? undefined : Buffer.from(trace);
    const number = this.#next++;
    this.#waiting += 1;
    const done = transactions
      .run(
        (view) => rules.deliver(view, handle, directory, number, { topic, data, context }, Date.now()),
        data.length + (context?.length ?? 0),
      )
      .then(
        (outcome) => {
          if (outcome !== undefined) {
            this.kept += outcome.sessions;
            for (const { session, server } of outcome.owned) wake(server, session);
          } else if (this.#handle === handle) this.#end();
        },
        (error: unknown) => {
          this.lost += 1;
          storeFailed(error);
        },
      )
      .finally(() => {
        this.#waiting -= 1;
      });
    return this.#waiting < MAX_BRIDGED && transactions.hasRoom ? undefined : done;
  }

  #signal(what: "filters" | "bridge"): void {
    // Other servers' polls make up for it.
    this.#node.publish(`${this.#prefix}/${what}`, "", { self: false }).catch(() => undefined);
  }
}
