/** Services in one process, with links in memory: in order for each pair, acknowledged, with marks that a test sets. */

import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import type {
  ServiceLinks,
  ServicesEvent,
  ServicesOptions,
} from "../../../src/cluster/messaging/service-types.js";
import { Services } from "../../../src/cluster/messaging/services.js";
import type { Member } from "../../../src/cluster/node/member.js";
import { CompiledResolver, type ResolverStep } from "../../../src/cluster/resolver.js";

let made = 0;

function createService(name: string, tags: readonly string[] = [], host = "here"): Member {
  made += 1;
  return {
    id: made.toString(16).padStart(8, "0").padEnd(32, "0"),
    name: `${name}@${host}`,
    host,
    state: "alive",
    addresses: [],
    endpoints: {},
    tags,
    props: {},
    local: host === "here",
    incarnation: { start: 1, count: 0 },
    lastSeen: 0,
    isDraining: false,
    yields: false,
  };
}

export class SimulatedService {
  readonly world: ServiceWorld;
  readonly service: Member;
  readonly services: Services;
  readonly events: ServicesEvent[] = [];
  /** Ids of those whose links are full, or that are out of reach. */
  readonly full = new Set<string>();
  readonly unreachable = new Set<string>();
  /** Items that went out, by recipient. */
  readonly sent: { readonly to: string; readonly item: Buffer }[] = [];
  /** Ids of those that are no members here yet. */
  readonly unknown = new Set<string>();
  /** Ids of those that are lost here, and may come back. */
  readonly lost = new Set<string>();
  /** How the links of this service go, unless `links` has another protocol; "": they are cold, and stay so. */
  protocol = "tcp";
  /** How its link to a recipient goes; "": it is cold, and is made by the first of `ways` when something is sent. */
  readonly links = new Map<string, string>();
  /** By which its links are made, by priority. */
  ways: readonly string[] = ["tcp"];
  /** Bytes of a datagram. */
  room = 1_200;
  /** Datagrams to the group. */
  multicasts = 0;
  /** The protocols that messages named, by lane; the main link has any. */
  readonly #lists: (readonly string[] | undefined)[] = [undefined];
  /** Ids of services whose details have not come here. */
  readonly #withoutDetails = new Set<string>();
  /** Of the link to each recipient. */
  readonly #last = new Map<string, Promise<void>>();

  constructor(world: ServiceWorld, service: Member, options: ServicesOptions) {
    this.world = world;
    this.service = service;
    const links: ServiceLinks = {
      send: (to, _, item, lane = 0) => this.#send(to, Buffer.from(item), lane),
      drop: () => undefined,
      room: () => new Promise(() => undefined),
      laneOf: (names) => {
        const list = names.filter((name) => name !== "udp");
        return list.length === 0 ? -1 : this.#lists.push(list) - 1;
      },
      protocolOf: (id, lane = 0) => this.#named(this.protocolTo(id), lane),
      protocolFor: (id, lane) => this.#protocolFor(id, lane),
    };
    this.services = new Services(
      {
        id: service.id,
        self: () => service,
        find: (nameOrId) =>
          this.#all().find(({ id, name }) => [id, name, name.split("@")[0]].includes(nameOrId)),
        resolve: (steps) => resolveServices(this.#all(), service, steps),
        others: () => this.#all().filter((each) => each !== service),
        links,
        sender: (id) => (this.lost.has(id) ? world.services() : this.#all()).find((each) => each.id === id),
        isKnown: (id) => !this.#withoutDetails.has(id),
        report: (event) => void this.events.push(event),
        group: {
          room: () => this.room,
          send: (data) => {
            this.multicasts += 1;
            for (const other of this.world.services())
              if (other !== service) this.#datagram(other.id, Buffer.from(data));
          },
        },
      },
      options,
    );
  }

  /** A service has no details here: no tags. @returns they come */
  hideDetails({ id }: Member): () => void {
    this.#withoutDetails.add(id);
    return () => void this.#withoutDetails.delete(id);
  }

  protocolTo(id: string): string {
    return this.links.get(id) ?? this.protocol;
  }

  /** The protocol, if messages of a lane may go by it; else "". */
  #named(protocol: string, lane: number): string {
    return this.#lists[lane]?.includes(protocol) === false ? "" : protocol;
  }

  #protocolFor(to: string, lane: number): string {
    return this.#named(this.protocolTo(to), lane) || this.#wayTo(lane);
  }

