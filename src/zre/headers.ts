/**
 * A cluster's node on the ZRE plane, as headers of its HELLO. Values are those of the start; membership updates change
 * tags and props.
 *
 *   X-SHOAL-ID        the node's id, 32 hex digits, by which a member recognizes the peer
 *   X-SHOAL-BUS       the name of the namespace
 *   X-SHOAL-ADDRESS   "host:port" of its datagrams
 *   X-SHOAL-TAGS      JSON: an array of texts          X-SHOAL-PROPS   JSON: an object of texts
 */
import { MAX_ADDRESS, MAX_BUS_NAME } from "../cluster/bounds.js";
import { type Details, tryDetails } from "../cluster/details.js";
import { isId } from "../cluster/identity.js";
import { MAX_HEADER_VALUE } from "./codec.js";

/** Nothing proves these headers: the plane has no keys. */
export interface NodeHeaders {
  readonly id: string;
  readonly bus: string;
  /** "host:port"; "" for a node on its host only. */
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
  // JSON makes control characters six times as long.
  for (const [name, value] of [
    ["X-SHOAL-TAGS", JSON.stringify(node.tags)],
    ["X-SHOAL-PROPS", JSON.stringify(node.props)],
  ] as const)
    if (Buffer.byteLength(value) <= MAX_HEADER_VALUE) headers[name] = value;
  return headers;
}

/** @returns `undefined` for a peer with invalid headers, or outside of clusters */
export function readNodeHeaders(headers: Readonly<Record<string, string>>): NodeHeaders | undefined {
  const id = headers["X-SHOAL-ID"];
  const { "X-SHOAL-BUS": bus = "", "X-SHOAL-ADDRESS": address = "" } = headers;
  if (id === undefined || !isId(id)) return undefined;
  if (Buffer.byteLength(bus) > MAX_BUS_NAME || Buffer.byteLength(address) > MAX_ADDRESS) return undefined;
  const details = detailsOf(headers["X-SHOAL-TAGS"] ?? "[]", headers["X-SHOAL-PROPS"] ?? "{}");
  if (details === undefined) return undefined;
  return Object.freeze({ id, bus, address, tags: details.tags, props: details.props });
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
    return undefined; // A header of another program.
  }
}
