/** Policy options of a side, and their checks, which throw before anything changes. */
import { checkInteger } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { ProxySocketType } from "../pairs.js";
import { BLOCK_RULE, parseBlock } from "./addresses.js";

/** A list of allowed and one of denied entries. */
export interface ProxyPolicyList {
  /** Absent or empty: everything that `deny` does not list. */
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}

/** A rate for one peer or for all; absent: no limit. The burst size is one second's worth. */
export interface ProxyPolicyRate {
  /** Messages per second, an integer from 1. */
  readonly messages?: number;
  /** Frame bytes per second, an integer from 1. */
  readonly bytes?: number;
}

/** Limits of incoming messages. */
export interface ProxyPolicyLimits {
  /**
   * Maximum bytes of a message; the smaller of this and `maxMessageSize` counts. A larger message disconnects its
   * peer.
   */
  readonly messageSize?: number;
  /** Rate of each connection. A peer above it is read later: nothing is dropped. */
  readonly peer?: ProxyPolicyRate;
  /** Rate of all peers of the side together. Messages above it are read later: nothing is dropped. */
  readonly all?: ProxyPolicyRate;
}

/**
 * Policy of a proxy's side: `frontend: { bind, policy }`. `setPolicy` replaces it while the proxy runs. Allowed peers
 * notice nothing; forbidden peers are disconnected.
 */
export interface ProxyPolicy {
  /**
   * CIDR blocks or addresses, IPv4 and IPv6; `deny` wins. Incoming peers are checked before their handshake, outgoing
   * connections after it. Peers over ipc and inproc have no address and are not checked.
   */
  readonly addresses?: ProxyPolicyList;
  /**
   * Folder of client keys: certificates (ZPL), or files with a Z85 public key on a separate line. It is reread on
   * changes; removing a key disconnects its peers. Requires `curveServer`.
   */
  readonly keys?: string;
  /**
   * Topic prefixes. The longest match decides; `deny` wins a tie. For sides of type sub, xsub, pub and xpub: filters
   * published messages and subscriptions.
   */
  readonly topics?: ProxyPolicyList;
  readonly limits?: ProxyPolicyLimits;
}

/** Why something was refused. `rate` counts how often reading was delayed, without loss. */
export type ProxyPolicyReason = "address" | "key" | "topic" | "size" | "rate";

/** Refusals by reason since the proxy was created. */
export type ProxyPolicyRefusals = Readonly<Record<ProxyPolicyReason, number>>;

const WITH_TOPICS: readonly ProxySocketType[] = ["sub", "xsub", "pub", "xpub"];
/** Sides whose peers send messages that can be delayed one by one. */
const WITH_SENDERS: readonly ProxySocketType[] = ["router", "dealer", "pair", "pull", "sub", "xsub"];

export const KEYS_RULE = "needs the side's option curveServer";
export const RATE_RULE =
  "with a rate the side needs a receiveHighWaterMark, since what is held back waits in its queue; got 0";

