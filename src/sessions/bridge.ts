/**
 * What is published over the cluster, for sessions: one server of a store at a time subscribes its node to the filters that sessions have, and keeps
 * what comes in each session that it is for (bridge-rules.ts). The others look whether that one is still there.
 *
 *   idle ──look: nobody has it, or who had it is lost──> at work: a subscription of the node for each filter of a session
 *    │ ^                                                      │ stop: offers it
 *    │ │                                                      v
 *    │ └──────another server has taken over───────────── at work, until another one is ready, or none is there
 *    │
 *    └──look: who has it offers it──> next: the same subscriptions; what comes waits
 *                                       │ all nodes know them, and who had it has released it
 *                                       v
 *                                     at work: what waits is kept, but for what the other one has kept
 */
import { randomBytes } from "node:crypto";
import { matches } from "../cluster/messaging/topics.js";
import { withTimeout } from "../core/waiter.js";
import {
  HAND_OVER_TIME,
  KEPT_BEFORE_TIME,
  MAX_AWAITING,
  MAX_AWAITING_BYTES,
  MAX_BRIDGED,
  OFFER_TIME,
} from "./bounds.js";
import * as rules from "./bridge-rules.js";
import type { Directory } from "./directory.js";
import type { Owned } from "./rules.js";
import type { SessionNode, SessionNodeClient, SessionNodeMessage } from "./server-options.js";
import type { Transactions } from "./transactions.js";