  #wayTo(lane: number): string {
    return this.ways.find((each) => this.#named(each, lane) !== "") ?? "";
  }

  #all(): Member[] {
    return this.world
      .services()
      .filter(({ id }) => !this.unknown.has(id))
      .map((each) => (this.#withoutDetails.has(each.id) ? { ...each, tags: [] } : each));
  }

  #datagram(to: string, data: Buffer): void {
    for (let i = this.world.copies(this.service, to); i > 0; i--)
      setImmediate(() => this.world.get(to)?.services.receiver.onDatagram(this.service.id, data));
  }

  #send(to: string, item: Buffer, lane: number): SendResult {
    if (this.full.has(to)) return "full";
    const peer = this.world.get(to);
    const isReached = lane === 0 || this.#protocolFor(to, lane) !== "";
    if (peer === undefined || this.unreachable.has(to) || !isReached) return "unreachable";
    this.sent.push({ to, item });
    if (this.links.get(to) === "") this.links.set(to, this.#wayTo(lane));
    const before = this.#last.get(to) ?? Promise.resolve();
    const next = before
      .then(() => this.world.deliver(this, peer))
      .then(() =>
        this.world.get(to) === peer
          ? peer.services.receiver.onBytes(this.service.id, item, this.protocolTo(to) || "tcp")
          : undefined,
      );
    this.#last.set(to, next);
    return "sent";
  }
}

/** As the node's resolver has it, with services for members. */
function resolveServices(
  services: readonly Member[],
  self: Member,
  steps: readonly ResolverStep[],
): Member[] {
  const members = services.map((service) => ({
    id: service.id,
    name: service.name,
    draining: false,
    yields: false,
    details: { tags: service.tags, endpoints: [] },
    service,
  }));
  const own = members.find(({ id }) => id === self.id) as (typeof members)[number];
  return new CompiledResolver(steps).select(members, own).map(({ service }) => service);
}

export class ServiceWorld {
  readonly #live = new Map<string, SimulatedService>();
  /** How often a datagram arrives. */
  copies: (from: Member, to: string) => number = () => 1;
  /** What each item waits for before it arrives. */
  deliver: (from: SimulatedService, to: SimulatedService) => Promise<void> | undefined = () => undefined;

  add(
    name: string,
    tags: readonly string[] = [],
    options: ServicesOptions = {},
    host?: string,
  ): SimulatedService {
    const service = createService(name, tags, host);
    const simulated = new SimulatedService(this, service, options);
    for (const other of this.#live.values()) {
      other.services.onMember("discovered", service);
      simulated.services.onMember("discovered", other.service);
    }
    this.#live.set(service.id, simulated);
    return simulated;
  }

  get(id: string): SimulatedService | undefined {
    return this.#live.get(id);
  }

  services(): Member[] {
    return [...this.#live.values()].map(({ service }) => service);
  }

  /** It is gone, and all the others know. */
  kill({ service }: SimulatedService): void {
    this.#live.delete(service.id);
    for (const other of this.#live.values()) other.services.onMember("lost", service);
  }
}

/** A service in a world of its own. */
export function oneService(options: ServicesOptions = {}) {
  const world = new ServiceWorld();
  return { world, a: world.add("a", [], options) };
}

/** Two of them. */
export function twoServices(options: ServicesOptions = {}) {
  const { world, a } = oneService(options);
  return { world, a, b: world.add("b", [], options) };
}

/** Lets everything arrive that is under way. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
}
