/**
 * What a node of a cluster says of itself on the ZRE plane beyond what ZRE has: in headers of its HELLO, since zyre shows every group
 * to its program. They are as they were when the node started; a change of tags or props is an update of the membership.
 *
 *   X-SHOAL-ID        the node's id, 32 hex digits: who is a member and a peer is one
 *   X-SHOAL-BUS       the bus's name
 *   X-SHOAL-ADDRESS   "host:port" of its packets
 *   X-SHOAL-TAGS      JSON: an array of texts          X-SHOAL-PROPS   JSON: an object of texts
 */
import { MAX_ADDRESS, MAX_BUS_NAME, MAX_ENDPOINTS, MAX_ZRE_HEADER_VALUE } from "../cluster/bounds.js";
import { type Details, tryDetails } from "../cluster/details.js";
import { endpointText, isForPeers, isServiceName, published } from "../cluster/endpoints.js";
import { isId } from "../cluster/identity.js";

/** A node of a cluster, by its headers. Nothing proves that they are true: the plane has no keys. */
export interface NodeHeaders {
  readonly id: string;
  readonly bus: string;
  /** "host:port"; empty where it keeps to its host. */
  readonly address: string;
  readonly tags: readonly string[];
  readonly props: Readonly<Record<string, string>>;
}

/** @returns headers for `ZrePlane` */
export function nodeHeaders(node: NodeHeaders): Record<string, string> {
  const headers: Record<string, string> = {
    "X-SHOAL-ID": node.id,
    "X-SHOAL-BUS": node.bus,
    "X-SHOAL-ADDRESS": node.address,
  };
  // Control characters are six times as long in JSON.
  for (const [name, value] of [
    ["X-SHOAL-TAGS", JSON.stringify(node.tags)],
    ["X-SHOAL-PROPS", JSON.stringify(node.props)],
  ] as const)
    if (Buffer.byteLength(value) <= MAX_ZRE_HEADER_VALUE) headers[name] = value;
  return headers;
}

/** @returns `undefined` for a peer that is not a node of a cluster, or whose headers are not within the bounds of one */
export function readNodeHeaders(headers: Readonly<Record<string, string>>): NodeHeaders | undefined {
  const id = headers["X-SHOAL-ID"];
  const { "X-SHOAL-BUS": bus = "", "X-SHOAL-ADDRESS": address = "" } = headers;
  if (id === undefined || !isId(id)) return undefined;
  if (Buffer.byteLength(bus) > MAX_BUS_NAME || Buffer.byteLength(address) > MAX_ADDRESS) return undefined;
  const details = detailsOf(headers["X-SHOAL-TAGS"] ?? "[]", headers["X-SHOAL-PROPS"] ?? "{}");
  if (details === undefined) return undefined;
  return Object.freeze({ id, bus, address, tags: details.tags, props: details.props });
}

/**
 * Where the services of a peer are, by its headers: X-FILEMQ: tcp://10.0.0.5:5777, as 36/ZRE has it, is an endpoint FILEMQ. A wildcard host is the
 * peer's. Values that are not endpoints are props alone.
 *
 * @param host the peer's
 * @returns texts as members have them in their details
 */
export function headerEndpoints(headers: Readonly<Record<string, string>>, host: string): string[] {
  const found: string[] = [];
  for (const [header, value] of Object.entries(headers)) {
    const name = /^X-(?!SHOAL-)(.+)$/.exec(header)?.[1];
    if (name === undefined || found.length >= MAX_ENDPOINTS) continue;
    const endpoint = published(value, host);
    if (isServiceName(name) && isForPeers(endpoint)) found.push(endpointText({ name, endpoint }));
  }
  return found;
}

function detailsOf(tagsText: string, propsText: string): Details | undefined {
  try {
    const tags: unknown = JSON.parse(tagsText);
    const props: unknown = JSON.parse(propsText);
    if (!Array.isArray(tags) || typeof props !== "object" || props === null || Array.isArray(props))
      return undefined;
    const details = tryDetails(1, tags, props as Record<string, string>, []);
    return typeof details === "string" ? undefined : details;
  } catch {
    return undefined; // Not JSON: another program's header of that name.
  }
}
