/** Policies of a proxy's side: their form, their checks, and their blocks of addresses. */

import { BlockList, isIP } from "node:net";
import { checkInteger, describe, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type ProxySocketType, WITH_SENDERS, WITH_TOPICS } from "../pairs.js";

const BLOCK_RULE = 'an address or a block of them, such as "10.1.0.0/16", "192.0.2.7" or "2001:db8::/32"';

export interface ProxyPolicyList {
  /** Absent or empty: everything not in `deny`. */
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}

/** Limits per second, with bursts of one second's worth; absent: no limit. */
export interface ProxyPolicyRate {
  /** Integer from 1. */
  readonly messages?: number;
  /** Frame bytes, an integer from 1. */
  readonly bytes?: number;
}

export interface ProxyPolicyLimits {
  /** Most bytes of a message, also limited by `maxMessageSize`. A larger message disconnects its peer. */
  readonly messageSize?: number;
  /** Rate of each connection; faster peers are read later, without loss. */
  readonly peer?: ProxyPolicyRate;
  /** Rate of all peers together; excess messages are read later, without loss. */
  readonly all?: ProxyPolicyRate;
}

/**
 * Policy of a proxy's side. `setPolicy` replaces it at run time: allowed peers notice nothing, forbidden ones are
 * disconnected.
 */
export interface ProxyPolicy {
  /**
   * CIDR blocks or addresses, IPv4 and IPv6; `deny` wins. Checked before an incoming peer's handshake and after an
   * outgoing connection's; never for ipc and inproc.
   */
  readonly addresses?: ProxyPolicyList;
  /**
   * Folder of client keys: certificates (ZPL), or files with a Z85 public key per line. Changes are followed; a removed
   * key disconnects its peers. Requires `curveServer`.
   */
  readonly keys?: string;
  /**
   * Topic prefixes: the longest match decides, `deny` wins a tie. Filters messages and subscriptions of sub, xsub, pub
   * and xpub sides.
   */
  readonly topics?: ProxyPolicyList;
  readonly limits?: ProxyPolicyLimits;
}

/** `rate` counts delayed reads, without loss. */
export type ProxyPolicyReason = "address" | "key" | "topic" | "size" | "rate";

export type ProxyPolicyRefusals = Readonly<Record<ProxyPolicyReason, number>>;

export interface PolicedSide {
  readonly name: string;
  readonly type: ProxySocketType;
  readonly options: Readonly<Record<string, unknown>>;
}

/** @returns a frozen copy @throws InvalidArgumentError `EINVAL` for an invalid part, or one that the type cannot use */
export function checkPolicy(side: PolicedSide, given: unknown): ProxyPolicy {
  return partsOf<ProxyPolicy>(`the policy of ${side.name}`, given, {
    addresses: addressesOf,
    keys: (what, value) => folderOf(what, value, side),
    topics: (what, value) => topicsOf(what, value, side),
    limits: (what, value) => limitsOf(what, value, side),
  });
}

function addressesOf(what: string, given: unknown): ProxyPolicyList {
  const list = listOf(what, given);
  for (const block of [...(list.allow ?? []), ...(list.deny ?? [])])
    if (parseBlock(block) === undefined) throw invalidArgument(`${what} must be ${BLOCK_RULE}`, block);
  return list;
}

function folderOf(what: string, keys: unknown, { options }: PolicedSide): string {
  if (typeof keys !== "string" || keys === "")
    throw invalidArgument(`${what} must be the path of a folder`, keys);
  if (options.curveServer !== true)
    throw new InvalidArgumentError(`${what} need the side's option curveServer`);
  return keys;
}

function topicsOf(what: string, given: unknown, { type }: PolicedSide): ProxyPolicyList {
  if (!WITH_TOPICS.includes(type))
    throw new InvalidArgumentError(
      `${what}: messages of a ${type} have none; sides of type ${WITH_TOPICS.join(", ")} do`,
    );
  return listOf(what, given);
}

