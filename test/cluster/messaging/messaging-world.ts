/** Messaging of some nodes in one process, over links and routes that the test holds. */
import { createId } from "../../../src/cluster/identity.js";
import type { MessagingEvent } from "../../../src/cluster/messaging/events.js";
import type { MessageLinks } from "../../../src/cluster/messaging/links.js";
import { Messaging } from "../../../src/cluster/messaging/messaging.js";
import { type MessagingOptions, messagingSettings } from "../../../src/cluster/messaging/options.js";
import {
  type IncomingLink,
  MessageKind,
  type MessageLinksStats,
  type MessageRoutesStats,
  type SendResult,
} from "../../../src/cluster/messaging/parts.js";
import type { Publication } from "../../../src/cluster/messaging/publication.js";
import type { MessageRoutes } from "../../../src/cluster/messaging/route-driver.js";
import { matches } from "../../../src/cluster/messaging/topics.js";

interface Item {
  readonly kind: number;
  readonly bytes: Buffer;
  /** Who waits until it was taken. */
  done?: (isDelivered: boolean) => void;
}

/** What one node has sent to another one, and the other has not taken. */
class Stream {
  readonly items: Item[] = [];
  isRunning = false;
  roomMade: (() => void)[] = [];
}

class FakeLinks implements MessageLinks {
  readonly #node: FakeNode;
  readonly #streams = new Map<string, Stream>();
  readonly dropped: string[] = [];
  sent = 0;
  /** Times that a publisher let the event loop turn. */
  pauses = 0;

  constructor(node: FakeNode) {
    this.#node = node;
  }

