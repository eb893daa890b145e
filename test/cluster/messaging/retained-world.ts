/**
 * Messaging of some nodes over links, routes and a membership that a schedule moves step by step: it decides when an item travels,
 * and when a node learns what of another one; each has a clock of its own. Timers are vitest's.
 */
import { createHash } from "node:crypto";
import { vi } from "vitest";
import type { ClusterMessage } from "../../../src/cluster/messaging/message.js";
import { Messaging } from "../../../src/cluster/messaging/messaging.js";
import { messagingSettings } from "../../../src/cluster/messaging/options.js";
import {
  type IncomingLink,
  MessageKind,
  type MessageLinks,
  type MessageLinksEffects,
  type MessageRoutes,
  type SendResult,
} from "../../../src/cluster/messaging/parts.js";
import { TopicAliases } from "../../../src/cluster/messaging/topic-aliases.js";
import { TopicIds } from "../../../src/cluster/messaging/topic-ids.js";
import { matches } from "../../../src/cluster/messaging/topics.js";
import { UnroutableError } from "../../../src/core/errors.js";

interface Item {
  readonly kind: number;
  readonly bytes: Buffer;
}

/** What one node has sent to another one and the other has not taken, and who waits for room. */
interface Stream {
  readonly items: Item[];
  readonly waits: { made(): void; gone(error: Error): void }[];
}

/** A subscription with `retained` of some node, and what it got of each topic. */
export interface Reader {
  readonly node: RetainedNode;
  readonly filter: string;
  readonly got: Map<string, string[]>;
  close(): void;
}

export class RetainedNode {
  readonly id: string;
  readonly world: RetainedWorld;
  readonly messaging: Messaging;
  readonly streams = new Map<string, Stream>();
  /** Members that are live, as this node sees it. */
  readonly sees = new Set<RetainedNode>();
  /** Of other nodes, as far as it is known here. */
  readonly interest = new Map<string, readonly string[]>();
  readonly unsettled = new Map<string, RetainedNode>();
  readonly filters = new Set<string>();
  readonly readers: Reader[] = [];
  readonly skew: number;
  isRunning = true;
  #version = 0;
  #onSettled!: (id: string) => void;
  #effects!: MessageLinksEffects;
  readonly #incoming = new Map<string, IncomingLink>();

  constructor(world: RetainedWorld, skew: number) {
    this.world = world;
    this.skew = skew;
    // In an order that has nothing to do with when they were made, and is the same whenever the schedule is.
    const name = `${world.salt} ${world.nodes.length}`;
    this.id = createHash("sha256").update(name).digest("hex").slice(0, 32);
    const settings = messagingSettings({});
    if (settings === undefined) throw new Error("no settings");
    const ids = (): TopicIds => new TopicIds(() => Math.floor(Math.random() * 0x1_0000_0000));
    this.messaging = new Messaging(this.id, settings, {
      member: (id) => {
        const node = world.nodes.find((each) => each.id === id && each !== this);
        return node && { id, name: id, isLive: this.sees.has(node) };
      },
      peers: () => [...this.sees].map(({ id }) => id),
      links: (effects) => {
        this.#effects = effects;
        return this.#links();
      },
      routes: (_links, { onSettled }) => {
        this.#onSettled = onSettled;
        return this.#routes();
      },
      topics: ids(),
      subtopics: ids(),
      random: Math.random,
      wall: () => world.wall + skew,
      emit: () => undefined,
      onService: () => undefined,
    });
  }

  streamTo(id: string): Stream {
    let stream = this.streams.get(id);
    if (stream === undefined) {
      stream = { items: [], waits: [] };
      this.streams.set(id, stream);
    }
    return stream;
  }

