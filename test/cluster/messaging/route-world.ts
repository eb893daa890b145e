/**
 * The lists of many nodes in virtual time: links with latency that are cut one way or both, are full, and lose a session when an end
 * restarts or forgets the other one; a membership that notices all of it late, each node by itself.
 */
import { type MessagingSettings, messagingSettings } from "../../../src/cluster/messaging/options.js";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import type { RouteLimits, RouteStore } from "../../../src/cluster/messaging/route-copies.js";
import { RouteLists } from "../../../src/cluster/messaging/route-lists.js";
import { RouteNode as Routes } from "../../../src/cluster/messaging/route-table.js";
import { randomOf } from "../simulation/world.js";

export interface RouteWorldOptions {
  readonly seed: number;
  /** ms of an item on its way, at least and at most. */
  readonly latency?: readonly [number, number];
  readonly grace?: number;
  readonly settle?: number;
  readonly limits?: RouteLimits;
}

/** The simplest thing that could be right. */
export class SimpleStore implements RouteStore {
  readonly filters = new Map<Routes, Set<string>>();
  #next = 0;

  takeNode(): Routes {
    return new Routes(this.#next++);
  }

  addBytes(bytes: Uint8Array, start: number, end: number, node: Routes): "added" | "known" | "empty" {
    const filter = Buffer.from(bytes.subarray(start, end)).toString();
    if (filter === "") return "empty";
    const set = this.filters.get(node) ?? new Set();
    this.filters.set(node, set);
    if (set.has(filter)) return "known";
    set.add(filter);
    node.routes += 1;
    node.bytes += end - start;
    return "added";
  }

  delete(filter: string, node: Routes): boolean {
    if (this.filters.get(node)?.delete(filter) !== true) return false;
    node.routes -= 1;
    node.bytes -= Buffer.byteLength(filter);
    return true;
  }

  deleteNode(node: Routes): void {
    this.filters.delete(node);
    node.owner = undefined;
  }

  get size(): number {
    return [...this.filters.keys()].reduce((sum, { routes }) => sum + routes, 0);
  }

  get filterBytes(): number {
    return [...this.filters.keys()].reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

class Flight {
  readonly item: Buffer;
  readonly arrival: number;
  done: ((isDelivered: boolean) => void) | undefined = undefined;

  constructor(item: Buffer, arrival: number) {
    this.item = item;
    this.arrival = arrival;
  }

  settle(isDelivered: boolean): void {
    const { done } = this;
    this.done = undefined;
    done?.(isDelivered);
  }
}

/** From one node to another one, in order. */
class Link {
  session = 0;
  /** Not delivered, and delivered but not acknowledged. */
  queue: Flight[] = [];
  unacknowledged = new Set<Flight>();
  last: Flight | undefined = undefined;
  /** Nothing arrives before it. */
  arrival = 0;
  isRunning = false;
  /** Of the receiver; it has forgotten the session. */
  life = 0;
  isForgotten = false;

  /** The sender no longer waits. */
  interrupt(): void {
    for (const each of [...this.queue, ...this.unacknowledged]) each.settle(false);
    this.unacknowledged.clear();
  }

  reset(): void {
    const lost = [...this.queue, ...this.unacknowledged];
    this.queue = [];
    this.unacknowledged.clear();
    this.session += 1;
    this.isForgotten = false;
    for (const each of lost) each.settle(false);
  }
}

export class RouteNode {
  readonly world: RouteWorld;
  readonly index: number;
  readonly id: string;
  life: number;
  up = true;
  rules: RouteLists;
  store = new SimpleStore();
  /** Own filters, as the program has them. */
  filters = new Set<string>();
  sentBytes = 0;
  sentItems = 0;
  stalledUntil = 0;
  scheduled = Number.POSITIVE_INFINITY;
  /** Peers that take nothing now. */
  readonly full = new Set<RouteNode>();
  readonly known = new Map<RouteNode, "alive" | "lost">();
  /** The last seen life of others. */
  readonly lives = new Map<RouteNode, number>();
  readonly peers = new Set<RouteNode>();

  constructor(world: RouteWorld, index: number) {
    this.world = world;
    this.index = index;
    const random = Math.floor(world.random() * 2 ** 32);
    this.id = `${random.toString(16).padStart(8, "0")}${index.toString(16).padStart(24, "0")}`;
    this.life = 1;
    this.rules = this.#rules();
  }

  restart(): void {
    this.life += 1;
    this.up = true;
    this.stalledUntil = 0;
    this.scheduled = Number.POSITIVE_INFINITY;
    this.store = new SimpleStore();
    this.filters = new Set();
    this.known.clear();
    this.lives.clear();
    this.rules = this.#rules();
    for (const other of this.world.nodes) {
      if (other === this) continue;
      this.world.linkOf(this, other).reset();
      this.world.linkOf(other, this).isForgotten = true;
    }
  }

  #rules(): RouteLists {
    const { id, world } = this;
    const { grace, settle, limits } = { ...(messagingSettings() as MessagingSettings), ...world.options };
    return new RouteLists({
      id,
      store: this.store,
      grace,
      settle,
      limits,
      effects: {
        send: (to, item) => world.transmit(this, to, item),
        session: (to) => world.linkOf(this, world.nodeOf(to)).session,
        onDelivered: (to, done) => {
          const { last } = world.linkOf(this, world.nodeOf(to));
          const { rules } = this;
          if (last !== undefined)
            last.done = (isDelivered) => {
              if (this.rules === rules) world.act(this, () => done(world.now, isDelivered));
            };
        },
        changed: () => undefined,
        progressed: () => undefined,
      },
    });
  }

  subscribe(filter: string): number {
    this.filters.add(filter);
    return this.world.act(this, () => this.rules.subscribe(this.world.now, filter));
  }

  unsubscribe(filter: string): void {
    this.filters.delete(filter);
    this.world.act(this, () => this.rules.unsubscribe(this.world.now, filter));
  }

  /** What it has of another's routes. */
  routesOf(other: RouteNode): ReadonlySet<string> {
    const node = this.rules.nodeOf(other.id);
    return (node === undefined ? undefined : this.store.filters.get(node)) ?? new Set();
  }

  /** Whether its copy of another's routes is what that one has, and leads to it. */
  agreesWith(other: RouteNode): boolean {
    return this.rules.nodeOf(other.id)?.owner === other.id && same(this.routesOf(other), other.filters);
  }
}

function same(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const each of a) if (!b.has(each)) return false;
  return true;
}

/** Slots of the wheel, of 1 ms each: a power of two. */
const SLOTS = 8_192;

export class RouteWorld {
  readonly options: RouteWorldOptions;
  readonly random: () => number;
  readonly nodes: RouteNode[] = [];
  now = 0;
  /** Whether nothing gets from the first to the second. */
  blocks: ((from: RouteNode, to: RouteNode) => boolean) | undefined;
  /** Sees each item; what it returns is sent in place of it. */
  rewrite: ((from: RouteNode, to: RouteNode, item: Uint8Array) => Uint8Array | undefined) | undefined;
  items = 0;
  readonly #wheel: (() => void)[][] = Array.from({ length: SLOTS }, () => []);
  readonly #byId = new Map<string, RouteNode>();
  readonly #links = new Map<number, Link>();

