/**
 * Numbers for one-to-one messages: a node's own clients, and aliases of other nodes' clients. Pure.
 *
 *   0                      none
 *   1                      each node's own client
 *   2 … 2^31-1             clients of this node, at random
 *   2^31 … 2^32-1          aliases of clients of other nodes, at random, valid on this node only
 *
 * An alias is created when a message of its client arrives, or on request. Above the bound, about the least recently
 * used one of the node with most is evicted (second chance): a node that invents clients harms no other one.
 */

export const SELF_ID = 1;

const FIRST_ALIAS = 0x8000_0000;

/** Destination or origin of a message, valid on the node that gave it. */
export interface ClusterAddress {
  /** 32 hexadecimal digits. */
  readonly node: string;
  /** 1 for the node's own client, a client of this node, or an alias of another node's client. */
  readonly id: number;
}

/** A client of another node, and its number here. */
export class Alias {
  readonly address: ClusterAddress;
  /** On its own node. */
  readonly client: number;
  /** Since its creation, or the last check. */
  used = false;
  /** Its node has no such client. */
  closed = false;

  constructor(node: string, id: number, client: number) {
    this.address = Object.freeze({ node, id });
    this.client = client;
  }
}

export interface AddressesEffects {
  /** 0 ≤ x < 1. */
  random(): number;
  /** Whether a number is used otherwise. */
  isTaken(id: number): boolean;
  dropped(address: ClusterAddress): void;
}

export class Addresses<Client> {
  readonly #effects: AddressesEffects;
  readonly #most: number;
  /** This node's, by id. */
  readonly clients = new Map<number, Client>();
  readonly #aliases = new Map<number, Alias>();
  /** By node and by the client's number there, in the order of checks for eviction. */
  readonly #byNode = new Map<string, Map<number, Alias>>();

  /** @param most clients of this node, and aliases */
  constructor(effects: AddressesEffects, most = 65_536) {
    this.#effects = effects;
    this.#most = most;
  }

  get aliases(): number {
    return this.#aliases.size;
  }

  // --- This node's clients -------------------------------------------------------------------------------------------

  /**
   * @param make creates the client for a number
   * @returns `undefined` for too many
   */
  add<C extends Client>(make: (id: number) => C): C | undefined {
    if (this.clients.size >= this.#most) return undefined;
    const id = this.#draw(SELF_ID + 1, FIRST_ALIAS - 1);
    const client = make(id);
    this.clients.set(id, client);
    return client;
  }

  // --- Clients of other nodes ----------------------------------------------------------------------------------------

  aliasOf(node: string, client: number): Alias {
    let aliases = this.#byNode.get(node);
    if (aliases === undefined) {
      aliases = new Map();
      this.#byNode.set(node, aliases);
    }
    let alias = aliases.get(client);
    if (alias !== undefined) {
      alias.used = true;
      return alias;
    }
    alias = new Alias(node, this.#draw(FIRST_ALIAS, 2 * FIRST_ALIAS - 1), client);
    // Before the eviction, which may remove the last alias of this node.
    aliases.set(client, alias);
    if (this.#aliases.size >= this.#most) this.#evict();
    this.#aliases.set(alias.address.id, alias);
    return alias;
  }

  find(node: string, client: number): Alias | undefined {
    const alias = this.#byNode.get(node)?.get(client);
    if (alias !== undefined) alias.used = true;
    return alias;
  }

  alias(id: number): Alias | undefined {
    const alias = this.#aliases.get(id);
    if (alias !== undefined) alias.used = true;
    return alias;
  }

  has(id: number): boolean {
    return this.clients.has(id) || this.#aliases.has(id);
  }

  #evict(): void {
    let aliases = new Map<number, Alias>();
    for (const each of this.#byNode.values()) if (each.size > aliases.size) aliases = each;
    for (const alias of aliases.values()) {
      const { client, address } = alias;
      // Skips the new one.
      if (!this.#aliases.has(address.id)) continue;
      aliases.delete(client);
      if (alias.used) {
        // Moved to the end: checked again after all others.
        alias.used = false;
        aliases.set(client, alias);
        continue;
      }
      this.#aliases.delete(address.id);
      if (aliases.size === 0) this.#byNode.delete(address.node);
      this.#effects.dropped(address);
      return;
    }
  }

  #draw(first: number, last: number): number {
    let id = first + Math.floor(this.#effects.random() * (last - first + 1));
    while (this.has(id) || this.#effects.isTaken(id)) id = id === last ? first : id + 1;
    return id;
  }
}

export function isAlias(id: number): boolean {
  return id >= FIRST_ALIAS && id < 2 * FIRST_ALIAS;
}
