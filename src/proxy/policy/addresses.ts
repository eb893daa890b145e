/**
 * Address lists: CIDR blocks (RFC 4632, 3.1; RFC 4291, 2.3) allowed and denied. Pure.
 *
 * node:net's BlockList compares; it knows an IPv4 address in its IPv6 form (::ffff:192.0.2.1), too, which a listener on
 * both families sees.
 */
import { BlockList, isIP } from "node:net";
import type { PolicyList } from "./policy.js";

/** A CIDR block. */
export interface Block {
  readonly network: string;
  /** Leading bits that count. */
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/** @returns `undefined` for what is none. A single address is a block of itself; bits behind the prefix do not count. */
export function parseBlock(text: string): Block | undefined {
  const [network = "", length, ...more] = text.split("/");
  const version = network.includes("%") ? 0 : isIP(network);
  if (version === 0 || more.length > 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const prefix = length === undefined ? bits : Number(length);
  if (prefix > bits) return undefined;
  return { network, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}

/** Judges addresses by two lists; `deny` wins, and an empty `allow` allows all. */
export class AddressRules {
  readonly #allow: BlockList | undefined;
  readonly #deny: BlockList;

  /** @param list that `checkPolicy` has seen */
  constructor({ allow = [], deny = [] }: PolicyList) {
    this.#allow = allow.length === 0 ? undefined : blocksOf(allow);
    this.#deny = blocksOf(deny);
  }

  /** @param address of a peer; what is no IP address, as that of an ipc peer, is allowed */
  allows(address: string): boolean {
    const zone = address.indexOf("%");
    const bare = zone < 0 ? address : address.slice(0, zone);
    const version = isIP(bare);
    if (version === 0) return true;
    const family = version === 4 ? "ipv4" : "ipv6";
    if (this.#deny.check(bare, family)) return false;
    return this.#allow?.check(bare, family) ?? true;
  }
}

function blocksOf(list: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const text of list) {
    const block = parseBlock(text);
    if (block !== undefined) blocks.addSubnet(block.network, block.prefix, block.family);
  }
  return blocks;
}
