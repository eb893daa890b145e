/**
 * Nodes in a discovery server's list. Each node with a server describes itself by a prop in its details' 1,000 bytes
 * (docs/spec/discovery.md):
 *
 *   prop "shoal-discovery"   {"t":PORT,"p":PORT,"s":PORT,"a":[[IP,PREFIX,INTERFACE,PUBLIC IP],…]}
 *
 * `t` is the discovery server, `l` the same over TLS; `p` and `s` are the clients' ports. Above 400 bytes the last
 * addresses are omitted. A client gets the addresses that suit its own.
 */
import { type BlockList, isIP, SocketAddress } from "node:net";
import { isLoopback } from "../../core/http-server.js";
import { MAX_ADVERT } from "../bounds.js";
import { isWithinReach } from "../details.js";
import { joinAddress, readAddress } from "../net/addresses.js";
import type { Member } from "../node/member.js";
import {
  type AddressScope,
  addressesFor,
  checkAddresses,
  type HostAddress,
  hostFor,
  isPort,
  isPrivate,
  networkOf,
  type SeenAddress,
} from "./addresses.js";

export const DISCOVERY_PROP = "shoal-discovery";
/** Per node. */
const MAX_ADDRESSES = 16;

/** Port 0: no server. */
interface NodeDescription {
  readonly discoveryPort: number;
  /** Whether it is `tls://`. */
  readonly discoveryTls: boolean;
  readonly port: number;
  readonly securePort: number;
  readonly addresses: readonly HostAddress[];
}

/** An address of a node that suits the client. */
export interface DiscoveredAddress {
  /** IPv4 or IPv6, without brackets. */
  readonly ip: string;
  /** Name of its network interface; "": unknown. */
  readonly interface: string;
  /** The server's option `port`, if given. */
  readonly port?: number;
  /** The server's option `securePort`, if given. */
  readonly securePort?: number;
}

/** Node in a discovery server's list. */
export interface DiscoveredNode {
  /** 32 hexadecimal digits, new with each start. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** Best for the client first. */
  readonly addresses: readonly DiscoveredAddress[];
  /** Endpoints of its discovery server, best first; or none. */
  readonly discovery: readonly string[];
  /** What the node advertises, by name: endpoints that this client can reach. */
  readonly endpoints: Readonly<Record<string, readonly string[]>>;
  readonly tags: readonly string[];
  /** It accepts no new work. */
  readonly draining: boolean;
}

/** `local`: it runs on the answering server's host. */
export type DescribedMember = Pick<
  Member,
  "id" | "name" | "tags" | "props" | "endpoints" | "local" | "isDraining"
>;

/** @returns the prop, and the number of omitted addresses */
export function encodeDescription(
  description: NodeDescription,
  most: number = MAX_ADVERT,
): { readonly text: string; readonly left: number } {
  const { discoveryPort, discoveryTls, port, securePort } = description;
  const ports = {
    [discoveryTls ? "l" : "t"]: discoveryPort || undefined,
    p: port || undefined,
    s: securePort || undefined,
  };
  const addresses = description.addresses.map(({ ip, prefix, interface: name, public: outside }) => {
    const address = [ip, prefix, name.slice(0, 32)];
    return outside === undefined ? address : [...address, outside];
  });
  for (let count = Math.min(addresses.length, MAX_ADDRESSES); ; count--) {
    const text = JSON.stringify({ ...ports, a: addresses.slice(0, count) });
    if (count === 0 || Buffer.byteLength(text) <= most) return { text, left: addresses.length - count };
  }
}

/** Never throws: another node wrote the text. */
export function parseDescription(text: string): NodeDescription {
  try {
    const { t, l, p, s, a = [] } = JSON.parse(text);
    const given = a.slice(0, MAX_ADDRESSES) as readonly (readonly unknown[])[];
    return {
      discoveryPort: portOf(l) || portOf(t),
      discoveryTls: portOf(l) > 0,
      port: portOf(p),
      securePort: portOf(s),
      addresses: checkAddresses(
        given.map(([ip, prefix, name, outside]) => ({ ip, prefix, interface: name, public: outside })),
      ),
    };
  } catch {
    return { discoveryPort: 0, discoveryTls: false, port: 0, securePort: 0, addresses: [] };
  }
}

function portOf(value: unknown): number {
  return isPort(value) ? value : 0;
}

export function descriptionOf({ props }: Pick<DescribedMember, "props">): NodeDescription {
  return parseDescription(props[DISCOVERY_PROP] ?? "");
}