export interface PolicedSide {
  readonly name: string;
  readonly type: ProxySocketType;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * A frozen copy of a valid policy.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown part, a bad value, or a part that the side's type cannot use
 */
export function checkPolicy(side: PolicedSide, given: unknown): ProxyPolicy {
  const what = `policy of ${side.name}`;
  const { addresses, keys, topics, limits } = partsOf(what, given, ["addresses", "keys", "topics", "limits"]);
  const policy: ProxyPolicy = {
    ...(addresses === undefined ? {} : { addresses: listOf(`addresses in the ${what}`, addresses) }),
    ...(keys === undefined ? {} : { keys: folderOf(what, keys, side) }),
    ...(topics === undefined ? {} : { topics: topicsOf(what, topics, side) }),
    ...(limits === undefined ? {} : { limits: limitsOf(what, limits, side) }),
  };
  for (const block of [...(policy.addresses?.allow ?? []), ...(policy.addresses?.deny ?? [])]) {
    if (parseBlock(block) === undefined)
      throw new InvalidArgumentError(`addresses in the ${what} are ${BLOCK_RULE}; got ${shown(block)}`);
  }
  return Object.freeze(policy);
}

function folderOf(what: string, keys: unknown, { options }: PolicedSide): string {
  if (typeof keys !== "string" || keys === "")
    throw new InvalidArgumentError(`keys in the ${what} is the path of a folder; got ${shown(keys)}`);
  if (options.curveServer !== true) throw new InvalidArgumentError(`keys in the ${what} ${KEYS_RULE}`);
  return keys;
}

function topicsOf(what: string, topics: unknown, { type }: PolicedSide): ProxyPolicyList {
  if (!WITH_TOPICS.includes(type))
    throw new InvalidArgumentError(
      `topics in the ${what}: messages of a ${type} have none; sides of type ${WITH_TOPICS.join(", ")} do`,
    );
  return listOf(`topics in the ${what}`, topics);
}

function limitsOf(what: string, given: unknown, { type, options }: PolicedSide): ProxyPolicyLimits {
  const where = `limits in the ${what}`;
  const { messageSize, peer, all } = partsOf(where, given, ["messageSize", "peer", "all"]);
  const sends = WITH_SENDERS.includes(type);
  if (peer !== undefined && !sends)
    throw new InvalidArgumentError(
      `peer of ${where}: peers of a ${type} send no messages; those of ${WITH_SENDERS.join(", ")} do`,
    );
  if (all !== undefined && !sends && type !== "xpub")
    throw new InvalidArgumentError(`all of ${where}: peers of a ${type} send nothing`);
  if ((peer !== undefined || all !== undefined) && options.receiveHighWaterMark === 0)
    throw new InvalidArgumentError(`${where}: ${RATE_RULE}`);
  return Object.freeze({
    ...(messageSize === undefined
      ? {}
      : { messageSize: checkInteger(`messageSize of ${where}`, messageSize) }),
    ...(peer === undefined ? {} : { peer: rateOf(`peer of ${where}`, peer) }),
    ...(all === undefined ? {} : { all: rateOf(`all of ${where}`, all) }),
  });
}

function rateOf(what: string, given: unknown): ProxyPolicyRate {
  const { messages, bytes } = partsOf(what, given, ["messages", "bytes"]);
  return Object.freeze({
    ...(messages === undefined ? {} : { messages: checkInteger(`messages in ${what}`, messages) }),
    ...(bytes === undefined ? {} : { bytes: checkInteger(`bytes in ${what}`, bytes) }),
  });
}

function listOf(what: string, given: unknown): ProxyPolicyList {
  const { allow, deny } = partsOf(what, given, ["allow", "deny"]);
  return Object.freeze({
    ...(allow === undefined ? {} : { allow: textsOf(`allow of ${what}`, allow) }),
    ...(deny === undefined ? {} : { deny: textsOf(`deny of ${what}`, deny) }),
  });
}

function textsOf(what: string, value: unknown): readonly string[] {
  if (!Array.isArray(value))
    throw new InvalidArgumentError(`${what} is a list of texts; got ${shown(value)}`);
  for (const text of value as unknown[])
    if (typeof text !== "string")
      throw new InvalidArgumentError(`${what} is a list of texts; it has ${shown(text)}`);
  return Object.freeze([...(value as string[])]);
}

function partsOf(what: string, given: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new InvalidArgumentError(`The ${what} is an object; got ${shown(given)}`);
  for (const key of Object.keys(given)) {
    if (!known.includes(key))
      throw new InvalidArgumentError(`The ${what} has no ${key}; it has ${known.join(", ")}`);
  }
  return given as Readonly<Record<string, unknown>>;
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  if (Array.isArray(value)) return "a list";
  return value === null || typeof value !== "object" ? String(value) : "an object";
}
