/** Links of some nodes in one process, with a membership that the test decides. */
import { afterEach, vi } from "vitest";
import { createId } from "../../../src/cluster/identity.js";
import { type LinkSettings, NodeLinks, type NodeLinksOptions } from "../../../src/cluster/messaging/links.js";
import { messagingSettings } from "../../../src/cluster/messaging/options.js";
import { PairStreams } from "../../../src/cluster/messaging/pair-streams.js";
import type { LinkMember, MessageLinkStats, NodeLinksEffects } from "../../../src/cluster/messaging/parts.js";
import { BusCodec } from "../../../src/cluster/net/bus-codec.js";
import { FakeProtocol, FakeTable } from "./fake-streams.js";

export interface Item {
  readonly from: string;
  readonly kind: number;
  readonly text: string;
  readonly protocol: string;
}

const SETTINGS = messagingSettings() as LinkSettings;

export type WorldOptions = Partial<
  Omit<NodeLinksOptions, "effects" | "settings" | "streams"> & LinkSettings
> & {
  /** In place of its own, or further ones. */
  readonly effects?: Partial<NodeLinksEffects>;
};

/** Those who wait for something to become true look again each time something happened. */
class Signal {
  #waiters: (() => void)[] = [];

  fire(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

export class LinksNode {
  readonly id: string;
  readonly name: string;
  readonly links: NodeLinks;
  readonly items: Item[] = [];
  /** Links with a session. */
  readonly peers: string[] = [];
  readonly pings: string[] = [];
  readonly failures: [string, string, string][] = [];
  /** Items that were given up with a peer. */
  readonly lost: [string, number][] = [];
  /** Ids that connections greeted as, whose keys they did not prove. */
  readonly claimed: string[] = [];
  advert: string | undefined;
  /** Called with each item; what it returns is waited for. */
  handler: ((item: Item) => void | Promise<void>) | undefined;
  onBytes: ((item: Buffer) => void) | undefined;
  readonly #signal = new Signal();
  readonly #world: LinksWorld;

  constructor(world: LinksWorld, name: string, options: WorldOptions = {}) {
    const { id = createId(), effects, protocols = [new FakeProtocol()], ...given } = options;
    const settings = { ...SETTINGS, ...given };
    const table = new FakeTable();
    const host = { bus: "default", id, host: "127.0.0.1", ports: undefined };
    table.streams = new PairStreams(table, new BusCodec("default", []), settings.maxItem, host);
    this.#world = world;
    this.id = id;
    this.name = name;
    this.links = new NodeLinks({
      id,
      streams: table.streams,
      protocols,
      settings,
      effects: {
        member: (each) => world.member(each),
        advertise: (advert) => {
          this.advert = advert;
          this.#signal.fire();
        },
        ping: (each) => {
          this.pings.push(each);
          this.#signal.fire();
        },
        onItem: ({ id, protocol }, kind, bytes) => this.#onItem(id, kind, bytes, protocol),
        onPublish: ({ id, protocol }, bytes, start, end) =>
          this.#onItem(id, 2, bytes.subarray(start, end), protocol),
        onLost: (peer, count) => void this.lost.push([peer, count]),
        onUp: (each) => {
          if (!this.peers.includes(each)) this.peers.push(each);
          this.#signal.fire();
        },
        onKeyRefused: (each) => void this.claimed.push(each),
        onProtocolFailed: (peer, protocol, reason) => {
          this.failures.push([peer, protocol, reason]);
          this.#signal.fire();
        },
        ...effects,
      },
    });
  }

  #onItem(from: string, kind: number, bytes: Buffer, protocol: string): void | Promise<void> {
    const item = { from, kind, text: bytes.toString(), protocol };
    this.items.push(item);
    this.onBytes?.(bytes);
    this.#signal.fire();
    return this.handler?.(item);
  }

  /** Waits for items, peers, pings and failures. */
  until(condition: () => boolean): Promise<void> {
    return this.#signal.until(condition);
  }

  get texts(): string[] {
    return this.items.map(({ text }) => text);
  }

  /** The link's numbers. */
  to(other: LinksNode): MessageLinkStats {
    const found = this.links.stats().peers.find(({ id }) => id === other.id);
    if (found === undefined) throw new Error("there is no link");
    return found;
  }

  send(other: LinksNode, text: string): string {
    const result = this.links.send(other.id, 2, Buffer.from(text));
    if (result === "full") this.links.drop(other.id);
    return result;
  }

  /** Its handler takes its time, with every item or with one. @returns what ends that */
  hold(text?: string): () => void {
    let settle = (): void => undefined;
    this.handler = (item) =>
      text === undefined || item.text === text ? new Promise((resolve) => (settle = resolve)) : undefined;
    return () => {
      this.handler = undefined;
      settle();
    };
  }

  async start(): Promise<this> {
    await this.links.start();
    this.#world.add(this);
    return this;
  }
}

/** Opens a link by an item for services. @returns its protocol; empty if none reaches the node */
export async function linked(links: NodeLinks, id: string, lane: number): Promise<string> {
  if (links.send(id, 4, Buffer.from("open"), lane) !== "sent") return "";
  while (links.protocolOf(id, lane) === "") await new Promise((resolve) => setImmediate(resolve));
  return links.protocolOf(id, lane);
}

/** Once for a file, or a describe, outside of its tests: nobody is there before each of them, and timers are real after it. */
export function linksWorld(): LinksWorld {
  const world = new LinksWorld();
  afterEach(async () => {
    vi.useRealTimers();
    await world.close();
  });
  return world;
}

class LinksWorld {
  readonly nodes = new Map<string, LinksNode>();
  /** Ids that no node has as a member. */
  readonly hidden = new Set<string>();
  /** Those whose details have not come. */
  readonly unknown = new Set<string>();
  readonly started: LinksNode[] = [];
  readonly #lookedUp = new Map<string, () => void>();

  async node(name: string, options: WorldOptions = {}): Promise<LinksNode> {
    const node = new LinksNode(this, name, options);
    this.started.push(node);
    return node.start();
  }

  async pair(a: WorldOptions = {}, b: WorldOptions = {}): Promise<[LinksNode, LinksNode]> {
    return [await this.node("a", a), await this.node("b", b)];
  }

  add(node: LinksNode): void {
    this.nodes.set(node.id, node);
    this.changed(node, "alive");
  }

  /** All others are called. */
  changed(node: LinksNode, state: "alive" | "lost" | "gone"): void {
    for (const each of this.nodes.values()) if (each !== node) each.links.onMember(node.id, state);
  }

  /** Settles when links next look a node up, such as the sender of a hello. */
  lookedUp(node: LinksNode): Promise<void> {
    return new Promise((resolve) => this.#lookedUp.set(node.id, resolve));
  }

  member(id: string): LinkMember | undefined {
    this.#lookedUp.get(id)?.();
    const node = this.nodes.get(id);
    if (node === undefined || this.hidden.has(id)) return undefined;
    const hasDetails = !this.unknown.has(id);
    const advert = hasDetails ? node.advert : undefined;
    return {
      id,
      name: node.name,
      host: "127.0.0.1",
      address: `${id}:1`,
      local: true,
      hasDetails,
      advert,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.started.splice(0).map(({ links }) => links.close(0)));
    for (const each of [this.nodes, this.hidden, this.unknown]) each.clear();
  }
}