  #links(): MessageLinks {
    const send = (to: string, kind: number, item: Uint8Array): SendResult => {
      if (![...this.sees].some(({ id }) => id === to)) return "unreachable";
      const { items } = this.streamTo(to);
      if (items.length >= this.world.mark) return "full";
      items.push({ kind, bytes: Buffer.from(item) });
      return "sent";
    };
    const toMany = (to: readonly string[], kind: number, item: Uint8Array, full?: string[]): number => {
      const results = to.map((id) => ({ id, result: send(id, kind, item) }));
      for (const { id, result } of results) if (result === "full") full?.push(id);
      return results.filter(({ result }) => result === "sent").length;
    };
    return {
      send,
      sendToMany: (to, kind, item, _prefix, full) => toMany(to, kind, item, full),
      publish: (to, publication, full) => toMany(to, MessageKind.PUBLISH, publication.item(), full),
      publishesMore: () => undefined,
      takesContext: () => false,
      drop: () => undefined,
      hasRoom: (to) => this.streamTo(to).items.length < this.world.mark,
      room: (to) => {
        const { items, waits } = this.streamTo(to);
        if (items.length < this.world.mark) return Promise.resolve();
        return new Promise((made, gone) => waits.push({ made, gone }));
      },
      onMember: () => undefined,
      stats: () => ({ peers: [], droppedByPrefix: {}, refused: {} }),
      close: async () => undefined,
    };
  }

  #routes(): MessageRoutes {
    const node = this;
    return {
      subscribe: async (filter) => void this.filters.add(filter),
      unsubscribe: async (filter) => void this.filters.delete(filter),
      register: async () => undefined,
      targets: (topic, into) => {
        for (const { id } of this.sees)
          if (this.interest.get(id)?.some((filter) => matches(filter, topic))) into.push(id);
        return into.length;
      },
      list: () => [],
      unsettled: this.unsettled,
      askUnsettled: () => undefined,
      get version() {
        return node.#version;
      },
      onItem: () => undefined,
      onPeer: () => undefined,
      onMember: () => undefined,
      stats: () => {
        throw new Error("not here");
      },
      close: () => undefined,
    };
  }

  /** A subscription with `retained`. */
  read(filter: string): void {
    const got = new Map<string, string[]>();
    const note = ({ topic, data }: ClusterMessage): void => {
      const values = got.get(topic) ?? [];
      got.set(topic, [...values, String(data)]);
    };
    const subscription = this.messaging.self.subscribe(filter, { retained: true, each: true }, note);
    const close = (): void => {
      subscription.close();
      this.readers.splice(this.readers.indexOf(reader), 1);
    };
    const reader: Reader = { node: this, filter, got, close };
    this.readers.push(reader);
    this.world.readers.push(reader);
  }

  /** What it subscribes to is on its way to all that it sees. @param isNews to those alone that do not know it */
  announce(isNews = false): void {
    const text = JSON.stringify([...this.filters]);
    const bytes = Buffer.from(text);
    for (const other of this.sees)
      if (!isNews || JSON.stringify(other.interest.get(this.id)) !== text)
        this.streamTo(other.id).items.push({ kind: MessageKind.ROUTES, bytes });
  }

  /** It sees another one as live, whose interest it does not know. */
  meet(other: RetainedNode): void {
    if (this.sees.has(other)) return;
    this.sees.add(other);
    if (!this.interest.has(other.id)) this.unsettled.set(other.id, other);
    this.#version += 1;
    this.messaging.onMember(other.id, "alive");
  }

  /** It does not see it as live any longer: what waits for it is lost. */
  lose(other: RetainedNode, state: "lost" | "gone"): void {
    if (!this.sees.delete(other)) return;
    const { items, waits } = this.streamTo(other.id);
    items.length = 0;
    for (const { gone } of waits.splice(0)) gone(new UnroutableError("gone"));
    this.#version += 1;
    this.settle(other.id);
    if (state === "gone") this.interest.delete(other.id);
    this.messaging.onMember(other.id, state);
  }

  /** Another one's interest is not waited for any longer. */
  settle(id: string): void {
    if (!this.unsettled.delete(id)) return;
    this.#version += 1;
    this.#onSettled(id);
  }

  take(from: RetainedNode, { kind, bytes }: Item): void {
    if (kind === MessageKind.ROUTES) {
      this.interest.set(from.id, JSON.parse(bytes.toString()) as string[]);
      this.#version += 1;
      this.settle(from.id);
    } else if (kind === MessageKind.PUBLISH) {
      const { id } = from;
      const link = this.#incoming.get(id) ?? { id, topics: new TopicAliases(), ownClient: undefined };
      this.#incoming.set(id, link);
      void this.#effects.onPublish?.(link, bytes, 0, bytes.length);
    } else void this.#effects.onItem(from.id, kind, bytes);
  }
}