/** @param caller source address; "": unknown */
export function describeNode(
  member: DescribedMember,
  description: NodeDescription,
  caller: string,
  scope: AddressScope,
): DiscoveredNode {
  const { id, name, tags, isDraining } = member;
  const { discoveryPort, discoveryTls, port, securePort, addresses } = description;
  const seen = addressesFor(addresses, caller, scope);
  const isOnHost = addresses.some(({ ip }) => ip === caller) || (member.local && isLoopback(caller));
  const endpoints = Object.create(null) as Record<string, string[]>;
  for (const [key, advertised] of Object.entries(member.endpoints)) {
    const reached = advertised.filter((endpoint) => isWithinReach(endpoint, isOnHost || caller === ""));
    if (reached.length > 0) endpoints[key] = reached.map((each) => endpointFor(each, addresses, seen));
  }
  return {
    id,
    name,
    addresses: seen.map((address) => ({
      ...address,
      ...(port > 0 ? { port } : {}),
      ...(securePort > 0 ? { securePort } : {}),
    })),
    discovery:
      discoveryPort > 0
        ? seen.map(({ ip }) => `${discoveryTls ? "tls" : "tcp"}://${joinAddress(ip, discoveryPort)}`)
        : [],
    endpoints,
    tags,
    draining: isDraining,
  };
}

/** @param endpoint tcp, tls or ipc */
function endpointFor(
  endpoint: string,
  addresses: readonly HostAddress[],
  seen: readonly SeenAddress[],
): string {
  const place = readAddress(endpoint.slice(6));
  if (place === undefined) return endpoint;
  return `${endpoint.slice(0, 6)}${joinAddress(hostFor(addresses, place.host, seen), place.port)}`;
}

/** WSO2's XML format. */
export function xmlOf(nodes: readonly DiscoveredNode[]): string {
  const lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<IpList>"];
  for (const { name, addresses } of nodes) {
    lines.push(`<node id="${xmlText(name)}">`, "  <addresses>");
    for (const { ip, interface: of, port, securePort } of addresses) {
      const ports = `${port === undefined ? "" : ` port="${port}"`}${securePort === undefined ? "" : ` ssl-port="${securePort}"`}`;
      lines.push(`    <address ip="${xmlText(ip)}"${ports} interface-name="${xmlText(of)}"/>`);
    }
    lines.push("  </addresses>", "</node>");
  }
  lines.push("</IpList>", "");
  return lines.join("\n");
}

function xmlText(text: string): string {
  return text.replace(/\p{C}/gu, "").replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);
}

/**
 * The nodes as JSON. A node's addresses depend on the client's source address: a list is encoded once for all addresses
 * from which the nodes look alike, such as those of one network. For 100 nodes encoding takes 1.5 ms, and comparing
 * 0.03 ms.
 */
export class NodeDirectory {
  #revision = 0;
  #text = "";
  #members: readonly (readonly [DescribedMember, NodeDescription])[] = [];
  #places: readonly { readonly ip: string; readonly network: BlockList }[] = [];
  readonly #lists = new Map<string, Buffer>();

  /** Rises with each change. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#members.length;
  }

  /**
   * @param members live, this node first
   * @returns whether anything changed
   */
  update(members: readonly DescribedMember[]): boolean {
    const text = JSON.stringify(
      members.map(({ id, name, tags, props, endpoints, isDraining }) => [
        id,
        name,
        tags,
        props,
        endpoints,
        isDraining,
      ]),
    );
    if (text === this.#text) return false;
    this.#text = text;
    this.#revision += 1;
    this.#members = members.map((member) => [member, descriptionOf(member)]);
    const addresses = this.#members.flatMap(([, description]) => description.addresses);
    this.#places = addresses.map((address) => ({ ip: address.ip, network: networkOf(address) }));
    this.#lists.clear();
    return true;
  }

  nodes(caller: string, scope: AddressScope): DiscoveredNode[] {
    return this.#members.map(([member, description]) => describeNode(member, description, caller, scope));
  }

  list(caller: string, scope: AddressScope): Buffer {
    const key = `${scope} ${this.#viewOf(caller)}`;
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const [self] = this.#members;
    const list = Buffer.from(
      JSON.stringify({ ok: true, node: self?.[0].id ?? "", nodes: this.nodes(caller, scope) }),
    );
    // Lists, and nodes in all of them.
    const most = Math.min(1_024, 65_536 / this.size);
    if (this.#lists.size >= most) this.#lists.clear();
    this.#lists.set(key, list);
    return list;
  }

  /** Equal for callers that `describeNode` does not distinguish. */
  #viewOf(caller: string): string {
    const family = isIP(caller);
    if (family === 0) return caller;
    const address = new SocketAddress({ address: caller, family: family === 4 ? "ipv4" : "ipv6" });
    const places = this.#places.map(({ ip, network }) =>
      ip === caller ? "=" : network.check(address) ? "+" : "-",
    );
    return `${isPrivate(caller)} ${isLoopback(caller)} ${places.join("")}`;
  }
}
