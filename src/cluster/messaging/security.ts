/**
 * The keys of links (26/CURVEZMQ): who may connect, and whose key is whose.
 *
 *   the bus has a key      both pairs are derived from it: who has the key can make them, and nobody else
 *     secret keys          HKDF-SHA256 of the key, salt: the bus's name, info: "shoal messages server 1", "… client 1"
 *     advertised           the first 6 bytes of SHA-256 of the server's public key, as hexadecimal digits
 *   nodes have keys, too   the node's own pairs (`curve`); the key that a peer proves is one that is admitted, and that the
 *                          member of its id advertised first, as it was heard here
 *     advertised           the public keys as hexadecimal digits: of the listening end, and "," of the dialling one if that is another
 *
 * Rotation: with (old, new) a node listens by the old key and takes callers of both; with (new, old) it listens by the new one;
 * with (new) callers of the old one are disconnected, dial again by the new one, and their session goes on.
 */
import { createHash, hkdfSync } from "node:crypto";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import type { NodeIdentities } from "../admission/identities.js";
import { MAX_MEMBERS } from "../bounds.js";
import type { DialTarget, KeyPairText, LinkSecurity } from "./protocol.js";

const SERVER = "shoal messages server 1";
const CLIENT = "shoal messages client 1";

interface Derived {
  readonly id: string;
  readonly server: KeyPairText;
  readonly client: KeyPairText;
}

function pairOf(key: string, bus: string, info: string): KeyPairText {
  const secretKey = encodeZ85(Buffer.from(hkdfSync("sha256", decodeZ85(key), bus, info, 32)));
  return { publicKey: curvePublicKey(secretKey), secretKey };
}

/** @internal The pairs of a key. */
export function derive(key: string, bus: string): Derived {
  const server = pairOf(key, bus, SERVER);
  const id = createHash("sha256").update(decodeZ85(server.publicKey)).digest("hex").slice(0, 12);
  return { id, server, client: pairOf(key, bus, CLIENT) };
}

/** The keys of a bus. */
export class BusSecurity implements LinkSecurity {
  readonly #bus: string;
  #derived: readonly [Derived, ...Derived[]];

  /** @param keys of the bus, 40 characters of Z85 each; the first is that of the listening end */
  constructor(bus: string, keys: readonly [string, ...string[]]) {
    this.#bus = bus;
    this.#derived = [derive(keys[0], bus)];
    this.setKeys(keys);
  }

  setKeys(keys: readonly [string, ...string[]]): void {
    const [first, ...others] = keys;
    this.#derived = [derive(first, this.#bus), ...others.map((key) => derive(key, this.#bus))];
  }

  get advert(): string {
    return this.#derived[0].id;
  }

  get server(): KeyPairText {
    return this.#derived[0].server;
  }

  clientFor({ keys }: DialTarget): { readonly pair: KeyPairText; readonly serverKey: string } | undefined {
    const found = this.#derived.find(({ id }) => id === keys);
    return found && { pair: found.client, serverKey: found.server.publicKey };
  }

  accepts(publicKey: string): boolean {
    return this.#derived.some(({ client }) => client.publicKey === publicKey);
  }

  isOf(publicKey: string | undefined): boolean {
    return this.#derived.some(
      ({ client, server }) => client.publicKey === publicKey || server.publicKey === publicKey,
    );
  }
}

/**
 * The keys of nodes. What a member announces may be passed on by any other one, which can put its own key there, and nobody signs it. But an id is
 * that of one process, whose keys stay: so those that were heard first hold, and later ones are not believed. Not even those that the id proves over a stream later: an admitted node can
 * prove its own key under any id, so that this says no more about who was first. That the two differ is reported.
 */
export class IdentitySecurity implements LinkSecurity {
  readonly #identities: NodeIdentities;
  /** Of members, by id, the oldest first. */
  readonly #keys = new Map<string, readonly string[]>();
  /** Ids of these that proved another key: reported once. */
  readonly #contradicted = new Set<string>();
  readonly #onContradicted: ((id: string) => void) | undefined;

  /** @param onContradicted the keys that a member announced first are not the one that it proved */
  constructor(identities: NodeIdentities, onContradicted?: (id: string) => void) {
    this.#identities = identities;
    this.#onContradicted = onContradicted;
  }

  get advert(): string {
    const { acceptor, dialler } = this.#identities.pairs;
    const own = [acceptor, dialler].map(({ publicKey }) => Buffer.from(publicKey).toString("hex"));
    return [...new Set(own)].join(",");
  }

  get server(): KeyPairText {
    return textOf(this.#identities.pairs.acceptor);
  }

  /** A member announces these keys. */
  announced(id: string, keys: string): void {
    this.#keysOf(id, keys);
  }

  /** A member is forgotten, or was removed. */
  forget(id: string): void {
    this.#keys.delete(id);
    this.#contradicted.delete(id);
  }

  /** Whether a key is one of a member's. */
  isKeyOf(publicKey: string | undefined, id: string): boolean {
    return publicKey !== undefined && this.#keys.get(id)?.includes(publicKey) === true;
  }

  #keysOf(id: string, announced: string): readonly string[] {
    const known = this.#keys.get(id);
    const keys = known ?? publicKeysOf(announced);
    if (keys.length === 0) return [];
    const proved = this.#identities.provedBy(id);
    const isContradicted = proved !== undefined && !keys.includes(proved);
    if (isContradicted) this.#contradict(id);
    if (known !== undefined) return known;
    if (isContradicted) return [];
    this.#keys.set(id, keys);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size > MAX_MEMBERS && oldest !== undefined) this.forget(oldest);
    return keys;
  }

  #contradict(id: string): void {
    if (this.#contradicted.has(id)) return;
    this.#contradicted.add(id);
    const [oldest] = this.#contradicted;
    if (this.#contradicted.size > MAX_MEMBERS && oldest !== undefined) this.#contradicted.delete(oldest);
    this.#onContradicted?.(id);
  }

  clientFor({
    id,
    keys,
  }: DialTarget): { readonly pair: KeyPairText; readonly serverKey: string } | undefined {
    const [serverKey] = this.#keysOf(id, keys);
    return serverKey === undefined ? undefined : { pair: textOf(this.#identities.pairs.dialler), serverKey };
  }

  /** Where the program's function decides, it is asked when the id is known. */
  accepts(publicKey: string): boolean {
    return this.#identities.allows(publicKey) !== false;
  }

  isOf(publicKey: string | undefined, { id, host, keys }: DialTarget): boolean | Promise<boolean> {
    if (publicKey === undefined || !this.#keysOf(id, keys).includes(publicKey)) return false;
    return this.#identities.admits({ publicKey, id }, host);
  }
}

function textOf({
  publicKey,
  secretKey,
}: {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}): KeyPairText {
  return { publicKey: encodeZ85(publicKey), secretKey: encodeZ85(secretKey) };
}

/** Z85 texts of what a node advertises; what is not a key is left out. */
function publicKeysOf(keys: string): string[] {
  return keys
    .split(",")
    .slice(0, 2)
    .filter((key) => /^[0-9a-f]{64}$/.test(key))
    .map((key) => encodeZ85(Buffer.from(key, "hex")));
}
