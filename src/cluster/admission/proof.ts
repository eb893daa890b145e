/**
 * Proofs at the start of a stream: each end proves a cluster's key without showing it (docs/spec/cluster.md, Proofs).
 * Here are also the reasons for which a node is refused. Pure.
 *
 *   proof   HMAC-SHA256(HKDF(key), role | namespace | initiator's hello | responder's hello)
 *
 * The nonces in the hellos bind a proof to one stream, and the role prevents reflection. The initiator proves first, so
 * that an unknown initiator gets no proof against which it could try passwords.
 */
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { TokenBucket } from "../../core/rate-meter.js";
import { decodeZ85 } from "../../core/z85.js";
import { LatestMap } from "../bounds.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import { keyId } from "../wire/seal.js";
import type { NamespaceProof } from "../wire/stream.js";

export type LinkRole = "initiator" | "responder";

/** As sent. */
export interface Hellos {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

export type ProofRefusal = "password" | "key" | "cluster" | "unsealed" | "replayed";

export type ProvableNamespace = Pick<NamespaceCodec, "namespace" | "keys" | "byPassword">;

function proofKey(key: string): { readonly id: number; readonly secret: Buffer } {
  const bytes = decodeZ85(key);
  return {
    id: keyId(bytes),
    secret: Buffer.from(hkdfSync("sha256", bytes, "", "shoal link proof 1", 32)),
  };
}

function proofBy(
  secret: Buffer,
  role: LinkRole,
  namespace: number,
  { initiator, responder }: Hellos,
): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(role === "initiator" ? 1 : 2, 0);
  head.writeUIntBE(namespace, 1, 6);
  return createHmac("sha256", secret).update(head).update(initiator).update(responder).digest();
}

export function proveNamespaces(
  namespaces: Iterable<ProvableNamespace>,
  role: LinkRole,
  hellos: Hellos,
): NamespaceProof[] {
  return Array.from(namespaces, ({ namespace, keys: [key] }) => {
    if (key === undefined) return { namespace, keyId: 0, proof: Buffer.alloc(32) };
    const { id, secret } = proofKey(key);
    return { namespace, keyId: id, proof: proofBy(secret, role, namespace, hellos) };
  });
}

/** `namespace` is `undefined` if both ends have no cluster in common. */
export interface RefusedNamespace {
  readonly namespace: number | undefined;
  readonly reason: ProofRefusal;
}

/** Whether at least one cluster is proved, and the refused ones; none of either if one end has no cluster. */
export interface CheckedNamespaces {
  readonly proved: boolean;
  readonly refused: readonly RefusedNamespace[];
}

/** @param role of the other end */
export function checkNamespaces(
  namespaces: Iterable<ProvableNamespace>,
  role: LinkRole,
  hellos: Hellos,
  shown: readonly NamespaceProof[],
): CheckedNamespaces {
  const unchecked = new Map(Array.from(namespaces, (each) => [each.namespace, each] as const));
  const { size } = unchecked;
  const refused: RefusedNamespace[] = [];
  let proved = false;
  for (const each of shown) {
    const namespace = unchecked.get(each.namespace);
    if (namespace === undefined) continue;
    // Each check takes some 20 µs, and a stranger can show 64 proofs.
    unchecked.delete(each.namespace);
    const reason = refusalOf(namespace, role, hellos, each);
    if (reason === undefined) proved = true;
    else refused.push({ namespace: namespace.namespace, reason });
  }
  // An end without a cluster is starting or has left, which does not make it another cluster's.
  if (unchecked.size === size && size > 0 && shown.length > 0)
    refused.push({ namespace: undefined, reason: "cluster" });
  return { proved, refused };
}

function refusalOf(
  { namespace, keys, byPassword }: ProvableNamespace,
  role: LinkRole,
  hellos: Hellos,
  { keyId, proof }: NamespaceProof,
): ProofRefusal | undefined {
  const wrong = byPassword ? "password" : "key";
  if (keys.length === 0) return keyId === 0 ? undefined : "key";
  if (keyId === 0) return "unsealed";
  for (const key of keys) {
    const { id, secret } = proofKey(key);
    if (id !== keyId) continue;
    return timingSafeEqual(proof, proofBy(secret, role, namespace, hellos)) ? undefined : "replayed";
  }
  return wrong;
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
