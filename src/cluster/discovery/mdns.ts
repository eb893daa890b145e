/**
 * Discovery by multicast DNS and DNS-SD (RFC 6762, 6763): a node publishes itself as a service of the local network, and browses for the
 * others.
 *
 *   _shoal._udp.local   PTR   ID._shoal._udp.local
 *   ID._shoal._udp.local      SRV port, ID.local    TXT group=NAME
 *   ID.local                  A or AAAA
 *
 * Names are ids, so there are no conflicts to probe for. Every interface has a socket of its own, joined once whatever its addresses are, and
 * sends by itself. npm's multicast-dns sends by one interface, and has had no release since 2022.
 */
import type { Socket } from "node:dgram";
import { isIPv4, isIPv6 } from "node:net";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type HostInterface, platformNow } from "../../engine/zmtp/transport/transports.js";
import { bindUdp } from "../../engine/zmtp/transport/udp.js";
import { checkOptions, integer, text } from "../../patterns/kit/options.js";
import { MAX_SEEDS } from "../bounds.js";
import { isLinkLocal, readAddress } from "../net/addresses.js";
import { type DnsMessage, type DnsRecord, DnsType, decodeDns, encodeDns } from "./dns-message.js";
import { AddressFeed, type DiscoverySelf, type DiscoverySource } from "./source.js";

/** The port and the group of multicast DNS. */
const MDNS_PORT = 5_353;
const MDNS_GROUP = "224.0.0.251";
const MDNS_SERVICE = "_shoal._udp";
/** Of packets to the group (RFC 6762, 11). */
const MDNS_HOPS = 255;
/** Seconds that others may remember this node; and at most that this node remembers what others say. */
const MDNS_TTL = 120;
const MAX_MDNS_TTL = 4_500;
/** ms between the first two queries; twice as long each time, up to the longest. */
const FIRST_QUERY = 1_000;
const LONGEST_QUERY = 60_000;
/** ms between two answers, at least, and before one, by chance, so that not all answer at once. */
const ANSWER_INTERVAL = 1_000;
const ANSWER_DELAY = 100;
/** ms between a packet and a look at the records. */
const UPDATE_DELAY = 10;
/** Records that are remembered; a further one is refused, counted. */
const MAX_RECORDS = 4_096;
/** Characters of their names and data together: a thousand nodes have a third of it. A record that would be past it is refused, counted. */
const MAX_RECORD_CHARACTERS = 1_048_576;
/** Known answers of a query: what fits into a datagram. */
const MAX_KNOWN = 16;
/** Names whose addresses are asked for in a query. */
const MAX_ASKED = 8;

/** Options of {@link mdnsSource}. */
export interface MdnsSourceOptions {
  /** Service type, with "_udp" or "_tcp". Default "_shoal._udp". */
  readonly service?: string | undefined;
  /** Name or address of the interface. Default: for a node on the loopback interface that one, else all others. */
  readonly interface?: string | undefined;
  /** UDP port. Default 5,353, which is that of multicast DNS. */
  readonly port?: number | undefined;
}

const OPTIONS = {
  service: text(),
  interface: text(),
  port: integer({ default: MDNS_PORT, max: 65_535 }),
};

/**
 * Nodes of the local network that publish themselves by multicast DNS, as `avahi-browse _shoal._udp` shows them. This node is
 * published too, and taken back when it leaves. Nodes of other clusters are left out by their group.
 *
 * @throws InvalidArgumentError `EINVAL`. The source is down where the port is not shared (`EADDRINUSE`) or no interface has multicast
 */