  constructor(options: RouteWorldOptions) {
    this.options = options;
    this.random = randomOf(options.seed);
  }

  add(): RouteNode {
    const node = new RouteNode(this, this.nodes.length);
    this.nodes.push(node);
    this.#byId.set(node.id, node);
    this.schedule(node);
    return node;
  }

  /** All see all, at once or over some time. */
  meet(within = 0): void {
    for (const a of this.nodes)
      for (const b of this.nodes)
        if (a !== b) {
          if (within === 0) this.see(a, b, "alive");
          else this.later(this.random() * within, () => this.see(a, b, "alive"));
        }
  }

  /** What the membership of one says of another. */
  see(at: RouteNode, of: RouteNode, state: "alive" | "lost" | "gone"): void {
    if (!at.up || at === of) return;
    const link = this.linkOf(at, of);
    if (state === "gone") {
      at.known.delete(of);
      link.reset();
      this.linkOf(of, at).isForgotten = true;
    } else at.known.set(of, state);
    if (state === "lost") link.interrupt();
    const isRestarted = state === "alive" && (at.lives.get(of) ?? of.life) !== of.life;
    if (state === "alive") at.lives.set(of, of.life);
    this.act(at, () => {
      if (isRestarted) at.rules.onMember(this.now, of.id, "gone");
      at.rules.onMember(this.now, of.id, state);
    });
  }

  act<T>(node: RouteNode, call: () => T): T {
    const result = call();
    this.schedule(node);
    return result;
  }

