/**
 * A network in virtual time for the rules of a cluster: latency, loss, duplication, reordering, cuts, one-way cuts,
 * stalls, crashes with and without memory, wrong clocks; a thousand nodes for a day in minutes.
 *
 * Time advances in steps of 1 ms on a timer wheel, so an event costs a few pushes. A packet is encoded only on request.
 */
import { MAX_PACKET, MAX_STREAM_PACKET } from "../../../src/cluster/bounds.js";
import { namespaceNumber } from "../../../src/cluster/identity.js";
import type { ClusterChange, MembershipEffects } from "../../../src/cluster/membership/context.js";
import { type Member, MemberState } from "../../../src/cluster/membership/members.js";
import { Membership } from "../../../src/cluster/membership/membership.js";
import { PROFILES, type Profile } from "../../../src/cluster/profiles.js";
import { bodySize, decodePacket, encodePacket } from "../../../src/cluster/wire/codec.js";
import type { Packet } from "../../../src/cluster/wire/packets.js";
import { SEAL_OVERHEAD } from "../../../src/cluster/wire/seal.js";

export interface WorldOptions {
  readonly seed: number;
  readonly profile?: Profile;
  /** Minimum and maximum latency of a packet, ms. */
  readonly latency?: readonly [number, number];
  /** For datagrams. */
  readonly loss?: number;
  readonly duplication?: number;
  /** Number of the first nodes that each node dials. Default 3. */
  readonly seeds?: number;
  /** Whether packets are encoded, which is slower and tests the codec. */
  readonly encodes?: boolean;
  /** Replaces the bytes that a node sends, if packets are encoded; `undefined`: unchanged. */
  readonly rewrite?: (from: SimulatedNode, packet: Packet, bytes: Buffer) => Buffer | undefined;
  readonly counts?: boolean;
}

type Way = "datagram" | "stream" | "group";

/** A power of two. */
const SLOTS = 2_048;
const NAMESPACE = namespaceNumber("simulated");
/** Initial wall clock. */
const WALL = 1_800_000_000_000;
/** Datagrams in the socket of a stalled process. */
const MAX_INBOX = 2_000;