export interface BridgeSettings {
  readonly node: SessionNode;
  /** What the servers' own messages begin with. */
  readonly prefix: string;
  readonly server: string;
  /** Topics that sessions may get, as filters. */
  readonly topics: readonly string[];
  readonly isLost: (server: string) => boolean;
  /** Whether another server of the store runs. */
  readonly hasOthers: () => Promise<boolean>;
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

interface BridgeSubscription {
  /** Settles when the other nodes know of it, or rejects when one does not answer. */
  readonly ready: Promise<void>;
  close(): unknown;
}

/** What waits at the server that takes over. */
interface Awaiting {
  readonly messages: SessionNodeMessage[];
  bytes: number;
  /** All nodes know of its subscriptions. */
  isReady: boolean;
  /** Settles when it is over: links wait for that past the bounds. */
  readonly over: Promise<void>;
  readonly end: () => void;
}

export class Bridge {
  readonly #settings: BridgeSettings;
  readonly #effects: BridgeEffects;
  readonly #transactions: Transactions;
  readonly #directory: Directory;
  readonly #signals: { close(): unknown }[] = [];
  readonly #subscriptions = new Map<string, BridgeSubscription>();
  /** At work: its client of the node, which gets each message once, whatever filters overlap. */
  #client: SessionNodeClient | undefined;
  #handle: rules.BridgeHandle | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #next = 1;
  #waiting = 0;
  /** As long as this server is the next one. */
  #awaiting: Awaiting | undefined;
  /** What the server before has kept, for a while. */
  #keptBefore: rules.KeptBefore | undefined;
  #keptBeforeUntil = 0;
  #stopping: Promise<void> | undefined;
  /** When it has to have stopped. */
  #stopBy = Number.POSITIVE_INFINITY;
  /** Called when the store may have something new about it. */
  #onSignal: () => void = () => undefined;
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
        this.#onSignal();
        this.look().catch((error: unknown) => effects.storeFailed(error));
      }),
    );
  }

  /** Whether this server has it. */
  get isHere(): boolean {
    return this.#client !== undefined && this.#awaiting === undefined;
  }

  /** Takes it where nobody has it, or who has it stops; one look at a time, and another one where it was called meanwhile. @throws StoreError */
  look(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#lookAll().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookAll(): Promise<void> {
    while (this.#lookAgain) {
      this.#lookAgain = false;
      await this.#look();
    }
  }

  async #look(): Promise<void> {
    if (this.#stopping !== undefined) return;
    const { server, isLost } = this.#settings;
    this.#handle ??= { server, term: randomBytes(8).toString("hex") };
    const handle = this.#handle;
    const isReady = this.#awaiting?.isReady === true;
    const outcome = await this.#transactions.run((view) => rules.takeBridge(view, handle, isReady, isLost));
    if (this.#stopping !== undefined) return;
    if (outcome.state === "other") this.#end();
    else if (outcome.state === "next") {
      if (this.#awaiting === undefined) await this.#await();
      // The server that stops looks whether this one is ready.
      this.#signal("bridge");
    } else if (this.#awaiting !== undefined) this.#takeOver(outcome.kept);
    else if (this.#client === undefined) await this.#begin();
    else await this.#directory.refresh();
  }

  /** Filters of a session have changed at this server. */
  filtersChanged(): void {
    if (this.#client !== undefined) this.#refresh();
    if (!this.isHere && !this.#isSignalling) {
      this.#isSignalling = true;
      setImmediate(() => {
        this.#isSignalling = false;
        this.#signal("filters");
      });
    }
  }

  /**
   * Gives it back, to another server where there is one: keeps what comes until that one is ready.
   *
   * @param limit ms that it may take at most, -1: as long as a hand-over takes. A second call can shorten it
   * @throws StoreError
   */
  stop(limit: number): Promise<void> {
    if (limit >= 0) this.#stopBy = Math.min(this.#stopBy, performance.now() + limit);
    this.#onSignal();
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#looking?.catch(() => undefined); // Its caller has the error.
    const handle = this.#handle;
    const { isLost } = this.#settings;
    try {
      if (handle === undefined) return;
      if (this.isHere) await this.#handOver(handle);
      // After all that came until now.
      await this.#transactions.run((view) => rules.releaseBridge(view, handle, isLost));
    } finally {
      for (const signal of this.#signals.splice(0)) signal.close();
      this.#end();
      if (handle !== undefined) this.#signal("bridge");
    }
  }

  /** Waits until another server is ready, where there is one. */
  async #handOver(handle: rules.BridgeHandle): Promise<void> {
    const since = performance.now();
    if (this.#stopBy <= since || !(await this.#settings.hasOthers())) return;
    await this.#transactions.run((view) => rules.offerBridge(view, handle));
    this.#signal("bridge");
    for (;;) {
      const signal = new Promise<void>((resolve) => {
        this.#onSignal = resolve;
      });
      const state = await this.#transactions.run((view) => rules.handOverOf(view, handle));
      const until = since + (state === "offered" ? OFFER_TIME : HAND_OVER_TIME);
      const left = Math.min(until, this.#stopBy) - performance.now();
      if (state === "ready" || state === "over" || left <= 0 || !this.isHere) return;
      await withTimeout(signal, left);
    }
  }

  async #begin(): Promise<void> {
    this.#next = 1;
    await this.#open(() => this.#effects.changed(true));
  }

  /** Subscribes to what sessions have. @param known called when all nodes know of it, unless this has ended by then */
  async #open(known: () => void): Promise<void> {
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
      // A node that does not answer in time is sent it again, and what it publishes until then is missed.
      const all = Array.from(this.#subscriptions.values(), ({ ready }) => ready);
      void Promise.allSettled(all).then(() => {
        if (this.#client === client) known();
      });
    }
  }

  /** This server is the next one. */
  async #await(): Promise<void> {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const awaiting: Awaiting = { messages: [], bytes: 0, isReady: false, over, end };
    this.#awaiting = awaiting;
    await this.#open(() => {
      awaiting.isReady = true;
      this.look().catch((error: unknown) => this.#effects.storeFailed(error));
    });
  }

  /** It is this server's: what waits is kept, but for what the one before has kept. */
  #takeOver(kept: readonly string[]): void {
    const { messages = [], end } = this.#awaiting ?? {};
    this.#awaiting = undefined;
    this.#next = 1;
    this.#keptBefore = new rules.KeptBefore(kept);
    this.#keptBeforeUntil = performance.now() + KEPT_BEFORE_TIME;
    for (const message of messages) void this.#keep(message);
    end?.();
    this.#effects.changed(true);
  }

  #end(): void {
    const client = this.#client;
    const wasHere = this.isHere;
    this.#handle = undefined;
    this.#keptBefore = undefined;
    this.#awaiting?.end();
    this.#awaiting = undefined;
    if (client === undefined) return;
    this.#client = undefined;
    this.#directory.onFilter = () => undefined;
    this.#subscriptions.clear();
    void client.close();
    if (wasHere) this.#effects.changed(false);
  }

  #refresh(): void {
    if (this.#client === undefined || this.#isRefreshing) return;
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
  #onMessage(message: SessionNodeMessage): void | Promise<void> {
    if (!this.#settings.topics.some((filter) => matches(filter, message.topic))) return;
    // Of what arrived: a view of it would hold all of it.
    const { topic, sender, context } = message;
    const data = Buffer.from(message.data);
    const own = { topic, sender, data, context: context === undefined ? undefined : Buffer.from(context) };
    const awaiting = this.#awaiting;
    if (awaiting === undefined) return this.#keep(own);
    awaiting.messages.push(own);
    awaiting.bytes += own.topic.length + own.data.length + (context?.length ?? 0);
    const isFull = awaiting.messages.length >= MAX_AWAITING || awaiting.bytes >= MAX_AWAITING_BYTES;
    return isFull ? awaiting.over : undefined;
  }

  #keep({ topic, data, sender, context }: SessionNodeMessage): void | Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) return;
    if (this.#wasKept(sender.node, topic, data)) return;
    const number = this.#next++;
    const name = this.#stopping !== undefined ? rules.messageName(sender.node, topic, data) : "";
    this.#waiting += 1;
    const done = this.#transactions
      .run(
        (view) =>
          rules.deliver(view, handle, this.#directory, number, { topic, data, name, context }, Date.now()),
        data.length + (context?.length ?? 0),
      )
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

  /** Whether the server before has kept it. */
  #wasKept(node: string, topic: string, data: Buffer): boolean {
    if (this.#keptBefore === undefined) return false;
    if (this.#keptBefore.size === 0 || performance.now() > this.#keptBeforeUntil) {
      this.#keptBefore = undefined;
      return false;
    }
    return this.#keptBefore.take(rules.messageName(node, topic, data));
  }

  /** Another server has it: that one keeps what is published now. */
  #lose(handle: rules.BridgeHandle): void {
    if (this.#handle !== handle) return;
    this.#end();
    this.#onSignal();
  }

  #signal(what: "filters" | "bridge"): void {
    const { node, prefix } = this.#settings;
    // One that is lost is made up for by the other servers' own looks.
    node.publish(`${prefix}/${what}`, "", { self: false }).catch(() => undefined);
  }
}
