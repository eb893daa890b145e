/**
 * Description of a node with a discovery server, a prop in its details' 1,000 bytes (docs/spec/discovery.md).
 *
 *   prop "shoal-discovery"   field;field…
 *   field                    t=PORT   discovery server                     l=PORT   over TLS
 *                            p=PORT   clients' port                        s=PORT   over TLS
 *                            a=IP/PREFIX,INTERFACE[,PUBLIC IP]             once for each address
 *
 * Unknown fields are skipped. Above 400 bytes the last addresses are omitted.
 */
import { isIP } from "node:net";
import { isLoopback } from "../../core/loopback.js";
import { isWithinReach } from "../endpoints.js";
import { joinAddress, readAddress } from "../net/addresses.js";
import type { Member } from "../node/member.js";
import { type AddressScope, addressesFor, type HostAddress, hostFor, type SeenAddress } from "./addresses.js";

export const DISCOVERY_PROP = "shoal-discovery";
export const MAX_DESCRIPTION = 400;
/** Per node, and bytes. */
export const MAX_ADDRESSES = 16;
const MAX_INTERFACE = 32;

/** Port 0: no server. */
export interface NodeDescription {
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
  most: number = MAX_DESCRIPTION,
): { readonly text: string; readonly left: number } {
  const { discoveryPort, discoveryTls, port, securePort, addresses } = description;
  const ports = { [discoveryTls ? "l" : "t"]: discoveryPort, p: port, s: securePort };
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

/** Never throws: another node wrote the text. */
export function parseDescription(text: string): NodeDescription {
  const ports: Record<string, number> = {};
  const addresses: HostAddress[] = [];
  for (const field of text.slice(0, MAX_DESCRIPTION * 2).split(";")) {
    const key = field.slice(0, 2);
    const value = field.slice(2);
    if (key === "a=") {
      const address = parseAddress(value);
      if (address !== undefined && addresses.length < MAX_ADDRESSES) addresses.push(address);
    } else if (/^[tlps]=$/.test(key) && /^\d{1,5}$/.test(value)) {
      const port = Number(value);
      if (port >= 1 && port <= 65_535) ports[key.slice(0, 1)] = port;
    }
  }
  const { t = 0, l = 0, p = 0, s = 0 } = ports;
  return {
    discoveryPort: l || t,
    discoveryTls: l > 0,
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

export function descriptionOf({ props }: Pick<DescribedMember, "props">): NodeDescription {
  return parseDescription(Object.hasOwn(props, DISCOVERY_PROP) ? (props[DISCOVERY_PROP] as string) : "");
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
