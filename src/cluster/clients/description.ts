/**
 * What a node with a discovery server says about itself to the other nodes: its addresses with the names of their interfaces,
 * and its ports. It is a prop of the node, so it travels with the details (docs/spec/cluster.md), whose 1,000 bytes it shares:
 * membership already carries it to every node, at once when it changes. To ask for it over links would need a cache of every
 * node at every node.
 *
 *   prop "shoal-discovery"   field;field…
 *   field                    t=PORT   the discovery server's sockets       l=PORT   the same over TLS
 *                            h=PORT   its HTTP server
 *                            p=PORT   clients' port                        s=PORT   the secure one
 *                            a=IP/PREFIX,INTERFACE[,PUBLIC IP]             once for each address
 *
 * Unknown fields are skipped. What does not fit into 400 bytes is left out, the last addresses first.
 */
import { isIP } from "node:net";
import { isLoopback } from "../../core/loopback.js";
import { type AddressScope, addressesFor, type HostAddress, hostFor } from "./addresses.js";

/** The prop that it is. */
export const DISCOVERY_PROP = "shoal-discovery";
/** Bytes of it. */
export const MAX_DESCRIPTION = 400;
/** Addresses of a node, and bytes of an interface's name. */
export const MAX_ADDRESSES = 16;
const MAX_INTERFACE = 32;

/** What a node says about itself. A port of 0: there is none. */
export interface NodeDescription {
  readonly discoveryPort: number;
  /** Whether that is `tls://`. */
  readonly discoveryTls: boolean;
  readonly httpPort: number;
  readonly port: number;
  readonly securePort: number;
  readonly addresses: readonly HostAddress[];
}

/** An address of a node, for a client. */
export interface DiscoveredAddress {
  readonly ip: string;
  /** Name of the interface; empty where it is not known. */
  readonly interface: string;
  /** Where clients connect; absent where the node gives none. */
  readonly port?: number;
  readonly securePort?: number;
}

/** A node of the cluster, as a discovery server describes it. */
export interface DiscoveredNode {
  /** 32 hexadecimal digits, for one life of the node. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** The best one for the caller first. */
  readonly addresses: readonly DiscoveredAddress[];
  /** Endpoints of its discovery server, the best one first; none where it has no such server. */
  readonly discovery: readonly string[];
  /** What it advertises: endpoints by name. */
  readonly endpoints: Readonly<Record<string, readonly string[]>>;
  readonly tags: readonly string[];
  /** Whether it takes nothing new, before it leaves. */
  readonly draining: boolean;
}

/** A member, as descriptions need it. */
export interface DescribedMember {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly props: Readonly<Record<string, string>>;
  /** What it advertises, by name. */
  readonly endpoints: Readonly<Record<string, readonly string[]>>;
  /** Whether it is on the host of the server that answers. */
  readonly local: boolean;
  readonly isDraining: boolean;
}

/** @returns the prop's value, and how many addresses did not fit */
export function encodeDescription(
  description: NodeDescription,
  most: number = MAX_DESCRIPTION,
): { readonly text: string; readonly left: number } {
  const { discoveryPort, discoveryTls, httpPort, port, securePort, addresses } = description;
  const ports = { [discoveryTls ? "l" : "t"]: discoveryPort, h: httpPort, p: port, s: securePort };
  let text = Object.entries(ports)
    .filter(([, value]) => value > 0)
    .map(([key, value]) => `${key}=${value}`)
    .join(";");
  let left = 0;
  for (const address of addresses) {
    const name = address.interface.replace(/[;,=]/g, "_").slice(0, MAX_INTERFACE);
    const outside = address.public === undefined ? "" : `,${address.public}`;
    const field = `a=${address.ip}/${address.prefix},${name}${outside}`;
    const longer = text === "" ? field : `${text};${field}`;
    if (Buffer.byteLength(longer) <= most && addresses.indexOf(address) < MAX_ADDRESSES) text = longer;
    else left += 1;
  }
  return { text, left };
}

/** @returns what can be read of it; nothing throws: another node wrote it */
export function parseDescription(text: string): NodeDescription {
  const ports: Record<string, number> = {};
  const addresses: HostAddress[] = [];
  for (const field of text.slice(0, MAX_DESCRIPTION * 2).split(";")) {
    const key = field.slice(0, 2);
    const value = field.slice(2);
    if (key === "a=") {
      const address = parseAddress(value);
      if (address !== undefined && addresses.length < MAX_ADDRESSES) addresses.push(address);
    } else if (/^[tlhps]=$/.test(key) && /^\d{1,5}$/.test(value)) {
      const port = Number(value);
      if (port >= 1 && port <= 65_535) ports[key.slice(0, 1)] = port;
    }
  }
  const { t = 0, l = 0, h = 0, p = 0, s = 0 } = ports;
  return {
    discoveryPort: l || t,
    discoveryTls: l > 0,
    httpPort: h,
    port: p,
    securePort: s,
    addresses,
  };
}

function parseAddress(text: string): HostAddress | undefined {
  const [network = "", name = "", outside] = text.split(",");
  const [ip = "", bits = ""] = network.split("/");
  const family = isIP(ip);
  if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return undefined;
  if (outside !== undefined && isIP(outside) === 0) return undefined;
  return { ip, prefix: Number(bits), interface: name.slice(0, MAX_INTERFACE), public: outside };
}

/** A host as an endpoint has it. */
export function endpointHost(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

/**
 * A member as a caller sees it.
 *
 * @param caller its source address; empty where it is not known
 */
export function describeNode(member: DescribedMember, caller: string, scope: AddressScope): DiscoveredNode {
  const { id, name, tags, props, isDraining } = member;
  const { discoveryPort, discoveryTls, port, securePort, addresses } = parseDescription(
    Object.hasOwn(props, DISCOVERY_PROP) ? (props[DISCOVERY_PROP] as string) : "",
  );
  const seen = addressesFor(addresses, caller, scope);
  const isOnHost = addresses.some(({ ip }) => ip === caller) || (member.local && isLoopback(caller));
  const endpoints = Object.create(null) as Record<string, string[]>;
  for (const [key, advertised] of Object.entries(member.endpoints)) {
    const reached = advertised.filter((endpoint) => isOnHost || caller === "" || !isOfHost(endpoint));
    if (reached.length > 0)
      endpoints[key] = reached.map((each) => endpointFor(each, (host) => hostFor(addresses, host, seen)));
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
        ? seen.map(({ ip }) => `${discoveryTls ? "tls" : "tcp"}://${endpointHost(ip)}:${discoveryPort}`)
        : [],
    endpoints,
    tags,
    draining: isDraining,
  };
}

const TCP = /^(tcp:\/\/)(?:\[([^\]]+)\]|([^:[\]]+))(:\d{1,5})$/;

/** Whether an endpoint leads nowhere from another host. */
function isOfHost(endpoint: string): boolean {
  const match = TCP.exec(endpoint);
  return match === null || isLoopback(match[2] ?? match[3] ?? "");
}

/** An endpoint over tcp with another host. */
function endpointFor(endpoint: string, hostOf: (host: string) => string): string {
  const match = TCP.exec(endpoint);
  if (match === null) return endpoint;
  return `${match[1]}${endpointHost(hostOf(match[2] ?? match[3] ?? ""))}${match[4]}`;
}

/** The form of the list that WSO2's message broker gives. */
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