function limitsOf(what: string, given: unknown, { type, options }: PolicedSide): ProxyPolicyLimits {
  const checks: Checks<ProxyPolicyLimits> = { messageSize: checkInteger, peer: rateOf, all: rateOf };
  const limits = partsOf(what, given, checks);
  const { peer, all } = limits;
  const sends = WITH_SENDERS.includes(type);
  if (peer !== undefined && !sends)
    throw new InvalidArgumentError(
      `peer in ${what}: peers of a ${type} send no messages; those of ${WITH_SENDERS.join(", ")} do`,
    );
  if (all !== undefined && !sends && type !== "xpub")
    throw new InvalidArgumentError(`all in ${what}: peers of a ${type} send nothing`);
  if ((peer !== undefined || all !== undefined) && options.receiveHighWaterMark === 0)
    throw new InvalidArgumentError(
      `${what}: with a rate the side needs a receiveHighWaterMark, since what is held back waits in its queue; got 0`,
    );
  return limits;
}

function rateOf(what: string, given: unknown): ProxyPolicyRate {
  return partsOf<ProxyPolicyRate>(what, given, { messages: checkInteger, bytes: checkInteger });
}

function listOf(what: string, given: unknown): ProxyPolicyList {
  return partsOf<ProxyPolicyList>(what, given, { allow: textsOf, deny: textsOf });
}

function textsOf(what: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw invalidArgument(`${what} must be a list of texts`, value);
  for (const text of value as unknown[])
    if (typeof text !== "string")
      throw new InvalidArgumentError(`${what} must be a list of texts; got ${describe(text)} in it`);
  return Object.freeze([...(value as string[])]);
}

/** A check of each part, which gets its name and its value. */
type Checks<T> = {
  readonly [K in keyof T]-?: (what: string, value: unknown) => Exclude<T[K], undefined>;
};

function partsOf<T extends object>(what: string, given: unknown, checks: Checks<T>): T {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument(`${what} must be an object`, given);
  const parts: Partial<T> = {};
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(checks, key))
      throw new InvalidArgumentError(`${what} has no ${key}; it has ${Object.keys(checks).join(", ")}`);
    const part = key as keyof T & string;
    if (value !== undefined) parts[part] = checks[part](`${key} in ${what}`, value);
  }
  return Object.freeze(parts) as T;
}

const MAPPED = new BlockList();
MAPPED.addSubnet("::ffff:0:0", 96, "ipv6");

export interface Block {
  readonly network: string;
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/** @returns `undefined` for an invalid or IPv4-mapped block; bits after the prefix are ignored */
export function parseBlock(text: string): Block | undefined {
  const [network = "", length, ...more] = text.split("/");
  const version = network.includes("%") ? 0 : isIP(network);
  if (version === 0 || more.length > 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const prefix = length === undefined ? bits : Number(length);
  if (prefix > bits || (version === 6 && prefix >= 96 && MAPPED.check(network, "ipv6"))) return undefined;
  return { network, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}

/**
 * Allowed and denied CIDR blocks (RFC 4632, 3.1; RFC 4291, 2.3). Pure.
 *
 * Each family has its own node:net BlockList: a shared one would match every IPv4 address with "::/0". IPv4-mapped IPv6
 * addresses (::ffff:192.0.2.1), which dual-stack listeners see, count as IPv4.
 */
export class AddressRules {
  readonly #allow: Blocks | undefined;
  readonly #deny: Blocks;

  constructor({ allow = [], deny = [] }: ProxyPolicyList) {
    this.#allow = allow.length === 0 ? undefined : blocksOf(allow);
    this.#deny = blocksOf(deny);
  }

  /** @param address anything but an IP address, as from ipc, is allowed */
  allows(address: string): boolean {
    const zone = address.indexOf("%");
    const whole = zone < 0 ? address : address.slice(0, zone);
    const bare = /^::ffff:([\d.]+)$/i.exec(whole)?.[1] ?? whole;
    const version = isIP(bare);
    if (version === 0) return true;
    const family = version === 4 ? "ipv4" : "ipv6";
    if (this.#deny[family].check(bare, family)) return false;
    return this.#allow?.[family].check(bare, family) ?? true;
  }
}

type Blocks = Readonly<Record<Block["family"], BlockList>>;

function blocksOf(list: readonly string[]): Blocks {
  const blocks = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const text of list) {
    const block = parseBlock(text);
    if (block !== undefined) blocks[block.family].addSubnet(block.network, block.prefix, block.family);
  }
  return blocks;
}