export function mdnsSource(options: MdnsSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("mdnsSource", OPTIONS, options);
  const { service = MDNS_SERVICE, port } = settings;
  if (!/^_[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?\._(?:udp|tcp)$/i.test(service))
    throw new InvalidArgumentError(
      `service of mdnsSource is a type such as "_shoal._udp"; got ${quoted(service)}`,
    );
  return {
    name: `mdns:${service}`,
    async *discover(self, signal) {
      const feed = new AddressFeed(signal);
      const records = new MdnsRecords(self, `${service.toLowerCase()}.local`);
      const conversation = new Conversation(
        self,
        records,
        interfacesOf(self, settings.interface),
        port,
        feed,
      );
      await conversation.open();
      try {
        yield* feed;
      } finally {
        await conversation.close();
      }
    },
  };
}

/** Each interface once, whatever its addresses are. */
function interfacesOf(self: DiscoverySelf, wanted: string | undefined): HostInterface[] {
  const platform = platformNow();
  const all = platform.interfaces();
  const host = readAddress(self.address)?.host;
  const own = [...all, ...(platform.interfaces6?.() ?? [])].find(({ address }) => address === host);
  const fits = ({ name, address, internal }: HostInterface): boolean => {
    if (wanted !== undefined) return name === wanted || address === wanted;
    return own?.internal === true ? internal : !internal;
  };
  const found = new Map<string, HostInterface>();
  for (const each of all)
    if (fits(each) && isIPv4(each.address) && !found.has(each.name)) found.set(each.name, each);
  if (found.size === 0)
    throw new InvalidArgumentError(
      wanted === undefined
        ? "this machine has no interface with an IPv4 address"
        : `there is no interface ${quoted(wanted)} with an IPv4 address`,
    );
  return [...found.values()];
}

interface Known {
  readonly record: DnsRecord;
  /** When it ends. */
  readonly until: number;
}

/** What this node publishes, and what it knows of others. Pure. */
export class MdnsRecords {
  readonly #self: DiscoverySelf;
  readonly #service: string;
  readonly #instance: string;
  readonly #host: string;
  /** By name, type and data. */
  readonly #known = new Map<string, Known>();
  /** Characters of their keys. */
  #characters = 0;
  /** Names of hosts that services are at. */
  readonly #targets = new Set<string>();

  constructor(self: DiscoverySelf, service: string) {
    this.#self = self;
    this.#service = service;
    this.#host = `${self.id}.local`;
    this.#instance = `${self.id}.${service}`;
  }

  /** What this node says of itself. @param ttl 0: it leaves */
  announcement(ttl = MDNS_TTL): DnsMessage {
    const { host = "", port = 0 } = readAddress(this.#self.address) ?? {};
    const ip = host.replace(/^\[|\]$/g, "");
    const address = isIPv4(ip) || isIPv6(ip);
    return {
      isResponse: true,
      questions: [],
      answers: [{ name: this.#service, type: DnsType.PTR, ttl, data: this.#instance }],
      additionals: [
        { name: this.#instance, type: DnsType.SRV, ttl, data: this.#host, port },
        { name: this.#instance, type: DnsType.TXT, ttl, data: `group=${this.#self.group}` },
        ...(address
          ? [{ name: this.#host, type: isIPv4(ip) ? DnsType.A : DnsType.AAAA, ttl, data: ip }]
          : []),
      ],
    };
  }

  /** Asks who is there, and for what is missing of those that are known. */
  query(now: number): DnsMessage {
    this.#expire(now);
    const pointers: Known[] = [];
    const targets: string[] = [];
    const services = new Set<string>();
    const hosts = new Set<string>();
    for (const known of this.#known.values()) {
      const { name, type, data } = known.record;
      if (type === DnsType.PTR) pointers.push(known);
      else if (type === DnsType.SRV) {
        services.add(name);
        targets.push(data);
      } else if (type !== DnsType.TXT) hosts.add(name);
    }
    const missing = [
      ...pointers.map(({ record }) => record.data).filter((name) => !services.has(name)),
      ...targets.filter((name) => !hosts.has(name)),
    ];
    return {
      isResponse: false,
      questions: [
        { name: this.#service, type: DnsType.PTR },
        ...missing.slice(0, MAX_ASKED).map((name) => ({ name, type: DnsType.ANY })),
      ],
      // Those need not answer (RFC 6762, 7.1).
      answers: pointers
        .filter(({ record, until }) => until - now > record.ttl * 500)
        .slice(0, MAX_KNOWN)
        .map(({ record, until }) => ({ ...record, ttl: Math.floor((until - now) / 1_000) })),
      additionals: [],
    };
  }

  /** Whether this node has to answer a query. */
  isAsked({ questions, answers }: DnsMessage): boolean {
    const isKnown = answers.some(
      ({ name, data, ttl }) => name === this.#service && data === this.#instance && ttl >= MDNS_TTL / 2,
    );
    return questions.some(({ name, type }) => {
      if (name === this.#service) return !isKnown && (type === DnsType.PTR || type === DnsType.ANY);
      return name === this.#instance || name === this.#host;
    });
  }

  /** A response. @returns how many records were refused, since there are too many */
  onResponse(now: number, { answers, additionals }: DnsMessage): number {
    let refused = 0;
    const all = [...answers, ...additionals];
    // Addresses last: they are of interest where a service is at their name.
    for (const record of all)
      if (!isAddress(record) && this.#isOfService(record)) refused += this.#add(now, record);
    for (const record of all)
      if (isAddress(record) && this.#targets.has(record.name)) refused += this.#add(now, record);
    return refused;
  }

  #add(now: number, record: DnsRecord): 0 | 1 {
    const key = `${record.type} ${record.name} ${record.data} ${record.port ?? ""}`;
    if (record.ttl === 0) {
      this.#forget(key);
      return 0;
    }
    if (!this.#known.has(key)) {
      if (this.#known.size >= MAX_RECORDS || this.#characters + key.length > MAX_RECORD_CHARACTERS) return 1;
      this.#characters += key.length;
    }
    const ttl = Math.min(record.ttl, MAX_MDNS_TTL);
    this.#known.set(key, { record: { ...record, ttl }, until: now + ttl * 1_000 });
    if (record.type === DnsType.SRV) this.#targets.add(record.data);
    return 0;
  }

  #forget(key: string): void {
    if (this.#known.delete(key)) this.#characters -= key.length;
  }

  /** Where the nodes of this cluster are. */
  addresses(now: number): string[] {
    this.#expire(now);
    const byName = new Map<string, DnsRecord[]>();
    const instances: string[] = [];
    for (const { record } of this.#known.values()) {
      if (record.type === DnsType.PTR) instances.push(record.data);
      else {
        const named = byName.get(record.name);
        if (named === undefined) byName.set(record.name, [record]);
        else named.push(record);
      }
    }
    const addresses = new Set<string>();
    for (const instance of instances) {
      const records = byName.get(instance) ?? [];
      if (instance === this.#instance || !this.#isOfGroup(records)) continue;
      for (const { type, data: target, port } of records) {
        if (type !== DnsType.SRV) continue;
        for (const at of byName.get(target) ?? [])
          if (isAddress(at))
            addresses.add(at.type === DnsType.A ? `${at.data}:${port}` : `[${at.data}]:${port}`);
        if (addresses.size >= MAX_SEEDS) return [...addresses];
      }
    }
    return [...addresses];
  }

  /** When the next record ends. */
  nextExpiry(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { until } of this.#known.values()) least = Math.min(least, until);
    return least;
  }

  /** A service without a group is one of any cluster: another program may publish nodes. */
  #isOfGroup(records: readonly DnsRecord[]): boolean {
    const groups = records
      .filter(({ type }) => type === DnsType.TXT)
      .flatMap(({ data }) => data.split("\n"))
      .filter((line) => line.startsWith("group="));
    return groups.length === 0 || groups.includes(`group=${this.#self.group}`);
  }

  #isOfService({ name, type, data }: DnsRecord): boolean {
    if (type === DnsType.PTR) return name === this.#service && data.endsWith(`.${this.#service}`);
    return (type === DnsType.SRV || type === DnsType.TXT) && name.endsWith(`.${this.#service}`);
  }

  #expire(now: number): void {
    for (const [key, { until }] of this.#known) if (until <= now) this.#forget(key);
    this.#targets.clear();
    for (const { record } of this.#known.values())
      if (record.type === DnsType.SRV) this.#targets.add(record.data);
  }
}

/** A link-local address of IPv6 is of no use without its interface, which a record does not say. */
function isAddress({ type, data }: DnsRecord): boolean {
  return type === DnsType.A || (type === DnsType.AAAA && !isLinkLocal(data));
}

/** The sockets and the timers of a source. */
class Conversation {
  readonly #self: DiscoverySelf;
  readonly #records: MdnsRecords;
  readonly #interfaces: readonly HostInterface[];
  readonly #port: number;
  readonly #feed: AddressFeed;
  readonly #sockets: Socket[] = [];
  #list = "";
  #queryAfter = FIRST_QUERY;
  #querying: NodeJS.Timeout | undefined;
  #answering: NodeJS.Timeout | undefined;
  #expiring: NodeJS.Timeout | undefined;
  #updating: NodeJS.Timeout | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(
    self: DiscoverySelf,
    records: MdnsRecords,
    interfaces: readonly HostInterface[],
    port: number,
    feed: AddressFeed,
  ) {
    this.#self = self;
    this.#records = records;
    this.#interfaces = interfaces;
    this.#port = port;
    this.#feed = feed;
  }

  /** @throws TransportError `EADDRINUSE`, and the system's others where no interface can be used */
  async open(): Promise<void> {
    let failure: unknown;
    for (const { address } of this.#interfaces) {
      let socket: Socket | undefined;
      try {
        socket = await bindUdp({ port: this.#port }, true);
        socket.on("error", () => this.#self.count?.("mdns:failed"));
        socket.on("message", (bytes, from) => this.#onMessage(bytes, from.port));
        socket.addMembership(MDNS_GROUP, address);
        socket.setMulticastInterface(address);
        socket.setMulticastTTL(MDNS_HOPS);
        socket.setMulticastLoopback(true);
        this.#sockets.push(socket);
      } catch (error) {
        failure = error; // An interface without multicast: outside of the group its socket would hear nobody.
        socket?.close();
      }
    }
    if (failure !== undefined && this.#sockets.length === 0) throw failure;
    this.#feed.set([]);
    this.#answer();
    this.#query();
    // RFC 6762, 8.3: twice, a second apart.
    this.#answerSoon(ANSWER_INTERVAL);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#querying);
    clearTimeout(this.#answering);
    clearTimeout(this.#expiring);
    clearTimeout(this.#updating);
    await this.#send(this.#records.announcement(0));
    await Promise.all(
      this.#sockets.map((socket) => new Promise<void>((resolve) => void socket.close(() => resolve()))),
    );
  }

  #onMessage(bytes: Buffer, port: number): void {
    // While it takes itself back: a timer that began now would outlive it.
    if (this.#closed) return;
    const message = decodeDns(bytes);
    if (message === undefined) {
      this.#self.count?.("mdns:junk");
      return;
    }
    if (!message.isResponse) {
      if (this.#records.isAsked(message)) this.#answerSoon(ANSWER_DELAY * Math.random());
      return;
    }
    // A response from another port is not of multicast DNS (RFC 6762, 6).
    if (port !== this.#port) {
      this.#self.count?.("mdns:junk");
      return;
    }
    const refused = this.#records.onResponse(performance.now(), message);
    if (refused > 0) this.#self.count?.("mdns:full");
    // Many packets are one look at the records.
    this.#updating ??= setTimeout(() => this.#update(), UPDATE_DELAY);
  }

  #update(): void {
    this.#updating = undefined;
    const now = performance.now();
    const addresses = this.#records.addresses(now);
    const list = [...addresses].sort().join();
    if (list !== this.#list) {
      this.#list = list;
      this.#feed.set(addresses);
    }
    clearTimeout(this.#expiring);
    const next = this.#records.nextExpiry();
    if (Number.isFinite(next))
      this.#expiring = setTimeout(() => this.#update(), Math.max(1_000, next - now + 1));
  }

  #query(): void {
    void this.#send(this.#records.query(performance.now()));
    this.#querying = setTimeout(() => this.#query(), this.#queryAfter * (1 + Math.random() / 4));
    this.#queryAfter = Math.min(this.#queryAfter * 2, LONGEST_QUERY);
  }

  #answerSoon(ms: number): void {
    if (this.#answering !== undefined) return;
    const wait = Math.max(ms, this.#answeredAt + ANSWER_INTERVAL - performance.now());
    this.#answering = setTimeout(() => {
      this.#answering = undefined;
      this.#answer();
    }, wait);
  }

  #answer(): void {
    this.#answeredAt = performance.now();
    void this.#send(this.#records.announcement());
  }

  async #send(message: DnsMessage): Promise<void> {
    const bytes = encodeDns(message);
    await Promise.all(
      this.#sockets.map(
        (socket) =>
          new Promise<void>((resolve) => {
            socket.send(bytes, this.#port, MDNS_GROUP, (error) => {
              if (error !== null) this.#self.count?.("mdns:failed");
              resolve();
            });
          }),
      ),
    );
  }
}