  send(to: string, kind: number, item: Uint8Array): SendResult {
    const peer = this.#node.world.live(to);
    if (peer === undefined || peer === this.#node || this.#node.world.isCut(this.#node, peer))
      return "unreachable";
    const stream = this.#streamTo(to);
    if (stream.items.length >= this.#node.world.mark) return "full";
    this.sent += 1;
    stream.items.push({ kind, bytes: Buffer.from(item) });
    if (!stream.isRunning) void this.#run(stream, to);
    return "sent";
  }

  publish(to: readonly string[], publication: Publication, full: string[]): number {
    let sent = 0;
    for (const id of to) {
      const result = this.send(id, MessageKind.PUBLISH, publication.item());
      if (result === "sent") sent += 1;
      else if (result === "full") full.push(id);
    }
    return sent;
  }

  publishesMore(): void {
    this.pauses += 1;
  }

  drop(to: string): void {
    this.dropped.push(to);
  }

  hasRoom(to: string): boolean {
    return this.#streamTo(to).items.length < this.#node.world.mark;
  }

  room(to: string): Promise<boolean> {
    if (this.#node.world.live(to) === undefined) return Promise.resolve(false);
    const stream = this.#streamTo(to);
    if (stream.items.length < this.#node.world.mark) return Promise.resolve(true);
    return new Promise((resolve) => stream.roomMade.push(() => resolve(true)));
  }

  session(): number {
    return 0;
  }

  onDelivered(to: string, done: (isDelivered: boolean) => void): void {
    (this.#streamTo(to).items.at(-1) as Item).done = done;
  }

  onMember(id: string, state: string): void {
    if (state !== "alive") for (const item of this.#streamTo(id).items) item.done?.(false);
  }

  stats(): MessageLinksStats {
    return { peers: [], refused: {} };
  }

  async close(): Promise<void> {}

  /** Gives an item as it is to another node, as one would that is evil. */
  forge(to: FakeNode, kind: number, bytes: Uint8Array): void {
    this.#streamTo(to.id).items.push({ kind, bytes: Buffer.from(bytes) });
    const stream = this.#streamTo(to.id);
    if (!stream.isRunning) void this.#run(stream, to.id);
  }

  #streamTo(to: string): Stream {
    let stream = this.#streams.get(to);
    if (stream === undefined) {
      stream = new Stream();
      this.#streams.set(to, stream);
    }
    return stream;
  }

  async #run(stream: Stream, to: string): Promise<void> {
    stream.isRunning = true;
    await new Promise((resolve) => setImmediate(resolve));
    for (let item = stream.items[0]; item !== undefined; item = stream.items[0]) {
      await this.#node.world.held;
      await this.#node.world.live(to)?.onItem(this.#node.id, item.kind, item.bytes);
      stream.items.shift();
      item.done?.(true);
      for (const made of stream.roomMade.splice(0)) made();
    }
    stream.isRunning = false;
  }
}

/** All nodes know at once who is interested in what. */
class SharedRoutes implements MessageRoutes {
  readonly #node: FakeNode;
  readonly filters = new Set<string>();
  /** Members whose interest this node does not know yet: `targets` is without them. */
  readonly unsettled = new Map<string, FakeNode>();
  asked = 0;

  constructor(node: FakeNode) {
    this.#node = node;
  }

  get version(): number {
    return this.#node.world.version;
  }

  subscribe(filter: string): Promise<void> {
    this.filters.add(filter);
    this.#node.world.version += 1;
    return Promise.resolve();
  }

  async unsubscribe(filter: string): Promise<void> {
    this.filters.delete(filter);
    this.#node.world.version += 1;
  }

  targets(topic: string, into: string[]): number {
    for (const node of this.#node.world.nodes)
      if (
        node !== this.#node &&
        node.isLive &&
        !this.unsettled.has(node.id) &&
        [...node.routes.filters].some((filter) => matches(filter, topic))
      )
        into.push(node.id);
    return into.length;
  }

  list(): [] {
    return [];
  }

  onItem(): string | undefined {
    return "fake";
  }

  onUp(): void {}
  onMember(): void {}
  close(): void {}

  askUnsettled(): void {
    this.asked += 1;
  }

  /** It was just met. */
  meet(node: FakeNode): void {
    this.unsettled.set(node.id, node);
    this.#node.world.version += 1;
  }

  /** Its interest is known. */
  settle(node: FakeNode): void {
    this.unsettled.delete(node.id);
    this.#node.world.version += 1;
  }

  stats(): MessageRoutesStats {
    return { own: { filters: 0, bytes: 0 }, routes: 0, bytes: 0, nodes: 0, snapshots: 0, refused: {} };
  }
}

export class FakeNode {
  readonly id = createId();
  readonly world: FakeWorld;
  readonly name: string;
  readonly messaging: Messaging;
  readonly events: MessagingEvent[] = [];
  readonly links = new FakeLinks(this);
  readonly routes = new SharedRoutes(this);
  readonly incoming = new Map<string, IncomingLink>();
  isLive = true;
  /** ms since 1970, as this node has it. */
  wall: () => number = Date.now;

  constructor(world: FakeWorld, name: string, options: MessagingOptions = {}) {
    this.world = world;
    this.name = name;
    const settings = messagingSettings(options);
    if (settings === undefined) throw new Error("no settings");
    this.messaging = new Messaging(this.id, settings, {
      member: (id) => world.nodes.find((node) => node.id === id && node !== this),
      peers: () => world.nodes.filter((node) => node !== this && node.isLive).map(({ id }) => id),
      links: this.links,
      routes: this.routes,
      random: Math.random,
      wall: () => this.wall(),
      emit: (event) => this.events.push(event),
      onService: () => undefined,
    });
  }

  /** Its link to a node has lost so many items. */
  loses(to: string, count: number): void {
    this.messaging.onLost(to, count);
  }

  onItem(from: string, kind: number, bytes: Buffer): void | Promise<void> {
    const topics: IncomingLink["topics"] = [];
    const link = this.incoming.get(from) ?? { id: from, protocol: "tcp", topics, ownClient: undefined };
    this.incoming.set(from, link);
    if (kind !== MessageKind.PUBLISH) return this.messaging.onItem(link, kind, bytes);
    return this.messaging.incoming.onPublish(link, bytes, 0, bytes.length);
  }

  /** It is lost for the others. */
  die(): void {
    this.isLive = false;
    this.world.version += 1;
    for (const node of this.world.nodes) if (node !== this) node.messaging.onMember(this.id, "lost");
  }

  /** It is back for the others. */
  revive(): void {
    this.isLive = true;
    this.world.version += 1;
    for (const node of this.world.nodes) if (node !== this) node.messaging.onMember(this.id, "alive");
  }
}

export class FakeWorld {
  readonly nodes: FakeNode[] = [];
  version = 0;
  /** Items that one node may have waiting for another one. */
  mark = 1_000;
  /** What nodes wait for before they take anything. */
  held: Promise<void> | undefined = undefined;
  readonly #cuts = new Set<string>();

  node(name: string, options?: MessagingOptions): FakeNode {
    const node = new FakeNode(this, name, options);
    this.nodes.push(node);
    this.version += 1;
    for (const other of this.nodes) if (other !== node) other.messaging.onMember(node.id, "alive");
    return node;
  }

  live(id: string): FakeNode | undefined {
    return this.nodes.find((node) => node.id === id && node.isLive);
  }

  cut(one: FakeNode, other: FakeNode): void {
    this.#cuts.add(`${one.id} ${other.id}`);
  }

  heal(one: FakeNode, other: FakeNode): void {
    this.#cuts.delete(`${one.id} ${other.id}`);
  }

  isCut(one: FakeNode, other: FakeNode): boolean {
    return this.#cuts.has(`${one.id} ${other.id}`);
  }

  /** All that is under way has arrived. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.messaging.close(0)));
  }
}
