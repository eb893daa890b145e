/** What a side of a proxy lets through: the options, and their checks, which throw before anything changes. */
import { checkInteger } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { ProxySocketType } from "../pairs.js";
import { BLOCK_RULE, parseBlock } from "./addresses.js";

/** What is let in and what is not, by two lists. */
export interface ProxyPolicyList {
  /** Absent or empty: everything but what `deny` has. */
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}

/** A rate, for one peer or for all; absent: no limit. Up to one second's worth may come at once. */
export interface ProxyPolicyRate {
  /** Messages a second, a whole number from 1 on. */
  readonly messages?: number;
  /** Bytes of their frames a second, a whole number from 1 on. */
  readonly bytes?: number;
}

/** How much may come in. */
export interface ProxyPolicyLimits {
  /** Bytes of one message at most, as `maxMessageSize`; the smaller of both counts. A peer that sends more is disconnected. */
  readonly messageSize?: number;
  /** For each connection by itself. Past it the peer is read no further until its time has come: nothing is dropped. */
  readonly peer?: ProxyPolicyRate;
  /** For all peers of the side together; the same past it. */
  readonly all?: ProxyPolicyRate;
}

/**
 * What a side of a proxy lets through: `frontend: { bind, policy }`. `setPolicy` replaces it while the proxy runs; peers
 * that the new one allows notice nothing, those that it forbids are disconnected.
 */
export interface ProxyPolicy {
  /**
   * CIDR blocks or single addresses, IPv4 and IPv6; `deny` wins. Peers that connect are checked before their handshake, those
   * that this side connects to after it. Peers over ipc and inproc have no address, and are not checked.
   */
  readonly addresses?: ProxyPolicyList;
  /**
   * A folder of client keys: certificates (ZPL), or files with a public key (Z85) in a line of its own. It is reread when
   * it changes; a key that has gone is revoked, and its peers are disconnected. Only with `curveServer`.
   */
  readonly keys?: string;
  /**
   * Topic prefixes; the longest that fits a topic decides, `deny` where both have it. On sides of type sub, xsub, pub and
   * xpub: for what is published through the side, and for what is subscribed through it.
   */
  readonly topics?: ProxyPolicyList;
  readonly limits?: ProxyPolicyLimits;
}

/** Why something was refused. `rate` counts how often a peer was held back: nothing is lost by it. */
export type ProxyPolicyReason = "address" | "key" | "topic" | "size" | "rate";

/** How often, since the proxy was made. */
export type ProxyPolicyRefusals = Readonly<Record<ProxyPolicyReason, number>>;

/** Sides whose messages have a topic. */
const WITH_TOPICS: readonly ProxySocketType[] = ["sub", "xsub", "pub", "xpub"];
/** Sides whose peers send messages that can be held back one by one. */
const WITH_SENDERS: readonly ProxySocketType[] = ["router", "dealer", "pair", "pull", "sub", "xsub"];

/** Of a folder of keys, where there is no CURVE. */
export const KEYS_RULE = "needs the side's option curveServer";
/** Of a rate, where the side has no mark. */
export const RATE_RULE =
  "with a rate the side needs a receiveHighWaterMark, since what is held back waits in its queue; got 0";

/** What the checks have to know of the side. */
export interface PolicedSide {
  readonly name: string;
  readonly type: ProxySocketType;
  /** The options of its socket. */
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * A copy of a policy that can be carried out, frozen.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown part, a bad value, or a part that the side's type has no use for
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