export class RetainedWorld {
  readonly nodes: RetainedNode[] = [];
  /** All there ever were. */
  readonly readers: Reader[] = [];
  readonly published: string[] = [];
  /** ms since 1970. */
  wall = 1_700_000_000_000;
  /** Items that one node may have waiting for another one. */
  mark: number;
  /** Of the ids of its nodes. */
  readonly salt: number;
  readonly #cuts = new Set<string>();

  constructor(mark: number, salt = 0) {
    this.mark = mark;
    this.salt = salt;
  }

  get running(): RetainedNode[] {
    return this.nodes.filter(({ isRunning }) => isRunning);
  }

  add(skew: number): RetainedNode {
    const node = new RetainedNode(this, skew);
    this.nodes.push(node);
    return node;
  }

  /** Each value is another one. @param isTaken it is taken back */
  publish(node: RetainedNode, topic: string, isTaken = false): void {
    const data = isTaken ? "" : `${this.published.length}`;
    if (!isTaken) this.published.push(data);
    node.messaging.self.publish(topic, data, { retain: true }).catch(() => undefined);
  }

  cut(one: RetainedNode, other: RetainedNode): void {
    this.#cuts.add(`${one.id} ${other.id}`);
    this.#cuts.add(`${other.id} ${one.id}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** Streams in which something can travel. */
  #moving(): { from: RetainedNode; to: RetainedNode; stream: Stream }[] {
    const moving = [];
    const { running } = this;
    for (const from of this.nodes)
      for (const to of running) {
        const stream = from.streams.get(to.id);
        if (stream === undefined || stream.items.length === 0) continue;
        // A stranger's greeting waits until it is known.
        const isCut = this.#cuts.size > 0 && this.#cuts.has(`${from.id} ${to.id}`);
        if (to.sees.has(from) && !isCut) moving.push({ from, to, stream });
      }
    return moving;
  }

  /** An item arrives, of one of the streams. @returns whether there was one */
  deliver(which: number): boolean {
    const moving = this.#moving();
    const chosen = moving[which % moving.length];
    if (chosen === undefined) return false;
    const { from, to, stream } = chosen;
    to.take(from, stream.items.shift() as Item);
    for (const { made } of stream.waits.splice(0)) made();
    return true;
  }

  /** It is killed: what it has sent to some of the others does not arrive. */
  kill(node: RetainedNode, lost: number): void {
    node.isRunning = false;
    for (const reader of [...node.readers]) this.readers.splice(this.readers.indexOf(reader), 1);
    this.nodes.forEach((other, i) => {
      if (((lost >> (i % 8)) & 1) === 1) node.streams.delete(other.id);
    });
  }

  /** What is to happen at once has happened. */
  async pause(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** All cuts are over, all know each other and what happened to the others, and all that is under way has arrived. */
  async converge(): Promise<void> {
    this.heal();
    const { running } = this;
    for (const node of running)
      for (const other of this.nodes)
        if (other !== node && !other.isRunning) {
          // What it has sent had arrived long before.
          for (let i = 0; this.#moving().some(({ from }) => from === other); i++) this.deliver(i);
          node.lose(other, "lost");
        }
    for (const node of running) for (const other of running) if (other !== node) node.meet(other);
    for (let quiet = 0; quiet < 3; ) {
      for (const node of running) node.announce(true);
      let moved = 0;
      for (let i = 0; i < 10_000; i++) {
        if (!this.deliver(i)) {
          await this.pause();
          await this.pause();
          if (!this.deliver(i)) break;
        }
        moved += 1;
      }
      quiet = moved > 0 ? 0 : quiet + 1;
      vi.advanceTimersByTime(1_500);
      await this.pause();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.messaging.close(0)));
  }
}