  later(ms: number, call: () => void): void {
    const at = Math.max(1, Math.min(SLOTS - 1, Math.ceil(ms)));
    (this.#wheel[(this.now + at) & (SLOTS - 1)] as (() => void)[]).push(call);
  }

  schedule(node: RouteNode): void {
    if (!node.up) return;
    const next = Math.max(this.now + 1, Math.ceil(node.rules.nextWakeUp()), node.stalledUntil);
    if (next >= node.scheduled) return;
    node.scheduled = next;
    const { rules } = node;
    this.later(next - this.now, () => {
      if (!node.up || node.rules !== rules || node.scheduled !== next) {
        // One that was too far away for the wheel, or was overtaken.
        if (node.rules === rules && node.scheduled > this.now) return;
        if (node.rules !== rules || !node.up) return;
      }
      node.scheduled = Number.POSITIVE_INFINITY;
      if (this.now >= node.stalledUntil) node.rules.tick(this.now);
      this.schedule(node);
    });
  }

  nodeOf(id: string): RouteNode {
    return this.#byId.get(id) as RouteNode;
  }

  linkOf(from: RouteNode, to: RouteNode): Link {
    const key = from.index * 65_536 + to.index;
    const link = this.#links.get(key) ?? new Link();
    this.#links.set(key, link);
    return link;
  }

  transmit(from: RouteNode, id: string, item: Uint8Array): SendResult {
    const to = this.#byId.get(id);
    if (to === undefined || from.known.get(to) !== "alive") return "unreachable";
    if (from.full.has(to)) return "full";
    from.sentBytes += item.length;
    from.sentItems += 1;
    this.items += 1;
    const link = this.linkOf(from, to);
    link.arrival = Math.max(link.arrival, this.now + this.#latency);
    link.last = new Flight(Buffer.from(this.rewrite?.(from, to, item) ?? item), link.arrival);
    link.queue.push(link.last);
    if (!link.isRunning) this.#pump(from, to, link);
    return "sent";
  }

  get #latency(): number {
    const [least, most] = this.options.latency ?? [1, 5];
    return least + this.random() * (most - least);
  }

  #pump(from: RouteNode, to: RouteNode, link: Link): void {
    const [first] = link.queue;
    link.isRunning = first !== undefined;
    if (first === undefined) return;
    const { life } = from;
    const next = (): void => this.#pump(from, to, link);
    if (first.arrival > this.now) {
      this.later(first.arrival - this.now, next);
      return;
    }
    // What a cut or a pause holds up comes later. A sender that is not a member yet waits at the door.
    const isHeld =
      !to.up || this.blocks?.(from, to) === true || from.known.get(to) !== "alive" || !to.known.has(from);
    if (isHeld || this.now < to.stalledUntil) {
      this.later(isHeld ? 20 : to.stalledUntil - this.now, next);
      return;
    }
    if (link.isForgotten || (link.life !== to.life && link.life > 0)) {
      link.life = to.life;
      link.reset();
      this.act(from, () => from.rules.onRoom(this.now, to.id));
      next();
      return;
    }
    link.life = to.life;
    link.queue.shift();
    link.unacknowledged.add(first);
    this.act(to, () => to.rules.onItem(this.now, from.id, first.item));
    const acknowledge = (): void => {
      if (this.blocks?.(to, from) === true) this.later(20, acknowledge);
      else if (link.unacknowledged.delete(first) && from.life === life) first.settle(true);
    };
    this.later(this.#latency, acknowledge);
    next();
  }

  run(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now += 1;
      const slot = this.#wheel[this.now & (SLOTS - 1)] as (() => void)[];
      if (slot.length === 0) continue;
      this.#wheel[this.now & (SLOTS - 1)] = [];
      for (const call of slot) call();
    }
  }

  /** Runs until something holds. @returns ms that it took; infinity where it does not hold after `most` */
  until(holds: () => boolean, most: number, step = 10): number {
    const start = this.now;
    while (!holds()) {
      if (this.now - start >= most) return Number.POSITIVE_INFINITY;
      this.run(step);
    }
    return this.now - start;
  }

  /** Whether all of them agree with all of them. */
  agree(nodes: readonly RouteNode[] = this.nodes.filter(({ up }) => up)): boolean {
    for (const a of nodes) for (const b of nodes) if (a !== b && !a.agreesWith(b)) return false;
    return true;
  }
}
