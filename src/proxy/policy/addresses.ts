/**
 * Allowed and denied CIDR blocks (RFC 4632, 3.1; RFC 4291, 2.3). Pure.
 *
 * Each family has its own node:net BlockList: a shared one would match every IPv4 address with "::/0". IPv4-mapped IPv6
 * addresses (::ffff:192.0.2.1), which dual-stack listeners see, count as IPv4.
 */
import { BlockList, isIP } from "node:net";

const MAPPED = new BlockList();
MAPPED.addSubnet("::ffff:0:0", 96, "ipv6");

export const BLOCK_RULE =
  'an address or a block of them, such as "10.1.0.0/16", "192.0.2.7" or "2001:db8::/32"';

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

export class AddressRules {
  readonly #allow: Blocks | undefined;
  readonly #deny: Blocks;

  constructor({
    allow = [],
    deny = [],
  }: { readonly allow?: readonly string[]; readonly deny?: readonly string[] }) {
    this.#allow = allow.length === 0 ? undefined : new Blocks(allow);
    this.#deny = new Blocks(deny);
  }

  /** @param address anything but an IP address, as from ipc, is allowed */
  allows(address: string): boolean {
    const zone = address.indexOf("%");
    const whole = zone < 0 ? address : address.slice(0, zone);
    const bare = /^::ffff:([\d.]+)$/i.exec(whole)?.[1] ?? whole;
    const version = isIP(bare);
    if (version === 0) return true;
    const family = version === 4 ? "ipv4" : "ipv6";
    if (this.#deny.has(bare, family)) return false;
    return this.#allow?.has(bare, family) ?? true;
  }
}

class Blocks {
  readonly #lists = { ipv4: new BlockList(), ipv6: new BlockList() };

  constructor(list: readonly string[]) {
    for (const text of list) {
      const block = parseBlock(text);
      if (block !== undefined) this.#lists[block.family].addSubnet(block.network, block.prefix, block.family);
    }
  }

  has(address: string, family: Block["family"]): boolean {
    return this.#lists[family].check(address, family);
  }
}
