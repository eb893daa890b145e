/**
 * A cluster's node on the ZRE plane, as headers of its HELLO. Values are those of the start; membership updates change
 * tags and props.
 *
 *   X-SHOAL-ID        the node's id, 32 hex digits, by which a member recognizes the peer
 *   X-SHOAL-BUS       the name of the namespace
 *   X-SHOAL-ADDRESS   "host:port" of its datagrams
 *   X-SHOAL-TAGS      JSON: an array of texts          X-SHOAL-PROPS   JSON: an object of texts
 */
import { MAX_HEADER_VALUE } from "./codec.js";

/** Nothing proves these headers: the plane has no keys. */
interface NodeHeaders {
  readonly id: string;
  readonly namespace: string;
  /** "host:port"; "" for a node on its host only. */
  readonly address: string;
  readonly tags: readonly string[];
  readonly props: Readonly<Record<string, string>>;
}

/** @returns headers for `ZrePlane` */
export function nodeHeaders(node: NodeHeaders): Record<string, string> {
  const headers: Record<string, string> = {
    "X-SHOAL-ID": node.id,
    "X-SHOAL-BUS": node.namespace,
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
