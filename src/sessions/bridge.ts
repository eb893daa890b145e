/**
 * What nodes publish over the cluster, for sessions: one server of a store at a time subscribes its node to the filters
 * that sessions have, and keeps each message in the sessions that it is for (bridge-rules.ts). The other servers check
 * whether that one is still running.
 *
 *   idle ──look: no running server has the bridge──> subscribed: one subscription of the node for each filter of a session
 *     ^                                                  │
 *     └──────────stop, or another server has it──────────┘
 */
import { randomBytes } from "node:crypto";
import { matches } from "../cluster/messaging/topics.js";
import { MAX_BRIDGED } from "./bounds.js";
import * as rules from "./bridge-rules.js";
import type { Directory } from "./directory.js";
import type { Owned } from "./rules.js";
import type { SessionNode, SessionNodeClient, SessionNodeMessage } from "./server-options.js";
import type { Transactions } from "./transactions.js";

export interface BridgeSettings {
  readonly node: SessionNode;
  /** The prefix of the servers' own messages. */
  readonly prefix: string;
  readonly server: string;
  /** Topics that sessions may get, as filters. */
  readonly topics: readonly string[];
  readonly isLost: (server: string) => boolean;
}

/** What a bridge reports. */
export interface BridgeEffects {
  /** Sessions have a new message. */
  kept(owned: readonly Owned[]): void;
  /** This server keeps the cluster's messages from now on, or stopped doing so. */
  changed(isHere: boolean): void;
  /** The node does not take a filter. */
  refused(filter: string, error: unknown): void;
  storeFailed(error: unknown): void;
}

export class Bridge {
  readonly #settings: BridgeSettings;
  readonly #effects: BridgeEffects;
  readonly #transactions: Transactions;
  readonly #directory: Directory;
  readonly #signals: { close(): unknown }[] = [];
  readonly #subscriptions = new Map<string, { readonly ready: Promise<void>; close(): unknown }>();
  /** The client of the node while this server has the bridge: it gets each message once, however filters overlap. */
  #client: SessionNodeClient | undefined;
  #handle: rules.BridgeHandle | undefined;
  #looking: Promise<void> | undefined;
  #isStopped = false;
  #next = 1;
  #waiting = 0;
  #isSignalling = false;
  /** Copies that sessions keep, and messages that were lost because the store failed. */
  kept = 0;
  lost = 0;

  constructor(
    transactions: Transactions,
    directory: Directory,
    settings: BridgeSettings,
    effects: BridgeEffects,
  ) {
    this.#transactions = transactions;
    this.#directory = directory;
    this.#settings = settings;
    this.#effects = effects;
    const { node, prefix } = settings;
    const failed = (error: unknown): void => effects.storeFailed(error);
    this.#signals.push(
      node.subscribe(`${prefix}/filters`, () => {
        if (this.#client !== undefined) this.#directory.refresh().catch(failed);
      }),
      node.subscribe(`${prefix}/bridge`, () => {
        this.look().catch(failed);
      }),
    );
  }

  /** Takes the bridge if no running server has it; one attempt at a time. @throws StoreError */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    const { server, isLost } = this.#settings;
    this.#handle ??= { server, term: randomBytes(8).toString("hex") };
    const handle = this.#handle;
    const isTaken = await this.#transactions.run((view) => rules.takeBridge(view, handle, isLost));
    if (this.#isStopped) return;
    if (!isTaken) this.#end();
    else if (this.#client === undefined) await this.#begin();
    else await this.#directory.refresh();
  }

  /** Filters of a session have changed at this server. */
  filtersChanged(): void {
    if (this.#client !== undefined) {
      this.#directory.refresh().catch((error: unknown) => this.#effects.storeFailed(error));
    } else if (!this.#isSignalling) {
      this.#isSignalling = true;
      setImmediate(() => {
        this.#isSignalling = false;
        this.#signal("filters");
      });
    }
  }

  /** Gives the bridge back, and lets another server know. @throws StoreError */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking?.catch(() => undefined); // Its caller has the error.
    for (const signal of this.#signals.splice(0)) signal.close();
    const handle = this.#handle;
    this.#end();
    if (handle === undefined) return;
    // After the messages that have arrived.
    await this.#transactions.run((view) => rules.releaseBridge(view, handle));
    this.#signal("bridge");
  }

  /** Subscribes to the filters of all sessions. */
  async #begin(): Promise<void> {
    this.#next = 1;
    const client = this.#settings.node.createClient();
    this.#client = client;
    this.#directory.onFilter = (filter, isThere) => {
      if (isThere) this.#subscribe(filter);
      else this.#unsubscribe(filter);
    };
    for (const filter of this.#directory.filters()) this.#subscribe(filter);
    try {
      await this.#directory.refresh();
    } finally {
      // A node that does not answer in time is sent it again; its messages until then are missed.
      const all = Array.from(this.#subscriptions.values(), ({ ready }) => ready);
      void Promise.allSettled(all).then(() => {
        if (this.#client === client) this.#effects.changed(true);
      });
    }
  }

  #end(): void {
    const client = this.#client;
    this.#handle = undefined;
    if (client === undefined) return;
    this.#client = undefined;
    this.#directory.onFilter = () => undefined;
    this.#subscriptions.clear();
    void client.close();
    this.#effects.changed(false);
  }

  #subscribe(filter: string): void {
    // The servers' own messages, and those to the node's clients.
    if (filter.startsWith("$sessions/") || filter === "self") return;
    try {
      const subscription = this.#client?.subscribe(filter, (message) => this.#onMessage(message));
      if (subscription !== undefined) this.#subscriptions.set(filter, subscription);
    } catch (error) {
      this.#effects.refused(filter, error);
    }
  }

  #unsubscribe(filter: string): void {
    this.#subscriptions.get(filter)?.close();
    this.#subscriptions.delete(filter);
  }

  /** @returns when this message is kept, if many are waiting: its link waits for that */
  #onMessage({ topic, data: given, context: trace }: SessionNodeMessage): void | Promise<void> {
    const handle = this.#handle;
    if (handle === undefined || !this.#settings.topics.some((filter) => matches(filter, topic))) return;
    // Copies: a view would keep the whole chunk that it arrived in.
    const data = Buffer.from(given);
    const context = trace === undefined ? undefined : Buffer.from(trace);
    const number = this.#next++;
    this.#waiting += 1;
    const done = this.#transactions
      .run(
        (view) => rules.deliver(view, handle, this.#directory, number, { topic, data, context }, Date.now()),
        data.length + (context?.length ?? 0),
      )
      .then(
        (outcome) => {
          if (outcome !== undefined) {
            this.kept += outcome.sessions;
            this.#effects.kept(outcome.owned);
          } else if (this.#handle === handle) this.#end();
        },
        (error: unknown) => {
          this.lost += 1;
          this.#effects.storeFailed(error);
        },
      )
      .finally(() => {
        this.#waiting -= 1;
      });
    return this.#waiting < MAX_BRIDGED && this.#transactions.hasRoom ? undefined : done;
  }

  #signal(what: "filters" | "bridge"): void {
    const { node, prefix } = this.#settings;
    // The other servers' polls make up for a lost signal.
    node.publish(`${prefix}/${what}`, "", { self: false }).catch(() => undefined);
  }
}
