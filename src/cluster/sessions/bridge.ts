/**
 * What is published over the cluster, for sessions: one server of a store at a time subscribes its node to the filters that sessions have, and keeps
 * what comes in each session that it is for (bridge-rules.ts). The others look whether that one is still there.
 *
 *   idle ──look: nobody has it, or who had it is lost──> at work: a subscription of the node for each filter of a session
 *    ^                                                        │
 *    └──another server has taken over, stop───────────────────┘
 */
import { randomBytes } from "node:crypto";
import { matches } from "../messaging/topics.js";
import { MAX_BRIDGED } from "./bounds.js";
import * as rules from "./bridge-rules.js";
import type { Directory } from "./directory.js";
import type { Owned } from "./rules.js";
import type { SessionNode, SessionNodeClient } from "./server-options.js";
import type { Transactions } from "./transactions.js";

export interface BridgeSettings {
  readonly node: SessionNode;
  /** What the servers' own messages begin with. */
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
  /** This server keeps the cluster's messages from now on, or does so no more. */
  changed(isHere: boolean): void;
  /** The node does not take a filter. */
  refused(filter: string, error: unknown): void;
  storeFailed(error: unknown): void;
}

interface ClosableSubscription {
  close(): unknown;
}

export class Bridge {
  readonly #settings: BridgeSettings;
  readonly #effects: BridgeEffects;
  readonly #transactions: Transactions;
  readonly #directory: Directory;
  readonly #signals: ClosableSubscription[] = [];
  readonly #subscriptions = new Map<string, ClosableSubscription>();
  /** At work: its client of the node, which gets each message once, whatever filters overlap. */
  #client: SessionNodeClient | undefined;
  #handle: rules.BridgeHandle | undefined;
  #looking: Promise<void> | undefined;
  #next = 1;
  #waiting = 0;
  #isStopped = false;
  #isRefreshing = false;
  #isSignalling = false;
  /** Copies that sessions keep, and messages that were lost since the store failed. */
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
    this.#signals.push(
      node.subscribe(`${prefix}/filters`, () => this.#refresh()),
      node.subscribe(`${prefix}/bridge`, () => {
        this.look().catch((error: unknown) => effects.storeFailed(error));
      }),
    );
  }

  /** Whether this server has it. */
  get isHere(): boolean {
    return this.#client !== undefined;
  }

  /** Takes it where nobody has it; one look at a time. @throws StoreError */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    const { server, isLost } = this.#settings;
    const handle = this.#handle ?? { server, term: randomBytes(8).toString("hex") };
    const isOurs = await this.#transactions.run((view) => rules.takeBridge(view, handle, isLost));
    if (this.#isStopped) return;
    if (!isOurs) this.#end();
    else if (this.#client === undefined) await this.#begin(handle);
    else await this.#directory.refresh();
  }

  /** Filters of a session have changed at this server. */
  filtersChanged(): void {
    if (this.isHere) this.#refresh();
    else if (!this.#isSignalling) {
      this.#isSignalling = true;
      setImmediate(() => {
        this.#isSignalling = false;
        this.#signal("filters");
      });
    }
  }

  /** Gives it back. @throws StoreError */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const signal of this.#signals.splice(0)) signal.close();
    const handle = this.#handle;
    this.#end();
    if (handle === undefined) return;
    await this.#transactions.run((view) => rules.leaveBridge(view, handle));
    this.#signal("bridge");
  }

  async #begin(handle: rules.BridgeHandle): Promise<void> {
    this.#handle = handle;
    this.#next = 1;
    this.#client = this.#settings.node.createClient();
    this.#directory.onFilter = (filter, isThere) => {
      if (isThere) this.#subscribe(filter);
      else this.#unsubscribe(filter);
    };
    for (const filter of this.#directory.filters()) this.#subscribe(filter);
    this.#effects.changed(true);
    await this.#directory.refresh();
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

  #refresh(): void {
    if (!this.isHere || this.#isRefreshing) return;
    this.#isRefreshing = true;
    // One that changes while this runs is in the store before its signal comes: the next look finds it at the latest.
    this.#directory
      .refresh()
      .catch((error: unknown) => this.#effects.storeFailed(error))
      .finally(() => {
        this.#isRefreshing = false;
      });
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

  /** @returns where much waits, when this one is kept: its link waits for it then */
  #onMessage({ topic, data }: { readonly topic: string; readonly data: Buffer }): void | Promise<void> {
    const handle = this.#handle;
    if (handle === undefined || !this.#settings.topics.some((filter) => matches(filter, topic))) return;
    const number = this.#next++;
    // Of what arrived: a view of it would hold all of it.
    const message = { topic, data: Buffer.from(data) };
    this.#waiting += 1;
    const done = this.#transactions
      .run((view) => rules.deliver(view, handle, this.#directory, number, message, Date.now()), data.length)
      .then(
        (outcome) => {
          if (outcome === undefined) this.#lose(handle);
          else {
            this.kept += outcome.sessions;
            this.#effects.kept(outcome.owned);
          }
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

  /** Another server has it: that one keeps what is published now. */
  #lose(handle: rules.BridgeHandle): void {
    if (this.#handle === handle) this.#end();
  }

  #signal(what: "filters" | "bridge"): void {
    const { node, prefix } = this.#settings;
    // One that is lost is made up for by the other servers' own looks.
    node.publish(`${prefix}/${what}`, "", { self: false }).catch(() => undefined);
  }
}
