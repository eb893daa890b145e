/**
 * Proofs at the start of a stream: each end proves a cluster's key without showing it (docs/spec/cluster.md, Proofs).
 * Here are also the reasons for which a node is refused. Pure.
 *
 *   proof   an empty body, sealed for its direction of this stream; without a key its prefix alone
 *
 * The session of a direction binds a proof to both hellos, and prevents reflection. The initiator proves first, so that an
 * unknown initiator gets no proof against which it could try passwords.
 */
import { TokenBucket } from "../../core/rate-meter.js";
import { LatestMap } from "../bounds.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import { readNamespace } from "../wire/codec.js";
import type { StreamWay } from "../wire/seal.js";

export type LinkRole = "initiator" | "responder";

/** As sent. */
export interface Hellos {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/** `namespace` is `undefined` if both ends have no cluster in common. */
export interface RefusedNamespace {
  readonly namespace: number | undefined;
  readonly reason: string;
}

/** Whether at least one cluster is proved, and the refused ones; none of either if one end has no cluster. */
export interface CheckedNamespaces {
  readonly proved: boolean;
  readonly refused: readonly RefusedNamespace[];
}

/** @param way of the other end @param shown its proofs */
export function checkNamespaces(
  namespaces: Iterable<Pick<NamespaceCodec, "namespace" | "check">>,
  way: StreamWay,
  shown: readonly Buffer[],
): CheckedNamespaces {
  const unchecked = new Map(Array.from(namespaces, (each) => [each.namespace, each] as const));
  const { size } = unchecked;
  const refused: RefusedNamespace[] = [];
  let proved = false;
  for (const each of shown) {
    const codec = unchecked.get(readNamespace(each) ?? -1);
    if (codec === undefined) continue;
    const { namespace } = codec;
    // A stranger can show 64 proofs.
    unchecked.delete(namespace);
    const reason = codec.check(way, each);
    if (reason === undefined) proved = true;
    else refused.push({ namespace, reason });
  }
  // An end without a cluster is starting or has left, which does not make it another cluster's.
  if (unchecked.size === size && size > 0 && shown.length > 0)
    refused.push({ namespace: undefined, reason: "cluster" });
  return { proved, refused };
}

export const REFUSED_REASONS = [
  /** The node has another password or key. */
  "password",
  "key",
  /** The node has no key, unlike this one's cluster. */
  "unsealed",
  /** The node is in another cluster. */
  "cluster",
  /** The node's certificate is missing or not accepted. */
  "certificate",
  /** Only one of the two nodes speaks TLS. */
  "tls",
  /** A packet was recorded, or belongs to another stream. */
  "replayed",
  /** A packet names a key of the cluster and was not sealed by it. */
  "forged",
  /** The node proved no key, or not the key of the member that it claims to be. */
  "identity",
  /** The node's own key is not allowed. */
  "denied",
  /** Another node is linked under the node's address. */
  "address",
  /** The other node refused this one, and reports the reason there. */
  "peer",
] as const;
export type RefusedReason = (typeof REFUSED_REASONS)[number];

/** Limits how often refusals are reported: once per minute for each address and reason. */
export class RefusalReports {
  /** Time of the last report for each. */
  readonly #reported = new LatestMap<string, number>(256);
  readonly #bucket = new TokenBucket(8, 1, 0);

  get size(): number {
    return this.#reported.size;
  }

  allows(now: number, host: string, reason: string): boolean {
    const name = `${host} ${reason}`;
    const before = this.#reported.get(name);
    if (before !== undefined && now - before < 60_000) return false;
    if (!this.#bucket.take(now)) return false;
    this.#reported.set(name, now);
    return true;
  }
}