/** A seeded xorshift generator. */
export function randomOf(seed: number): () => number {
  let state = (seed ^ 0x9e37_79b9) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

export class SimulatedNode implements MembershipEffects {
  readonly address: string;
  rules: Membership;
  up = true;
  /** Its side of a cut. */
  side = 0;
  stalledUntil = 0;
  /** Whether its host sleeps while it is stalled, so that packets are lost. */
  deaf = false;
  /** Monotonic clock: rate relative to the world, and jumps. */
  rate = 1;
  jumped = 0;
  /** Step of its wake-up in the wheel. */
  scheduled = Number.POSITIVE_INFINITY;
  /** Time of its last stall. */
  stalledAt = Number.NEGATIVE_INFINITY;
  inbox: unknown[] = [];
  sentBytes = 0;
  streamBytes = 0;

  constructor(
    readonly world: World,
    readonly index: number,
    public id: string,
    public name: string,
    rules: (node: SimulatedNode) => Membership,
  ) {
    this.address = `n${index}`;
    this.rules = rules(this);
  }

  /** Time of its rules. */
  get now(): number {
    return this.world.now * this.rate + this.jumped;
  }

  send(address: string, packet: Packet, overStream: boolean): void {
    this.world.transmit(this, address, packet, overStream);
  }

  multicast(packet: Packet): void {
    this.world.multicast(this, packet);
  }

  event(change: ClusterChange): void {
    this.world.note(this, change);
  }
}

export class World {
  readonly nodes: SimulatedNode[] = [];
  readonly random: () => number;
  now = 0;
  loss: number;
  /** Whether a packet between two nodes is dropped, in addition to sides. */
  blocks: ((from: SimulatedNode, to: SimulatedNode) => boolean) | undefined;
  /** Whether multicast arrives in spite of `blocks`, as with a filter of unicast datagrams. */
  opensGroup = false;
  onChange: ((node: SimulatedNode, change: ClusterChange) => void) | undefined;
  events = 0;
  falseDeaths = 0;
  readonly #options: WorldOptions;
  readonly #wheel: unknown[][] = Array.from({ length: SLOTS }, () => []);
  readonly #byAddress = new Map<string, SimulatedNode>();
  readonly #group = new Set<SimulatedNode>();
  #isCut = false;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = randomOf(options.seed);
    this.loss = options.loss ?? 0;
  }

  get profile(): Profile {
    return this.#options.profile ?? PROFILES.lan;
  }

  /** @param options `wall`: error of its clock in ms; `name`: to use another node's */
  add({
    wall = 0,
    name,
    multicast = false,
  }: {
    wall?: number;
    name?: string;
    multicast?: boolean;
  } = {}): SimulatedNode {
    const index = this.nodes.length;
    const id = this.#newId();
    const node = new SimulatedNode(this, index, id, name ?? `node-${index}@host`, (self) =>
      this.#rules(self, wall),
    );
    this.nodes.push(node);
    this.#byAddress.set(node.address, node);
    if (multicast) this.#group.add(node);
    this.schedule(node);
    return node;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.join(this.add());
  }

  join(node: SimulatedNode): void {
    node.rules.setSeeds(
      node.now,
      Array.from({ length: this.#options.seeds ?? 3 }, (_, i) => `n${i}`).filter(
        (seed) => seed !== node.address,
      ),
    );
    this.schedule(node);
  }

  /** Calls a node's rules, as a driver does. */
  act(node: SimulatedNode, call: (rules: Membership, now: number) => void): void {
    call(node.rules, node.now);
    this.schedule(node);
  }

  crash(node: SimulatedNode): void {
    node.up = false;
    node.inbox = [];
  }

  /** @param wall error of its clock @param keepsId whether it keeps its id @param joins whether it has seeds */
  restart(node: SimulatedNode, wall = 0, keepsId = true, name = node.name, joins = true): void {
    if (!keepsId) node.id = this.#newId();
    node.name = name;
    node.up = true;
    node.stalledUntil = 0;
    node.scheduled = Number.POSITIVE_INFINITY;
    node.rules = this.#rules(node, wall);
    if (joins) this.join(node);
    else this.schedule(node);
  }

  /** Separates nodes into sides that cannot reach each other. */
  cut(side: (node: SimulatedNode) => number): void {
    for (const node of this.nodes) node.side = side(node);
    this.#isCut = true;
  }

  heal(): void {
    this.#isCut = false;
    this.blocks = undefined;
  }

  stall(node: SimulatedNode, ms: number): void {
    node.stalledUntil = this.now + ms;
    node.stalledAt = node.stalledUntil;
    node.scheduled = Number.POSITIVE_INFINITY;
    this.schedule(node);
  }

  /** Suspends the host: nothing is received, and its clock continues. */
  suspend(node: SimulatedNode, ms: number): void {
    node.deaf = true;
    this.stall(node, ms);
  }

  /** Advances the monotonic clock, as some do after a suspend, and changes its rate. */
  changeClock(node: SimulatedNode, ahead: number, rate: number): void {
    const { now } = node;
    node.rate = rate;
    node.jumped = now + ahead - this.now * rate;
    node.scheduled = Number.POSITIVE_INFINITY;
    this.schedule(node);
  }

  run(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now += 1;
      this.#turn();
    }
  }

  /** @returns elapsed ms until the condition holds; -1 if it does not within `most` ms */
  runUntil(holds: () => boolean, most: number, step = 10): number {
    const start = this.now;
    while (!holds()) {
      if (this.now - start >= most) return -1;
      this.run(step);
    }
    return this.now - start;
  }

  /** Whether all running nodes see exactly those of their side. */
  agree(nodes: readonly SimulatedNode[] = this.nodes.filter((node) => node.up)): boolean {
    const first = nodes[0];
    if (first === undefined) return true;
    for (const node of nodes) {
      if (node.rules.size !== nodes.length || node.rules.digest !== first.rules.digest) return false;
    }
    return true;
  }

  reaches(from: SimulatedNode, to: SimulatedNode): boolean {
    return this.#passes(from, to, "datagram");
  }

  #passes(from: SimulatedNode, to: SimulatedNode, way: Way): boolean {
    if (this.#isCut && from.side !== to.side) return false;
    if (way === "group" && this.opensGroup) return true;
    return this.blocks === undefined || !this.blocks(from, to);
  }

  note(node: SimulatedNode, change: ClusterChange): void {
    if (change.type === "lost") {
      const lost = this.#byAddress.get(change.member.address);
      if (lost?.up && lost.id === change.member.id && this.isSound(lost) && this.reaches(node, lost))
        this.falseDeaths += 1;
    }
    this.onChange?.(node, change);
  }

  /** Whether it was not stalled lately. */
  isSound(node: SimulatedNode): boolean {
    return this.now > node.stalledUntil + 2_000 || node.stalledAt === Number.NEGATIVE_INFINITY;
  }

  transmit(from: SimulatedNode, address: string, packet: Packet, overStream: boolean): void {
    const to = this.#byAddress.get(address);
    if (to !== undefined) this.#send(from, to, packet, overStream ? "stream" : "datagram");
    else if (this.#options.counts === true) this.#count(from, packet, overStream);
  }

  #send(from: SimulatedNode, to: SimulatedNode, packet: Packet, way: Way): void {
    const overStream = way === "stream";
    if (this.#options.counts === true) this.#count(from, packet, overStream);
    if (!this.#passes(from, to, way)) return;
    if (!to.up) {
      // The process is gone but its host is up, so streams are refused.
      if (overStream) this.#push(this.now + 2 * this.#delay(), from, null, to, way);
      return;
    }
    const { duplication = 0, encodes = false } = this.#options;
    if (!overStream && this.loss > 0 && this.random() < this.loss) return;
    const sent = encodes ? this.#throughBytes(from, packet, overStream) : packet;
    const delay = this.#delay();
    this.#push(this.now + (overStream ? 3 * delay : delay), to, sent, from, way);
    if (!overStream && duplication > 0 && this.random() < duplication)
      this.#push(this.now + 2 * this.#delay(), to, sent, from, way);
  }

  multicast(from: SimulatedNode, packet: Packet): void {
    if (!this.#group.has(from)) return;
    for (const to of this.#group) if (to !== from) this.#send(from, to, packet, "group");
  }

  schedule(node: SimulatedNode): void {
    const due = Math.ceil((node.rules.nextWakeUp() - node.jumped) / node.rate);
    const wake = Math.max(due, this.now + 1, node.stalledUntil);
    if (wake >= node.scheduled) return;
    // Later wake-ups are scheduled again on the way.
    const at = Math.min(wake, this.now + SLOTS - 1);
    node.scheduled = at;
    this.#push(at, node, null, null, "datagram");
  }

  #turn(): void {
    const slot = this.#wheel[this.now & (SLOTS - 1)] as unknown[];
    // Entries pushed meanwhile belong to a later turn.
    for (let i = 0; i < slot.length; i += 4) {
      const node = slot[i] as SimulatedNode;
      if (!node.up) continue;
      this.events += 1;
      const packet = slot[i + 1] as Packet | null;
      const from = slot[i + 2] as SimulatedNode | null;
      if (packet !== null && from !== null) this.#arrive(node, packet, from, slot[i + 3] as Way);
      else if (from !== null) node.rules.onEvidence(node.now, from.address);
      else this.#wake(node);
      this.schedule(node);
    }
    slot.length = 0;
  }

  #arrive(node: SimulatedNode, packet: Packet, from: SimulatedNode, way: Way): void {
    if (node.stalledUntil > this.now) {
      if (!node.deaf && node.inbox.length < 3 * MAX_INBOX) node.inbox.push(packet, from, way);
      return;
    }
    // A cut also drops packets in flight.
    if (this.#passes(from, node, way)) this.#hand(node, packet, from, way);
  }

  #hand(node: SimulatedNode, packet: Packet, from: SimulatedNode, way: Way): void {
    if (way === "group") node.rules.onGroupPacket(node.now, packet, from.address);
    else node.rules.onPacket(node.now, packet, from.address, way === "stream");
  }

  #wake(node: SimulatedNode): void {
    if (this.now >= node.scheduled) node.scheduled = Number.POSITIVE_INFINITY;
    if (node.stalledUntil > this.now) return;
    node.deaf = false;
    const { inbox, now } = node;
    if (inbox.length > 0) {
      node.inbox = [];
      for (let i = 0; i < inbox.length; i += 3)
        this.#hand(node, inbox[i] as Packet, inbox[i + 1] as SimulatedNode, inbox[i + 2] as Way);
    }
    if (node.rules.nextWakeUp() <= now) node.rules.tick(now);
  }

  #push(at: number, node: SimulatedNode, packet: Packet | null, from: SimulatedNode | null, way: Way): void {
    // A stall may last longer than a turn of the wheel.
    const step = Math.min(at, this.now + SLOTS - 1);
    const slot = this.#wheel[step & (SLOTS - 1)] as unknown[];
    slot.push(node, packet, from, way);
  }

  #delay(): number {
    const [least, most] = this.#options.latency ?? [1, 5];
    return least + Math.floor(this.random() * (most - least + 1));
  }

  #count(from: SimulatedNode, packet: Packet, overStream: boolean): void {
    let size = SEAL_OVERHEAD + bodySize(packet.type) + packet.address.length;
    for (const update of packet.updates) size += update.size;
    if (overStream) from.streamBytes += size;
    else {
      if (size > MAX_PACKET) throw new Error(`a packet of type ${packet.type} has ${size} bytes`);
      from.sentBytes += size;
    }
  }

  #throughBytes(from: SimulatedNode, packet: Packet, overStream: boolean): Packet {
    const most = overStream ? MAX_STREAM_PACKET : MAX_PACKET;
    const bytes = encodePacket(packet, NAMESPACE);
    const read = decodePacket(this.#options.rewrite?.(from, packet, bytes) ?? bytes, NAMESPACE, most);
    if (typeof read === "string") throw new Error(`a packet of type ${packet.type} is junk: ${read}`);
    return read;
  }

  #newId(): string {
    let id = "";
    for (let i = 0; i < 4; i++)
      id += Math.floor(this.random() * 4_294_967_296)
        .toString(16)
        .padStart(8, "0");
    return id;
  }

  #rules(node: SimulatedNode, wall: number): Membership {
    return new Membership({
      self: {
        id: node.id,
        name: node.name,
        address: node.address,
        start: Math.floor(WALL + this.now + wall),
      },
      profile: this.profile,
      random: this.random,
      effects: node,
      now: node.now,
    });
  }
}

type N = SimulatedNode;
/** Of a world with as many nodes, or more. */
export type Nodes = [N, N, N, N, N, N];

/** State of a node in the view of another. */
export function stateOf(at: SimulatedNode, of: SimulatedNode): "live" | "dead" | "none" {
  const member: Member | undefined = at.rules.get(of.id);
  if (member === undefined) return "none";
  return member.state === MemberState.DEAD || member.state === MemberState.LEFT ? "dead" : "live";
}
